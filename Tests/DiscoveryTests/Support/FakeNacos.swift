import Runtime

@testable import Discovery

/// A Nacos server as far as tests want it: lists what they put in, and goes wrong where they tell it to.
final class FakeNacos {
    struct Host {
        var ip = "10.0.0.1"
        var port = 8080
        var weight = "1.0"
        var healthy = true
        var enabled = true
        var metadata = "{}"

        var json: String {
            """
            {"instanceId":"x","ip":"\(ip)","port":\(port),"weight":\(weight),"healthy":\(healthy),"enabled":\(enabled),\
            "ephemeral":true,"clusterName":"DEFAULT","serviceName":"x","metadata":\(metadata)}
            """
        }
    }

    let server: FakeServer
    /// Hosts by Nacos service name.
    var services: [String: [Host]] = [:]
    /// Answers instead of the usual ones, while it returns one.
    var fault: (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }
    /// Which calls exist.
    var hasV1 = true
    var hasV3 = false
    /// Configurations by `GROUP/DATA-ID`.
    var configs: [String: String] = [:]
    /// What applications have registered, by service: `IP:PORT` and the metadata.
    var registered: [String: [String: String]] = [:]
    /// Tokens that are good; nil wants none.
    var tokens: Set<String>?
    private var time = 1_700_000_000_000

    init(loop: EventLoop) throws {
        server = try FakeServer(loop: loop) { _ in .silence }
        server.handler = { [unowned self] in answer($0) }
    }

    /// Adds or replaces the hosts of a service by their addresses.
    func set(_ service: String, _ ips: String..., metadata: String = "{}") {
        services[service] = ips.map { Host(ip: $0, metadata: metadata) }
    }

    /// Requests for a service's list so far.
    func polls(_ service: String) -> Int {
        server.requests.count { $0.path.hasSuffix("/instance/list") && $0.query["serviceName"] == service }
    }

    private func answer(_ request: FakeServer.Request) -> FakeServer.Answer {
        if let fault = fault(request) { return fault }
        let isLogin = request.path.contains("/auth/")
        if let tokens, !isLogin {
            let given = request.headers["authorization"]?.dropFirst("Bearer ".count)
            guard let given, tokens.contains(String(given)) else {
                return .status(403, #"{"status":403,"message":"token invalid!"}"#)
            }
        }
        switch request.path {
        case "/nacos/v1/ns/instance/list" where hasV1:
            time += 1
            return .ok(
                #"{"name":"x","cacheMillis":\#(time % 3),"hosts":[\#(list(request))],"lastRefTime":\#(time),"checksum":""}"#
            )
        case "/nacos/v1/ns/service/list" where hasV1:
            let names = services.keys.map { "\"\($0)\"" }
            return .ok(#"{"count":\#(names.count),"doms":[\#(names.joined(separator: ","))]}"#)
        case "/nacos/v3/client/ns/instance/list" where hasV3:
            return .ok(#"{"code":0,"message":"success","data":[\#(list(request))]}"#)
        case _ where request.path.hasPrefix("/nacos/v1/") && !hasV1 && hasV3:
            return .status(410, #"{"status":410,"error":"Gone"}"#)
        case "/nacos/v1/cs/configs" where hasV1:
            let name = "\(request.query["group"] ?? "")/\(request.query["dataId"] ?? "")"
            return configs[name].map { .ok($0) } ?? .status(404, "config data not exist\n")
        case "/nacos/v3/client/cs/config" where hasV3:
            let name = "\(request.query["groupName"] ?? "")/\(request.query["dataId"] ?? "")"
            guard let text = configs[name] else {
                return .ok(#"{"code":20004,"message":"resource not found","data":null}"#)
            }
            return .ok(#"{"code":0,"data":{"content":\#(NacosJSON.string(text).text)}}"#)
        case "/nacos/v1/ns/instance" where hasV1, "/nacos/v1/ns/instance/beat" where hasV1,
            "/nacos/v3/client/ns/instance" where hasV3:
            return write(request)
        default: return .status(404, #"{"status":404}"#)
        }
    }

    private func write(_ request: FakeServer.Request) -> FakeServer.Answer {
        let service = request.query["serviceName"] ?? ""
        let address = "\(request.query["ip"] ?? ""):\(request.query["port"] ?? "")"
        let isNew = request.path.contains("/v3/")
        if request.method == "DELETE" {
            registered[service]?[address] = nil
        } else if request.method == "PUT" || request.query["heartBeat"] == "true" {
            let isKnown = registered[service]?[address] != nil
            if isNew { return .ok(isKnown ? #"{"code":0,"data":"ok"}"# : #"{"code":21003,"data":null}"#) }
            return .ok(isKnown ? #"{"clientBeatInterval":5000,"code":10200}"# : #"{"code":20404}"#)
        } else {
            registered[service, default: [:]][address] = request.query["metadata"] ?? ""
        }
        return .ok(isNew ? #"{"code":0,"data":"ok"}"# : "ok")
    }

    /// In another order each time.
    private func list(_ request: FakeServer.Request) -> String {
        (services[request.query["serviceName"] ?? ""] ?? []).shuffled().map(\.json).joined(separator: ",")
    }
}

extension Fixture {
    /// An adapter for some fake servers that polls quickly.
    func nacos(
        _ servers: FakeNacos..., user: String? = nil, reports: RegistryReports? = nil,
        adjust: (inout NacosSettings) -> Void = { _ in }
    ) -> NacosRegistry { nacos(servers, user: user, reports: reports, adjust: adjust) }

    func nacos(
        _ servers: [FakeNacos], user: String? = nil, reports: RegistryReports? = nil,
        adjust: (inout NacosSettings) -> Void = { _ in }
    ) -> NacosRegistry {
        var settings = NacosSettings(servers: servers.map { $0.server.base + "/nacos" })
        settings.poll = .milliseconds(20)
        settings.credentials = user.map { .init(user: $0, password: "s3cret&") }
        adjust(&settings)
        return NacosRegistry(settings, url: "nacos://test", context: context, reports: reports ?? self.reports)
    }
}
