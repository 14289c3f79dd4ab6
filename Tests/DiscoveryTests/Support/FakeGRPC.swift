import CNgHTTP2
import Glibc
import Runtime

@testable import Discovery

/// A server of gRPC without TLS on the test's own loop: nghttp2's server session, which does what the test tells it, right or
/// wrong.
final class FakeGRPC {
    /// A connection.
    final class Client {
        /// A request and its answer.
        struct Stream {
            /// The fields of its head.
            fileprivate(set) var fields: [String: String] = [:]
            fileprivate var incoming = GRPCMessages(limit: 1 << 20)
            fileprivate var outgoing: [UInt8] = []
            fileprivate var sent = 0
            fileprivate var isLast = false
            fileprivate var trailers: [(String, String)] = []
            fileprivate var hasAnswered = false
        }

        fileprivate let descriptor: Int32
        fileprivate var session: OpaquePointer?
        fileprivate(set) var streams: [Int32: Stream] = [:]
        fileprivate weak var server: FakeGRPC?
        fileprivate var output: [UInt8] = []
        fileprivate var inbox: [(Int32, [UInt8])] = []
        fileprivate var isWaiting = false

        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }
    }

    static let head = [(":status", "200"), ("content-type", "application/grpc")]
    static let trailers = [("grpc-status", "0")]

    let port: UInt16
    /// Called with each whole message.
    var onMessage: (Client, Int32, [UInt8]) -> Void = { _, _, _ in }
    /// Sent to everybody who connects, in place of HTTP/2.
    var greeting: [UInt8]?
    /// Largest part that is sent in one go, with a turn of the loop between two; 0 is all at once.
    var piece = 0
    private(set) var clients: [Client] = []
    private(set) var accepted = 0

    private let loop: EventLoop
    private let listener: Listener

    init(loop: EventLoop) throws {
        self.loop = loop
        listener = try Listener(loop: loop)
        port = listener.port
        listener.onConnection = { [unowned self] in accept($0) }
    }

    deinit { stop() }

    /// Closes everything, as a killed process does.
    func stop() {
        for client in clients { drop(client) }
        listener.close()
    }

    func restart() throws { try listener.listen() }

    // MARK: Answers

    /// Sends a message on a stream, or only its end.
    func write(_ client: Client, _ stream: Int32, _ message: [UInt8]?, isLast: Bool) {
        send(client, stream, message.map { GRPCMessages.frame($0) } ?? [], isLast: isLast)
    }

    /// Sends bytes on a stream, after its head where that is not sent yet.
    ///
    /// - Parameter trailers: sent after the last bytes; where there are none the bytes end the stream.
    func send(
        _ client: Client, _ stream: Int32, _ bytes: [UInt8], isLast: Bool, head: [(String, String)] = head,
        trailers: [(String, String)] = trailers
    ) {
        guard client.session != nil, var state = client.streams[stream] else { return }
        state.outgoing += bytes
        state.isLast = isLast
        state.trailers = trailers
        let isFirst = !state.hasAnswered
        state.hasAnswered = true
        client.streams[stream] = state
        guard isFirst else {
            nghttp2_session_resume_data(client.session, stream)
            return
        }
        var provider = nghttp2_data_provider()
        provider.read_callback = { session, stream, buffer, length, flags, _, context in
            FakeGRPC.client(context).supply(stream, buffer, length, flags)
        }
        GRPCConnection.withFields(head) { nghttp2_submit_response(client.session, stream, $0, $1, &provider) }
    }

    /// Answers with a head alone.
    func respond(_ client: Client, _ stream: Int32, _ fields: [(String, String)]) {
        GRPCConnection.withFields(fields) { nghttp2_submit_response(client.session, stream, $0, $1, nil) }
    }

    /// Ends a stream and leaves the connection open.
    func end(_ client: Client, _ stream: Int32) {
        client.streams[stream]?.isLast = true
        client.streams[stream]?.trailers = Self.trailers
        nghttp2_session_resume_data(client.session, stream)
        flush(client)
    }

    func reset(_ client: Client, _ stream: Int32, _ code: UInt32) {
        nghttp2_submit_rst_stream(client.session, 0, stream, code)
    }

    /// Announces that the connection will end.
    ///
    /// - Parameter last: the last stream that is answered.
    func goAway(_ client: Client, last: Int32 = .max, code: UInt32 = 0, words: String = "") {
        nghttp2_submit_goaway(client.session, 0, last, code, words, words.utf8.count)
        flush(client)
    }

    /// Sends bytes past HTTP/2.
    func sendRaw(_ client: Client, _ bytes: [UInt8]) {
        client.output += bytes
        flush(client)
    }

    /// Closes a connection.
    func drop(_ client: Client) {
        guard let index = clients.firstIndex(where: { $0 === client }) else { return }
        clients.remove(at: index)
        loop.unwatch(client.descriptor)
        close(client.descriptor)
        nghttp2_session_del(client.session)
        client.session = nil
    }

    // MARK: Connections

    private func accept(_ descriptor: Int32) {
        accepted += 1
        let client = Client(descriptor)
        client.server = self
        Self.open(client)
        clients.append(client)
        if let greeting { client.output = greeting }
        flush(client)
    }

    private func watch(_ client: Client) {
        let isWriting = !client.output.isEmpty && !client.isWaiting
        loop.watch(client.descriptor, isWriting ? [.readable, .writable] : .readable) { [unowned self] _ in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = recv(client.descriptor, &buffer, buffer.count, 0)
            if count == 0 || count < 0 && errno != EAGAIN { return drop(client) }
            if count > 0, nghttp2_session_mem_recv(client.session, buffer, count) < 0 { return drop(client) }
            for (stream, message) in client.takeMessages() { onMessage(client, stream, message) }
            flush(client)
        }
    }

    func flush(_ client: Client) {
        while client.session != nil, !client.isWaiting {
            var bytes: UnsafePointer<UInt8>?
            let isFull = client.output.count > 1 << 20 || greeting != nil
            let count = isFull ? 0 : nghttp2_session_mem_send(client.session, &bytes)
            if count > 0 { client.output += UnsafeBufferPointer(start: bytes, count: count) }
            if client.output.isEmpty { break }
            if count > 0 && piece == 0 { continue }
            let size = piece > 0 ? min(piece, client.output.count) : client.output.count
            let sent = Glibc.send(client.descriptor, client.output, size, Int32(MSG_NOSIGNAL))
            if sent < 0 && errno == EAGAIN { break }
            guard sent > 0 else { return drop(client) }
            client.output.removeFirst(sent)
            if piece > 0 { pause(client) }
        }
        if client.session != nil { watch(client) }
    }

    private func pause(_ client: Client) {
        client.isWaiting = true
        loop.schedule(after: .zero) { [weak self, weak client] in
            guard let self, let client else { return }
            client.isWaiting = false
            flush(client)
        }
    }

    private static func open(_ client: Client) {
        var callbacks: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        defer { nghttp2_session_callbacks_del(callbacks) }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, length, context in
            FakeGRPC.client(context).take(stream, UnsafeBufferPointer(start: data, count: length))
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, length, _, context in
            guard let frame else { return 0 }
            let name = String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
            let value = String(decoding: UnsafeBufferPointer(start: value, count: length), as: UTF8.self)
            FakeGRPC.client(context).streams[frame.pointee.hd.stream_id, default: .init()].fields[name] = value
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, context in
            FakeGRPC.client(context).streams[stream] = nil
            return 0
        }
        nghttp2_session_server_new(&client.session, callbacks, Unmanaged.passUnretained(client).toOpaque())
        nghttp2_submit_settings(client.session, 0, nil, 0)
    }

    private static func client(_ context: UnsafeMutableRawPointer?) -> Client {
        Unmanaged<Client>.fromOpaque(context!).takeUnretainedValue()
    }
}

extension FakeGRPC.Client {
    fileprivate func take(_ stream: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
        guard var state = streams[stream], let messages = try? state.incoming.append(bytes) else { return }
        streams[stream] = state
        inbox += messages.map { (stream, $0) }
    }

    fileprivate func takeMessages() -> [(Int32, [UInt8])] {
        defer { inbox = [] }
        return inbox
    }

    fileprivate func supply(
        _ stream: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>?
    ) -> Int {
        guard let state = streams[stream] else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        let count = min(length, state.outgoing.count - state.sent)
        if count == 0 && !state.isLast { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        state.outgoing.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { buffer?.update(from: base + state.sent, count: count) }
        }
        streams[stream]?.sent += count
        if state.sent + count == state.outgoing.count && state.isLast {
            flags?.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if !state.trailers.isEmpty {
                flags?.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
                GRPCConnection.withFields(state.trailers) { nghttp2_submit_trailer(session, stream, $0, $1) }
            }
        }
        return count
    }
}
