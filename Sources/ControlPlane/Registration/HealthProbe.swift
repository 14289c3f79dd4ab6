import Discovery
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

/// One check of an application.
final class HealthProbe {
    private let target: HealthTarget
    private let loop: EventLoop
    private let http: HTTPClient
    private var completion: ((String?) -> Void)?
    private var descriptor: Int32 = -1
    private var timer: EventLoop.Timer?
    private var call: HTTPClient.Call?
    private var firstReason: String?
    private var addresses: [SocketAddress]
    private var hasOwnAddresses = false

    /// Begins to ask. `completion` is called once, with nil or why it does not serve, unless the probe is cancelled.
    init(_ target: HealthTarget, loop: EventLoop, http: HTTPClient, completion: @escaping (String?) -> Void) {
        self.target = target
        self.loop = loop
        self.http = http
        self.completion = completion
        addresses = target.addresses
        ask(0)
    }

    func cancel() {
        completion = nil
        release()
        if let call { http.cancel(call) }
    }

    private func ask(_ index: Int) {
        guard completion != nil else { return }
        if index == addresses.count, !hasOwnAddresses {
            hasOwnAddresses = true
            addresses += target.ownAddresses
        }
        guard index < addresses.count else { return finish(firstReason ?? "there is no address to ask") }
        if let path = target.path { get(path, index) } else { connect(index) }
    }

    /// What the first address says is what an operator wants to know.
    private func next(after index: Int, _ reason: String) {
        firstReason = firstReason ?? reason
        ask(index + 1)
    }

    private func finish(_ reason: String?) {
        let completion = completion
        self.completion = nil
        completion?(reason)
    }

    // MARK: Connecting

    private func connect(_ index: Int) {
        do {
            descriptor = try Socket.connect(to: addresses[index])
        } catch {
            // Never from within `init`.
            loop.schedule(after: .zero) { [weak self] in self?.next(after: index, "\(error)") }
            return
        }
        loop.watch(descriptor, .writable) { [weak self] _ in self?.connected(index) }
        timer = loop.schedule(after: target.timeout) { [weak self] in
            guard let self else { return }
            release()
            next(after: index, "\(addresses[index]) has not taken a connection in time")
        }
    }

    private func connected(_ index: Int) {
        let error = Socket.connectError(descriptor)
        release()
        if error == 0 { return finish(nil) }
        next(after: index, "\(SystemError("connect to \(addresses[index])", code: error))")
    }

    private func release() {
        loop.cancel(timer)
        timer = nil
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }

    // MARK: HTTP

    private func get(_ path: String, _ index: Int) {
        let address = addresses[index]
        let request = HTTPRequest(
            "GET", "http://\(address)\(path)", headers: [("User-Agent", "greymesh")], connectTimeout: target.timeout,
            timeout: target.timeout, maximumBody: 1 << 20)
        call = http.send(request) { [weak self] result in
            guard let self else { return }
            call = nil
            switch result {
            case .success(let answer) where 200..<400 ~= answer.status: finish(nil)
            case .success(let answer): finish("http://\(address)\(path) answers \(answer.status)")
            case .failure(.notConnected(let reason)):
                next(after: index, "cannot connect to \(address): \(reason)")
            case .failure(let error): finish("http://\(address)\(path): \(error)")
            }
        }
    }
}
