import Configuration
import Discovery
import Runtime

/// Finds the host by which others reach this machine.
final class AddressFinder {
    /// What is known.
    enum Answer: Equatable {
        /// An address, or a name.
        case found(String)
        /// A name is being looked up.
        case pending
        /// There is none, in words.
        case failed(String)
    }

    private struct Question: Hashable {
        let address: PublishedAddress
        let servers: [HostPort]
    }

    private struct Entry {
        var answer: Answer
        let at: Int64
    }

    private let resolver: NameResolver
    private var known: [Question: Entry] = [:]
    private var names: Set<String> = []

    /// How long an answer is taken as it is: addresses of machines change, but not often.
    private static let lifetime: (found: Int64, other: Int64) = (10_000_000_000, 500_000_000)

    init(resolver: NameResolver) { self.resolver = resolver }

    deinit { for name in names { resolver.release(name) } }

    /// The host that is to be listed in the registry with these servers.
    func find(_ address: PublishedAddress, towards servers: [HostPort]) -> Answer {
        let question = Question(address: address, servers: address == .detected ? servers : [])
        let now = Clock.nanoseconds
        let before = known[question]
        if let before {
            if case .found = before.answer {
                if now - before.at < Self.lifetime.found { return before.answer }
            } else if now - before.at < Self.lifetime.other {
                return before.answer
            }
        }
        var answer = ask(question)
        // What was found stays while the network is away.
        if let before, case .found = before.answer, !answer.isFound { answer = before.answer }
        known[question] = Entry(answer: answer, at: now)
        return answer
    }

    private func ask(_ question: Question) -> Answer {
        switch question.address {
        case .named(let name): named(name)
        case .detected: source(question.servers)
        }
    }

    private func named(_ name: String) -> Answer {
        if SocketAddress(ip: name, port: 0) != nil { return .found(name) }
        if let addresses = NetworkInterface.addresses(of: name) {
            guard let address = Self.usable(addresses) else {
                return .failed("the network interface \(name) has no address that others reach")
            }
            return .found(address.ip)
        }
        switch lookUp(name) {
        case .addresses: return .found(name)
        case .pending: return .pending
        case .failed(let reason):
            return .failed("\(name) is no network interface of this machine, and its name has no address: \(reason)")
        }
    }

    /// The first IPv4 address, else the first IPv6 address that is more than link-local.
    static func usable(_ addresses: [SocketAddress]) -> SocketAddress? {
        addresses.first { !$0.isIPv6 } ?? addresses.first { !$0.isLinkLocal && !$0.isUnspecified }
    }

    /// The address from which a registry's server is reached: loopback only where the server is on loopback itself.
    private func source(_ servers: [HostPort]) -> Answer {
        var answer = Answer.failed("there is no registry to find an address by; set \"address\"")
        for server in servers {
            let addresses: [SocketAddress]
            if let address = SocketAddress(ip: server.host, port: server.port) {
                addresses = [address]
            } else {
                switch lookUp(server.host) {
                case .addresses(let found): addresses = found.map { $0.with(port: server.port) }
                case .pending:
                    answer = .pending
                    continue
                case .failed(let reason):
                    answer = .failed("no address: the name \(server.host) has none (\(reason))")
                    continue
                }
            }
            for address in addresses {
                do {
                    let own = try Socket.sourceAddress(towards: address)
                    if own.isUnspecified || own.isLinkLocal || own.isLoopback && !address.isLoopback {
                        answer = .failed(
                            "\(own.ip), from which \(server) is reached, is of no use to others; set \"address\"")
                    } else {
                        return .found(own.ip)
                    }
                } catch {
                    answer = .failed("no address: \(error); set \"address\"")
                }
            }
        }
        return answer
    }

    private func lookUp(_ name: String) -> NameResolver.Answer {
        if names.insert(name).inserted { resolver.retain(name) }
        return resolver.answer(name)
    }
}

extension AddressFinder.Answer {
    fileprivate var isFound: Bool { if case .found = self { true } else { false } }
}

extension SocketAddress {
    /// `fe80::/10`: means nothing without an interface.
    fileprivate var isLinkLocal: Bool { isIPv6 && high >> 54 == 0xfe80 >> 6 }
}
