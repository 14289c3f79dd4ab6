import FoundationEssentials

@testable import Codecs

/// A body that was parsed, with what is needed to look at the result.
final class ParsedBody {
    let body: [UInt8]
    private(set) var result = Dubbo.InvocationResult.opaque
    private(set) var invocation = Dubbo.Invocation()
    private var scratch = Dubbo.Scratch()

    init(_ body: [UInt8], _ serialization: Dubbo.Serialization) {
        self.body = body
        withBytes(body) {
            result = Dubbo.parseInvocation($0, count: body.count, serialization, &scratch, into: &invocation)
        }
    }

    /// Reads the body of a whole frame.
    convenience init(frame: [UInt8]) {
        self.init(Array(frame.dropFirst(Dubbo.headSize)), Dubbo.Serialization(id: frame[2]))
    }

    func text(_ range: ByteRange) -> String {
        String(decoding: body[Int(range.start)..<range.end], as: UTF8.self)
    }

    func attachment(_ name: String) -> String? {
        let name = Array(name.utf8)
        return withBytes(name) { key in
            withBytes(body) { Dubbo.attachment(named: key, count: name.count, in: $0, scratch) }
        }.map(text)
    }

    /// - Parameter frame: what was read.
    func rewrite(
        _ frame: UnsafePointer<UInt8>, count: Int, _ changes: Dubbo.Changes, into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        Dubbo.rewrite(frame: frame, count: count, invocation, scratch, changes, into: out)
    }
}

/// Gives access to a copy of exactly this size, so that the sanitizer sees a read beyond it.
func withBytes<Result>(_ bytes: [UInt8], _ body: (UnsafePointer<UInt8>) -> Result) -> Result {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { memory.deallocate() }
    bytes.withUnsafeBufferPointer { memory.initialize(from: $0.baseAddress ?? UnsafePointer(memory), count: $0.count) }
    return body(UnsafePointer(memory))
}

/// What `write` put into memory of `bound` bytes.
func written(_ bound: Int, _ write: (UnsafeMutablePointer<UInt8>) -> Int) -> [UInt8] {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bound)
    defer { memory.deallocate() }
    return Array(UnsafeBufferPointer(start: memory, count: write(memory)))
}

func frameHead(_ bytes: [UInt8]) -> Dubbo.FrameHeadResult {
    withBytes(bytes) { Dubbo.parseFrameHead($0, count: bytes.count) }
}

func rewrite(_ frame: [UInt8], to version: String) -> [UInt8] { rewrite(frame, version: version) }

func rewrite(
    _ frame: [UInt8], service: String? = nil, path: String? = nil, version: String? = nil, group: String? = nil
) -> [UInt8] {
    let parsed = ParsedBody(frame: frame)
    let texts = [service, path, version, group].map { $0.map { Array($0.utf8) } }
    let memory = texts.map { text in
        UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(1, text?.count ?? 0))
    }
    defer { for memory in memory { memory.deallocate() } }
    func text(_ index: Int) -> Dubbo.Text? {
        guard let bytes = texts[index] else { return nil }
        _ = memory[index].update(fromContentsOf: bytes)
        return Dubbo.Text(memory[index].baseAddress!, count: bytes.count)
    }
    var changes = Dubbo.Changes()
    (changes.service, changes.path, changes.version, changes.group) = (text(0), text(1), text(2), text(3))
    return written(Dubbo.rewrittenBound(frameCount: frame.count, changes)) { out in
        withBytes(frame) { parsed.rewrite($0, count: frame.count, changes, into: out) }
    }
}

/// Whole frames built from pieces.
enum Build {
    static func frame(_ body: [UInt8], flags: UInt8 = 0xc2, status: UInt8 = 0, id: Int64 = 1) -> [UInt8] {
        let head = Dubbo.FrameHead(flags: flags, status: status, id: id, bodyLength: body.count)
        return written(Dubbo.headSize) {
            Dubbo.writeHead(head, $0)
            return Dubbo.headSize
        } + body
    }

    static func hessian(_ text: String) -> [UInt8] {
        let utf8 = Array(text.utf8)
        return written(Hessian2.textBound(utf8.count)) { out in
            withBytes(utf8) { Hessian2.writeText($0, utf8.count, out) }
        }
    }

    static func jsonb(_ text: String) -> [UInt8] {
        let utf8 = Array(text.utf8)
        return written(JSONB.textBound(utf8.count)) { out in
            withBytes(utf8) { JSONB.writeText($0, utf8.count, out) }
        }
    }

    static func element(_ content: [UInt8]) -> [UInt8] {
        withUnsafeBytes(of: UInt32(content.count).bigEndian) { Array($0) } + content
    }

    /// A Hessian2 call with these attachments, written as they are.
    static func call(
        version: String = "1.0.0", method: String = "say", types: String = "", arguments: [UInt8] = [],
        attachments: [UInt8]
    ) -> [UInt8] {
        ["2.0.2", "com.acme.Echo", version, method, types].flatMap(hessian) + arguments + attachments
    }

    static func entries(_ pairs: [(String, String)]) -> [UInt8] {
        pairs.flatMap { hessian($0.0) + hessian($0.1) }
    }
}

/// Bytes written in hexadecimal; blanks do not count, and text in quotes stands for itself.
func hex(_ text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var high: UInt8?
    var quoted = false
    for character in text.utf8 {
        if character == 0x22 {
            quoted.toggle()
        } else if quoted {
            bytes.append(character)
        } else if let digit = Character(UnicodeScalar(character)).hexDigitValue {
            if let first = high {
                bytes.append(first << 4 | UInt8(digit))
                high = nil
            } else {
                high = UInt8(digit)
            }
        }
    }
    return bytes
}

/// One line of the table that describes the recorded frames.
struct RecordedFrame: Decodable, Sendable, CustomStringConvertible {
    var file: String
    var kind: String
    var flags: UInt8
    var status: UInt8
    var id: Int64
    var bodyLength: Int
    var serialization: UInt8
    var `protocol`: String?
    var interface: String?
    var version: String?
    var method: String?
    var types: String?
    var twoWay: Bool?
    var attachments: [String: String]?
    var attachmentsOffset: Int?
    var type: Int?
    var text: String?
    var body: String?

    var description: String { file }

    var bytes: [UInt8] {
        get throws { try Array(Data(contentsOf: URL(filePath: Self.directory + file))) }
    }

    static let directory =
        String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.endIndex)) + "/Resources/dubbo/"

    /// All frames that were recorded between Dubbo 2.7.23 and 3.3.6 programs.
    static let all: [RecordedFrame] = {
        let table = try? Data(contentsOf: URL(filePath: directory + "dubbo-frames.json"))
        return table.flatMap { try? JSONDecoder().decode([RecordedFrame].self, from: $0) } ?? []
    }()
}
