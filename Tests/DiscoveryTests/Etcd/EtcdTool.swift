import Model
import Runtime
import TestSupport

@testable import Discovery

/// A client of etcd for tests, apart from the one that is tested.
struct EtcdTool {
    let base: String
    let fixture: Fixture
    let http: HTTPClient
    var token: String?

    init(_ server: EtcdServer, _ fixture: Fixture, http: HTTPClient? = nil) {
        base = server.base
        self.fixture = fixture
        self.http = http ?? fixture.context.http
    }

    /// The answer to a call; repeated until it is 200.
    @discardableResult
    func call(_ path: String, _ body: String, repeats: Bool = false) throws -> EtcdText {
        let deadline = Clock.nanoseconds + 20_000_000_000
        while true {
            var result: Result<HTTPResponse, HTTPError>?
            let headers = token.map { [(name: "Authorization", value: $0)] } ?? []
            let request = HTTPRequest("POST", base + path, headers: headers, body: Array(body.utf8))
            http.send(request) { result = $0 }
            _ = fixture.wait { result != nil }
            if case .success(let response) = result, response.status == 200 {
                let body = path == EtcdClient.keepAlive ? EtcdText.wrap(lines: response.body) : response.body
                if let text = EtcdText(body) { return text }
            }
            guard repeats, Clock.nanoseconds < deadline else {
                throw TestFailure("\(path): \(String(describing: result.map { "\($0)" }))")
            }
            _ = fixture.loop.run(for: .milliseconds(50)) { false }
        }
    }

    /// Waits until it serves, with a majority.
    func waitUntilReady() throws { try call("/v3/kv/range", #"{"key":"AA=="}"#, repeats: true) }

    /// Writes a key; the revision.
    @discardableResult
    func put(_ key: String, _ value: String, lease: Int64? = nil) throws -> Int64 {
        let lease = lease.map { #","lease":"\#($0)""# } ?? ""
        let body = #"{"key":"\#(base64(key))","value":"\#(base64(value))"\#(lease)}"#
        return try EtcdHeader(call("/v3/kv/put", body))?.revision ?? 0
    }

    func delete(_ key: String) throws { try call("/v3/kv/deleterange", #"{"key":"\#(base64(key))"}"#) }

    func deleteAll() throws { try call("/v3/kv/deleterange", #"{"key":"AA==","range_end":"AA=="}"#) }

    func grant(_ seconds: Int) throws -> Int64 {
        try call("/v3/lease/grant", #"{"TTL":"\#(seconds)"}"#).number("ID") ?? 0
    }

    func revoke(_ lease: Int64) throws { try call("/v3/lease/revoke", #"{"ID":"\#(lease)"}"#) }

    /// Keys and values under a prefix.
    func read(_ prefix: String) throws -> [String: String] {
        let answer = try call("/v3/kv/range", "{\(EtcdSpan(prefix: prefix).members())}")
        var found: [String: String] = [:]
        for range in answer.elements("kvs") ?? [] {
            guard let record = EtcdText(answer.text, in: range)?.record else { continue }
            found[String(decoding: record.key, as: UTF8.self)] = String(decoding: record.value, as: UTF8.self)
        }
        return found
    }

    /// A host of an HTTP application, as kratos registers it.
    func putKratos(_ name: String, _ port: Int, version: String = "v1", weight: Int? = nil, lease: Int64? = nil) throws
    {
        try put("/microservices/\(name)/\(port)", Self.kratos(name, port, version, weight), lease: lease)
    }

    static func kratos(_ name: String, _ port: Int, _ version: String, _ weight: Int?) -> String {
        let metadata = weight.map { #"{"weight":"\#($0)"}"# } ?? "null"
        return #"{"id":"\#(port)","name":"\#(name)","version":"\#(version)","metadata":\#(metadata),"#
            + #""endpoints":["grpc://127.0.0.1:1?isSecure=false","http://127.0.0.1:\#(port)?isSecure=false"]}"#
    }

    private func base64(_ text: String) -> String { Base64.encode(Array(text.utf8)) }
}

extension Fixture {
    /// An adapter that does everything quickly.
    func etcd(
        _ servers: [String], user: String? = nil, context: DiscoveryContext? = nil,
        adjust: (inout EtcdSettings) -> Void = { _ in }
    ) -> EtcdRegistry {
        var settings = EtcdSettings(servers: servers)
        settings.credentials = user.map { .init(user: $0, password: "s3cret\"&") }
        settings.serverBackoff = Backoff(first: .milliseconds(50), cap: .milliseconds(300))
        settings.reopenPause = .milliseconds(50)
        adjust(&settings)
        return EtcdRegistry(settings, url: "etcd://test", context: context ?? self.context, reports: reports)
    }

    /// Ports of the last list told for a service; nil when none was.
    func ports(_ service: ServiceKey) -> [UInt16]? { told[service]?.last?.map(\.address.port) }
}
