import CNgHTTP2
import Glibc
import Runtime

@testable import Discovery

/// The gRPC port of a `FakeNacos`, on the test's own loop: nghttp2's server session, and every answer can go wrong.
final class FakeNacosPush {
    /// A connection.
    final class Client {
        fileprivate struct Stream {
            var path = ""
            var incoming = GRPCMessages(limit: 1 << 20)
            var outgoing: [UInt8] = []
            var isLast = false
            var hasAnswered = false
        }

        fileprivate let descriptor: Int32
        fileprivate var session: OpaquePointer?
        fileprivate var streams: [Int32: Stream] = [:]
        fileprivate weak var server: FakeNacosPush?
        fileprivate var output: [UInt8] = []
        fileprivate var inbox: [(Int32, [UInt8])] = []
        /// The stream for requests of the server.
        fileprivate(set) var stream: Int32?
        /// Names subscribed.
        fileprivate(set) var subscribed: Set<String> = []
        /// What it has answered on the stream: type and request id.
        fileprivate(set) var answers: [(type: String, requestID: String)] = []
        /// What it has registered, by service: `IP:PORT` and the metadata.
        fileprivate(set) var instances: [String: [String: String]] = [:]

        fileprivate init(_ descriptor: Int32) { self.descriptor = descriptor }
    }

    /// A call.
    struct Call {
        let client: Client
        let type: String
        let body: [UInt8]
        let token: String?

        /// A member of the body as text.
        func member(_ name: String) -> String? {
            JSONText.members(body)?.first { body[$0.key].elementsEqual(name.utf8) }.flatMap {
                JSONText.string(body, $0.value) ?? String(decoding: body[$0.value], as: UTF8.self)
            }
        }

        /// The hosts in a member: one, or a list of them.
        func instances(_ name: StaticString) -> [String: String] {
            guard let range = JSONText.object(body)?[name] else { return [:] }
            var found: [String: String] = [:]
            for element in JSONText.elements(body, in: range) ?? [range] {
                guard let host = NacosHost(body, in: element), let object = JSONText.object(body, in: element),
                    let metadata = object["metadata"]
                else { continue }
                found["\(host.ip):\(host.port)"] = String(decoding: body[metadata], as: UTF8.self)
            }
            return found
        }
    }

    /// What the server does with a call.
    enum Answer: Sendable {
        case message(String, String)
        case silence
        /// The connection is closed.
        case close
        /// These bytes instead of HTTP/2, and the connection is closed.
        case raw(String)
        /// A message that is no envelope.
        case nonsense
        /// The stream ends without a message.
        case end

        static func error(_ code: Int, _ words: String = "x") -> Answer {
            .message(
                "ErrorResponse", #"{"resultCode":500,"errorCode":\#(code),"message":"\#(words)","success":false}"#)
        }
    }

    let port: UInt16
    /// Answers instead of the usual ones, while it returns one.
    var fault: (Call) -> Answer? = { _ in nil }
    /// What it says that it can do.
    var abilities = #"{"supportPersistentInstanceByGrpc":true}"#
    /// Servers before 2.4 do not acknowledge the set-up.
    var acknowledges = true
    /// The list says that too many hosts are unhealthy.
    var isProtected = false
    /// All calls, oldest first.
    private(set) var calls: [Call] = []
    private(set) var clients: [Client] = []
    private(set) var accepted = 0

    private let loop: EventLoop
    private unowned let nacos: FakeNacos
    private var listener: Int32 = -1
    private var nextRequest = 1

