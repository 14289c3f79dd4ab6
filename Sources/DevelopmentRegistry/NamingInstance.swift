/// One registered host.
struct NamingInstance {
    /// What makes two registrations the same: in a service an address stands once, whatever its cluster.
    struct Key: Hashable {
        var ip: String
        var port: Int
    }

    var key: Key
    var clusterName = "DEFAULT"
    var weight = 1.0
    var enabled = true
    var healthy = true
    var isEphemeral = true
    /// Values can be null, as in Nacos.
    var metadata: [String: String?] = [:]
    /// Monotonic nanoseconds of the last sign of life.
    var lastBeat: Int64 = 0

    /// Milliseconds between beats that the host is asked for.
    var beatInterval: Int64 { milliseconds("preserved.heart.beat.interval", default: 5_000) }
    /// Milliseconds without a beat until it counts as unhealthy.
    var beatTimeout: Int64 { milliseconds("preserved.heart.beat.timeout", default: 15_000) }
    /// Milliseconds without a beat until it is removed.
    var deleteTimeout: Int64 { milliseconds("preserved.ip.delete.timeout", default: 30_000) }

    private func milliseconds(_ name: String, default standard: Int64) -> Int64 {
        guard let text = metadata[name] ?? nil, let value = Int64(text), (1...86_400_000).contains(value) else {
            return standard
        }
        return value
    }

    /// Whether the last beat is longer ago than that many milliseconds.
    func isSilent(for milliseconds: Int64, at now: Int64) -> Bool { now - lastBeat > milliseconds * 1_000_000 }
}

/// What an operator has set on an instance: it outlives registrations and wins over them.
struct NamingOverride {
    var weight: Double
    var enabled: Bool
    var metadata: [String: String?]

    func applied(to instance: NamingInstance) -> NamingInstance {
        var result = instance
        result.weight = weight
        result.enabled = enabled
        result.metadata.merge(metadata) { $1 }
        return result
    }
}

/// A service's full name.
struct ServiceName: Hashable {
    var namespace: String
    var group: String
    var name: String

    /// `DEFAULT_GROUP@@order`
    var grouped: String { "\(group)@@\(name)" }
}
