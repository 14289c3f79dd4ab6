import Configuration
import Discovery
import Runtime
import TestSupport
import Testing
import WebServer

@testable import ControlPlane

@Suite("Listing applications while they serve")
struct RegistrationsTests {
    @Test("It is listed when it answers, taken out after failed checks, and listed again when it has stayed well")
    func life() throws {
        let application = try StubApplication(isOpen: false)
        let world = try RegistrationWorld([.quick("web", .application(application.port)) { $0.version = "2.0" }])
        defer { world.stop() }
        #expect(world.wait { world.log.contains("event=application.awaited") })
        let awaited = try #require(world.registrations.statuses.first)
        #expect(awaited.health == .down && awaited.problem?.contains("Connection refused") == true)
        #expect(awaited.registries.map(\.state) == [.waiting] && world.stubs[0].calls.isEmpty)
        try application.open()
        #expect(world.wait { world.isRegistered() })
        #expect(world.stubs[0].listed.values.first?.metadata == ["version": "2.0"])
        #expect(world.state()?.host == "127.0.0.1" && world.registrations.statuses[0].problem == nil)
        application.close()
        #expect(world.wait { world.stubs[0].listed.isEmpty })
        #expect(world.log.contains("event=application.down") && world.registrations.statuses[0].health == .down)
        try application.open()
        #expect(world.wait { world.isRegistered() })
        let at = "web 127.0.0.1:\(application.port)"
        #expect(world.stubs[0].calls == ["+ \(at) 1.0", "- \(at)", "+ \(at) 1.0"])
        #expect(world.logged("event=registration.registered") == 2)
        #expect(world.logged("event=registration.withdrawn") == 1)
    }

