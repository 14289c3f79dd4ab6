import Configuration
import ControlPlane
import Model
import Runtime
import TestSupport
import Testing
import WebServer

@Suite("From registry to answer")
struct ForwardingTests {
    @Test("The header chooses the version, and the answer tells it")
    func grey() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0"), ("b", "2.0")])
        defer { mesh.stop() }
        for version in ["1.0", "2.0", "1.0"] {
            let answer = try mesh.get(headers: [("x-version", version)])
            #expect(answer.status == 200 && answer.text == (version == "1.0" ? "a" : "b"))
            #expect(answer.header("x-greymesh-version") == version)
        }
        let service = try #require(mesh.traffic().services[ServiceKey(kind: .http, name: "order-service")])
        #expect(service.requests == 3)
        #expect(service.routes.map { "\($0.key.requested ?? "") \($0.value)" }.sorted() == ["1.0 2", "2.0 1"])
        #expect(service.versions["1.0"]?.codes == [200: 2])
        #expect(service.versions["1.0"]?.buckets.reduce(0, +) == 2)
    }

    @Test("Host names and paths of the configuration lead to the service, other names to an error that names them")
    func aliases() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) {
            $0.services["order-service"] = ServiceConfiguration()
            $0.services["order-service"]?.hosts = ["orders.example.com"]
            $0.services["order-service"]?.paths = ["/api/orders"]
        }
        defer { mesh.stop() }
        #expect(try mesh.get(host: "Orders.Example.com:8080").text == "a")
        #expect(try mesh.get("/api/orders/7?x=1", host: "127.0.0.1").text == "a")
        #expect(try mesh.get("/api/orders2", host: "127.0.0.1").status == 404)
        let unknown = try mesh.get(host: "nobody")
        #expect(unknown.status == 503 && unknown.text.contains("nobody"))
    }

    @Test("Hosts come and go while requests run, and none fails")
    func churn() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")])
        defer { mesh.stop() }
        var (sent, failed, answered) = (0, [String](), [String: Int]())
        var isRunning = true
        func next() {
            guard isRunning else { return }
            sent += 1
            mesh.send { result in
                switch result {
                case .success(let answer) where answer.status == 200: answered[answer.text, default: 0] += 1
                case .success(let answer): failed.append(answer.text)
                case .failure(let error): failed.append("\(error)")
                }
                next()
            }
        }
        for _ in 0..<8 { next() }
        #expect(mesh.loop.run(for: .seconds(10)) { answered["a", default: 0] > 20 })
        let first = try #require(mesh.hosts["a"])
        let second = try mesh.addHost("b")
        try mesh.register(["order-service": [(first.address, "1.0"), (second.address, "2.0")]])
        #expect(mesh.loop.run(for: .seconds(10)) { answered["b", default: 0] > 20 })
        try mesh.register(["order-service": [(second.address, "2.0")]])
        let key = ServiceKey(kind: .http, name: "order-service")
        #expect(mesh.loop.run(for: .seconds(10)) { mesh.control.snapshots[key]?.clusters.map(\.name) == ["2.0"] })
        // Requests that were on their way may still reach it; new ones may not.
        let before = answered["b", default: 0]
        #expect(mesh.loop.run(for: .seconds(10)) { answered["b", default: 0] > before + 40 })
        let late = first.requests
        #expect(mesh.loop.run(for: .seconds(10)) { answered["b", default: 0] > before + 80 })
        #expect(first.requests == late)
        isRunning = false
        #expect(mesh.loop.run(for: .seconds(10)) { answered.values.reduce(0, +) + failed.count == sent })
        #expect(failed == [])
    }

    @Test("A service that nobody asks for is let go, and comes back with the next request")
    func idle() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) { $0.limits.serviceIdle = .milliseconds(50) }
        defer { mesh.stop() }
        #expect(try mesh.get().text == "a")
        #expect(mesh.loop.run(for: .seconds(10)) { mesh.control.directory.count == 0 })
        #expect(mesh.control.snapshots.isEmpty)
        #expect(try mesh.get().text == "a")
        #expect(mesh.control.directory.count == 1)
    }

    @Test("A service in use is not let go, however short the time for unused ones")
    func inUse() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) { $0.limits.serviceIdle = .milliseconds(2500) }
        defer { mesh.stop() }
        let end = Clock.nanoseconds + 4_500_000_000
        #expect(try mesh.get().text == "a")
        let since = try #require(mesh.control.directory.statuses.first?.changedAt)
        while Clock.nanoseconds < end {
            #expect(try mesh.get().text == "a")
            _ = mesh.loop.run(for: .milliseconds(20)) { false }
        }
        #expect(mesh.control.directory.statuses.first?.changedAt == since)
    }

    @Test("Beyond the limit of services a request is refused; configured services do not count")
    func limit() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) {
            $0.limits.services = 0
            $0.services["order-service"] = ServiceConfiguration()
        }
        defer { mesh.stop() }
        #expect(try mesh.get().text == "a")
        #expect(try mesh.get(host: "other").status == 503)
        let answer = try mesh.explain(ExplainQuestion(service: "other"))
        #expect(answer.explanation.steps.last == "too many services are watched: the request is refused")
    }

    @Test("The same address under several Dubbo versions and groups is a host of each")
    func sharedAddress() throws {
        let mesh = try TestMesh {
            $0.listeners.append(
                ListenerConfiguration(name: "dubbo", protocol: .dubbo, address: SocketAddress("127.0.0.1:0")!))
        }
        defer { mesh.stop() }
        let address = SocketAddress("127.0.0.1:20880")!
        try mesh.register([
            "com.acme.A:1.0": [(address, "")], "com.acme.A:2.0": [(address, "")],
            "com.acme.A:2.0:blue": [(address, "")],
        ])
        let key = ServiceKey(kind: .dubbo, name: "com.acme.A")
        mesh.control.directory.touch(key)
        #expect(mesh.loop.run(for: .seconds(10)) { mesh.control.snapshots[key]?.hostCount == 3 })
        #expect(mesh.control.snapshots[key]?.clusters.map(\.name) == ["1.0", "2.0", "2.0/blue"])
    }

    @Test("An address that is taken is named")
    func takenPort() throws {
        let loop = try EventLoop()
        let server = WebServer(loop: loop) { _, respond in respond(.text("")) }
        let taken = try server.listen(on: SocketAddress("127.0.0.1:0")!)
        defer { server.stop() }
        #expect(throws: SystemError.self) {
            try TestMesh { $0.listeners[0].address = taken }
        }
        let mesh = try TestMesh()
        defer { mesh.stop() }
        // Sockets of one process share an address; those of two must not.
        #expect(throws: SystemError.self) {
            try TestMesh { $0.listeners[0].address = mesh.control.listenerAddresses[0] }
        }
    }
}
