import Configuration
import ControlPlane
import Discovery
import Model
import Runtime
import TestSupport
import Testing
import WebServer

@Suite("Explaining, reloading, draining")
struct LifecycleTests {
    @Test("What is explained is what happens", arguments: ["1.0", "2.0", "9.9", ""])
    func explanation(version: String) throws {
        let mesh = try TestMesh(hosts: [("a", "1.0"), ("b", "2.0")]) {
            $0.services["order-service"] = ServiceConfiguration()
            $0.services["order-service"]?.policy.stable = "1.0"
            $0.services["order-service"]?.hosts = ["orders.example.com"]
            $0.services["order-service"]?.paths = ["/api"]
        }
        defer { mesh.stop() }
        let headers = version.isEmpty ? [] : [(name: "x-version", value: version)]
        var questions = [ExplainQuestion(service: "order-service"), ExplainQuestion(service: "ORDERS.example.com")]
        questions.append(ExplainQuestion())
        questions[2].path = "/api/1"
        let served = try mesh.get(headers: headers)
        for var question in questions {
            question.headers = headers
            let answer = try mesh.explain(question)
            #expect(answer.service == ServiceKey(kind: .http, name: "order-service"))
            #expect(answer.explanation.version == served.header("x-greymesh-version"))
            #expect(answer.explanation.hosts == [mesh.hosts[served.text]?.address.description])
        }
    }

