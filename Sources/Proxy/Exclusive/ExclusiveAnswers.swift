import Codecs
import Runtime

extension LocalAnswer {
    /// HTTP's status for it. Heads that cannot be read, and what does not arrive in time, have their own.
    fileprivate var status: Int {
        switch self {
        case .malformed: 400
        case .denied: 403
        case .unnamed: 404
        case .tooLong: 413
        case .rateLimited: 429
        case .unsupported: 501
        case .lost, .badAnswer: 502
        case .undiscovered, .noHost, .unreachable, .exhausted, .overloaded: 503
        case .timeout: 504
        case .loop: 508
        }
    }

    /// What it says after a host has failed.
    var text: StaticString {
        switch self {
        case .unreachable: "no host could be reached"
        case .exhausted: "this proxy has no descriptors, ports or memory left to connect"
        case .lost: "the host closed the connection without an answer"
        case .badAnswer: "the host's answer is not valid HTTP"
        case .timeout: "the host did not answer in time"
        case .malformed, .tooLong, .unnamed, .undiscovered, .noHost, .overloaded, .rateLimited, .denied, .loop,
            .unsupported:
            "the request cannot be forwarded"
        }
    }
}

// Answers of our own.
extension Worker {
    mutating func answer(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ answer: LocalAnswer, _ text: StaticString
    ) {
        self.answer(downstream, answer.status, text, error: answer.word)
    }

    /// Answers for the host. Closes the connection behind it when the request's body is not read to its end.
    ///
    /// - Parameter error: what has happened, in one word.
    mutating func answer(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ status: Int, _ reason: StaticString,
        error: StaticString
    ) {
        let text = ByteString(base: reason.utf8Start, count: reason.utf8CodeUnitCount)
        answer(downstream, status, text, error: error)
    }

    /// Answers a request that is refused.
    mutating func answer(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ refusal: Refusal) {
        let text = ByteString(base: refusal.text.utf8Start, count: refusal.text.utf8CodeUnitCount)
        let seconds = refusal.wait == 0 ? 0 : max(1, (refusal.wait &+ 999_999_999) / 1_000_000_000)
        answer(
            downstream, refusal.answer.status, text, error: refusal.answer.word, retryAfter: Int(seconds))
    }

    /// - Parameter retryAfter: seconds; 0: nothing is said.
    private mutating func answer(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ status: Int, _ text: ByteString, error: StaticString,
        retryAfter: Int = 0
    ) {
        let isHead = downstream.pointee.exchange.method == .head
        if !downstream.pointee.exchange.bodyComplete || isEnding(downstream) {
            downstream.pointee.exchange.keepAlive = false
        }
        let keepsAlive = downstream.pointee.exchange.keepAlive
        let count = HTTP1.writeAnswer(
            status: status, text: UnsafeBufferPointer(start: text.base, count: text.count), isHead: isHead,
            connection: keepsAlive ? (downstream.pointee.exchange.isVersion11 ? .omitted : .keepAlive) : .close,
            error: settings.tellsVersion ? error : "",
            attempts: settings.tellsVersion ? Int(downstream.pointee.exchange.state.tried.count) : 0,
            retryAfter: retryAfter, into: output, capacity: Self.outputSize)
        downstream.pointee.phase = .exchanging
        write(downstream, output, count, output, 0)
        if downstream.pointee.link.isClosed { return }
        endExchange(downstream, code: Int32(status))
        if keepsAlive { nextRequest(downstream) } else { finishConnection(downstream) }
    }

    private mutating func answer(
        _ downstream: UnsafeMutablePointer<ExclusiveDownstream>, _ answer: LocalAnswer, _ text: String
    ) {
        let bytes = ByteString(copying: text)
        defer { bytes.free() }
        self.answer(downstream, answer.status, bytes, error: answer.word)
    }

    /// No host may or can serve: says for which service and version.
    mutating func answerNoHost(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        guard let service = downstream.pointee.exchange.state.service else { return }
        downstream.pointee.exchange.state.served = ServiceMetrics.nobody
        var text = "no usable host of service \(Self.printable(service.pointee.name))"
        switch wantedTarget(service, downstream.pointee.exchange.state.asked) {
        case .version(let label) where label >= 0: text += " version \(Self.printable(service.pointee.labels[label]))"
        case .version: text += " " + unknownVersion(downstream)
        case .own, .any, .nothing: break
        }
        answer(downstream, .noHost, text)
    }

    /// A version that no host ever had is not among the service's labels: it is in the request's head, which is still here.
    private func unknownVersion(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) -> String {
        let request = downstream.pointee.exchange.request
        var (head, state) = (HTTP1.RequestHead(), HTTP1.ScanState())
        var fields = HTTP1.FieldTable()
        guard downstream.pointee.exchange.isReplayable, let bytes = request.memory,
            HTTP1.parseRequestHead(
                bytes, count: request.end, limit: request.end, state: &state, head: &head, fields: &fields) == .complete
        else { return "in the version asked for" }
        for index in 0..<settings.versionNameCount {
            let name = UnsafeBufferPointer(
                start: settings.versionNames[index].base, count: settings.versionNames[index].count)
            guard let range = fields.find(name, in: bytes) else { continue }
            let value = ByteString(base: bytes + Int(range.start), count: Int(range.count))
            if value.count > 0 && !value.equals(settings.noVersion) { return "version \(Self.printable(value))" }
        }
        return "in the version asked for"
    }

    /// A name from outside in an answer's text: not too long, and nothing in it that only a terminal understands.
    static func printable(_ name: ByteString) -> String {
        var text = ""
        for scalar in name.text.unicodeScalars.prefix(64) {
            text += scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
        }
        return name.text.unicodeScalars.count > 64 ? text + "…" : text
    }

    /// The registries have not told the service's hosts in time.
    mutating func answerUndiscovered(_ downstream: UnsafeMutablePointer<ExclusiveDownstream>) {
        let name = downstream.pointee.exchange.state.service.map { Self.printable($0.pointee.name) } ?? ""
        answer(downstream, .undiscovered, "the registries have not answered in time about service \(name)")
    }
}
