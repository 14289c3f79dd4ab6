import Codecs
import Runtime

/// A request on its way, and its answer, in one of the protocols.
protocol DubboMetadataExchange: AnyObject {
    /// Ends it without a word.
    func close()
}

/// Asks one instance what its application offers: one connection, one request, one answer.
///
/// The provider sees a consumer that connects, calls its metadata service and leaves.
final class DubboMetadataCall {
    private enum Request {
        case dubbo([UInt8])
        case triple(TripleExchange.Call)
    }

    private let host: HostPort
    private let request: Request?
    private let loop: EventLoop
    private let resolver: NameResolver
    private var completion: ((Result<[UInt8], DubboMetadataFailure>) -> Void)?
    private var observer: UInt64?
    private var isRetained = false
    private var timer: EventLoop.Timer?
    private var exchange: (any DubboMetadataExchange)?

    /// Longest answer, in bytes.
    static let largestAnswer = 8 << 20

    /// Starts a call. `completion` is called once, later, with an answer for `DubboMetadataPlace.Way.read`; not after
    /// `cancel`.
    init(
        _ place: DubboMetadataPlace, application: String, revision: String, within limit: Duration, loop: EventLoop,
        resolver: NameResolver, completion: @escaping (Result<[UInt8], DubboMetadataFailure>) -> Void
    ) {
        host = place.host
        self.loop = loop
        self.resolver = resolver
        self.completion = completion
        request =
            if place.way == .dubbo {
                Dubbo.metadataRequest(application, revision).map { .dubbo($0) }
            } else {
                TripleExchange.Call(place.way, application: application, revision: revision, within: limit)
                    .map { .triple($0) }
            }
        timer = loop.schedule(after: limit) { [weak self] in
            self?.fail(.late, "no answer in time")
        }
        loop.schedule(after: .zero) { [weak self] in self?.begin() }
    }

    deinit { release() }

    /// Ends it without a word.
    func cancel() {
        completion = nil
        release()
    }

    // MARK: Connecting

    private func begin() {
        guard completion != nil else { return }
        guard request != nil else { return fail(.unreachable, "its name or revision is too long") }
        if let address = SocketAddress(ip: host.host, port: host.port) { return connect(to: address) }
        resolver.retain(host.host)
        isRetained = true
        observer = resolver.observe { [weak self] name in
            guard let self, name == host.host else { return }
            resolved()
        }
        resolved()
    }

    private func resolved() {
        guard completion != nil, exchange == nil else { return }
        switch resolver.answer(host.host) {
        case .pending: return
        case .failed(let reason): fail(.unreachable, reason)
        case .addresses(let addresses):
            guard let address = addresses.randomElement() else { return fail(.unreachable, "no address") }
            connect(to: address.with(port: host.port))
        }
    }

    private func connect(to address: SocketAddress) {
        let take: (Result<[UInt8], DubboMetadataFailure>) -> Void = { [weak self] in self?.take($0) }
        do {
            switch request {
            case .dubbo(let frame): exchange = try DubboExchange(to: address, frame, loop: loop, completion: take)
            case .triple(let call):
                exchange = try TripleExchange(to: address, authority: "\(host)", call, loop: loop, completion: take)
            case nil: return
            }
        } catch {
            fail(.unreachable, "\(error)")
        }
    }

    // MARK: The end

    private func take(_ result: Result<[UInt8], DubboMetadataFailure>) {
        switch result {
        case .success: end(result)
        case .failure(let failure): fail(failure.kind, failure.reason)
        }
    }

    private func fail(_ kind: DubboMetadataFailure.Kind, _ reason: String) {
        var failure = DubboMetadataFailure(kind, reason)
        failure.host = "\(host)"
        end(.failure(failure))
    }

    private func end(_ result: Result<[UInt8], DubboMetadataFailure>) {
        guard let completion else { return }
        self.completion = nil
        release()
        completion(result)
    }

    private func release() {
        loop.cancel(timer)
        if let observer { resolver.unobserve(observer) }
        if isRetained { resolver.release(host.host) }
        (observer, isRetained) = (nil, false)
        exchange?.close()
        exchange = nil
    }
}
