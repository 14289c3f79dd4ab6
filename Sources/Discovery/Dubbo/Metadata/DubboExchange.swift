import CLinux
import Codecs
import Glibc
import Runtime

/// One call over the dubbo protocol: one connection, one request, one answer.
final class DubboExchange: DubboMetadataExchange {
    private let loop: EventLoop
    private var completion: ((Result<[UInt8], DubboMetadataFailure>) -> Void)?
    private var descriptor: Int32
    private var isConnected = false
    private let request: [UInt8]
    private var sent = 0
    private var received: [UInt8] = []
    private var used = 0
    private var skip = 0

    /// Of requests.
    static let id: Int64 = 1
    private static let mostPerTurn = 1 << 18

    /// Starts the call. `completion` is called once, later, with the frame of an answer that has status 20 and is in Hessian2;
    /// not after `close`.
    ///
    /// - Throws: `SystemError` when there is no socket.
    init(
        to address: SocketAddress, _ request: [UInt8], loop: EventLoop,
        completion: @escaping (Result<[UInt8], DubboMetadataFailure>) -> Void
    ) throws {
        self.loop = loop
        self.request = request
        self.completion = completion
        descriptor = try Socket.connect(to: address)
        guard watch() else {
            Socket.close(descriptor)
            throw SystemError("watch the socket", code: ENOMEM)
        }
    }

    deinit { close() }

    func close() {
        completion = nil
        received = []
        guard descriptor >= 0 else { return }
        loop.unwatch(descriptor)
        Socket.close(descriptor)
        descriptor = -1
    }

    private func watch() -> Bool {
        let isWriting = !isConnected || sent < request.count
        return loop.watch(descriptor, isWriting ? [.readable, .writable] : .readable) { [weak self] in
            self?.socketReady($0)
        }
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
        if sent == request.count, !watch() { fail(.unreachable, "the socket cannot be watched") }
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
                    $0.baseAddress!, count: $0.count, used: &used, skip: &skip, limit: DubboMetadataCall.largestAnswer)
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
        end(.failure(DubboMetadataFailure(kind, reason)))
    }

    private func end(_ result: Result<[UInt8], DubboMetadataFailure>) {
        guard let completion else { return }
        close()
        completion(result)
    }
}

extension Dubbo {
    /// The request that asks for a revision; nil where application or revision are too long.
    static func metadataRequest(_ application: String, _ revision: String) -> [UInt8]? {
        let call = TextCall(
            service: "org.apache.dubbo.metadata.MetadataService", version: "1.0.0", group: application,
            method: "getMetadataInfo", arguments: [revision])
        return call.isValid ? request(call, id: DubboExchange.id) : nil
    }
}
