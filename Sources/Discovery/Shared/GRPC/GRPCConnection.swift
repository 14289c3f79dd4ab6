import CNgHTTP2
import Glibc
import Runtime

/// One cleartext HTTP/2 connection that carries gRPC messages: nghttp2's client session over a socket of the loop.
///
/// Calls and streams share it. It connects once: after `.closed` it is of no use. Events are told one by one, never from
/// within a call of the user.
final class GRPCConnection {
    /// What has happened.
    enum Event {
        /// The socket is connected.
        case connected
        /// A whole message has come on a stream.
        case message(Int32, [UInt8])
        /// A stream has ended.
        case ended(Int32, GRPCEnd)
        /// The server will end the connection soon.
        case goingAway(String)
        /// The connection is gone. The last event.
        case closed(GRPCEnd)
    }

    /// What a stream may send before it has to wait for us.
    private static let window: Int32 = 8 << 20
    /// Bytes read in one go, so that others on the loop get their turn.
    private static let mostPerTurn = 1 << 18
    /// What waits for the socket before nghttp2 is asked for more.
    private static let mostPending = 1 << 18

    private let loop: EventLoop
    private let authority: String
    private let largestMessage: Int
    private let onEvent: (Event) -> Void
    private var descriptor: Int32
    private var session: OpaquePointer?
    private var streams: [Int32: GRPCStream] = [:]
    private var events: [Event] = []
    private var isConnected = false
    private var isFlushDue = false
    private var isTelling = false
    /// The user has closed it: nothing more is told.
    private var isSilent = false
    private var pending: [UInt8] = []
    private var pendingSent = 0
    private var isBlocked = false
    /// What the server has sent first, for the case that it is no HTTP/2.
    private var greeting: [UInt8] = []
    private var isForeign = false
    private var hasGoneAway = false

    /// Starts to connect.
    ///
    /// - Parameters:
    ///   - authority: `host:port`, for the requests.
    ///   - largestMessage: what is taken at most, in bytes.
    /// - Throws: `SystemError` when there is no socket or no memory.
    init(
        to address: SocketAddress, authority: String, largestMessage: Int, loop: EventLoop,
        onEvent: @escaping (Event) -> Void
    ) throws {
        self.loop = loop
        self.authority = authority
        self.largestMessage = largestMessage
        self.onEvent = onEvent
        descriptor = try Socket.connect(to: address)
        do {
            try openSession()
        } catch {
            Socket.close(descriptor)
            throw error
        }
        watch()
    }

    deinit { release() }

