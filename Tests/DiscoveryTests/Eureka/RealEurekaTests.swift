import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Against a real Eureka server, with real applications that register in it.
@Suite(.serialized, .enabled(if: Peers.areAvailable)) struct RealEurekaTests {
    final class Server {
        let port: UInt16
        private(set) var process: ChildProcess?

        init() throws { port = try FreePort.next() }

        deinit { process?.terminate(grace: .zero) }

        var base: String { "http://127.0.0.1:\(port)/eureka" }

        func start() throws {
            process = try Peers.start(
                "eureka",
                [
                    "port=\(port)", "responseCacheMillis=500", "selfPreservation=false", "evictionMillis=1000",
                ])
        }

        func kill() throws {
            process?.signal(SIGKILL)
            try process?.waitForExit()
        }

        /// An application that registers itself.
        func provider(_ version: String) throws -> ChildProcess {
            try Peers.start(
                "http-provider",
                [
                    "port=\(try FreePort.next())", "name=\(version)", "service=order", "version=\(version)",
                    "meta.zone=z1",
                    "registry=eureka://127.0.0.1:\(port)?renew=1&duration=2",
                ])
        }
    }

    let fixture: Fixture

    init() throws { fixture = try Fixture() }

    private func get(_ url: String) throws -> HTTPResponse {
        var result: Result<HTTPResponse, HTTPError>?
        fixture.context.http.send(HTTPRequest("GET", url, headers: [("Accept", "application/json")])) { result = $0 }
        _ = fixture.wait { result != nil }
        return try #require(result).get()
    }

    private func versions(_ key: ServiceKey) -> [String] {
        (fixture.told[key]?.last ?? []).compactMap { $0.metadata["version"] }.sorted()
    }

    @Test func followsAServerThroughChangesAndARestart() throws {
        let server = try Server()
        try server.start()
        var settings = EurekaSettings(servers: [server.base])
        settings.poll = .milliseconds(250)
        settings.heartbeat = .seconds(1)
        settings.serverBackoff = Backoff(first: .milliseconds(100), cap: .milliseconds(500))
        var limits = AnswerLimits()
        limits.confirmTime = .seconds(1)
        limits.settleTime = .seconds(3)
        let directory = fixture.directory(limits: limits) { [settings, fixture] in
            EurekaRegistry(settings, url: "eureka://test", context: fixture.context, reports: $0)
        }
        defer { directory.stop() }
        let registry = try #require(directory.registries[0] as? EurekaRegistry)
        let (order, own) = (ServiceKey.http("order"), ServiceKey.http("Own-App"))
        directory.require(order)
        directory.require(own)
        #expect(fixture.wait { fixture.addresses(order) == [] && fixture.addresses(own) == [] })

        let first = try server.provider("v1")
        let second = try server.provider("v2")
        defer { for provider in [first, second] { provider.terminate(grace: .zero) } }
        #expect(fixture.wait { versions(order) == ["v1", "v2"] })
        #expect(fixture.told[order]?.last?.allSatisfy { $0.metadata["zone"] == "z1" && $0.weight == 1 } == true)

        var registration = Registration(service: own, host: "127.0.0.1", port: 18_080)
        registration.weight = 3
        registration.metadata = ["version": "v7"]
        registry.register(registration)
        #expect(fixture.wait { registry.status.registered == 1 })
        #expect(fixture.wait { versions(own) == ["v7"] })
        #expect(fixture.told[own]?.last?.first?.weight == 3)
        #expect(try get(server.base + "/apps/own-app/127.0.0.1:own-app:18080").status == 200)
        // Spring's clients look by this.
        #expect(try get(server.base + "/vips/own-app").text.contains("v7"))
        // The server takes it for changed although it has it already.
        registration.metadata = ["version": "v8"]
        registry.register(registration)
        #expect(fixture.wait { versions(own) == ["v8"] })

        // One application dies, the server evicts it.
        first.signal(SIGKILL)
        #expect(fixture.wait { versions(order) == ["v2"] })

        try server.kill()
        #expect(fixture.wait { registry.status.state == .failed })
        let known = fixture.told
        try server.start()
        #expect(fixture.wait { registry.status.state == .connected })
        // It comes back knowing nothing; heartbeats find that out.
        #expect(fixture.wait { registry.status.registered == 1 })
        #expect(
            fixture.wait {
                (try? get(server.base + "/apps/own-app/127.0.0.1:own-app:18080").status) == 200
                    && registry.status.instances == 2
            })
        #expect(fixture.told == known, "no host was taken away or told anew")

        var outcome: String??
        registry.deregister(registration.identity) { outcome = .some($0) }
        #expect(fixture.wait { outcome != nil })
        #expect(outcome == .some(nil))
        #expect(try get(server.base + "/apps/own-app/127.0.0.1:own-app:18080").status == 404)
        #expect(fixture.wait { fixture.addresses(own) == [] })
    }
}
