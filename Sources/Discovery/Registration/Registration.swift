import Model

/// An application that is to be listed in registries.
public struct Registration: Hashable, Sendable {
    /// What makes two registrations the same entry of a registry.
    public struct Identity: Hashable, Sendable, CustomStringConvertible {
        /// The service.
        public let service: ServiceKey
        /// Dubbo and Bolt: the interface version; empty where there is none.
        public let interfaceVersion: String
        /// Dubbo: the group, Bolt: the unique id; empty where there is none.
        public let group: String
        /// Where others reach it.
        public let host: String
        /// 1 to 65535.
        public let port: UInt16

        /// `dubbo:com.acme.OrderService:1.0.0 at 10.0.0.5:20880`
        public var description: String {
            let parts = [interfaceVersion, group]
            let suffix = parts == ["", ""] ? "" : ":" + parts.joined(separator: ":")
            return "\(service)\(suffix) at \(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    /// The application or interface.
    public var service: ServiceKey
    /// Dubbo and Bolt: the interface version; empty where there is none.
    public var interfaceVersion = ""
    /// Dubbo: the group, Bolt: the unique id; empty where there is none.
    public var group = ""
    /// A numeric address or a name that others reach, IPv6 without brackets.
    public var host: String
    /// 1 to 65535.
    public var port: UInt16
    /// Share of the requests; 1 is normal. Written in the registry's own measure.
    public var weight: Double = 1
    /// Labels, among them `version` of an HTTP application and Dubbo's parameters, such as `application` or `methods`.
    public var metadata: [String: String] = [:]

    /// A registration with weight 1 and no labels.
    public init(service: ServiceKey, host: String, port: UInt16) {
        self.service = service
        self.host = host
        self.port = port
    }

    /// What makes it the entry that it is.
    public var identity: Identity {
        Identity(service: service, interfaceVersion: interfaceVersion, group: group, host: host, port: port)
    }
}
