/// Where something listens, before its name is looked up.
public struct HostPort: Hashable, Sendable, CustomStringConvertible {
    /// A name or a numeric address, IPv6 without brackets.
    public let host: String
    /// 1 to 65535.
    public let port: UInt16

    /// A host and a port.
    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// `nacos:8848`, `[::1]:8848`
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