    init(_ nacos: FakeNacos, loop: EventLoop) throws {
        self.nacos = nacos
        self.loop = loop
        listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: 0), shared: false)
        port = Socket.localAddress(listener)?.port ?? 0
        watchListener()
    }

    deinit { stop() }

    func count(_ type: String) -> Int { calls.count { $0.type == type } }

    /// Closes everything, as a killed process does.
    func stop() {
        for client in clients { drop(client) }
        guard listener >= 0 else { return }
        loop.unwatch(listener)
        close(listener)
        listener = -1
    }

    func restart() throws {
        listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
        watchListener()
    }

    /// Pushes a service's list to whoever has subscribed it.
    func push(_ name: String) {
        for client in clients where client.subscribed.contains(name) {
            request(client, "NotifySubscriberRequest", #""serviceInfo":\#(info(name)),"module":"naming""#)
        }
    }

    /// Sends a request on a client's stream. Returns its id.
    @discardableResult
    func request(_ client: Client, _ type: String, _ members: String) -> String {
        defer { nextRequest += 1 }
        guard let stream = client.stream else { return "" }
        let body = #"{"headers":{},"requestId":"\#(nextRequest)",\#(members)}"#
        write(client, stream, NacosPayload.encode(type, body), isLast: false)
        flush(client)
        return "\(nextRequest)"
    }

    /// Ends a client's stream and leaves the connection open.
    func endStream(_ client: Client) {
        guard let stream = client.stream else { return }
        client.streams[stream]?.isLast = true
        nghttp2_session_resume_data(client.session, stream)
        flush(client)
    }

    /// Announces that the connection will end.
    func goAway(_ client: Client) {
        nghttp2_submit_goaway(client.session, 0, Int32.max, NGHTTP2_NO_ERROR.rawValue, nil, 0)
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

    // MARK: Answers

    func info(_ name: String) -> String {
        let hosts = (nacos.services[name] ?? []).shuffled().map(\.json).joined(separator: ",")
        return
            #"{"name":"\#(name)","groupName":"DEFAULT_GROUP","hosts":[\#(hosts)],"reachProtectionThreshold":\#(isProtected)}"#
    }

    private func answer(_ call: Call) -> Answer {
        let name = call.member("serviceName") ?? ""
        func ok(_ type: String, _ rest: String = "") -> Answer {
            .message(type, #"{"resultCode":200,"errorCode":0\#(rest),"success":true}"#)
        }
        if let tokens = nacos.tokens, !["ServerCheckRequest", "HealthCheckRequest"].contains(call.type) {
            guard let token = call.token, tokens.contains(token) else { return .error(403, "token invalid!") }
        }
        if let namespace = call.member("namespace"), namespace != "public" { return .error(400, "not this namespace") }
        switch call.type {
        case "ServerCheckRequest":
            return ok("ServerCheckResponse", #","connectionId":"1","supportAbilityNegotiation":\#(acknowledges)"#)
        case "HealthCheckRequest": return ok("HealthCheckResponse")
        case "SubscribeServiceRequest":
            if call.member("subscribe") == "false" {
                call.client.subscribed.remove(name)
            } else {
                call.client.subscribed.insert(name)
            }
            return ok("SubscribeServiceResponse", #","serviceInfo":\#(info(name))"#)
        case "ServiceQueryRequest":
            let hosts = (nacos.services[name] ?? []).filter(\.healthy).map(\.json).joined(separator: ",")
            return ok(
                "QueryServiceResponse",
                #","serviceInfo":{"name":"\#(name)","hosts":[\#(hosts)],"reachProtectionThreshold":\#(isProtected)}"#)
        case "ServiceListRequest":
            let names = nacos.services.keys.map { "\"\($0)\"" }.joined(separator: ",")
            return ok("ServiceListResponse", #","count":1,"serviceNames":[\#(names)]"#)
        case "NamingFuzzyWatchRequest": return ok("NamingFuzzyWatchResponse")
        case "InstanceRequest":
            let isLeaving = call.member("type") == "deregisterInstance"
            call.client.instances[name] = isLeaving ? nil : call.instances("instance")
            return ok("InstanceResponse")
        case "BatchInstanceRequest":
            call.client.instances[name] = call.instances("instances")
            return ok("BatchInstanceResponse")
        case "ConfigQueryRequest":
            guard let text = nacos.configs["\(call.member("group") ?? "")/\(call.member("dataId") ?? "")"] else {
                return .message(
                    "ConfigQueryResponse",
                    #"{"resultCode":500,"errorCode":300,"message":"config data not exist","success":false}"#)
            }
            return ok("ConfigQueryResponse", #","content":\#(NacosJSON.string(text).text),"md5":"\#(text.hashValue)""#)
        case "ConfigBatchListenRequest":
            return ok("ConfigChangeBatchListenResponse", #","changedConfigs":[]"#)
        default: return .error(302, "RequestHandler Not Found")
        }
    }

    private func takeMessage(_ client: Client, _ stream: Int32, _ bytes: [UInt8]) {
        guard let content = try? NacosPayload.decode(bytes) else { return drop(client) }
        let token = Self.token(bytes)
        let call = Call(client: client, type: content.type, body: content.body, token: token)
        if client.streams[stream]?.path != "/Request/request" {
            client.stream = stream
            if content.type == "ConnectionSetupRequest" {
                calls.append(call)
                if fault(call) == nil && acknowledges {
                    write(
                        client, stream,
                        NacosPayload.encode(
                            "SetupAckRequest", #"{"headers":{},"abilityTable":\#(abilities),"module":"internal"}"#),
                        isLast: false)
                }
            } else {
                client.answers.append((content.type, call.member("requestId") ?? ""))
            }
            return
        }
        calls.append(call)
        switch fault(call) ?? answer(call) {
        case .silence: break
        case .message(let type, let body): write(client, stream, NacosPayload.encode(type, body), isLast: true)
        case .nonsense: write(client, stream, [0xff, 0xff, 0xff], isLast: true)
        case .end: write(client, stream, nil, isLast: true)
        case .close: drop(client)
        case .raw(let text):
            send(client.descriptor, text, text.utf8.count, Int32(MSG_NOSIGNAL))
            drop(client)
        }
    }

    private static func token(_ bytes: [UInt8]) -> String? {
        guard let range = bytes.firstRange(of: Array("accessToken".utf8)), bytes.count > range.upperBound + 1 else {
            return nil
        }
        let length = Int(bytes[range.upperBound + 1])
        let start = range.upperBound + 2
        return start + length <= bytes.count ? String(decoding: bytes[start..<start + length], as: UTF8.self) : nil
    }

    // MARK: HTTP/2

    private func write(_ client: Client, _ stream: Int32, _ message: [UInt8]?, isLast: Bool) {
        guard client.session != nil, var state = client.streams[stream] else { return }
        if let message { state.outgoing += GRPCMessages.frame(message) }
        state.isLast = isLast
        let isFirst = !state.hasAnswered
        state.hasAnswered = true
        client.streams[stream] = state
        guard isFirst else {
            nghttp2_session_resume_data(client.session, stream)
            return
        }
        var provider = nghttp2_data_provider()
        provider.read_callback = { session, stream, buffer, length, flags, _, context in
            FakeNacosPush.client(context).supply(stream, buffer, length, flags)
        }
        Self.withFields([(":status", "200"), ("content-type", "application/grpc")]) {
            nghttp2_submit_response(client.session, stream, $0, $1, &provider)
        }
    }

    private func watchListener() {
        loop.watch(listener, .readable) { [unowned self] _ in
            while let (descriptor, _) = Socket.accept(listener) {
                accepted += 1
                let client = Client(descriptor)
                client.server = self
                Self.open(client)
                clients.append(client)
                flush(client)
                watch(client)
            }
        }
    }

    private func watch(_ client: Client) {
        let interest: Readiness = client.output.isEmpty ? .readable : [.readable, .writable]
        loop.watch(client.descriptor, interest) { [unowned self] _ in
            var buffer = [UInt8](repeating: 0, count: 65_536)
            let count = recv(client.descriptor, &buffer, buffer.count, 0)
            if count == 0 || count < 0 && errno != EAGAIN { return drop(client) }
            if count > 0, nghttp2_session_mem_recv(client.session, buffer, count) < 0 { return drop(client) }
            for (stream, message) in client.takeMessages() { takeMessage(client, stream, message) }
            flush(client)
        }
    }

    private func flush(_ client: Client) {
        while client.session != nil {
            var bytes: UnsafePointer<UInt8>?
            let count = client.output.count > 1 << 20 ? 0 : nghttp2_session_mem_send(client.session, &bytes)
            if count > 0 { client.output += UnsafeBufferPointer(start: bytes, count: count) }
            if client.output.isEmpty { break }
            let sent = send(client.descriptor, client.output, client.output.count, Int32(MSG_NOSIGNAL))
            if sent < 0 && errno == EAGAIN { break }
            guard sent > 0 else { return drop(client) }
            client.output.removeFirst(sent)
        }
        if client.session != nil { watch(client) }
    }

    private static func open(_ client: Client) {
        var callbacks: OpaquePointer?
        nghttp2_session_callbacks_new(&callbacks)
        defer { nghttp2_session_callbacks_del(callbacks) }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, data, length, context in
            FakeNacosPush.client(context).take(stream, UnsafeBufferPointer(start: data, count: length))
            return 0
        }
        nghttp2_session_callbacks_set_on_header_callback(callbacks) {
            _, frame, name, nameLength, value, length, _, context in
            let name = String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self)
            guard name == ":path", let frame else { return 0 }
            let path = String(decoding: UnsafeBufferPointer(start: value, count: length), as: UTF8.self)
            FakeNacosPush.client(context).streams[frame.pointee.hd.stream_id] = .init(path: path)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, context in
            let client = FakeNacosPush.client(context)
            client.streams[stream] = nil
            if client.stream == stream { client.stream = nil }
            return 0
        }
        nghttp2_session_server_new(&client.session, callbacks, Unmanaged.passUnretained(client).toOpaque())
        nghttp2_submit_settings(client.session, 0, nil, 0)
    }

    private static func client(_ context: UnsafeMutableRawPointer?) -> Client {
        Unmanaged<Client>.fromOpaque(context!).takeUnretainedValue()
    }

    @discardableResult
    fileprivate static func withFields(
        _ fields: [(String, String)], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> Int32
    ) -> Int32 {
        let copies = fields.map { field in
            let (name, value) = (Array(field.0.utf8), Array(field.1.utf8))
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: name.count + value.count)
            memory.initialize(from: name + value, count: name.count + value.count)
            return nghttp2_nv(
                name: memory, value: memory + name.count, namelen: name.count, valuelen: value.count, flags: 0)
        }
        defer { for copy in copies { copy.name.deallocate() } }
        return copies.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
    }
}

extension FakeNacosPush.Client {
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
        guard var state = streams[stream] else { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
        defer { streams[stream] = state }
        let count = min(length, state.outgoing.count)
        if count == 0 && !state.isLast { return Int(NGHTTP2_ERR_DEFERRED.rawValue) }
        buffer?.update(from: Array(state.outgoing.prefix(count)), count: count)
        state.outgoing.removeFirst(count)
        if state.outgoing.isEmpty && state.isLast {
            flags?.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue | NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue
            FakeNacosPush.withFields([("grpc-status", "0")]) { nghttp2_submit_trailer(session, stream, $0, $1) }
        }
        return count
    }
}
