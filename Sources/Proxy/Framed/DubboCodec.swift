import Balancing
import Codecs
import Configuration
import Model
import Runtime

/// Dubbo 2 as the engine sees it.
///
/// A status other than 20 makes a 3.x consumer send the request again; status 20 with an RpcException does not. So the choice is
/// by meaning: what may succeed on another try gets a status, what cannot gets the exception where the serialization allows it.
struct DubboCodec: FramedCodec, ~Copyable {
    typealias Head = Dubbo.FrameHead
    typealias Failure = Dubbo.FrameError

    /// After reading, the attachments of the last request.
    private var scratch = Dubbo.Scratch()
    private var invocation = Dubbo.Invocation()

    static var kind: ServiceKey.Kind { .dubbo }
    static var records: FramedRecords {
        FramedRecords(downstream: .dubboDownstream, upstream: .dubboUpstream, request: .dubboRequest)
    }
    static var noVersion: StaticString { "0.0.0" }
    static var groupName: String { "group" }
    static var knowsNoVersion: Bool { true }
    static var takesSeveral: Bool { true }
    static var slotBits: UInt64 { 32 }
    static var idBits: UInt64 { 64 }

    // MARK: Frames

    @inline(__always)
    static func nextFrame(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int
    ) -> Dubbo.FrameStep {
        Dubbo.nextFrame(bytes, count: count, used: &used, skip: &skip, limit: limit)
    }

    static func text(of failure: Dubbo.FrameError) -> StaticString {
        switch failure {
        case .badMagic: "not a Dubbo frame: it does not begin with dabb"
        case .badLength: "a Dubbo frame with a negative length"
        }
    }

    static func head(_ frame: UnsafePointer<UInt8>, count: Int) -> Dubbo.FrameHead? {
        guard case .complete(let head) = Dubbo.parseFrameHead(frame, count: count) else { return nil }
        return head
    }

    static func firstByte(lane: UInt8) -> UInt8 { 0xda }

    @inline(__always)
    static func role(_ head: Dubbo.FrameHead, _ frame: UnsafePointer<UInt8>) -> FrameRole {
        if !head.isEvent { return head.isRequest ? .request : .response }
        return head.isRequest ? eventRole(head, frame + Dubbo.headSize) : .heartbeatAnswer
    }

    private static func eventRole(_ head: Dubbo.FrameHead, _ body: UnsafePointer<UInt8>) -> FrameRole {
        let (count, serialization) = (head.bodyLength, head.serialization)
        if Dubbo.isReadonlyEvent(body, count: count, serialization) { return .goodbye }
        if Dubbo.isWriteableEvent(body, count: count, serialization) { return .comeback }
        return head.isTwoWay && Dubbo.isHeartbeat(body, count: count, serialization) ? .heartbeat : .ignored
    }

    @inline(__always)
    static func id(_ head: Dubbo.FrameHead) -> UInt64 { UInt64(bitPattern: head.id) }

    @inline(__always)
    static func isTwoWay(_ head: Dubbo.FrameHead) -> Bool { head.isTwoWay && !head.isEvent }

    @inline(__always)
    static func form(_ head: Dubbo.FrameHead, _ frame: UnsafePointer<UInt8>?) -> FrameForm {
        FrameForm(content: head.serialization.id)
    }

    // MARK: Requests

    @inline(__always)
    mutating func read(_ frame: UnsafeMutablePointer<UInt8>, _ head: Dubbo.FrameHead) -> RequestReading {
        let result = Dubbo.parseInvocation(
            frame + Dubbo.headSize, count: head.bodyLength, head.serialization, &scratch, into: &invocation)
        if invocation.hasUnusualTexts { return .unusual }
        switch result {
        case .parsed: return .named
        case .opaque: return .opaque
        case .malformed: return .malformed
        }
    }

    static func plainBound(_ head: Dubbo.FrameHead) -> Int { Dubbo.plainBound(frameCount: head.frameLength) }

    mutating func writePlain(
        _ frame: UnsafePointer<UInt8>, _ head: Dubbo.FrameHead, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        Dubbo.writePlainTexts(frame: frame, count: head.frameLength, &scratch, into: out)
    }

    @inline(__always)
    var isReadable: Bool { invocation.attachmentForm != .unknown }

    var malformation: String {
        invocation.attachmentsOverflow
            ? "the request has more than \(Dubbo.Scratch.maximumAttachments) attachments"
            : "the request's body is malformed"
    }

    static func contentName(_ head: Dubbo.FrameHead) -> String { "serialization \(head.serialization.id)" }

    @inline(__always)
    private func text(_ range: ByteRange, _ frame: UnsafePointer<UInt8>) -> ByteString {
        ByteString(base: frame + Dubbo.headSize + Int(range.start), count: Int(range.count))
    }

    @inline(__always)
    func interface(_ frame: UnsafePointer<UInt8>) -> ByteString { text(invocation.interface, frame) }

    @inline(__always)
    func version(_ frame: UnsafePointer<UInt8>) -> ByteString { text(invocation.version, frame) }

    @inline(__always)
    func group(_ frame: UnsafePointer<UInt8>) -> ByteString { text(invocation.group, frame) }

    func method(_ frame: UnsafePointer<UInt8>) -> ByteString { text(invocation.calledMethod, frame) }

    @inline(__always)
    func property(_ name: ByteString, _ frame: UnsafePointer<UInt8>) -> ByteString? {
        let body = frame + Dubbo.headSize
        guard let range = Dubbo.attachment(named: name.base, count: name.count, in: body, scratch) else { return nil }
        return text(range, frame)
    }

    @inline(__always)
    var timeoutMilliseconds: Int32 { invocation.timeoutMilliseconds }

