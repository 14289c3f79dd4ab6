import WebServer

/// A request that cannot be served, with the answer that Nacos gives.
struct Refusal: Error {
    var status: Int
    var text: String
    /// Nacos wraps what its controllers throw in a JSON page and sends what its filters refuse as bare text.
    var isPage = false

    static func missing(_ name: String) -> Refusal { Refusal(status: 400, text: "Param '\(name)' is required.") }
    static func illegal(_ name: String, _ why: String) -> Refusal {
        Refusal(status: 400, text: "Param '\(name)' is illegal, \(why)\n")
    }
}

/// The parameters of a naming call, checked as Nacos checks them.
struct NamingRequest {
    let parameters: Parameters

    /// A parameter that is there and not empty.
    func optional(_ name: String) -> String? {
        guard let value = parameters[name], !value.isEmpty else { return nil }
        return value
    }

    func required(_ name: String) throws(Refusal) -> String {
        guard let value = optional(name) else { throw .missing(name) }
        return value
    }

    func flag(_ name: String, default standard: Bool) -> Bool {
        optional(name).map { $0.lowercased() == "true" } ?? standard
    }

    func number(_ name: String) throws(Refusal) -> Int {
        let text = try required(name)
        guard let value = Int(text) else { throw Refusal(status: 400, text: "For input string: \"\(text)\"") }
        return value
    }

    var namespace: String { optional("namespaceId") ?? "public" }
    var group: String { optional("groupName") ?? "DEFAULT_GROUP" }

    /// The service; a group in `serviceName` wins over `groupName`.
    func service() throws(Refusal) -> ServiceName {
        let text = try required("serviceName")
        guard let separator = text.firstRange(of: "@@") else {
            return try checked(ServiceName(namespace: namespace, group: group, name: text))
        }
        let name = String(text[separator.upperBound...])
        if name.isEmpty { throw .missing("serviceName") }
        return try checked(ServiceName(namespace: namespace, group: String(text[..<separator.lowerBound]), name: name))
    }

    private func checked(_ service: ServiceName) throws(Refusal) -> ServiceName {
        try check("serviceName", service.name, limit: 512)
        try check("groupName", service.group, limit: 128)
        try check("namespaceId", service.namespace, limit: 64)
        return service
    }

    private func check(_ name: String, _ text: String, limit: Int) throws(Refusal) {
        if text.count > limit { throw .illegal(name, "the param length should not exceed \(limit).") }
        let isLegal = text.unicodeScalars.allSatisfy { $0.isASCII && $0.value > 0x20 && $0.value != 0x7f }
        if !isLegal { throw .illegal(name, "illegal characters should not appear in the param.") }
    }

    func key() throws(Refusal) -> NamingInstance.Key {
        let ip = try required("ip")
        try check("ip", ip, limit: 128)
        let text = try required("port")
        guard let port = Int(text), (0...65535).contains(port) else {
            throw .illegal("port", "the value should be between 0 and 65535.")
        }
        return NamingInstance.Key(ip: ip, port: port)
    }

    func weight() throws(Refusal) -> Double {
        guard let text = optional("weight") else { return 1 }
        guard let weight = Double(text) else { throw Refusal(status: 400, text: "For input string: \"\(text)\"") }
        guard (0...10_000).contains(weight) else {
            throw Refusal(status: 400, text: "instance format invalid: The weights range from 0.0 to 10000.0")
        }
        return weight
    }

    func metadata() throws(Refusal) -> [String: String?] {
        do {
            let metadata = try parseMetadata(parameters["metadata"] ?? "")
            let length = metadata.reduce(0) { $0 + $1.key.count + ($1.value?.count ?? 0) }
            if length > 1024 { throw Refusal.illegal("metadata", "the param length should not exceed 1024.") }
            return metadata
        } catch let error as MetadataError {
            throw Refusal(
                status: 500, text: "ErrCode:400, ErrMsg:metadata format incorrect:\(error.text)", isPage: true)
        } catch let refusal as Refusal {
            throw refusal
        } catch {
            throw Refusal(status: 500, text: "\(error)", isPage: true)
        }
    }

    var enabled: Bool { flag("enabled", default: flag("enable", default: true)) }

    /// The host of a registration.
    func instance() throws(Refusal) -> NamingInstance {
        NamingInstance(
            key: try key(), clusterName: optional("clusterName") ?? "DEFAULT", weight: try weight(), enabled: enabled,
            healthy: flag("healthy", default: true), isEphemeral: flag("ephemeral", default: true),
            metadata: try metadata())
    }

    /// The clusters a list is limited to; empty is all.
    var clusters: Set<String> { Set((optional("clusters") ?? "").split(separator: ",").map(String.init)) }
}
