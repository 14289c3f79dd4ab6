import FoundationEssentials

@testable import Codecs

/// The head of a frame, all of which is there; nil when it is none.
func boltHead(_ frame: [UInt8]) -> Bolt.FrameHead? {
    guard case .complete(let head) = boltHeadResult(frame) else { return nil }
    return head
}

func boltHeadResult(_ bytes: [UInt8]) -> Bolt.FrameHeadResult {
    withBytes(bytes) { Bolt.parseFrameHead($0, count: bytes.count) }
}

/// What one call of `nextFrame` makes of bytes at the beginning of a stream.
func boltStep(_ bytes: [UInt8], limit: Int = 1 << 20) -> Bolt.FrameStep {
    var (used, skip) = (0, 0)
    return withBytes(bytes) { Bolt.nextFrame($0, count: bytes.count, used: &used, skip: &skip, limit: limit) }
}

extension Bolt.FrameStep {
    var isIncomplete: Bool { if case .incomplete = self { true } else { false } }
    var frame: Bolt.FrameHead? { if case .frame(let head) = self { head } else { nil } }
    var error: Bolt.FrameError? { if case .invalid(let error) = self { error } else { nil } }
}

/// A request whose header was read, with what is needed to look at the result.
final class ReadRequest {
    let frame: [UInt8]
    let head: Bolt.FrameHead
    private(set) var result = Bolt.InvocationResult.unreadable
    private(set) var invocation = Bolt.Invocation()
    private var scratch = Bolt.Scratch()

    init?(_ frame: [UInt8]) {
        guard let head = boltHead(frame) else { return nil }
        self.frame = frame
        self.head = head
        withBytes(frame) { result = Bolt.parseInvocation($0, head, &scratch, into: &invocation) }
    }

    var pairCount: Int { scratch.pairCount }

    func text(_ range: ByteRange) -> String {
        String(decoding: frame[Int(range.start)..<range.end], as: UTF8.self)
    }

    func header(_ name: String) -> String? {
        let name = Array(name.utf8)
        return withBytes(name) { key in
            withBytes(frame) { Bolt.header(named: key, count: name.count, in: $0, scratch) }
        }.map(text)
    }

    func property(_ name: String) -> String? {
        let name = Array(name.utf8)
        return withBytes(name) { key in
            withBytes(frame) { Bolt.property(named: key, count: name.count, in: $0, invocation, scratch) }
        }.map(text)
    }
}

/// Frames built from pieces.
enum BoltBuild {
    static func frame(
        _ variant: Bolt.Variant = .version1, type: Bolt.FrameType = .request, command: UInt16 = 1, id: UInt32 = 1,
        codec: UInt8 = 1, switches: UInt8 = 0, timeout: Int32 = 3000, status: UInt16 = 0, className: String = "C",
        header: [UInt8] = [], content: [UInt8] = []
    ) -> [UInt8] {
        var head = Bolt.FrameHead(variant: variant, type: type, command: command, id: id, codec: codec)
        head.switches = switches
        if type == .response { head.status = status } else { head.timeout = timeout }
        head.classLength = className.utf8.count
        head.headerLength = header.count
        head.contentLength = content.count
        let frame =
            written(Bolt.largestHeadSize) { Bolt.writeHead(head, $0) } + Array(className.utf8) + header + content
        return head.hasChecksum ? frame + bigEndian(crc(frame)) : frame
    }

    static func map(_ pairs: [(String, String)]) -> [UInt8] {
        pairs.flatMap { text($0.0) + text($0.1) }
    }

    static func text(_ text: String) -> [UInt8] { bigEndian(UInt32(text.utf8.count)) + Array(text.utf8) }

    static func bigEndian(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// CRC-32 bit by bit.
    static func crc(_ bytes: [UInt8]) -> UInt32 {
        var sum = ~UInt32(0)
        for byte in bytes {
            sum ^= UInt32(byte)
            for _ in 0..<8 { sum = sum & 1 == 0 ? sum >> 1 : sum >> 1 ^ 0xedb8_8320 }
        }
        return ~sum
    }
}

/// Gives a frame's headers new values.
func rewriteHeader(_ frame: [UInt8], _ changes: [(name: String, value: String, isAdded: Bool)]) -> [UInt8] {
    guard let head = boltHead(frame) else { return [] }
    // All texts in one piece of memory, which the changes point into.
    let texts = changes.flatMap { Array($0.name.utf8) + Array($0.value.utf8) }
    return withBytes(texts) { base in
        var at = base
        let made = changes.map { change in
            let (name, value) = (at, at + change.name.utf8.count)
            at = value + change.value.utf8.count
            return Bolt.HeaderChange(
                name: name, nameCount: change.name.utf8.count, value: value, valueCount: change.value.utf8.count,
                isAdded: change.isAdded)
        }
        return made.withUnsafeBufferPointer { made in
            guard let first = made.baseAddress else { return [] }
            let bound = Bolt.rewrittenBound(frameCount: frame.count, changes: first, changeCount: made.count)
            return written(bound) { out in
                withBytes(frame) {
                    Bolt.rewriteHeader(frame: $0, head, changes: first, changeCount: made.count, into: out)
                }
            }
        }
    }
}

/// One line of the table that describes the recorded frames.
struct RecordedBoltFrame: Decodable, Sendable, CustomStringConvertible {
    var file: String
    var size: Int
    var `protocol`: UInt8
    var innerVersion: UInt8?
    var switches: UInt8?
    var type: UInt8
    var command: UInt16
    var id: UInt32
    var codec: UInt8
    var timeout: Int32?
    var status: UInt16?
    var className: String?
    var headerLength: Int
    var pairs: Int
    var contentLength: Int
    var checksum: String?
    var headers: [String: String]?

    var description: String { file }

    var bytes: [UInt8] {
        get throws { try Array(Data(contentsOf: URL(filePath: Self.directory + file))) }
    }

    static let directory =
        String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.endIndex)) + "/Resources/bolt/"

    /// Frames that were recorded between SOFA RPC, plain Bolt and SOFARegistry programs, and some that these took.
    static let all: [RecordedBoltFrame] = {
        let table = try? Data(contentsOf: URL(filePath: directory + "bolt-frames.json"))
        return table.flatMap { try? JSONDecoder().decode([RecordedBoltFrame].self, from: $0) } ?? []
    }()

    static func bytes(_ name: String) throws -> [UInt8] {
        try Array(Data(contentsOf: URL(filePath: directory + "bolt-\(name).bin")))
    }
}

/// Whether a response says that its server does not have a service of the interface.
func boltRefuses(_ frame: UnsafePointer<UInt8>, _ head: Bolt.FrameHead, of interface: String = "x") -> Bool {
    withBytes(Array(interface.utf8)) {
        Bolt.refusesService(frame, head, of: $0, count: interface.utf8.count)
    }
}
