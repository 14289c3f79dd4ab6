import CLinux
import Codecs
import Glibc
import Runtime

/// Asks one instance what its application offers: one connection, one request, one answer.
///
/// The provider sees a consumer that connects, calls `MetadataService.getMetadataInfo` and leaves.
final class DubboMetadataCall {
    private let host: HostPort
    private let loop: EventLoop
    private let resolver: NameResolver
    private var completion: ((Result<[UInt8], DubboMetadataFailure>) -> Void)?
    private var observer: UInt64?
    private var isRetained = false
    private var timer: EventLoop.Timer?
    private var descriptor: Int32 = -1
    private var isConnected = false
    private var request: [UInt8]
    private var sent = 0
    private var received: [UInt8] = []
    private var used = 0
    private var skip = 0

    /// Longest answer, in bytes.
    static let largestAnswer = 8 << 20
    private static let id: Int64 = 1
    private static let mostPerTurn = 1 << 18

    /// Starts a call. `completion` is called once, later, with the frame of an answer that has status 20 and is in
    /// Hessian2; not after `cancel`.
    init(
        _ host: HostPort, application: String, revision: String, within limit: Duration, loop: EventLoop,
        resolver: NameResolver, completion: @escaping (Result<[UInt8], DubboMetadataFailure>) -> Void
    ) {
        self.host = host
        self.loop = loop
        self.resolver = resolver
        self.completion = completion
        let call = Dubbo.TextCall(
            service: "org.apache.dubbo.metadata.MetadataService", version: "1.0.0", group: application,
            method: "getMetadataInfo", arguments: [revision])
        request = call.isValid ? Dubbo.request(call, id: Self.id) : []
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
        if request.isEmpty { return fail(.unreachable, "its name or revision is too long") }
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
        guard completion != nil, descriptor < 0 else { return }
        switch resolver.answer(host.host) {
        case .pending: return
        case .failed(let reason): fail(.unreachable, reason)
        case .addresses(let addresses):
            guard let address = addresses.randomElement() else { return fail(.unreachable, "no address") }
            connect(to: address.with(port: host.port))
        }
    }

    private func connect(to address: SocketAddress) {
        do {
            descriptor = try Socket.connect(to: address)
        } catch {
            return fail(.unreachable, "\(error)")
        }
        watch()
    }

    private func watch() {
        let isWriting = !isConnected || sent < request.count
        let isWatched = loop.watch(descriptor, isWriting ? [.readable, .writable] : .readable) { [weak self] in
            self?.socketReady($0)
        }
        if !isWatched { fail(.unreachable, "the socket cannot be watched") }
    }

    private func socketReady(_ readiness: Readiness) {
        if !isConnected {
            let code = Socket.connectError(descriptor)
            guard code == 0 else { return fail(.unreachable, "cannot connect: \(SystemError.text(of: code))") }
            guard readiness.contains(.writable) else { return }
            isConnected = true
        }
        if sent < request.count { send() }
        if !readiness.isDisjoint(with: [.readable, .hangUp, .error, .peerClosed]) { receive() }
    }

    private func send() {
        let count = request.withUnsafeBytes {
            clinux_send(descriptor, $0.baseAddress! + sent, $0.count - sent)
        }
        // A broken connection is found out by reading, which may still bring an answer.
        guard count > 0 else { return }
        sent += count
        if sent == request.count { watch() }
    }

    // MARK: The answer

    private func receive() {
        var total = 0
        while completion != nil, descriptor >= 0, total < Self.mostPerTurn {
            let count = withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 8) { buffer in
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                if count > 0 { received.append(contentsOf: buffer[..<count]) }
                return count
            }
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            if count == 0 { return fail(.closed, closedWords) }
            guard count > 0 else { return fail(.closed, "connection lost: \(SystemError.text(of: errno))") }
            total += count
            takeFrames()
        }
    }

    private var closedWords: String {
        received.isEmpty ? "closed the connection without an answer" : "closed the connection within the answer"
    }

    private func takeFrames() {
        while completion != nil {
            let step = received.withUnsafeBufferPointer {
                Dubbo.nextFrame(
                    $0.baseAddress!, count: $0.count, used: &used, skip: &skip, limit: Self.largestAnswer)
            }
            switch step {
            case .incomplete: return dropUsed()
            case .invalid: return fail(.unreadable, "speaks no Dubbo: \(Excerpt.words(received))")
            case .oversized(let head):
                if isAnswer(head) { return fail(.tooLarge, "an answer of \(head.bodyLength) bytes") }
            case .frame(let head):
                let frame = used..<used + head.frameLength
                used = frame.upperBound
                // Its heartbeats and events are nothing to a connection that ends in a moment.
                if isAnswer(head) { finish(head, frame.count == received.count ? received : Array(received[frame])) }
            }
        }
    }

    private func dropUsed() {
        guard used > 0 else { return }
        received.removeFirst(used)
        used = 0
    }

    private func isAnswer(_ head: Dubbo.FrameHead) -> Bool { !head.isRequest && !head.isEvent && head.id == Self.id }

    private func finish(_ head: Dubbo.FrameHead, _ frame: [UInt8]) {
        if head.status != Dubbo.Status.ok { return fail(.refused, DubboMetadataAnswer.errorText(frame, head)) }
        guard head.serialization == .hessian2 else {
            return fail(.unreadable, "answers in serialization \(head.serialization.id), not Hessian2")
        }
        end(.success(frame))
    }

    // MARK: The end

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
        if descriptor >= 0 {
            loop.unwatch(descriptor)
            Socket.close(descriptor)
            descriptor = -1
        }
        received = []
    }
}
