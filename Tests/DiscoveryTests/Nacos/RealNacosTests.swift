import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Against real Nacos servers. One at a time: each takes half a gigabyte.
@Suite(.serialized, .enabled(if: Peers.areAvailable)) struct RealNacosTests {
    /// A server, and an application that registers in it by HTTP.
    final class Server {
        let port: UInt16
        private let name: String
        private let directory: TemporaryDirectory
        private let fixture: Fixture
        private var process: ChildProcess?
        private var token = ""

        init(_ name: String, _ fixture: Fixture) throws {
            self.name = name
            self.fixture = fixture
            directory = try TemporaryDirectory()
            port = try FreePort.next(offsets: [0, 1000, 1001, -1000])
        }

        deinit { process?.terminate(grace: .zero) }

        var base: String { "http://127.0.0.1:\(port)/nacos" }

        func start(_ settings: String...) throws {
            let arguments = ["port=\(port)", "data=\(directory.path)", "auth=on"] + settings
            // On a machine that is busy with other tests its database may give up waiting for itself.
            do {
                process = try Peers.start(name, arguments)
            } catch {
                process = try Peers.start(name, arguments)
            }
        }

        func kill() throws {
            process?.signal(SIGKILL)
            try process?.waitForExit()
        }

        func logIn(_ path: String = "/v1/auth/login") throws {
            let response = try exchange("POST", path, [("username", "nacos"), ("password", "nacos")])
            token = try #require(NacosAnswer.token(response.body)).token
        }

        /// Registers a host at 127.0.0.1; `api` is `/v1/ns` or `/v3/client/ns`.
        func register(_ service: String, _ port: Int, _ metadata: String, weight: Double = 1, api: String = "/v1/ns")
            throws
        {
            let response = try exchange(
                "POST", api + "/instance",
                [
                    ("serviceName", service), ("ip", "127.0.0.1"), ("port", "\(port)"), ("metadata", metadata),
                    ("weight", "\(weight)"),
                ])
            guard response.status == 200 else { throw TestFailure("register: \(response.status) \(response.text)") }
        }

        /// How many hosts a service has, over HTTP.
        func count(_ service: String) throws -> Int {
            let response = try exchange("GET", "/v1/ns/instance/list", [("serviceName", service)])
            var list = NacosAnswer.HostList()
            _ = try NacosAnswer.read(response.body, into: &list)
            return list.hosts.count
        }

        func deregister(_ service: String, _ port: Int) throws {
            _ = try exchange(
                "DELETE", "/v1/ns/instance", [("serviceName", service), ("ip", "127.0.0.1"), ("port", "\(port)")])
        }

        /// Asks clients to connect anew until one is left.
        func resetConnections() throws {
            _ = try exchange("GET", "/v2/core/loader/reloadCurrent", [("count", "1")])
        }

        private func exchange(_ method: String, _ path: String, _ parameters: [(String, String)]) throws -> HTTPResponse
        {
            var result: Result<HTTPResponse, HTTPError>?
            let url = base + path + "?" + PercentEncoding.form(parameters)
            fixture.context.http.send(HTTPRequest(method, url, headers: [("accessToken", token)])) { result = $0 }
            _ = fixture.wait { result != nil }
            return try #require(result).get()
        }
    }

    static let echo10 =
        #"{"protocol":"dubbo","category":"providers","interface":"demo.Echo","version":"1.0.0","weight":"200"}"#
    static let echo20 =
        #"{"protocol":"dubbo","interface":"demo.Echo","version":"2.0.0","group":"blue","dubbo.tag":"gray"}"#

    @Test(arguments: ["nacos2", "nacos3"])
    func followsAServerThroughChangesAndARestart(name: String) throws {
        let fixture = try Fixture()
        let server = try Server(name, fixture)
        try server.start()
        let application = try Application(server)
        try expectRefusals(server, fixture)
        try server.logIn()
        var settings = NacosSettings(servers: [server.base])
        settings.credentials = .init(user: "nacos", password: "nacos")
        settings.poll = .milliseconds(200)
        settings.serverBackoff = Backoff(first: .milliseconds(100), cap: .milliseconds(500))
        let pushing = try Pushing(settings, server, fixture)
        defer { pushing.stop() }
        try pushing.expectRegistrations(fixture, server)
        if name == "nacos2" {
            try server.resetConnections()
            pushing.expectMove(fixture)
        }
        var limits = AnswerLimits()
        limits.confirmTime = .seconds(1)
        limits.settleTime = .seconds(4)
        let directory = fixture.directory(limits: limits) { [settings] in
            NacosRegistry(settings, url: "nacos://test", context: fixture.context, reports: $0)
        }
        defer { directory.stop() }
        let registry = directory.registries[0]
        let (order, echo) = (ServiceKey.http("order"), ServiceKey.dubbo("demo.Echo"))
        directory.require(order)
        directory.require(echo)
        #expect(fixture.wait { fixture.addresses(order) == [] && fixture.addresses(echo) == [] })

        try server.register("order", 9001, #"{"version":"v1"}"#)
        try server.register("order", 9002, #"{"version":"v2","none":null}"#, weight: 2.5)
        try server.register("providers:demo.Echo:1.0.0:", 9003, Self.echo10)
        try server.register("providers:demo.Echo:2.0.0:blue", 9004, Self.echo20)
        try server.register("providers:demo.Echo:1.0.0:", 9005, #"{"protocol":"tri"}"#)
        #expect(fixture.wait { fixture.addresses(order) == ["127.0.0.1:9001", "127.0.0.1:9002"] })
        #expect(fixture.wait { fixture.addresses(echo) == ["127.0.0.1:9003", "127.0.0.1:9004"] })
        #expect(fixture.told[order]?.last?.map(\.metadata) == [["version": "v1"], ["version": "v2"]])
        #expect(fixture.told[order]?.last?.map(\.weight) == [1, 2.5])
        let echoes = try #require(fixture.told[echo]?.last)
        #expect(echoes.map(\.interfaceVersion) == ["1.0.0", "2.0.0"] && echoes.map(\.group) == ["", "blue"])
        #expect(echoes.map(\.weight) == [2, 1])

        try application.expectIsKnown(fixture, directory, pushing)

        try server.deregister("order", 9001)
        #expect(fixture.wait { fixture.addresses(order) == ["127.0.0.1:9002"] })

        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed && pushing.watcher.status.mode == .polling })
        let known = fixture.told
        // The restarted 3.x server has the new API only.
        let isNewOnly = name == "nacos3"
        try server.start(isNewOnly ? "set.nacos.core.api.compatibility.client.enabled=false" : "log=ERROR")
        let changes = registry.status.lastSuccess
        #expect(fixture.wait { registry.status.state == .connected && registry.status.lastSuccess != changes })
        #expect(fixture.told == known)
        // The owner comes back, the others never do.
        try server.logIn(isNewOnly ? "/v3/auth/user/login" : "/v1/auth/login")
        try server.register(
            "order", 9002, #"{"version":"v2"}"#, weight: 2.5, api: isNewOnly ? "/v3/client/ns" : "/v1/ns")
        #expect(fixture.wait { fixture.addresses(echo) == [] })
        #expect(fixture.told[order] == known[order])
        #expect(fixture.log.contains("registry.failed") && fixture.log.contains("registry.recovered"))
        if isNewOnly { #expect(fixture.log.contains("api=v3")) }
        pushing.expectAllIsBack(fixture)
    }

    /// A Dubbo 3.3 application that registers at application level alone and keeps to itself what it offers, as is usual.
    final class Application {
        private var program: ChildProcess
        private let port: UInt16
        private let arguments: [String]

        init(_ server: Server) throws {
            port = try FreePort.next()
            arguments = [
                "port=\(port)", "version=1.5.0", "group=g", "tag=gray", "weight=30", "app=local",
                "register=instance", "registry=nacos://nacos:nacos@127.0.0.1:\(server.port)", "shutdown-wait=100",
            ]
            program = try Peers.launch("dubbo33-provider", arguments)
        }

        deinit { program.terminate(grace: .zero) }

        private func restarted() throws -> ChildProcess {
            program.terminate(grace: .zero)
            return try Peers.launch("dubbo33-provider", arguments)
        }

        /// Polled and pushed it is known with all that it offers, and is then left alone.
        func expectIsKnown(_ fixture: Fixture, _ directory: ServiceDirectory, _ pushing: Pushing) throws {
            let service = ServiceKey.dubbo("demo.EchoService")
            directory.require(service)
            pushing.watcher.subscribe(service)
            var isPolled = false
            for attempt in 0..<3 where !isPolled {
                if attempt > 0 { program = try restarted() }
                // On a busy machine Dubbo may not get its mapping into a server that has just started, and says so for minutes.
                let isTold = fixture.wait(.seconds(40)) {
                    !(fixture.told[service]?.last ?? []).isEmpty || attempt < 2 && program.errors.contains(" mapping ")
                }
                isPolled = isTold && !(fixture.told[service]?.last ?? []).isEmpty
            }
            #expect(isPolled, "\(program.errors) \(fixture.log)")
            let host = try #require(fixture.told[service]?.last?.first)
            #expect(host.address.port == port && host.interfaceVersion == "1.5.0" && host.group == "g")
            #expect(
                host.weight == 0.3 && host.metadata["dubbo.tag"] == "gray" && host.metadata["application"] == "local")
            #expect(fixture.wait { pushing.seen[service] == ["127.0.0.1:\(port) 1.5.0"] }, "\(pushing.seen)")
            #expect(fixture.told[service]?.contains { $0.contains { $0.interfaceVersion.isEmpty } } == false)
            directory.release(service)
            pushing.watcher.unsubscribe(service)
            program.terminate(grace: .zero)
        }
    }

    /// One adapter that watches by push, and one that registers.
    final class Pushing {
        let watcher: NacosRegistry
        private let owner: NacosRegistry
        private let settings: NacosSettings
        fileprivate private(set) var seen: [ServiceKey: [String]] = [:]
        /// Fewest hosts of `cart` that were told.
        private var fewest = 0
        private let cart = ServiceKey.http("cart")
        private let shelf = ServiceKey.http("shelf")
        private let lamp = ServiceKey.dubbo("demo.Lamp")

        init(_ polling: NacosSettings, _ server: Server, _ fixture: Fixture) throws {
            var settings = polling
            settings.poll = .seconds(1)
            settings.pushServers = [.init(host: "127.0.0.1", port: server.port + 1000)]
            self.settings = settings
            var report: (ServiceKey, [Instance]) -> Void = { _, _ in }
            let reports = RegistryReports(instances: { report($0, $1) })
            watcher = NacosRegistry(settings, url: "nacos://watcher", context: fixture.context, reports: reports)
            owner = NacosRegistry(
                settings, url: "nacos://owner", context: fixture.context, reports: RegistryReports { _, _ in })
            report = { [unowned self] service, list in
                seen[service] = list.map { "\($0.address) \($0.interfaceVersion)" }
                if service == cart { fewest = min(fewest, list.count) }
            }
        }

        func stop() {
            watcher.stop()
            owner.stop()
        }

        private func registration(_ service: ServiceKey, _ port: UInt16) -> Registration {
            var registration = Registration(service: service, host: "127.0.0.1", port: port)
            if service.kind == .dubbo { registration.interfaceVersion = "1.0.0" }
            return registration
        }

        private var isAllThere: Bool {
            seen[cart] == ["127.0.0.1:9011 ", "127.0.0.1:9012 "] && seen[lamp] == ["127.0.0.1:9013 1.0.0"]
        }

        func expectRegistrations(_ fixture: Fixture, _ server: Server) throws {
            watcher.subscribe(shelf)
            watcher.subscribe(cart)
            watcher.subscribe(lamp)
            #expect(fixture.wait { seen[cart] == [] && watcher.watcher.services["cart"]?.feed == .pushed })
            owner.register(registration(cart, 9011))
            owner.register(registration(cart, 9012))
            owner.register(registration(lamp, 9013))
            // The name of a Dubbo service that is new is told by 3.x; others list names from time to time.
            #expect(fixture.wait { seen[cart]?.count == 2 && owner.status.registered == 3 }, "\(seen) \(fixture.log)")
            // Both ways see the same.
            #expect(try server.count("cart") == 2 && server.count("providers:demo.Lamp:1.0.0:") == 1)
            // What is registered over a connection is out of reach for deletions over HTTP: there is nothing to put back.
            try server.deregister("cart", 9011)
            #expect(try server.count("cart") == 2)
            try server.register("shelf", 9016, "{}")
            #expect(fixture.wait { seen[shelf] == ["127.0.0.1:9016 "] })
            watcher.refresh(lamp)
            // What a process that ends has registered ends with it.
            let leaver = NacosRegistry(
                settings, url: "nacos://leaver", context: fixture.context, reports: RegistryReports { _, _ in })
            leaver.register(registration(cart, 9019))
            #expect(fixture.wait { seen[cart]?.count == 3 })
            leaver.stop()
            let left = Clock.nanoseconds
            #expect(fixture.wait { seen[cart]?.count == 2 })
            #expect(Clock.nanoseconds - left < 3_000_000_000)
            var outcome: [String?] = []
            owner.register(registration(cart, 9014))
            #expect(fixture.wait { seen[cart]?.count == 3 })
            owner.deregister(registration(cart, 9014).identity) { outcome.append($0) }
            #expect(fixture.wait { outcome == [nil] && isAllThere }, "\(seen)")
        }

        /// The server asks to connect anew: nothing is missing meanwhile.
        func expectMove(_ fixture: Fixture) {
            fewest = 2
            #expect(fixture.wait { fixture.log.contains("event=registry.push_moves ") })
            owner.register(registration(cart, 9015))
            #expect(fixture.wait { seen[cart]?.count == 3 && owner.status.registered == 4 })
            owner.deregister(registration(cart, 9015).identity) { _ in }
            #expect(fixture.wait { isAllThere })
            #expect(fewest == 2 && watcher.status.mode == .push)
        }

        /// After a restart of the server.
        func expectAllIsBack(_ fixture: Fixture) {
            #expect(fixture.wait { owner.status.registered == 3 && isAllThere }, "\(seen) \(fixture.log)")
            #expect(watcher.status.mode == .push && watcher.status.unsteadyAt != nil)
        }
    }

    /// Wrong credentials are told, and the log does not hold them.
    private func expectRefusals(_ server: Server, _ fixture: Fixture) throws {
        let service = ServiceKey.http("refused")
        for (credentials, words) in [(nil, "wants a login"), ("wrong&password", "login refused")] {
            var settings = NacosSettings(servers: [server.base])
            settings.credentials = credentials.map { .init(user: "nacos", password: $0) }
            let registry = NacosRegistry(
                settings, url: "nacos://test", context: fixture.context, reports: fixture.reports)
            registry.subscribe(service)
            #expect(fixture.wait { fixture.failures[service]?.contains(words) == true })
            #expect(registry.status.state == .failed)
            registry.stop()
        }
        #expect(fixture.told.isEmpty)
        #expect(!fixture.log.contains("wrong&password"))
    }
}
