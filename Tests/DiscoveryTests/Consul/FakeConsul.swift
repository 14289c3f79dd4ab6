import Runtime

@testable import Discovery

/// A Consul agent as far as tests want it: keeps an index, really blocks, and goes wrong where they tell it to.
final class FakeConsul {
    /// An entry of a health list.
    struct Entry {
        var node = "n1"
        var nodeAddress = "10.9.9.9"
        var id = "x"
        var address = "10.0.0.1"
        var port = "8080"
        var tags = "[]"
        var meta = "{}"
        var weights = #"{"Passing":1,"Warning":1}"#
        var checks = [("service:x", "passing")]
        /// Further members of `Service`, with a comma in front.
        var more = ""

        var json: String {
            let list = checks.map {
                #"{"Node":"\#(node)","CheckID":"\#($0)","Status":"\#($1)","Output":""}"#
            }
            return """
                {"Node":{"ID":"","Node":"\(node)","Address":"\(nodeAddress)","Meta":null},"Service":{"ID":"\(id)",\
                "Service":"s","Tags":\(tags),"Address":"\(address)","Meta":\(meta),"Port":\(port),\
                "Weights":\(weights)\(more)},"Checks":[\(list.joined(separator: ","))]}
                """
        }
    }

    private struct Waiting {
        let number: Int
        let service: String
    }

    let server: FakeServer
    /// Answers instead of the usual ones, while it returns one.
    var fault: (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }
    /// Old versions end all queries with any change.
    var wakesAll = false
    /// What is sent as index instead of the true one.
    var headers: (UInt64) -> [(String, String)] = { [("X-Consul-Index", "\($0)")] }
    /// The token that is good; nil wants none.
    var token: String?
    private(set) var index: UInt64 = 100
    private var services: [String: [Entry]] = [:]
    private var indices: [String: UInt64] = [:]
    private var waiting: [Waiting] = []
    private var nextNumber = 0
    private let loop: EventLoop
    /// Registrations at this agent; a `FakeConsulAgent` adds to it.
    var register: (FakeServer.Request) -> FakeServer.Answer? = { _ in nil }

    init(loop: EventLoop) throws {
        self.loop = loop
        server = try FakeServer(loop: loop) { _ in .silence }
        server.handler = { [unowned self] in answer($0) }
    }

    /// Queries that hang now.
    var hanging: Int { waiting.count }

    /// Replaces the entries of a service and wakes whoever waits.
    func set(_ service: String, _ entries: [Entry]) {
        services[service] = entries
        touch(service)
    }

    func set(_ service: String, _ ips: String...) {
        set(service, ips.map { Entry(id: $0, address: $0) })
    }

    /// Ends queries as an unrelated change does.
    func touch(_ service: String) {
        index += 1
        indices[service] = index
        let woken = waiting.filter { wakesAll || $0.service == service }
        waiting.removeAll { wakesAll || $0.service == service }
        for query in woken { server.complete(query.number, list(query.service)) }
    }

    /// Kills it.
    func kill() {
        server.stop()
        waiting.removeAll()
    }

    /// Starts it again with nothing, as a development agent does.
    func startForgetful() throws {
        (services, indices, index) = ([:], [:], 1)
        try server.restart()
    }

    /// Queries about a service so far.
    func queries(_ service: String) -> [FakeServer.Request] {
        server.requests.filter { $0.path == "/v1/health/service/\(service)" }
    }

    private func answer(_ request: FakeServer.Request) -> FakeServer.Answer {
        if let fault = fault(request) { return fault }
        if let token, request.headers["x-consul-token"] != token {
            return .status(403, "ACL not found")
        }
        if let answer = register(request) { return answer }
        let prefix = "/v1/health/service/"
        guard request.method == "GET", request.path.hasPrefix(prefix) else { return .status(404, "") }
        let service = PercentEncoding.decode(request.path.dropFirst(prefix.count)) ?? ""
        let current = indices[service] ?? 1
        guard let after = UInt64(request.query["index"] ?? ""), after > 0, current <= after else {
            return list(service)
        }
        return .later(hang(service, request))
    }

    private func hang(_ service: String, _ request: FakeServer.Request) -> Int {
        nextNumber += 1
        let number = nextNumber
        waiting.append(Waiting(number: number, service: service))
        let milliseconds = Int64((request.query["wait"] ?? "").dropLast(2)) ?? 300_000
        loop.schedule(after: .milliseconds(milliseconds)) { [weak self] in
            guard let self, let position = waiting.firstIndex(where: { $0.number == number }) else { return }
            waiting.remove(at: position)
            server.complete(number, list(service))
        }
        return number
    }

    /// In another order each time.
    private func list(_ service: String) -> FakeServer.Answer {
        let entries = (services[service] ?? []).shuffled().map(\.json)
        return .status(
            200, "[\(entries.joined(separator: ","))]", headers: headers(max(indices[service] ?? 1, 1)))
    }
}

extension Fixture {
    /// An adapter for some fake agents that is quick.
    func consul(_ agents: FakeConsul..., adjust: (inout ConsulSettings) -> Void = { _ in }) throws
        -> ConsulRegistry
    {
        var settings = ConsulSettings(agents: agents.map(\.server.base))
        settings.pace = .milliseconds(20)
        settings.slowPace = .milliseconds(100)
        settings.agentBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        settings.refusalBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(40))
        adjust(&settings)
        return try ConsulRegistry(settings, url: "consul://test", context: context, reports: reports)
    }
}
