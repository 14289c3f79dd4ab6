import Balancing
import Codecs
import Configuration
import Model
import Runtime

/// SOFABolt 1 and 2, as SOFA RPC uses it, as the engine sees it. A lane is a variant of the protocol: a Java server answers in the one
/// that it saw first on a connection.
struct BoltCodec: FramedCodec, ~Copyable {
    typealias Head = Bolt.FrameHead
    typealias Failure = Bolt.FrameError

    /// After reading, the header map of the last request.
    private var scratch = Bolt.Scratch()
    private var invocation = Bolt.Invocation()
    private var name = Bolt.ServiceName()
    private(set) var isReadable = false
    private(set) var timeoutMilliseconds: Int32 = 0
    /// Where a service's name with another version is put together.
    private let newName: UnsafeMutablePointer<UInt8>
    private let headerChanges: UnsafeMutablePointer<Bolt.HeaderChange>

    init() {
        newName = .allocate(capacity: Bolt.maximumHeaderLength)
        headerChanges = .allocate(capacity: 2)
    }

    deinit {
        newName.deallocate()
        headerChanges.deallocate()
    }

    static var kind: ServiceKey.Kind { .bolt }
    static var records: FramedRecords {
        FramedRecords(downstream: .boltDownstream, upstream: .boltUpstream, request: .boltRequest)
    }
    static var noVersion: StaticString { "1.0" }
    static var groupName: String { "unique id" }
    /// ZooKeeper does not tell a SOFA provider's version: 1.0 may be any.
    static var knowsNoVersion: Bool { false }
    static var takesSeveral: Bool { false }
    static var slotBits: UInt64 { 18 }
    static var idBits: UInt64 { 32 }

    // MARK: Frames

    @inline(__always)
    static func nextFrame(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int
    ) -> Bolt.FrameStep {
        Bolt.nextFrame(bytes, count: count, used: &used, skip: &skip, limit: limit)
    }

    static func text(of failure: Bolt.FrameError) -> StaticString {
        switch failure {
        case .badProtocol: "not a Bolt frame: it begins with neither 1 nor 2"
        case .badVersion: "a Bolt frame of protocol 2 whose inner version is neither 1 nor 2"
        case .badType: "a Bolt frame of an unknown type"
        case .badLength: "a Bolt frame with a negative length"
        case .badChecksum: "a Bolt frame with a wrong checksum"
        }
    }

    static func head(_ frame: UnsafePointer<UInt8>, count: Int) -> Bolt.FrameHead? {
        guard case .complete(let head) = Bolt.parseFrameHead(frame, count: count) else { return nil }
        return head
    }

    static func firstByte(lane: UInt8) -> UInt8 { variant(lane).protocolCode }

    @inline(__always)
    private static func variant(_ lane: UInt8) -> Bolt.Variant { Bolt.Variant(rawValue: lane) ?? .version1 }

    @inline(__always)
    static func role(_ head: Bolt.FrameHead, _ frame: UnsafePointer<UInt8>) -> FrameRole {
        if head.isHeartbeat { return head.isRequest ? .heartbeat : .heartbeatAnswer }
        if !head.isRequest { return .response }
        switch head.command {
        case Bolt.Command.request: return .request
        case Bolt.Command.goaway: return .goodbye
        default: return .foreign
        }
    }

    @inline(__always)
    static func id(_ head: Bolt.FrameHead) -> UInt64 { UInt64(head.id) }

    @inline(__always)
    static func isTwoWay(_ head: Bolt.FrameHead) -> Bool { head.type == .request }

    /// The mark says that it is a request of SOFA RPC, which understands an answer in words.
    @inline(__always)
    static func form(_ head: Bolt.FrameHead, _ frame: UnsafePointer<UInt8>?) -> FrameForm {
        FrameForm(
            lane: head.variant.rawValue, content: head.codec, mark: frame.map { Bolt.isOfSofa($0, head) } ?? false)
    }

    // MARK: Requests

