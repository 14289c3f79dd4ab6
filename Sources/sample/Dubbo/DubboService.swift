import Runtime

/// The sample Dubbo provider.
///
/// Every call is answered with `"<host>|<version>|<first string argument>"`, but for `sleep(ms)`, `fail(text)`, which throws,
/// `attachments()`, which tells what came with the call, and Dubbo's own `$echo` and `$invoke`.
final class DubboService {
    private let loop: EventLoop
    private var identity: Identity
    private let group: String
    private let delay: Duration
    private let server: CallServer<DubboFrame>
    private var nextIdentifier: Int64 = 0
    /// Calls that are being answered.
    private(set) var inFlight = 0

    init(loop: EventLoop, identity: Identity, group: String, delay: Duration) {
        self.loop = loop
        self.identity = identity
        self.group = group
        self.delay = delay
        server = CallServer(loop: loop)
        server.onFrame = { [weak self] in self?.handle($0, on: $1) }
    }

    /// Listens and returns the address with the port the system chose.
    func listen(on address: SocketAddress) throws -> SocketAddress { try server.listen(on: address) }

    /// Gives the host a name other than that of `identity`.
    func name(host: String) { identity.host = host }

    func stopListening() { server.stopListening() }

    /// Tells all consumers to send nothing more.
    func sendReadOnly() {
        var writer = HessianWriter()
        writer.write("R")
        server.sendToAll {
            nextIdentifier += 1
            return DubboFrame(request: nextIdentifier, isTwoWay: false, isEvent: true, body: writer.bytes).bytes
        }
    }

    /// Closes all connections.
    func closeConnections() { server.closeConnections() }

    /// Whether answers wait for consumers to read them.
    var hasPendingAnswers: Bool { server.hasPendingAnswers }

    private func handle(_ frame: DubboFrame, on stream: Stream) {
        guard frame.isRequest else { return }
        if frame.isEvent {
            // A heartbeat's body comes back as it is, whatever its serialization; other events want no answer.
            let isHeartbeat = frame.serialization != DubboFrame.hessian2 || frame.body == [0x4e]
            guard frame.isTwoWay, isHeartbeat else { return }
            let answer = DubboFrame(
                answer: frame, status: DubboFrame.Status.ok, serialization: frame.serialization, body: frame.body)
            return stream.send(answer.bytes)
        }
        guard frame.serialization == DubboFrame.hessian2 else {
            let text = "Unexpected serialization id:\(frame.serialization) received from network"
            return reply(
                DubboFrame(answer: frame, status: DubboFrame.Status.badRequest, text: text), to: frame, on: stream)
        }
        do {
            serve(try DubboInvocation(parsing: frame.body), frame, on: stream)
        } catch {
            let text = "Fail to decode request due to: \(error)"
            reply(DubboFrame(answer: frame, status: DubboFrame.Status.badRequest, text: text), to: frame, on: stream)
        }
    }

    private func serve(_ call: DubboInvocation, _ frame: DubboFrame, on stream: Stream) {
        if let (status, text) = refusal(of: call) {
            return reply(DubboFrame(answer: frame, status: status, text: text), to: frame, on: stream)
        }
        var wait = delay
        if call.method == "sleep", let milliseconds = call.arguments.first?.number {
            wait = .milliseconds(max(0, min(600_000, milliseconds)))
        }
        inFlight += 1
        let answer = { [self, weak stream] in
            inFlight -= 1
            guard let stream else { return }
            let body = result(of: call)
            reply(DubboFrame(answer: frame, status: DubboFrame.Status.ok, body: body), to: frame, on: stream)
        }
        if wait == .zero {
            answer()
        } else {
            loop.schedule(after: wait, answer)
        }
    }

    /// One-way requests are never answered, not even when they are wrong.
    private func reply(_ answer: DubboFrame, to request: DubboFrame, on stream: Stream) {
        if request.isTwoWay { stream.send(answer.bytes) }
    }

    // MARK: Lookup

    /// Why the call is not for this service, in Java's words; nil when it is.
    ///
    /// As in Java the attachments win over the body in the lookup; like 3.3 this provider wants the body to be right too.
    private func refusal(of call: DubboInvocation) -> (status: UInt8, text: String)? {
        let wanted = key(
            group: call.attachments["group"] ?? "", path: call.attachments["path"] ?? call.path,
            version: call.attachments["version"] ?? call.version)
        let exported = key(group: group, path: identity.service, version: identity.version)
        if wanted != exported {
            return (
                DubboFrame.Status.serviceError,
                "Not found exported service: \(wanted) in [\(exported)], may be version or group mismatch "
            )
        }
        let isBodyRight = key(group: group, path: call.path, version: call.version) == exported
        if isBodyRight { return nil }
        let text = "Fail to decode request due to: RpcInvocation [methodName=\(call.method), parameterTypes=null]"
        return (DubboFrame.Status.badRequest, text)
    }

    private func key(group: String, path: String, version: String) -> String {
        let group = group.isEmpty ? "" : group + "/"
        return version.isEmpty || version == "0.0.0" ? group + path : "\(group)\(path):\(version)"
    }

    // MARK: Results

    private func result(of call: DubboInvocation) -> [UInt8] {
        let attachments = DubboResult.hasAttachments(call.protocolVersion)
        var writer = HessianWriter()
        switch call.method {
        case "$echo":
            writer.append(written: call.firstArgumentBytes)
        case "fail":
            let text = call.arguments.first?.text ?? "failed"
            writer.write(.object(type: "java.lang.RuntimeException", fields: Self.throwable(text)))
            return DubboResult.body(writer.bytes, isException: true, with: attachments)
        case "attachments":
            var seen = call.attachments
            seen["body.path"] = call.path
            seen["body.version"] = call.version
            writer.write(seen)
        default:
            writer.write("\(identity.host)|\(identity.version)|\(Self.firstText(of: call))")
        }
        return DubboResult.body(writer.bytes, with: attachments)
    }

    private static func throwable(_ text: String) -> [HessianValue.Pair] {
        let fields: [(String, HessianValue)] = [
            ("detailMessage", .string(text)), ("cause", .null), ("stackTrace", .list([])),
        ]
        return fields.map { HessianValue.Pair(key: .string($0.0), value: $0.1) }
    }

    /// The first string among the arguments; of a generic call among those of the call inside.
    private static func firstText(of call: DubboInvocation) -> String {
        var arguments = call.arguments
        if call.method.hasPrefix("$invoke"), arguments.count == 3, case .list(let inner) = arguments[2] {
            arguments = inner
        }
        return arguments.lazy.compactMap(\.text).first ?? ""
    }
}
