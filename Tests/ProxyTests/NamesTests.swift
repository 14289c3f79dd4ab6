import Balancing
import Configuration
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Which service a name means")
struct NamesTests {
    private let orders = ServiceKey(kind: .http, name: "orders")

    @Test("A name that only requests have asked for stands in nobody's way")
    func unlistedNames() throws {
        let host = try namedHost("orders")
        let mesh = try TestMesh()
        mesh.post(.routes(RouteTable(services: [orders], paths: [("/api", orders)])))
        mesh.update("orders", [("", host.address)])
        mesh.update("gateway", [])
        let client = try mesh.connect()
        #expect(try client.get("/favicon.ico", host: "gateway").status == 503)
        #expect(try client.get("/api/1", host: "gateway").body == "orders")
        // A reload that gives the name to a service takes effect at once.
        mesh.post(.routes(RouteTable(services: [orders], hosts: [("gateway", orders)])))
        try mesh.settle()
        #expect(try client.get("/favicon.ico", host: "gateway").body == "orders")
    }

    @Test("What the configuration names comes before what a registry lists")
    func precedence() throws {
        let (configured, listed) = (try namedHost("configured"), try namedHost("listed"))
        let mesh = try TestMesh()
        mesh.update("orders", [("", configured.address)])
        mesh.update("users", [("", listed.address)])
        let client = try mesh.connect()
        #expect(try client.get("/api/1", host: "users").body == "listed")
        mesh.post(.routes(RouteTable(services: [orders], paths: [("/api", orders)])))
        try mesh.settle()
        #expect(try client.get("/api/1", host: "users").body == "configured")
        #expect(try client.get("/other", host: "users").body == "listed")
        mesh.post(.routes(RouteTable(services: [orders], hosts: [("users", orders)])))
        try mesh.settle()
        #expect(try client.get("/other", host: "USERS:80").body == "configured")
    }

    @Test("Neither case nor port nor a dot at the end counts; a name as it is written comes first")
    func spelling() throws {
        let (small, large) = (try namedHost("small"), try namedHost("large"))
        let mesh = try TestMesh()
        mesh.update("orders", [("", small.address)])
        mesh.update("ORDERS", [("", large.address)])
        mesh.update("Orders", [])
        let client = try mesh.connect()
        for name in ["orders", "orders.", "orders:80", "orders.:80", "Orders", "Orders.:1"] {
            #expect(try client.get(host: name).body == "small", "\(name)")
        }
        #expect(try client.get(host: "ORDERS.").body == "large")
        #expect(try client.get(host: "LocalHost").status == 404)
    }

    @Test("Requests for unlisted names are counted together, those of a service that has lost its hosts are not")
    func counters() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update("a", [])
        mesh.update("b", [])
        mesh.update("c", [("", host.address)])
        mesh.update("c", [])
        let client = try mesh.connect()
        for name in ["a", "b", "b", "c"] { #expect(try client.get(host: name).status == 503) }
        let counts = try mesh.report().services.map { ($0.key.name, $0.routes.reduce(0) { $0 + $1.count }) }
        #expect(counts.sorted { $0.0 < $1.0 }.map { "\($0.0) \($0.1)" } == ["c 1", "unknown 3"])
    }

    @Test("A service that is let go while a request waits for it is asked for again")
    func letGoTooEarly() throws {
        let host = try namedHost("late")
        let mesh = try TestMesh()
        let client = try mesh.connect()
        client.send("GET / HTTP/1.1\r\nHost: late\r\n\r\n")
        func asked() -> Int {
            mesh.events.count { if case .wanted(let key) = $0 { key.name == "late" } else { false } }
        }
        #expect(waitUntil(within: .seconds(10)) { asked() == 1 })
        mesh.post(.remove(ServiceKey(kind: .http, name: "late")))
        #expect(waitUntil(within: .seconds(10)) { asked() == 2 })
        mesh.update("late", [("", host.address)])
        #expect(try client.receiveAnswer().body == "late")
    }

    @Test("Beyond the bound unknown names are refused in words; services that a registry lists are not")
    func bound() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh { $0.limits.services = 3 }
        for name in ["a", "b", "c"] { mesh.update(name, []) }
        mesh.update("listed", [("", host.address)])
        let client = try mesh.connect()
        let refused = try client.get(host: "d")
        #expect(refused.status == 503 && refused.body.contains("too many names"))
        #expect(try client.get(host: "listed").body == "ok")
        mesh.post(.remove(ServiceKey(kind: .http, name: "a")))
        try mesh.settle()
        client.send("GET / HTTP/1.1\r\nHost: d\r\n\r\n")
        let isAsked = waitUntil(within: .seconds(10)) {
            mesh.events.contains { if case .wanted(let key) = $0 { key.name == "d" } else { false } }
        }
        #expect(isAsked)
    }

    @Test("Beyond the bound a Dubbo name that nobody knows is refused as too much, not as a wrong one")
    func dubboBound() throws {
        let mesh = try DubboMesh { $0.limits.services = 2 }
        defer { mesh.stop() }
        for name in ["demo.A", "demo.B"] { try mesh.update([], of: name) }
        let consumer = try mesh.connect()
        defer { consumer.close() }
        let answer = consumer.ask(DubboCall(id: 1))
        #expect(answer?.status == 100 && answer?.text.contains("too many names") == true)
    }

    @Test("What has come through this program more than 8 times is refused")
    func rounds() throws {
        let host = try namedHost("ok")
        let mesh = try TestMesh()
        mesh.update([("", host.address)])
        let client = try mesh.connect()
        let once = "Via: 1.1 greymesh\r\n"
        #expect(try client.get("/", String(repeating: once, count: 8)).body == "ok")
        #expect(try client.get("/", "via: 1.0 other, HTTP/1.1 Greymesh (a comment), 1.1 greymesh-2\r\n").body == "ok")
        let refused = try client.get(
            "/", String(repeating: once, count: 7) + "Via: 1.1 a, 1.1 greymesh,1.0 greymesh\r\n")
        #expect(refused.status == 508 && refused.body.contains("circle"))
        #expect(host.accepted == 1)
    }

    @Test("A Dubbo interface name that cannot be one is refused, and nobody is asked about it")
    func dubboNames() throws {
        let host = try DubboHost.echo("echo")
        defer { host.stop() }
        let mesh = try DubboMesh()
        defer { mesh.stop() }
        try mesh.update([Instance(address: host.address)])
        let consumer = try mesh.connect()
        defer { consumer.close() }
        // Broken UTF-8 counts as one character here.
        let names: [(count: UInt8, bytes: [UInt8])] = [
            (9, Array("demo.Caf".utf8) + [0xc3, 0x28]), (11, Array("listener:in".utf8)), (3, Array("a b".utf8)),
            (2, [0x61, 0x07]), (0, []),
        ]
        for (id, name) in names.enumerated() {
            let body =
                Hessian.text("2.0.2") + [name.count] + name.bytes + Hessian.text("0.0.0") + Hessian.text("say")
                + Hessian.text("") + Hessian.map([])
            consumer.send(DubboFrame(flags: DubboFrame.request, id: Int64(id), body: body))
            let answer = consumer.receive()
            #expect(answer?.status == 40 && answer?.id == Int64(id), "\(name)")
        }
        #expect(consumer.ask(DubboCall(id: 9))?.status == 20)
    }
}