    @inline(__always)
    mutating func read(_ frame: UnsafeMutablePointer<UInt8>, _ head: Bolt.FrameHead) -> RequestReading {
        timeoutMilliseconds = head.timeout
        isReadable = Bolt.parseInvocation(frame, head, &scratch, into: &invocation) == .parsed
        name = Bolt.serviceName(frame, invocation.service)
        return invocation.service.isEmpty ? .opaque : .named
    }

    static func plainBound(_ head: Bolt.FrameHead) -> Int { 0 }

    /// No text of Bolt is unusual.
    func writePlain(
        _ frame: UnsafePointer<UInt8>, _ head: Bolt.FrameHead, into out: UnsafeMutablePointer<UInt8>
    ) -> Int { 0 }

    var malformation: String { "the request is malformed" }

    static func contentName(_ head: Bolt.FrameHead) -> String { "codec \(head.codec)" }

    @inline(__always)
    private func text(_ range: ByteRange, _ frame: UnsafePointer<UInt8>) -> ByteString {
        ByteString(base: frame + Int(range.start), count: Int(range.count))
    }

    @inline(__always)
    func interface(_ frame: UnsafePointer<UInt8>) -> ByteString { text(name.interface, frame) }

    /// A request that names no service is content with any version.
    @inline(__always)
    func version(_ frame: UnsafePointer<UInt8>) -> ByteString {
        if invocation.service.isEmpty {
            let any: StaticString = "*"
            return ByteString(base: any.utf8Start, count: any.utf8CodeUnitCount)
        }
        return text(name.version, frame)
    }

    @inline(__always)
    func group(_ frame: UnsafePointer<UInt8>) -> ByteString { text(name.uniqueID, frame) }

    func method(_ frame: UnsafePointer<UInt8>) -> ByteString { text(invocation.method, frame) }

    @inline(__always)
    func property(_ name: ByteString, _ frame: UnsafePointer<UInt8>) -> ByteString? {
        guard let range = Bolt.property(named: name.base, count: name.count, in: frame, invocation, scratch) else {
            return nil
        }
        return text(range, frame)
    }

    private func nameCount(versionCount: Int) -> Int {
        let id = Int(name.uniqueID.count)
        return Int(name.interface.count) &+ 1 &+ versionCount &+ (id == 0 ? 0 : 1 &+ id)
    }

    /// Bolt has no paths.
    func path(_ frame: UnsafePointer<UInt8>, _ labels: borrowing LabelTable) -> CallPath { .interface }

    func changedBound(_ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Bolt.FrameHead) -> Int {
        head.frameLength &+ 2 &* (nameCount(versionCount: changes.version?.count ?? 0) &+ 64)
    }

    /// Servers dispatch by `service`; with some codecs they take the other name, too.
    func writeChanged(
        _ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Bolt.FrameHead,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        guard let version = changes.version else { return 0 }
        let count = nameCount(versionCount: version.count)
        if invocation.service.isEmpty || count > Bolt.maximumHeaderLength { return 0 }
        var at = 0
        func write(_ text: ByteString, _ newName: UnsafeMutablePointer<UInt8>, _ at: inout Int) {
            (newName + at).update(from: text.base, count: text.count)
            at += text.count
        }
        write(interface(frame), newName, &at)
        newName[at] = 0x3a
        at += 1
        write(version, newName, &at)
        if !name.uniqueID.isEmpty {
            newName[at] = 0x3a
            at += 1
            write(group(frame), newName, &at)
        }
        for (index, key) in [Bolt.HeaderName.service, Bolt.HeaderName.targetService].enumerated() {
            (headerChanges + index).initialize(
                to: Bolt.HeaderChange(key, value: newName, valueCount: at, isAdded: false))
        }
        return Bolt.rewriteHeader(frame: frame, head, changes: headerChanges, changeCount: 2, into: out)
    }

    @inline(__always)
    static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8 { Bolt.rounds(frame) }

    @inline(__always)
    static func stampRequest(_ frame: UnsafeMutablePointer<UInt8>, count: Int, id: UInt64, milliseconds: Int32) {
        Bolt.noteRound(frame)
        let id = UInt32(truncatingIfNeeded: id)
        if frame[0] == Bolt.Variant.version1.protocolCode && milliseconds <= 0 { return Bolt.writeID(id, frame) }
        guard let head = head(frame, count: count) else { return }
        Bolt.patch(frame, head, id: id, timeout: milliseconds)
    }

