import Runtime

@testable import Discovery

/// A Eureka server as far as tests want it: lists what they put in, tells changes, takes registrations, and goes wrong where
/// they tell it to.
final class FakeEureka {
    struct Host {
        var id = "i1"
        var ip = "10.0.0.1"
        var name = "host-1"
        var port = #"{"$":8080,"@enabled":"true"}"#
        var securePort = #"{"$":443,"@enabled":"false"}"#
        var status = "UP"
        var metadata = #"{"version":"v1","management.port":"8081"}"#
        var updated = 0

        func json(_ app: String, action: String = "ADDED") -> String {
            """
            {"instanceId":"\(id)","hostName":"\(name)","app":"\(app)","ipAddr":"\(ip)","status":"\(status)",\
            "overriddenStatus":"UNKNOWN","port":\(port),"securePort":\(securePort),"countryId":1,"metadata":\(metadata),\
            "vipAddress":"x","lastUpdatedTimestamp":"\(updated)","actionType":"\(action)"}
            """
        }
    }

    let server: FakeServer
    /// Answers instead of the usual ones, while it returns one.
    var fault: (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }
    /// What is sent as checksum instead of the true one.
    var checksum: String?
    /// The value of the header that is good; nil wants none.
    var authorization: String?
    private(set) var apps: [String: [String: Host]] = [:]
    private var changes: [String: (app: String, host: Host, action: String)] = [:]
    /// Bodies of registrations by path, and the path's heartbeats.
    private(set) var registrations: [String: [String]] = [:]
    private var clock = 1

    init(loop: EventLoop) throws {
        server = try FakeServer(loop: loop) { _ in .silence }
        server.handler = { [unowned self] in answer($0) }
    }

    /// Adds or changes an instance; `isTold` false: the change is lost.
    func put(_ app: String, _ host: Host, isTold: Bool = true) {
        clock += 1
        var host = host
        host.updated = clock
        apps[app, default: [:]][host.id] = host
        if isTold { changes["\(app)/\(host.id)"] = (app, host, "ADDED") }
    }

    func put(_ app: String, _ ips: String..., isTold: Bool = true) {
        for ip in ips { put(app, Host(id: ip, ip: ip), isTold: isTold) }
    }

    func remove(_ app: String, _ id: String, isTold: Bool = true) {
        clock += 1
        guard var host = apps[app]?.removeValue(forKey: id) else { return }
        host.updated = clock
        if apps[app]?.isEmpty == true { apps[app] = nil }
        if isTold { changes["\(app)/\(id)"] = (app, host, "DELETED") }
    }

    /// As a restarted server.
    func wipe() { (apps, changes, registrations) = ([:], [:], [:]) }

    func count(_ path: String) -> Int { server.requests.count { $0.path == "/eureka" + path } }

    private func answer(_ request: FakeServer.Request) -> FakeServer.Answer {
        if let fault = fault(request) { return fault }
        if let authorization, request.headers["authorization"] != authorization { return .status(401, "") }
        guard request.path.hasPrefix("/eureka/apps") else { return .status(404, "") }
        let path = String(request.path.dropFirst("/eureka/apps".count))
        switch request.method {
        case "POST":
            registrations[path, default: []].append(request.body)
            return .status(204, "")
        case "PUT":
            let app = path.split(separator: "/").first.map(String.init) ?? ""
            return registrations["/" + app] == nil ? .status(404, "") : .ok("")
        case "DELETE":
            let app = path.split(separator: "/").first.map(String.init) ?? ""
            return registrations.removeValue(forKey: "/" + app) == nil ? .status(404, "") : .ok("")
        default: break
        }
        guard request.headers["accept"] == "application/json" else { return .ok("<applications/>") }
        switch path {
        case "": return .ok(list(apps.map { app, hosts in (app, hosts.values.map { $0.json(app) }) }))
        case "/delta":
            let changed = Dictionary(grouping: changes.values, by: \.app)
            return .ok(list(changed.map { app, all in (app, all.map { $0.host.json(app, action: $0.action) }) }))
        default:
            let app = String(path.dropFirst())
            guard let hosts = apps[app] else { return .status(404, "") }
            let all = hosts.values.map { $0.json(app) }.joined(separator: ",")
            return .ok(#"{"application":{"name":"\#(app)","instance":[\#(all)]}}"#)
        }
    }

    private var trueChecksum: String {
        let counts = Dictionary(grouping: apps.values.flatMap(\.values), by: \.status)
        return counts.sorted { $0.key < $1.key }.map { "\($0.key)_\($0.value.count)_" }.joined()
    }

    private func list(_ applications: [(String, [String])]) -> String {
        let all = applications.shuffled().map { app, hosts in
            #"{"name":"\#(app)","instance":[\#(hosts.shuffled().joined(separator: ","))]}"#
        }
        return #"{"applications":{"versions__delta":"1","apps__hashcode":"\#(checksum ?? trueChecksum)","#
            + #""application":[\#(all.joined(separator: ","))]}}"#
    }
}

extension Fixture {
    /// An adapter for some fake servers that is quick.
    func eureka(_ servers: FakeEureka..., adjust: (inout EurekaSettings) -> Void = { _ in }) -> EurekaRegistry {
        var settings = EurekaSettings(servers: servers.map { $0.server.base + "/eureka" })
        settings.poll = .milliseconds(20)
        settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        adjust(&settings)
        return EurekaRegistry(settings, url: "eureka://test", context: context, reports: reports)
    }
}
