import Runtime

@testable import Discovery

/// The gRPC port of a `FakeNacos`, on the test's own loop: every answer can go wrong.
final class FakeNacosPush {
    /// A connection.
    final class Client {
        fileprivate let wire: FakeGRPC.Client
        private var answered: Int32?
        /// The stream for requests of the server.
        fileprivate(set) var stream: Int32? {
            get { answered.flatMap { wire.streams[$0] == nil ? nil : $0 } }
            set { answered = newValue }
        }
        /// Names subscribed.
        fileprivate(set) var subscribed: Set<String> = []
        /// What it has answered on the stream: type and request id.
        fileprivate(set) var answers: [(type: String, requestID: String)] = []
        /// What it has registered, by service: `IP:PORT` and the metadata.
        fileprivate(set) var instances: [String: [String: String]] = [:]

        fileprivate init(_ wire: FakeGRPC.Client) { self.wire = wire }
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
        /// It does what it is asked, and its answer is lost.
        case lost
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
    private let grpc: FakeGRPC
    private unowned let nacos: FakeNacos
    private var known: [Client] = []
    private var nextRequest = 1

    init(_ nacos: FakeNacos, loop: EventLoop) throws {
        self.nacos = nacos
        grpc = try FakeGRPC(loop: loop)
        grpc.onMessage = { [unowned self] in takeMessage(client($0), $1, $2) }
    }

    var port: UInt16 { grpc.port }
    var accepted: Int { grpc.accepted }
    /// Open connections, oldest first.
    var clients: [Client] { grpc.clients.map(client) }

    private func client(_ wire: FakeGRPC.Client) -> Client {
        known.removeAll { known in known.wire !== wire && !grpc.clients.contains { $0 === known.wire } }
        if let client = known.first(where: { $0.wire === wire }) { return client }
        known.append(Client(wire))
        return known[known.count - 1]
    }

    func count(_ type: String) -> Int { calls.count { $0.type == type } }

    /// Closes everything, as a killed process does.
    func stop() { grpc.stop() }

    func restart() throws { try grpc.restart() }

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
        grpc.write(client.wire, stream, NacosPayload.encode(type, body), isLast: false)
        grpc.flush(client.wire)
        return "\(nextRequest)"
    }

    /// Ends a client's stream and leaves the connection open.
    func endStream(_ client: Client) {
        if let stream = client.stream { grpc.end(client.wire, stream) }
    }

    /// Announces that the connection will end.
    func goAway(_ client: Client) { grpc.goAway(client.wire) }

    /// Closes a connection.
    func drop(_ client: Client) { grpc.drop(client.wire) }

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
        if client.wire.streams[stream]?.fields[":path"] != "/Request/request" {
            client.stream = stream
            if content.type == "ConnectionSetupRequest" {
                calls.append(call)
                if fault(call) == nil && acknowledges {
                    grpc.write(
                        client.wire, stream,
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
        case .lost: _ = answer(call)
        case .message(let type, let body):
            grpc.write(client.wire, stream, NacosPayload.encode(type, body), isLast: true)
        case .nonsense: grpc.write(client.wire, stream, [0xff, 0xff, 0xff], isLast: true)
        case .end: grpc.write(client.wire, stream, nil, isLast: true)
        case .close: drop(client)
        case .raw(let text):
            grpc.sendRaw(client.wire, Array(text.utf8))
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
}