    static func unstampRequest(_ frame: UnsafeMutablePointer<UInt8>) { Bolt.takeRoundBack(frame) }

    // MARK: Responses

    @inline(__always)
    static func stampResponse(_ frame: UnsafeMutablePointer<UInt8>, _ head: Bolt.FrameHead, id: UInt64) {
        Bolt.patch(frame, head, id: UInt32(truncatingIfNeeded: id))
    }

    /// Ordinary results have no header map, errors have one.
    @inline(__always)
    static func execution(
        _ head: Bolt.FrameHead, _ frame: UnsafePointer<UInt8>, of interface: ByteString
    ) -> Execution {
        if head.status == Bolt.Status.serverBusy { return .overloaded }
        if head.headerLength == 0 { return .possible }
        return Bolt.refusesService(frame, head, of: interface.base, count: interface.count) ? .refused : .possible
    }

    @inline(__always)
    static func code(_ head: Bolt.FrameHead, _ frame: UnsafePointer<UInt8>) -> Int32 {
        if head.status != Bolt.Status.success || head.headerLength == 0 { return Int32(head.status) }
        switch Bolt.responseKind(frame, head) {
        case .value, .null: return Int32(Bolt.Status.success)
        case .exception: return RequestCode.exception
        case .failure, .unknown: return Int32(Bolt.Status.serverException)
        }
    }

    // MARK: Frames of our own

    /// 4 and 7 make SOFA RPC send the request again: they are for what no host can have executed, and for the end of its time.
    private static func status(_ answer: LocalAnswer) -> UInt16 {
        switch answer {
        case .malformed: Bolt.Status.deserializationException
        case .tooLong, .badAnswer: Bolt.Status.codecException
        case .unnamed, .noHost, .denied, .loop, .unsupported: Bolt.Status.noProcessor
        case .undiscovered, .unreachable, .exhausted, .overloaded, .rateLimited: Bolt.Status.serverBusy
        case .lost: Bolt.Status.communicationError
        case .timeout: Bolt.Status.timeout
        }
    }

    static func code(_ answer: LocalAnswer) -> Int32 { Int32(status(answer)) }

    static var handedOver: Int32 { Int32(Bolt.Status.success) }

    static func write(
        _ answer: LocalAnswer, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        let status = status(answer)
        let request = request(id, form)
        if !form.mark || status == Bolt.Status.serverBusy || status == Bolt.Status.timeout {
            return Bolt.writeStatus(status, answering: request, into: out)
        }
        var text = text
        return text.withUTF8 {
            Bolt.writeError(text: $0.baseAddress!, count: $0.count, answering: request, otherwise: status, into: out)
        }
    }

    /// A status has no room for text.
    static func writeError(
        _ status: Int32, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int { Bolt.writeStatus(UInt16(truncatingIfNeeded: status), answering: request(id, form), into: out) }

    private static func request(_ id: UInt64, _ form: FrameForm) -> Bolt.FrameHead {
        Bolt.FrameHead(
            variant: variant(form.lane), type: .request, command: Bolt.Command.request,
            id: UInt32(truncatingIfNeeded: id), codec: form.content)
    }

    static func writeHeartbeat(lane: UInt8, id: UInt64, into out: UnsafeMutablePointer<UInt8>) -> Int {
        Bolt.writeHeartbeatRequest(id: UInt32(truncatingIfNeeded: id), variant(lane), into: out)
    }

    static func answerHeartbeat(_ frame: UnsafeMutablePointer<UInt8>, _ head: Bolt.FrameHead) -> Int {
        Bolt.writeHeartbeatAnswer(request: head, into: frame)
    }

    /// Only proxies know that frame: Java peers close the connection on it.
    static func saysGoodbye(_ listener: ListenerConfiguration) -> Bool { listener.boltGoaway }

    static func writeGoodbye(lane: UInt8, into out: UnsafeMutablePointer<UInt8>) -> Int {
        variant(lane) == .version1 ? Bolt.writeGoaway(id: 0, into: out) : 0
    }
}