    @Test("A reload that changes how an application is checked touches none of its entries")
    func reloadOfChecks() throws {
        let application = try StubApplication(isOpen: true)
        func entry(_ name: String, _ failures: Int) -> RegistrationConfiguration {
            .quick(name, .application(application.port), failures: failures)
        }
        let world = try RegistrationWorld([entry("a", 2), entry("b", 2)])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered(0) && world.isRegistered(1) })
        world.reload([entry("new", 3), entry("a", 3), entry("b", 3)])
        #expect(world.wait { (0..<3).allSatisfy { world.isRegistered($0) } })
        #expect(world.stubs[0].calls.count == 3 && !world.stubs[0].calls.contains { $0.hasPrefix("-") })
        // It is checked all the same.
        application.close()
        #expect(world.wait { world.stubs[0].listed.isEmpty })
    }

    @Test("How long others have known counts from the last entry that was taken out, not from the last that was tried")
    func withdrawnAt() throws {
        let world = try RegistrationWorld(
            registries: ["nacos://127.0.0.1:1", "zookeeper://127.0.0.1:2"], [.unchecked("web", 80)])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered(in: 0) && world.isRegistered(in: 1) })
        world.stubs[1].manner = .isSilent
        var end: Int64?
        let begin = Clock.nanoseconds
        world.registrations.withdraw { _ in end = Clock.nanoseconds }
        #expect(world.wait { end != nil })
        let withdrawnAt = world.registrations.withdrawnAt
        #expect(withdrawnAt >= begin && (end ?? 0) - withdrawnAt >= 200_000_000)
    }

    @Test("A SOFA RPC interface goes to the registries that take it, and its usual version is none")
    func bolt() throws {
        let world = try RegistrationWorld(
            registries: ["nacos://127.0.0.1:1", "zookeeper://127.0.0.1:2"],
            [
                .unchecked("com.acme.A", 80) { ($0.protocol, $0.version, $0.group) = (.bolt, "1.0", "blue") },
                .unchecked("com.acme.B", 81) {
                    ($0.protocol, $0.version, $0.metadata) = (.bolt, "2.0", ["version": "v7"])
                },
            ])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered(0) && world.isRegistered(1) })
        #expect(world.stubs[0].listed.isEmpty)
        let listed = world.stubs[1].listed.values.sorted { $0.port < $1.port }
        #expect(listed.map(\.service.description) == ["bolt:com.acme.A", "bolt:com.acme.B"])
        #expect(listed.map(\.interfaceVersion) == ["", "2.0"] && listed.map(\.group) == ["blue", ""])
        #expect(listed.map(\.metadata) == [[:], ["version": "v7"]])
    }

    @Test("While another address is looked up the one that is listed stays")
    func reloadOfAddress() throws {
        let world = try RegistrationWorld([.unchecked("web", 80)], names: ["late": "127.0.0.9"])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() })
        world.reload([.unchecked("web", 80) { $0.address = .named("late") }])
        #expect(world.stubs[0].calls == ["+ web 127.0.0.1:80 1.0"])
        #expect(world.wait { world.isRegistered() && world.state()?.host == "late" })
        #expect(world.stubs[0].listed.keys.map(\.host) == ["late"])
    }

    @Test("HTTP: 200 to 399 is well, all else and silence is not")
    func healthByHTTP() throws {
        let loop = try EventLoop()
        let page = Page()
        let server = WebServer(loop: loop) { request, respond in page.answer(request, respond) }
        let address = try server.listen(on: SocketAddress("127.0.0.1:0")!)
        defer { server.stop() }
        func check(_ path: String, _ address: SocketAddress) -> String? {
            var outcome: String??
            let target = HealthTarget(addresses: [address], path: path, timeout: .milliseconds(200))
            let probe = HealthProbe(target, loop: loop) { outcome = .some($0) }
            #expect(loop.run(for: .seconds(10)) { outcome != nil })
            withExtendedLifetime(probe) {}
            return outcome ?? "none"
        }
        for status in [200, 204, 302, 399] { #expect(check("/\(status)", address) == nil) }
        for status in [404, 500, 503] {
            #expect(check("/\(status)", address) == "GET /\(status) at \(address): answers \(status)")
        }
        #expect(check("/silent", address)?.contains("no answer in time") == true)
        let closed = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        #expect(check("/200", closed)?.hasPrefix("connect to \(closed)") == true)
    }

    private final class Page {
        func answer(_ request: Request, _ respond: (Response) -> Void) {
            if let status = Int(request.path.dropFirst()) { respond(.text("x", status: status)) }
        }
    }

    @Test("A check goes on to the next address, and one that was cancelled says nothing")
    func candidates() throws {
        let application = try StubApplication(isOpen: true)
        let loop = try EventLoop()
        let closed = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        let open = SocketAddress(ipv4: 0x7f00_0001, port: application.port)
        var outcomes: [String?] = []
        let probe = HealthProbe(
            HealthTarget(addresses: [closed, open], path: nil, timeout: .seconds(1)), loop: loop
        ) { outcomes.append($0) }
        #expect(loop.run(for: .seconds(10)) { outcomes == [nil] })
        let refused = HealthProbe(
            HealthTarget(addresses: [closed, closed], path: nil, timeout: .seconds(1)), loop: loop
        ) { outcomes.append($0) }
        #expect(loop.run(for: .seconds(10)) { outcomes.count == 2 })
        #expect(outcomes[1] == "connect to \(closed): Connection refused")
        let cancelled = HealthProbe(
            HealthTarget(addresses: [closed, open], path: nil, timeout: .seconds(1)), loop: loop
        ) { outcomes.append($0) }
        cancelled.cancel()
        _ = loop.run(for: .milliseconds(100)) { false }
        #expect(outcomes.count == 2)
        withExtendedLifetime((probe, refused)) {}
    }

    @Test("A registry that is away is told in words, once, and does not keep the others")
    func registryAway() throws {
        let world = try RegistrationWorld(
            registries: ["nacos://127.0.0.1:1", "zookeeper://127.0.0.1:2", "etcd://127.0.0.1:3"],
            [.unchecked("web", 80)]
        ) {
            $0[1].manner = .refuses("connection refused")
            $0[2].manner = .isSilent
        }
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() && world.state(in: 2)?.reason != nil })
        for identity in world.stubs[1].listed.keys { world.stubs[1].report(identity, "connection refused") }
        #expect(world.state(in: 1)?.state == .failed && world.state(in: 1)?.reason == "connection refused")
        #expect(world.logged("event=registration.failed") == 1)
        #expect(world.state(in: 2)?.state == .registering)
        #expect(world.state(in: 2)?.reason == "the registry has not answered yet")
        world.pass(.milliseconds(50))
        #expect(world.logged("event=registration.awaited") == 1)
        for stub in world.stubs { for identity in stub.listed.keys { stub.report(identity, nil) } }
        #expect((0..<3).allSatisfy { world.isRegistered(in: $0) && world.state(in: $0)?.reason == nil })
        #expect(world.stubs.allSatisfy { $0.calls.count == 1 })
    }

    @Test("A reload adds, changes and takes out, without taking out what stays")
    func reload() throws {
        let world = try RegistrationWorld(
            registries: ["nacos://127.0.0.1:1", "zookeeper://127.0.0.1:2"],
            [.unchecked("web", 80), .unchecked("old", 81) { $0.registries = ["nacos"] }])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered(0, in: 1) && world.isRegistered(1) })
        #expect(world.stubs[1].calls == ["+ web 127.0.0.1:80 1.0"])
        world.reload([
            .unchecked("web", 80) {
                $0.weight = 50
                $0.registries = ["zookeeper"]
            },
            .unchecked("new", 82),
        ])
        #expect(world.wait { world.isRegistered(0) && world.isRegistered(1) && world.isRegistered(1, in: 1) })
        #expect(Set(world.stubs[0].listed.keys.map(\.service.name)) == ["new"])
        #expect(
            world.stubs[1].calls.filter { $0.contains("web") } == ["+ web 127.0.0.1:80 1.0", "+ web 127.0.0.1:80 0.5"])
        world.reload([])
        #expect(world.wait { world.stubs.allSatisfy { $0.listed.isEmpty } })
        #expect(world.registrations.statuses.isEmpty)
    }

    @Test("Another health check does not take out what serves")
    func reloadHealth() throws {
        let application = try StubApplication(isOpen: true)
        let world = try RegistrationWorld([.quick("web", .application(application.port))])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() })
        world.reload([.quick("web", .application(application.port), failures: 4)])
        world.pass(.milliseconds(100))
        #expect(world.stubs[0].calls.count == 1 && world.isRegistered())
        application.close()
        #expect(world.wait { world.stubs[0].listed.isEmpty })
    }

    @Test("What is being taken out is listed again only when that has ended")
    func order() throws {
        let world = try RegistrationWorld([.unchecked("web", 80)], patience: .seconds(60))
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() })
        world.stubs[0].manner = .isSilent
        world.reload([])
        world.reload([.unchecked("web", 80)])
        world.pass(.milliseconds(50))
        #expect(world.stubs[0].calls == ["+ web 127.0.0.1:80 1.0", "- web 127.0.0.1:80"])
        world.stubs[0].manner = .confirms
        world.stubs[0].settleDebts()
        #expect(world.wait { world.isRegistered() })
        #expect(world.stubs[0].calls.last == "+ web 127.0.0.1:80 1.0")
    }

    @Test("Two that would be one entry: the first is listed, the second says so")
    func sharedEntry() throws {
        // By different words the same address: the configuration cannot see that.
        let world = try RegistrationWorld(
            [
                .unchecked("web", 80) { $0.version = "1" },
                .unchecked("web", 80) {
                    $0.version = "2"
                    $0.address = .named("lo")
                },
            ])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() })
        #expect(world.state(1)?.state == .failed)
        #expect(world.state(1)?.reason == "another registration is listed with the same name, address and port")
        #expect(world.stubs[0].calls == ["+ web 127.0.0.1:80 1.0"])
        // When the first goes, the second takes its place without a gap.
        world.reload([world.configuration.registrations[1]])
        #expect(world.wait { world.isRegistered() })
        #expect(world.stubs[0].calls.allSatisfy { $0.hasPrefix("+") })
        #expect(world.stubs[0].listed.values.first?.metadata["version"] == "2")
    }

    @Test("A listener's port is published, the application behind it is checked")
    func listener() throws {
        let application = try StubApplication(isOpen: true)
        var inbound = ListenerConfiguration(name: "in", protocol: .dubbo, address: SocketAddress("127.0.0.1:20881")!)
        inbound.forward = SocketAddress(ipv4: 0x7f00_0001, port: application.port)
        let world = try RegistrationWorld(
            listeners: [inbound],
            [
                .quick("com.acme.A", .listener("in")) { ($0.version, $0.group) = ("1.0.0", "g") },
                .quick("com.acme.B", .listener("later")),
            ])
        defer { world.stop() }
        #expect(world.wait { world.isRegistered() })
        let listed = try #require(world.stubs[0].listed.keys.first)
        #expect("\(listed)" == "dubbo:com.acme.A:1.0.0:g at 127.0.0.1:20881")
        #expect(world.registrations.statuses[0].checked == "127.0.0.1:\(application.port)")
        #expect(world.registrations.statuses[1].problem == "the listener later is not open; it needs a restart")
        #expect(world.log.contains("event=registration.impossible"))
        world.reload([.quick("com.acme.A", .listener("in")) { $0.address = .named("192.0.2.7") }])
        #expect(world.wait { world.isRegistered() && world.state()?.host == "192.0.2.7" })
        #expect(world.log.contains("the listener is on loopback, which others do not reach"))
    }

    @Test(
        "A stop takes everything out at once, and does not wait for a registry that is away for longer than its patience"
    )
    func withdraw() throws {
        let world = try RegistrationWorld(
            registries: ["nacos://127.0.0.1:1", "zookeeper://127.0.0.1:2", "etcd://127.0.0.1:3"],
            [.unchecked("web", 80), .unchecked("api", 81)])
        defer { world.stop() }
        #expect(world.wait { (0..<3).allSatisfy { world.isRegistered(0, in: $0) && world.isRegistered(1, in: $0) } })
        world.stubs[0].manner = .isSilent
        world.stubs[1].manner = .refuses("session lost")
        var ended: [Bool] = []
        let start = Clock.nanoseconds
        world.registrations.withdraw { ended.append($0) }
        #expect(world.stubs.allSatisfy { $0.listed.isEmpty } && ended.isEmpty)
        #expect(world.wait { !ended.isEmpty })
        #expect(ended == [true] && Clock.nanoseconds - start >= 300_000_000)
        #expect(world.logged("event=registration.withdraw_failed") == 4)
        #expect(world.log.contains("reason=\"session lost\"") && world.log.contains("has not answered in time"))
        // Nothing comes back, whatever happens.
        world.reload([.unchecked("web", 80), .unchecked("more", 82)])
        world.pass(.milliseconds(50))
        #expect(world.stubs.allSatisfy { $0.listed.isEmpty })
        #expect(throws: PublicationError("this process is stopping")) {
            try world.registrations.publish(Publication(interface: "com.acme.A")) { _ in }
        }
    }

    @Test("A stop without anything listed ends at once")
    func withdrawNothing() throws {
        let application = try StubApplication(isOpen: false)
        let world = try RegistrationWorld([.quick("web", .application(application.port))])
        defer { world.stop() }
        var ended: [Bool] = []
        world.registrations.withdraw { ended.append($0) }
        #expect(ended == [false])
    }
}
