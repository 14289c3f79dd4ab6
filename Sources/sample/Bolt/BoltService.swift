import Runtime

/// The sample SOFA RPC provider.
///
/// Every call is answered with `"<host>|<version>|<first string argument>"`, but for `fail(text)`, which throws, and `headers()`,
/// which tells the header map that came with the call.
final class BoltService {
    private let loop: EventLoop
    private var identity: Identity
    /// `interface:version[:uniqueId]`
    private let uniqueName: String
    private let delay: Duration
    private let server: CallServer<BoltFrame>
    /// Calls that are being answered.
    private(set) var inFlight = 0

    /// - Parameter version: that of the interface; what the answers tell is `identity`'s.
    init(loop: EventLoop, identity: Identity, version: String, uniqueID: String, delay: Duration) {
        self.loop = loop
        self.identity = identity
        self.delay = delay
        uniqueName = SofaCall.uniqueName(identity.service, version: version, uniqueID: uniqueID)
        server = CallServer(loop: loop)
        server.onFrame = { [weak self] in try self?.handle($0, on: $1) }
    }

    /// Listens and returns the address with the port the system chose.
    func listen(on address: SocketAddress) throws -> SocketAddress { try server.listen(on: address) }

    /// Gives the host a name other than that of `identity`.
    func name(host: String) { identity.host = host }

    func stopListening() { server.stopListening() }

    /// Closes all connections.
    func closeConnections() { server.closeConnections() }

    /// Whether answers wait for consumers to read them.
    var hasPendingAnswers: Bool { server.hasPendingAnswers }

    private func handle(_ frame: BoltFrame, on stream: Stream) throws {
        if let reply = frame.reply { return stream.send(reply) }
        guard frame.kind != .response else { return }
        guard frame.command == BoltFrame.Command.request else {
            throw HessianError(description: "the command \(frame.command)")
        }
        guard frame.className == BoltFrame.requestClass else {
            return reply(BoltFrame(answer: frame, status: BoltFrame.Status.serverException), to: frame, on: stream)
        }
        guard frame.codec == BoltFrame.hessian, let service = frame.value(BoltFrame.Name.service),
            let call = try? SofaRequest(parsing: frame.content)
        else {
            let answer = BoltFrame(answer: frame, status: BoltFrame.Status.deserializationException)
            return reply(answer, to: frame, on: stream)
        }
        guard service == uniqueName else {
            let text = "RPC-020100010: RPC cannot find service: [\(service)] "
            return reply(
                answer(frame, SofaResult.content(error: text), isError: true), to: frame, on: stream)
        }
        serve(call, frame, on: stream)
    }

    private func serve(_ call: SofaRequest, _ frame: BoltFrame, on stream: Stream) {
        inFlight += 1
        let finish = { [self, weak stream] in
            inFlight -= 1
            guard let stream else { return }
            reply(result(of: call, frame), to: frame, on: stream)
        }
        if delay == .zero {
            finish()
        } else {
            loop.schedule(after: delay, finish)
        }
    }

    /// One-way requests are never answered, not even when they are wrong.
    private func reply(_ answer: BoltFrame, to request: BoltFrame, on stream: Stream) {
        if request.kind == .request { stream.send(answer.bytes) }
    }

    private func answer(_ request: BoltFrame, _ content: [UInt8], isError: Bool = false) -> BoltFrame {
        var answer = BoltFrame(answer: request)
        (answer.className, answer.content) = (BoltFrame.responseClass, content)
        if isError { answer.header = [BoltFrame.Pair(key: BoltFrame.Name.responseError, value: "true")] }
        return answer
    }

    private func result(of call: SofaRequest, _ frame: BoltFrame) -> BoltFrame {
        let text = call.arguments.lazy.compactMap(\.text).first ?? ""
        switch call.method {
        case "fail":
            let content = SofaResult.content { writer in
                writer.begin("java.lang.RuntimeException", ["detailMessage"])
                writer.write(text)
            }
            return answer(frame, content, isError: true)
        case "headers":
            return answer(frame, SofaResult.content { $0.write(frame.header.map { ($0.key, $0.value) }) })
        default:
            return answer(frame, SofaResult.content { $0.write("\(identity.host)|\(identity.version)|\(text)") })
        }
    }
}
