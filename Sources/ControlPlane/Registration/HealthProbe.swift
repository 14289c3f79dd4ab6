import Runtime

/// What is asked, and how, to find out whether an application serves.
struct HealthTarget: Hashable, CustomStringConvertible {
    /// Asked in order until one answers: an application may listen on one address only.
    var addresses: [SocketAddress]
    /// Asked for by HTTP; nil: it is enough that the port takes connections.
    var path: String?
    /// Longest time for each address.
    var timeout: Duration
    /// This machine's addresses are asked as well, when no other answers.
    var own = OwnAddresses.none

    /// Those of which this machine has the one that is listed.
    enum OwnAddresses: Hashable {
        case none
        case interface(String)
        case all
    }

    /// What they are now.
    var ownAddresses: [SocketAddress] {
        let found: [SocketAddress]
        switch own {
        case .none: found = []
        case .interface(let name): found = NetworkInterface.addresses(of: name) ?? []
        case .all: found = NetworkInterface.all.filter { !$0.isLoopback }.sorted()
        }
        let port = addresses.first?.port ?? 0
        return found.map { $0.with(port: port) }.filter { !addresses.contains($0) }
    }

    var description: String {
        let address = addresses.first?.description ?? ""
        return path.map { "http://\(address)\($0)" } ?? address
    }
}

/// One check of an application: of one address after the other, until one takes connections.
final class HealthProbe {
    private let target: HealthTarget
    private let loop: EventLoop
    private var completion: ((String?) -> Void)?
    private var check: HostCheck?
    private var firstReason: String?
    private var addresses: [SocketAddress]
    private var hasOwnAddresses = false
    private var timer: EventLoop.Timer?

    /// Begins to ask. `completion` is called once, with nil or why it does not serve, unless the probe is cancelled.
    init(_ target: HealthTarget, loop: EventLoop, completion: @escaping (String?) -> Void) {
        self.target = target
        self.loop = loop
        self.completion = completion
        addresses = target.addresses
        // Never from within `init`.
        if addresses.isEmpty {
            timer = loop.schedule(after: .zero) { [weak self] in self?.ask(0) }
        } else {
            ask(0)
        }
    }

    func cancel() {
        completion = nil
        loop.cancel(timer)
        check?.cancel()
    }

    private func ask(_ index: Int) {
        guard completion != nil else { return }
        if index == addresses.count, !hasOwnAddresses {
            hasOwnAddresses = true
            addresses += target.ownAddresses
        }
        guard index < addresses.count else { return finish(firstReason ?? "there is no address to ask") }
        let question = target.path.map { CheckQuestion.http(path: $0) } ?? .tcp
        check = HostCheck(question, at: addresses[index], timeout: target.timeout, loop: loop) { [weak self] outcome in
            guard let self else { return }
            switch outcome {
            case .good: finish(nil)
            case .failed(let reason): finish(reason)
            case .unreachable(let reason), .exhausted(let reason):
                // What the first address says is what an operator wants to know.
                firstReason = firstReason ?? reason
                ask(index + 1)
            }
        }
    }

    private func finish(_ reason: String?) {
        let completion = completion
        self.completion = nil
        completion?(reason)
    }
}