    func path(_ frame: UnsafePointer<UInt8>, _ labels: borrowing LabelTable) -> CallPath {
        let interface = interface(frame)
        let inBody = text(invocation.bodyService, frame).equals(interface)
        let path = text(invocation.path, frame)
        if path.equals(interface) { return inBody ? .interface : .other }
        let isSame = path.equals(text(invocation.bodyService, frame))
        return inBody || isSame ? CallPath(label: labels.find(path), isInBody: isSame) : .other
    }

    func changedBound(_ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Dubbo.FrameHead) -> Int {
        Dubbo.rewrittenBound(frameCount: head.frameLength, written(changes, frame))
    }

    func writeChanged(
        _ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Dubbo.FrameHead,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        Dubbo.rewrite(
            frame: frame, count: head.frameLength, invocation, scratch,
            written(changes, frame), into: out)
    }

    private func written(_ changes: RequestChanges, _ frame: UnsafePointer<UInt8>) -> Dubbo.Changes {
        func text(_ text: ByteString?) -> Dubbo.Text? { text.map { Dubbo.Text($0.base, count: $0.count) } }
        var written = Dubbo.Changes()
        written.version = text(changes.version)
        written.group = text(changes.group)
        written.path = text(changes.path)
        if changes.path != nil { written.service = text(changes.isPathInBody ? changes.path : interface(frame)) }
        return written
    }

    @inline(__always)
    static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8 { Dubbo.rounds(frame) }

    @inline(__always)
    static func stampRequest(_ frame: UnsafeMutablePointer<UInt8>, count: Int, id: UInt64, milliseconds: Int32) {
        Dubbo.writeID(Int64(bitPattern: id), frame)
        Dubbo.noteRound(frame)
    }

    static func unstampRequest(_ frame: UnsafeMutablePointer<UInt8>) { Dubbo.takeRoundBack(frame) }

    // MARK: Responses

    @inline(__always)
    static func stampResponse(_ frame: UnsafeMutablePointer<UInt8>, _ head: Dubbo.FrameHead, id: UInt64) {
        Dubbo.writeID(Int64(bitPattern: id), frame)
    }

    @inline(__always)
    static func execution(
        _ head: Dubbo.FrameHead, _ frame: UnsafePointer<UInt8>, of interface: ByteString
    ) -> Execution {
        if head.status == Dubbo.Status.ok { return .possible }
        if head.status == Dubbo.Status.threadPoolExhausted { return .overloaded }
        let isRefused = Dubbo.refusesService(
            frame + Dubbo.headSize, count: head.bodyLength, status: head.status, head.serialization)
        return isRefused ? .refused : .possible
    }

    @inline(__always)
    static func code(_ head: Dubbo.FrameHead, _ frame: UnsafePointer<UInt8>) -> Int32 {
        if head.status != Dubbo.Status.ok { return Int32(head.status) }
        let kind = Dubbo.responseKind(
            frame + Dubbo.headSize, count: head.bodyLength, status: head.status, head.serialization)
        return kind == .exception ? RequestCode.exception : Int32(head.status)
    }

    // MARK: Frames of our own

    private static func status(_ answer: LocalAnswer) -> UInt8 {
        switch answer {
        case .malformed, .tooLong, .unnamed, .denied: Dubbo.Status.badRequest
        case .noHost, .loop, .unsupported: Dubbo.Status.serviceNotFound
        case .undiscovered, .unreachable, .exhausted, .lost: Dubbo.Status.serverError
        case .timeout: Dubbo.Status.serverTimeout
        case .badAnswer: Dubbo.Status.badResponse
        case .overloaded, .rateLimited: Dubbo.Status.threadPoolExhausted
        }
    }

    static func code(_ answer: LocalAnswer) -> Int32 { Int32(status(answer)) }

    static var handedOver: Int32 { Int32(Dubbo.Status.ok) }

    static func write(
        _ answer: LocalAnswer, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let id = Int64(bitPattern: id)
        let isFinal = answer == .noHost || answer == .loop || answer == .denied
        let isException = isFinal && Dubbo.Serialization(id: form.content) == .hessian2
        var text = text
        return text.withUTF8 {
            isException
                ? Dubbo.writeRpcException(
                    id: id,
                    code: answer == .denied
                        ? Dubbo.RpcExceptionCode.forbidden : Dubbo.RpcExceptionCode.noInvokerAvailable,
                    text: $0.baseAddress!, count: $0.count,
                    into: out)
                : Dubbo.writeError(
                    status: status(answer), id: id, text: $0.baseAddress!, count: $0.count, into: out)
        }
    }

    static func writeError(
        _ status: Int32, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var text = text
        return text.withUTF8 {
            Dubbo.writeError(
                status: UInt8(truncatingIfNeeded: status), id: Int64(bitPattern: id), text: $0.baseAddress!,
                count: $0.count,
                into: out)
        }
    }

    static func writeHeartbeat(lane: UInt8, id: UInt64, into out: UnsafeMutablePointer<UInt8>) -> Int {
        Dubbo.writeHeartbeatRequest(id: Int64(bitPattern: id), into: out)
    }

    static func answerHeartbeat(_ frame: UnsafeMutablePointer<UInt8>, _ head: Dubbo.FrameHead) -> Int {
        Dubbo.writeHeartbeatAnswer(request: frame, count: head.frameLength, into: frame)
    }

    /// Consumers of an inbound listener have other providers; to those of an outbound one this is the only address there is.
    static func saysGoodbye(_ listener: ListenerConfiguration) -> Bool { listener.forward != nil }

    static func writeGoodbye(lane: UInt8, into out: UnsafeMutablePointer<UInt8>) -> Int {
        Dubbo.writeReadonlyEvent(id: 0, into: out)
    }
}