    /// Opens a stream and sends its first message.
    ///
    /// - Parameters:
    ///   - fields: further ones of the head, with lower-case names.
    ///   - isLast: nothing else will be sent: a call. Otherwise `send` sends more.
    /// - Returns: the stream; nil when the connection takes no more.
    func open(_ path: String, _ message: [UInt8], fields: [(String, String)] = [], isLast: Bool) -> Int32? {
        guard let session else { return nil }
        let headers = [
            (":method", "POST"), (":scheme", "http"), (":authority", authority), (":path", path),
            ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "greymesh"),
        ]
        var provider = nghttp2_data_provider()
        provider.read_callback = { _, stream, buffer, length, flags, _, context in
            GRPCConnection.from(context).supply(stream, buffer, length, flags)
        }
        let stream = Self.withFields(headers + fields) { nghttp2_submit_request(session, nil, $0, $1, &provider, nil) }
        guard stream > 0 else { return nil }
        streams[stream] = GRPCStream(message, isLast: isLast, limit: largestMessage)
        scheduleFlush()
        return stream
    }

    /// Sends a further message on a stream.
    func send(_ message: [UInt8], on stream: Int32) {
        guard let session, var state = streams[stream], !state.isWritten else { return }
        state.outgoing += GRPCMessages.frame(message)
        if state.isDeferred {
            state.isDeferred = false
            nghttp2_session_resume_data(session, stream)
        }
        streams[stream] = state
        scheduleFlush()
    }

    /// What waits to be sent on a stream, in bytes.
    func backlog(of stream: Int32) -> Int { streams[stream].map { $0.outgoing.count - $0.sent } ?? 0 }

    /// Ends a stream; nothing is told of it any more.
    func cancel(_ stream: Int32) {
        guard let session, streams.removeValue(forKey: stream) != nil else { return }
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, NGHTTP2_CANCEL.rawValue)
        scheduleFlush()
    }

    /// Closes the connection without an event.
    func close() {
        isSilent = true
        events.removeAll()
        release()
    }

    // MARK: The session

    private func openSession() throws {
        var callbacks: OpaquePointer?
        guard nghttp2_session_callbacks_new(&callbacks) == 0 else { throw SystemError("set up nghttp2", code: ENOMEM) }
        defer { nghttp2_session_callbacks_del(callbacks) }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, length, context in
            GRPCConnection.from(context).take(stream, UnsafeBufferPointer(start: data, count: length))
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, valueLength, _, context in
            guard let frame, let name, let value else { return 0 }
            GRPCConnection.from(context).streams[frame.pointee.hd.stream_id]?.take(
                UnsafeBufferPointer(start: name, count: nameLength),
                UnsafeBufferPointer(start: value, count: valueLength))
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, context in
            GRPCConnection.from(context).ended(stream, code)
            return 0
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, context in
            guard let frame else { return 0 }
            let header = frame.pointee.hd
            if header.type == NGHTTP2_GOAWAY.rawValue {
                GRPCConnection.from(context).takeGoAway(frame.pointee.goaway)
            } else if header.type == NGHTTP2_DATA.rawValue || header.type == NGHTTP2_HEADERS.rawValue,
                UInt32(header.flags) & NGHTTP2_FLAG_END_STREAM.rawValue != 0
            {
                GRPCConnection.from(context).takeEnd(header.stream_id)
            }
            return 0
        }
        nghttp2_session_callbacks_set_error_callback2(callbacks) { _, code, _, _, context in
            if code == NGHTTP2_ERR_SETTINGS_EXPECTED.rawValue { GRPCConnection.from(context).isForeign = true }
            return 0
        }
        let context = Unmanaged.passUnretained(self).toOpaque()
        guard nghttp2_session_client_new(&session, callbacks, context) == 0 else {
            throw SystemError("set up nghttp2", code: ENOMEM)
        }
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(Self.window)),
        ]
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        nghttp2_submit_settings(session, flags, &settings, settings.count)
        nghttp2_session_set_local_window_size(session, flags, 0, 2 * Self.window)
    }

    private static func from(_ context: UnsafeMutableRawPointer?) -> GRPCConnection {
        Unmanaged<GRPCConnection>.fromOpaque(context!).takeUnretainedValue()
    }

    /// Calls `body` with header fields as nghttp2 wants them; it copies them.
    /// Calls `body` with the fields of a head, or of trailers, as nghttp2 wants them.
    @discardableResult
    static func withFields(
        _ fields: [(String, String)], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
    ) -> Int32 {
        var text = fields.flatMap { Array($0.0.utf8) + Array($0.1.utf8) }
        return text.withUnsafeMutableBufferPointer { text in
            var position = 0
            let entries = fields.map { name, value in
                let start = text.baseAddress.map { $0 + position }
                let (nameLength, valueLength) = (name.utf8.count, value.utf8.count)
                position += nameLength + valueLength
                return nghttp2_nv(
                    name: start, value: start.map { $0 + nameLength }, namelen: nameLength, valuelen: valueLength,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            return entries.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
        }
    }

    private func supply(
        _ stream: Int32, _ buffer: UnsafeMutablePointer<UInt8>?, _ length: Int, _ flags: UnsafeMutablePointer<UInt32>?
    ) -> Int {
        guard var state = streams[stream], let buffer else {
            return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
        }
        defer { streams[stream] = state }
        let count = min(length, state.outgoing.count - state.sent)
        if count == 0 && !state.isWritten {
            state.isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        state.outgoing.withUnsafeBufferPointer { bytes in
            if let base = bytes.baseAddress { buffer.update(from: base + state.sent, count: count) }
        }
        state.sent += count
        if state.sent == state.outgoing.count {
            (state.outgoing, state.sent) = ([], 0)
            if state.isWritten { flags?.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        }
        return count
    }

    private func take(_ stream: Int32, _ bytes: UnsafeBufferPointer<UInt8>) {
        // In place: a copy of what has come of a large message would be made with every frame.
        guard let index = streams.index(forKey: stream), streams.values[index].problem == nil else { return }
        for message in streams.values[index].take(bytes) { events.append(.message(stream, message)) }
        if streams.values[index].problem != nil, let session {
            nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, NGHTTP2_CANCEL.rawValue)
        }
    }

    private func takeGoAway(_ frame: nghttp2_goaway) {
        hasGoneAway = true
        let words = UnsafeBufferPointer(start: frame.opaque_data, count: min(frame.opaque_data_len, 100))
        let code = String(cString: nghttp2_http2_strerror(frame.error_code))
        events.append(.goingAway("the server goes away: \(code) \(String(decoding: words, as: UTF8.self))"))
    }

    /// The server sends nothing more on a stream. If we would have, it is of no use any more all the same.
    private func takeEnd(_ stream: Int32) {
        guard let session, streams[stream]?.isWritten == false else { return }
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, NGHTTP2_CANCEL.rawValue)
        ended(stream, NGHTTP2_NO_ERROR.rawValue)
    }

    private func ended(_ stream: Int32, _ code: UInt32) {
        guard let state = streams.removeValue(forKey: stream) else { return }
        events.append(.ended(stream, state.end(code)))
    }

    // MARK: The socket

    private func watch() {
        let interest: Readiness = isConnected && !isBlocked ? .readable : [.readable, .writable]
        let isWatched = loop.watch(descriptor, interest) { [weak self] in self?.socketReady($0) }
        if !isWatched { fail(.unreachable, "the socket cannot be watched") }
    }

    private func socketReady(_ readiness: Readiness) {
        if !isConnected {
            let code = Socket.connectError(descriptor)
            guard code == 0 else { return fail(.unreachable, "cannot connect: \(SystemError.text(of: code))") }
            guard readiness.contains(.writable) else { return }
            isConnected = true
            events.append(.connected)
            watch()
        } else if readiness.contains(.writable) {
            isBlocked = false
            watch()
        }
        if !readiness.isDisjoint(with: [.readable, .hangUp, .error, .peerClosed]) { receive() }
        flush()
        tell()
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var total = 0
        while session != nil, total < Self.mostPerTurn {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0 && (errno == EAGAIN || errno == EINTR) { return }
            if count == 0 { return fail(.closed, "the server closed the connection") }
            guard count > 0 else { return fail(.closed, "connection lost: \(SystemError.text(of: errno))") }
            total += count
            if greeting.count < 64 { greeting += buffer[..<min(count, 64)] }
            let taken = nghttp2_session_mem_recv(session, buffer, count)
            if isForeign { return fail(.unreadable, "speaks no HTTP/2: \(Excerpt.words(greeting))") }
            guard taken >= 0 else {
                return fail(.unreadable, "broken HTTP/2: \(String(cString: nghttp2_strerror(Int32(clamping: taken))))")
            }
            if count < buffer.count { return }
        }
    }

    private func scheduleFlush() {
        guard !isFlushDue else { return }
        isFlushDue = true
        loop.schedule(after: .zero) { [weak self] in
            self?.flush()
            self?.tell()
        }
    }

    private func flush() {
        isFlushDue = false
        guard isConnected, !isBlocked else { return }
        while let session {
            while pending.count - pendingSent < Self.mostPending {
                var bytes: UnsafePointer<UInt8>?
                let count = nghttp2_session_mem_send(session, &bytes)
                if count < 0 { return fail(.closed, "cannot write HTTP/2") }
                guard count > 0, let bytes else { break }
                pending.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
            }
            if pendingSent == pending.count { break }
            let count = pending.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + pendingSent, $0.count - pendingSent, Int32(MSG_NOSIGNAL))
            }
            if count < 0 && (errno == EAGAIN || errno == EINTR) {
                isBlocked = true
                return watch()
            }
            guard count > 0 else { return fail(.closed, "connection lost: \(SystemError.text(of: errno))") }
            pendingSent += count
            if pendingSent == pending.count {
                pending.removeAll(keepingCapacity: true)
                pendingSent = 0
            }
        }
        // After GOAWAY, or a fault of the peer that nghttp2 has answered, it wants nothing more.
        if let session, nghttp2_session_want_read(session) == 0, nghttp2_session_want_write(session) == 0 {
            if hasGoneAway {
                fail(.closed, "the server ended the connection")
            } else {
                fail(.unreadable, "broken HTTP/2")
            }
        }
    }

    private func fail(_ kind: GRPCEnd.Kind, _ reason: String) {
        guard session != nil else { return }
        release()
        events.append(.closed(GRPCEnd(kind, reason)))
        // It may be found out within a call of the user.
        loop.schedule(after: .zero) { [self] in tell() }
    }

    private func release() {
        if descriptor >= 0 {
            loop.unwatch(descriptor)
            Socket.close(descriptor)
            descriptor = -1
        }
        if let session { nghttp2_session_del(session) }
        session = nil
        streams.removeAll()
    }

    private func tell() {
        guard !isTelling else { return }
        isTelling = true
        defer { isTelling = false }
        while !events.isEmpty {
            let batch = events
            events.removeAll()
            for event in batch where !isSilent { onEvent(event) }
        }
    }
}
