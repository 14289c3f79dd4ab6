import Codecs
import Glibc
import Runtime

@testable import Discovery

/// A value in Hessian2, as a test writes it.
indirect enum HessianText {
    case text(String)
    case number(Int32)
    case map([(String, HessianText)])
    case raw([UInt8])

    var bytes: [UInt8] {
        switch self {
        case .text(let text):
            // Each UTF-16 unit by itself, as Java does.
            let units = Array(text.utf16)
            var bytes: [UInt8] = [0x53, UInt8(units.count >> 8), UInt8(units.count & 0xff)]
            for unit in units {
                switch unit {
                case 0..<0x80: bytes.append(UInt8(unit))
                case 0x80..<0x800: bytes += [0xc0 | UInt8(unit >> 6), 0x80 | UInt8(unit & 0x3f)]
                default: bytes += [0xe0 | UInt8(unit >> 12), 0x80 | UInt8(unit >> 6 & 0x3f), 0x80 | UInt8(unit & 0x3f)]
                }
            }
            return bytes
        case .number(let number):
            return [0x49] + withUnsafeBytes(of: number.bigEndian) { Array($0) }
        case .map(let entries):
            return [0x48] + entries.flatMap { HessianText.text($0.0).bytes + $0.1.bytes } + [0x5a]
        case .raw(let bytes): return bytes
        }
    }

    /// The definition of a class, which becomes number 0 where it is the first.
    static func definition(_ name: String, _ fields: [String]) -> [UInt8] {
        [0x43] + HessianText.text(name).bytes + [0x90 + UInt8(fields.count)]
            + fields.flatMap { HessianText.text($0).bytes }
    }
}

/// Providers that tell what their application offers, on the test's own loop, and go wrong where they are told to.
final class FakeDubbo {
    /// What is done with a request.
    enum Answer {
        /// These bytes, in pieces of this size with a turn of the loop between them; 0 is all at once.
        case bytes([UInt8], piece: Int)
        case silence
        /// The connection is closed after these bytes.
        case close([UInt8])
    }

    /// An open connection.
    private final class Client {
        let descriptor: Int32
        var input: [UInt8] = []
        init(_ descriptor: Int32) { self.descriptor = descriptor }
    }

    let port: UInt16
    /// What requests are answered with; by default what `offers` says.
    var answer: (_ application: String, _ revision: String) -> Answer = { _, _ in .silence }
    /// Versions of the interface `a.Echo` by revision.
    var offers: [String: String] = [:]
    /// Sent to everybody who connects.
    var greeting: [UInt8] = []
    /// Revisions that were asked for, oldest first.
    private(set) var asked: [String] = []
    private(set) var accepted = 0
    /// Connections that the other side has not closed.
    private(set) var open = 0
    private(set) var mostOpen = 0

    private let loop: EventLoop
    private let listener: Listener
    private var clients: [Int32: Client] = [:]

    init(loop: EventLoop, port: UInt16 = 0) throws {
        self.loop = loop
        listener = try Listener(loop: loop, port: port)
        self.port = listener.port
        answer = { [unowned self] application, revision in
            guard let version = offers[revision] else { return .bytes(Self.response([0x95]), piece: 0) }
            return .bytes(Self.metadata(application, revision, version: version, port: self.port), piece: 0)
        }
        listener.onConnection = { [unowned self] in accept($0) }
    }

    deinit { stop() }

    func stop() {
        for client in Array(clients.values) { drop(client) }
        listener.close()
    }

    /// The metadata with which an instance registers that listens here.
    func instance(_ revision: String, storage: String = "local", metadataVersion: String = "1.0.0") -> [String: String]
    {
        [
            "dubbo.endpoints": #"[{"port":\#(port),"protocol":"dubbo"}]"#,
            "dubbo.metadata-service.url-params":
                #"{"prefer.serialization":"hessian2","version":"\#(metadataVersion)","port":"\#(port)","protocol":"dubbo"}"#,
            "dubbo.metadata.revision": revision, "dubbo.metadata.storage-type": storage, "meta-v": metadataVersion,
        ]
    }

    // MARK: Frames

    static func frame(_ body: [UInt8], flags: UInt8, status: UInt8 = 0, id: Int64 = 1) -> [UInt8] {
        var head = [UInt8](repeating: 0, count: Dubbo.headSize)
        head.withUnsafeMutableBufferPointer {
            Dubbo.writeHead(
                Dubbo.FrameHead(flags: flags, status: status, id: id, bodyLength: body.count), $0.baseAddress!)
        }
        return head + body
    }

