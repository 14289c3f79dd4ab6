/// Where something listens, before its name is looked up.
struct HostPort: Hashable, CustomStringConvertible {
    /// An address or a name, IPv6 without brackets.
    let host: String
    let port: UInt16

    var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension ListedHost {
    var hostPort: HostPort { HostPort(host: host, port: port) }
}

extension DubboApplication {
    /// Where it listens.
    var hostPorts: some Sequence<HostPort> { endpoints.lazy.map { HostPort(host: host, port: $0.port) } }

    /// Whether it listens at one of them. A provider that stands at both levels says more of itself at its interface's own, and
    /// what listens there is left out at the application's.
    func listens(at known: Set<HostPort>) -> Bool { hostPorts.contains(where: known.contains) }
}