    @Test("A service that nobody has asked for is asked for and waited for")
    func explainUnknown() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")])
        defer { mesh.stop() }
        #expect(mesh.control.directory.count == 0)
        let known = try mesh.explain(ExplainQuestion(service: "order-service")).explanation
        #expect(known.hosts.count == 1)
        #expect(known.steps[0].contains("nobody has asked for before"))
        let unknown = try mesh.explain(ExplainQuestion(service: "nobody")).explanation
        #expect(unknown.hosts.isEmpty && unknown.steps.last?.contains("refused") == true)
        var path = ExplainQuestion()
        path.path = "/x"
        #expect(try mesh.explain(path).service == nil)
    }

    @Test("A Dubbo call is explained by interface, version and group")
    func explainDubbo() throws {
        let mesh = try TestMesh {
            $0.listeners.append(
                ListenerConfiguration(name: "dubbo", protocol: .dubbo, address: SocketAddress("127.0.0.1:0")!))
        }
        defer { mesh.stop() }
        let (one, two) = (SocketAddress("127.0.0.1:20881")!, SocketAddress("127.0.0.1:20882")!)
        try mesh.register(["com.acme.A:1.0": [(one, "")], "com.acme.A:2.0:blue": [(two, "")]])
        mesh.control.directory.touch(ServiceKey(kind: .dubbo, name: "com.acme.A"))
        #expect(
            try mesh.comesTrue {
                var question = ExplainQuestion(service: "com.acme.A")
                question.interfaceVersion = "1.0"
                return try mesh.explain(question).explanation.hosts == [one.description]
            })
        let blue = try mesh.explain(ExplainQuestion(service: "com.acme.A:2.0:blue"))
        #expect(blue.service?.kind == .dubbo && blue.explanation.hosts == [two.description])
        let green = try mesh.explain(ExplainQuestion(service: "com.acme.A:2.0:green"))
        #expect(green.explanation.hosts.isEmpty)
    }

    @Test("A call is one of whichever protocol knows its interface")
    func explainKinds() throws {
        let mesh = try TestMesh {
            for kind in [ListenerProtocol.dubbo, .bolt] {
                let address = SocketAddress("127.0.0.1:0")!
                $0.listeners.append(ListenerConfiguration(name: kind.rawValue, protocol: kind, address: address))
            }
        }
        defer { mesh.stop() }
        mesh.control.directory.touch(ServiceKey(kind: .bolt, name: "com.acme.B"))
        #expect(try mesh.comesTrue { mesh.control.snapshots.keys.contains { $0.name == "com.acme.B" } })
        for (name, kind) in [
            ("com.acme.B", ServiceKey.Kind.bolt), ("com.acme.B:1.0:blue", .bolt), ("com.acme.C:1.0", .dubbo),
        ] {
            #expect(try mesh.explain(ExplainQuestion(service: name)).service?.kind == kind, "\(name)")
        }
        var question = ExplainQuestion(service: "com.acme.B")
        question.group = "blue"
        #expect(try mesh.explain(question).service == ServiceKey(kind: .bolt, name: "com.acme.B"))
        question.kind = .dubbo
        #expect(try mesh.explain(question).service?.kind == .dubbo)
    }

    @Test("A changed file changes policies, hosts and paths at once; a wrong one changes nothing")
    func reload() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0"), ("b", "2.0")])
        defer { mesh.stop() }
        let path = mesh.directory.path(of: "greymesh.yaml")
        mesh.reload = { try Configuration.load(path: path) }
        _ = try mesh.get()
        func file(_ services: String) throws {
            let url = "file:" + mesh.directory.path(of: "services.yaml")
            try mesh.directory.write(
                "greymesh.yaml",
                """
                workers: 2
                registries: ["\(url)"]
                listeners: [{name: http, protocol: http, listen: "127.0.0.1:0"}]
                services:
                \(services)
                """)
            mesh.control.reloadConfiguration()
            // A request may overtake a message to a worker that takes more than a moment; a report comes after it.
            _ = try mesh.traffic()
        }
        try file("  order-service: {stable: \"2.0\", hosts: [o.example]}\n  new-service: {}")
        #expect(mesh.log.contains("event=configuration.loaded"))
        #expect(!mesh.log.contains("needs_restart"))
        for _ in 0..<5 { #expect(try mesh.get(host: "o.example").text == "b") }
        #expect(
            mesh.control.directory.statuses.filter(\.isRequired).map(\.key.name) == ["new-service", "order-service"])

        try file("  order-service: {stabel: \"1.0\"}")
        #expect(mesh.log.contains("greymesh.yaml:5: unknown key \\\"stabel\\\""))
        #expect(try mesh.get(host: "o.example").text == "b")

        try file("  order-service: {stable: \"1.0\", paths: [/o]}")
        for _ in 0..<5 { #expect(try mesh.get("/o/1", host: "127.0.0.1").text == "a") }
        #expect(try mesh.get(host: "o.example").status == 503)
        #expect(mesh.control.directory.statuses.filter(\.isRequired).map(\.key.name) == ["order-service"])
    }

    @Test("An inbound listener's application stays known while it is used")
    func inbound() throws {
        let application = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        let mesh = try TestMesh {
            $0.listeners[0].forward = application
            // Then used services are told every second.
            $0.limits.serviceIdle = .seconds(1)
        }
        defer { mesh.stop() }
        let server = WebServer(loop: mesh.loop) { _, respond in respond(.text("own")) }
        try server.listen(on: application)
        defer { server.stop() }
        let end = Clock.nanoseconds + 2_500_000_000
        while Clock.nanoseconds < end { #expect(try mesh.get(host: "any").text == "own") }
        #expect(mesh.control.directory.count == 0)
    }

    @Test("What cannot change live is named and stays as it was")
    func reloadNeedsRestart() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")])
        defer { mesh.stop() }
        var changed = mesh.control.configuration
        changed.workers = 9
        changed.registries = []
        changed.listeners = []
        mesh.reload = { [changed] in changed }
        let listeners = mesh.control.configuration.listeners
        mesh.control.reloadConfiguration()
        for setting in ["workers", "registries", "listeners"] {
            #expect(mesh.log.contains("event=configuration.needs_restart setting=\(setting)"))
        }
        #expect(mesh.control.configuration.listeners == listeners)
        #expect(try mesh.get().text == "a")
    }

    @Test("Services of the configuration are known before the process is ready, or time is over")
    func readiness() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) { $0.services["order-service"] = ServiceConfiguration() }
        defer { mesh.stop() }
        #expect(!mesh.control.isReady)
        #expect(mesh.loop.run(for: .seconds(10)) { mesh.control.isReady })
        #expect(mesh.control.snapshots.count == 1)
    }

    @Test(
        "A registry that refuses or never answers holds readiness up for the discovery timeout",
        arguments: [true, false])
    func readinessWithoutRegistry(refuses: Bool) throws {
        // It connects, by the backlog, but nobody ever reads.
        let silent = try Socket.listen(on: SocketAddress("127.0.0.1:0")!, shared: false)
        let address = try #require(Socket.localAddress(silent))
        defer { if !refuses { Socket.close(silent) } }
        if refuses { Socket.close(silent) }
        let start = Clock.nanoseconds
        let mesh = try TestMesh {
            $0.services["order-service"] = ServiceConfiguration()
            $0.registries = [RegistryConfiguration(url: "nacos://\(address)")]
            $0.limits.discoveryTimeout = .milliseconds(400)
        }
        defer { mesh.stop() }
        #expect(mesh.loop.run(for: .seconds(10)) { mesh.control.isReady })
        #expect(Clock.nanoseconds - start >= 400_000_000)
    }

    @Test("A drain lets the request in flight end and accepts no other")
    func drain() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")])
        defer { mesh.stop() }
        let host = try #require(mesh.hosts["a"])
        var finish: ((Response) -> Void)?
        host.answersLater = { finish = $0 }
        var slow: Result<HTTPResponse, HTTPError>?
        mesh.send { slow = $0 }
        #expect(mesh.loop.run(for: .seconds(10)) { finish != nil })
        var stopped = 0
        mesh.control.onStopped = { stopped += 1 }
        mesh.control.drain()
        mesh.control.drain()
        #expect(mesh.control.isDraining && !mesh.control.isReady)
        #expect(
            try mesh.comesTrue {
                guard let descriptor = try? Socket.connect(to: mesh.control.listenerAddresses[0]) else { return true }
                defer { Socket.close(descriptor) }
                return mesh.loop.run(for: .milliseconds(20)) { Socket.connectError(descriptor) != 0 }
            })
        #expect(stopped == 0 && slow == nil)
        finish?(.text("late"))
        #expect(mesh.loop.run(for: .seconds(10)) { stopped == 1 && slow != nil })
        #expect(try slow?.get().text == "late")
        #expect(mesh.log.contains("event=drain.done"))
    }

    @Test("A drain ends after its time, whatever is in flight")
    func drainTimeout() throws {
        let mesh = try TestMesh(hosts: [("a", "1.0")]) { $0.drainTimeout = .milliseconds(100) }
        defer { mesh.stop() }
        var isBusy = false
        mesh.hosts["a"]?.answersLater = { _ in isBusy = true }
        mesh.send { _ in }
        #expect(mesh.loop.run(for: .seconds(10)) { isBusy })
        var isStopped = false
        mesh.control.onStopped = { isStopped = true }
        mesh.control.drain()
        #expect(mesh.loop.run(for: .seconds(10)) { isStopped })
        #expect(mesh.log.contains("event=drain.timeout busy_workers=1"))
    }
}