    static func response(_ body: [UInt8], status: UInt8 = 20, id: Int64 = 1) -> [UInt8] {
        frame(body, flags: 2, status: status, id: id)
    }

    /// A `MetadataInfo` that offers `a.Echo` in one version with the tag `gray` and weight 50.
    static func metadata(_ application: String, _ revision: String, version: String, port: UInt16) -> [UInt8] {
        let service = service("dubbo", version: version, port: Int32(port), ["dubbo.tag": "gray", "weight": "50"])
        let info =
            HessianText.definition("org.apache.dubbo.metadata.MetadataInfo", ["services", "revision", "app"]) + [0x60]
            + HessianText.map([("a.Echo:\(version):dubbo", service)]).bytes + HessianText.text(revision).bytes
            + HessianText.text(application).bytes
        return response([0x94] + info + HessianText.map([("dubbo", .text("2.0.2"))]).bytes)
    }

    static func service(
        _ scheme: String, version: String, group: String = "", port: Int32, _ parameters: [String: String] = [:]
    ) -> HessianText {
        var members: [(String, HessianText)] = [
            (
                "params",
                .map(parameters.sorted { $0.key < $1.key }.map { ($0.key, .text($0.value)) } + [("n", .raw([0x91]))])
            ),
            ("protocol", .text(scheme)), ("version", .text(version)), ("port", .number(port)),
        ]
        members.append(("group", group.isEmpty ? .raw([0x4e]) : .text(group)))
        return .map(members)
    }

    // MARK: Connections

    private func accept(_ descriptor: Int32) {
        accepted += 1
        let client = Client(descriptor)
        clients[descriptor] = client
        open += 1
        mostOpen = max(mostOpen, open)
        loop.watch(descriptor, .readable) { [weak self] _ in self?.receive(client) }
        write(client, greeting)
    }

    private func receive(_ client: Client) {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        let count = recv(client.descriptor, &buffer, buffer.count, 0)
        if count < 0 && errno == EAGAIN { return }
        guard count > 0 else { return drop(client) }
        client.input += buffer[..<count]
        var (used, skip) = (0, 0)
        let step = client.input.withUnsafeBufferPointer {
            Dubbo.nextFrame($0.baseAddress!, count: $0.count, used: &used, skip: &skip, limit: 1 << 20)
        }
        guard case .frame(let head) = step else { return }
        let body = Array(client.input[Dubbo.headSize..<head.frameLength])
        client.input.removeFirst(head.frameLength)
        let (application, revision) = Self.question(body)
        asked.append(revision)
        switch answer(application, revision) {
        case .bytes(let bytes, let piece): piece == 0 ? write(client, bytes) : trickle(client, bytes[...], piece)
        case .silence: break
        case .close(let bytes):
            write(client, bytes)
            drop(client)
        }
    }

    /// Who is asked about what: the texts of the body in their order.
    private static func question(_ body: [UInt8]) -> (String, String) {
        var texts: [String] = []
        var at = 0
        while at < body.count, texts.count < 14 {
            if body[at] == 0x48 { at += 1 }
            var reader = Hessian2.Reader(body, at: at)
            guard let found = try? reader.advance(), let text = found.text(found.root) else { break }
            texts.append(text)
            at = reader.end
        }
        return texts.count == 14 ? (texts[13], texts[5]) : ("", "")
    }

    private func trickle(_ client: Client, _ bytes: ArraySlice<UInt8>, _ piece: Int) {
        guard !bytes.isEmpty, clients[client.descriptor] === client else { return }
        write(client, Array(bytes.prefix(piece)))
        loop.schedule(after: .zero) { [weak self] in self?.trickle(client, bytes.dropFirst(piece), piece) }
    }

    private func write(_ client: Client, _ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                send(client.descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { break }
            sent += count
        }
        // The kernel's buffer is full: the rest goes later.
        guard sent > 0 || bytes.isEmpty || errno == EAGAIN, sent < bytes.count else { return }
        loop.schedule(after: .milliseconds(1)) { [weak self] in
            guard let self, clients[client.descriptor] === client else { return }
            write(client, Array(bytes[sent...]))
        }
    }

    private func drop(_ client: Client) {
        guard clients.removeValue(forKey: client.descriptor) != nil else { return }
        open -= 1
        loop.unwatch(client.descriptor)
        Socket.close(client.descriptor)
    }
}
