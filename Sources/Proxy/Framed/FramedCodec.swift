import Balancing
import Codecs
import Configuration
import Model
import Runtime

/// A protocol of whole frames in which many requests share a connection, as the engine sees it: what a frame is and says, and how
/// frames of our own are written. Adding a protocol means adding one of these.
///
/// Functions over bytes are static. An instance is one worker's memory: what was read of the last request, which holds until
/// the next one is read.
protocol FramedCodec: ~Copyable {
    associatedtype Head: FrameHeading
    associatedtype Failure

    init()

    static var kind: ServiceKey.Kind { get }
    /// What its records are called in events and timers.
    static var records: FramedRecords { get }
    /// The text that stands for no interface version.
    static var noVersion: StaticString { get }
    /// Whether a host that is listed without interface version certainly has none. Otherwise it may have any: it gets requests for those
    /// that no host is listed with, as they are.
    static var knowsNoVersion: Bool { get }
    /// Whether a request may ask for several groups, and for any interface version.
    static var takesSeveral: Bool { get }
    /// What the third part of a service's name is called.
    static var groupName: String { get }
    /// Bits of an upstream id that number the record; the others count how often it was used.
    static var slotBits: UInt64 { get }
    /// Bits of an id.
    static var idBits: UInt64 { get }

    // MARK: Frames

    static func nextFrame(
        _ bytes: UnsafePointer<UInt8>, count: Int, used: inout Int, skip: inout Int, limit: Int
    ) -> Frames.Step<Head, Failure>
    /// What is wrong with bytes that are no frame.
    static func text(of failure: Failure) -> StaticString
    /// The head of a frame that is there as a whole.
    static func head(_ frame: UnsafePointer<UInt8>, count: Int) -> Head?
    /// What is known of the first byte of frames of a lane, so that it can be marked and made good.
    static func firstByte(lane: UInt8) -> UInt8

    static func role(_ head: Head, _ frame: UnsafePointer<UInt8>) -> FrameRole
    static func id(_ head: Head) -> UInt64
    /// A request without it gets no answer, not even an error.
    static func isTwoWay(_ head: Head) -> Bool
    /// - Parameter frame: nil when the body is not there.
    static func form(_ head: Head, _ frame: UnsafePointer<UInt8>?) -> FrameForm

    // MARK: Requests

    /// Reads what routing needs. The body of the frame is there.
    mutating func read(_ frame: UnsafeMutablePointer<UInt8>, _ head: Head) -> RequestReading
    /// Bytes that `writePlain` may need.
    static func plainBound(_ head: Head) -> Int
    /// Writes a request whose texts are `unusual` anew with plain ones; returns its size, 0 when it is malformed.
    mutating func writePlain(_ frame: UnsafePointer<UInt8>, _ head: Head, into out: UnsafeMutablePointer<UInt8>) -> Int
    /// Whether names and properties of the request that was read last are known at all.
    var isReadable: Bool { get }
    /// Why the request that was read last is malformed.
    var malformation: String { get }
    /// How the content is written, for telling people.
    static func contentName(_ head: Head) -> String

    // What the request that was read last says.
    func interface(_ frame: UnsafePointer<UInt8>) -> ByteString
    func version(_ frame: UnsafePointer<UInt8>) -> ByteString
    /// The part of a service's name that is neither interface nor version: Dubbo's group, SOFA's unique id.
    func group(_ frame: UnsafePointer<UInt8>) -> ByteString
    func method(_ frame: UnsafePointer<UInt8>) -> ByteString
    /// A property of the request by its name in lower case.
    func property(_ name: ByteString, _ frame: UnsafePointer<UInt8>) -> ByteString?
    /// How long the caller waits; 0 and less when it does not say.
    var timeoutMilliseconds: Int32 { get }

    /// The path that the request that was read last names.
    func path(_ frame: UnsafePointer<UInt8>, _ labels: borrowing LabelTable) -> CallPath
    /// Bytes that `writeChanged` may need for the request that was read last.
    func changedBound(_ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Head) -> Int
    /// Writes the request that was read last anew with changes; returns its size, 0 when that cannot be done.
    mutating func writeChanged(
        _ changes: RequestChanges, _ frame: UnsafePointer<UInt8>, _ head: Head, into out: UnsafeMutablePointer<UInt8>
    ) -> Int

    /// Greymeshes that a request has come through.
    static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8
    /// Makes a request ready to be sent to a host: id, rounds, and the time that is left where that is less than it says.
    static func stampRequest(_ frame: UnsafeMutablePointer<UInt8>, count: Int, id: UInt64, milliseconds: Int32)
    /// Takes the round back that `stampRequest` has counted.
    static func unstampRequest(_ frame: UnsafeMutablePointer<UInt8>)

    // MARK: Responses

    /// Gives a response the id that the downstream has chosen.
    static func stampResponse(_ frame: UnsafeMutablePointer<UInt8>, _ head: Head, id: UInt64)
    /// - Parameter interface: what was called.
    static func execution(_ head: Head, _ frame: UnsafePointer<UInt8>, of interface: ByteString) -> Execution
    /// What counters and log call a response.
    static func code(_ head: Head, _ frame: UnsafePointer<UInt8>) -> Int32

    // MARK: Frames of our own

    /// What counters and log call an answer.
    static func code(_ answer: LocalAnswer) -> Int32
    /// What counters and log call a one-way request that was handed over.
    static var handedOver: Int32 { get }
    /// Writes an answer of our own, at most a worker's output; returns its size.
    static func write(
        _ answer: LocalAnswer, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int
    /// Writes an answer with a status that somebody has chosen, at most a worker's output; returns its size.
    static func writeError(
        _ status: Int32, _ text: String, id: UInt64, _ form: FrameForm, into out: UnsafeMutablePointer<UInt8>
    ) -> Int
    static func writeHeartbeat(lane: UInt8, id: UInt64, into out: UnsafeMutablePointer<UInt8>) -> Int
    /// Makes a heartbeat's answer of it, in its place; returns its size.
    static func answerHeartbeat(_ frame: UnsafeMutablePointer<UInt8>, _ head: Head) -> Int
    /// Whether downstreams of a listener are told when this process goes.
    static func saysGoodbye(_ listener: ListenerConfiguration) -> Bool
    /// Writes that; returns its size, 0 when a connection of that lane cannot be told.
    static func writeGoodbye(lane: UInt8, into out: UnsafeMutablePointer<UInt8>) -> Int
}

/// What a protocol's records are called in events and timers.
struct FramedRecords {
    let downstream: RecordKind
    let upstream: RecordKind
    let request: RecordKind
}

/// What a frame is for.
enum FrameRole {
    case request
    case response
    /// Must be answered.
    case heartbeat
    case heartbeatAnswer
    /// The host wants no new requests on this connection.
    case goodbye
    /// The host takes that back.
    case comeback
    /// A request of a kind that is not forwarded.
    case foreign
    case ignored
}

/// How a request's frame is written, as far as that matters for others.
struct FrameForm {
    /// Frames of different lanes must not share a connection to a host.
    var lane: UInt8 = 0
    /// How the content is written: answers of our own are written alike.
    var content: UInt8 = 0
    /// The codec's own mark.
    var mark = false
}

/// What was made of a request.
enum RequestReading {
    /// It names its service.
    case named
    /// It does not, or what it says is not understood: it can only mean the one service that there is.
    case opaque
    /// Texts of it must be made plain before it is understood.
    case unusual
    case malformed
}
