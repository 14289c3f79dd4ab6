import Runtime

extension Registration {
    /// The URL by which Dubbo's consumers of all versions know a provider.
    ///
    /// - Parameter startedAt: milliseconds since 1970; consumers warm a provider up by it, so it must not change when the
    ///   same provider is registered again.
    func dubboURL(startedAt: Int64) -> String {
        let parameters = dubboParameters(startedAt: startedAt).sorted { $0.key < $1.key }
        let address = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        return "dubbo://\(address)/\(service.name)?" + parameters.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
    }

    /// The parameters of that URL; labels stand before what is usual, but not before what makes the entry what it is.
    func dubboParameters(startedAt: Int64) -> [String: String] {
        var parameters = [
            "application": service.name, "deprecated": "false", "dubbo": "2.0.2", "dynamic": "true", "generic": "false",
            "methods": "*",
        ]
        parameters.merge(metadata.filter { Self.isPlain($0.key) && !$0.value.isEmpty }) { _, own in own }
        parameters["interface"] = service.name
        parameters["side"] = "provider"
        parameters["timestamp"] = String(startedAt)
        parameters["version"] = interfaceVersion.isEmpty ? nil : interfaceVersion
        parameters["revision"] = parameters["revision"] ?? parameters["version"]
        parameters["group"] = group.isEmpty ? nil : group
        if weight != 1 { parameters["weight"] = String(dubboWeight) }
        // A value is written so that it can stand in a URL: consumers decode it once more than the URL as a whole.
        return parameters.mapValues { value in
            value.utf8.allSatisfy(Self.isPlain) ? value : PercentEncoding.encode(value)
        }
    }

    /// Dubbo's weight: an integer, and 100 is normal.
    var dubboWeight: Int {
        weight.isFinite ? Int(min(max(weight * 100, 0), 1_000_000).rounded()) : 100
    }

    private static func isPlain(_ key: String) -> Bool { !key.isEmpty && key.utf8.allSatisfy(isPlain) }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "&"), UInt8(ascii: "="), UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "%"),
            UInt8(ascii: "+"):
            false
        default: byte > 0x20 && byte < 0x7f
        }
    }
}
