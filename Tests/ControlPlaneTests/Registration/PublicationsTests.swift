import Configuration
import Discovery
import Runtime
import TestSupport
import Testing

@testable import ControlPlane

@Suite("What applications publish through the admin API")
struct PublicationsTests {
    private func publication(
        _ interface: String = "com.acme.A", port: UInt16? = nil, _ change: (inout Publication) -> Void = { _ in }
    ) -> Publication {
        var publication = Publication(interface: interface)
        publication.port = port
        change(&publication)
        return publication
    }

    /// Publishes or takes out, and waits for the outcome: nil is success.
    private func outcome(
        _ world: RegistrationWorld, _ act: (@escaping (String?) -> Void) throws -> Void
    ) throws -> String? {
        var outcome: String??
        try act { outcome = .some($0) }
        guard world.wait(until: { outcome != nil }), let outcome else { throw TestFailure("no outcome\n\(world.log)") }
        return outcome
    }

    private func publish(_ world: RegistrationWorld, _ publication: Publication) throws -> String? {
        try outcome(world) { try world.registrations.publish(publication, completion: $0) }
    }

    private func unpublish(_ world: RegistrationWorld, _ publication: Publication) throws -> String? {
        try outcome(world) { try world.registrations.unpublish(publication, completion: $0) }
    }

    @Test("Versions and groups are kept apart; repeated calls change nothing; taking out really does")
    func identity() throws {
        let application = try StubApplication(isOpen: true)
        let world = try RegistrationWorld([])
        defer { world.stop() }
        func own(_ version: String, _ group: String) -> Publication {
            publication(port: application.port) {
                ($0.version, $0.group, $0.methods) = (version, group, ["a", "b"])
                $0.host = "127.0.0.1"
            }
        }
        for _ in 0..<2 {
            for (version, group) in [("1.0.0", ""), ("2.0.0", ""), ("1.0.0", "blue"), ("0.0.0", "")] {
                #expect(try publish(world, own(version, group)) == nil)
            }
        }
        #expect(world.stubs[0].calls.count == 4 && world.stubs[0].listed.count == 4)
        #expect(world.stubs[0].listed.values.allSatisfy { $0.metadata == ["methods": "a,b"] })
        #expect(world.registrations.statuses.map(\.source) == [.api, .api, .api, .api])
        for _ in 0..<2 { #expect(try unpublish(world, own("1.0.0", "blue")) == nil) }
        #expect(world.stubs[0].listed.count == 3)
        #expect(try unpublish(world, publication { $0.version = "1.0.0" }) == nil)
        #expect(Set(world.stubs[0].listed.keys.map { $0.interfaceVersion + "/" + $0.group }) == ["2.0.0/", "/"])
        // A reload leaves them alone.
        world.reload([])
        world.pass(.milliseconds(50))
        #expect(world.stubs[0].listed.count == 2)
    }

    @Test("The port is the inbound listener's, and the address the configuration's")
    func defaults() throws {
        let application = try StubApplication(isOpen: true)
        var inbound = ListenerConfiguration(name: "in", protocol: .dubbo, address: SocketAddress("0.0.0.0:20881")!)
        inbound.forward = SocketAddress(ipv4: 0x7f00_0001, port: application.port)
        let world = try RegistrationWorld(
            listeners: [inbound], [.quick("com.acme.Own", .listener("in")) { $0.address = .named("192.0.2.1") }])
        defer { world.stop() }
        #expect(try publish(world, publication()) == nil)
        // The application's own port means the listener before it as well.
        #expect(try publish(world, publication("com.acme.B", port: application.port)) == nil)
        let other = try StubApplication(isOpen: true)
        #expect(try publish(world, publication("com.acme.C", port: other.port) { $0.host = "127.0.0.1" }) == nil)
        let listed = world.stubs[0].listed.keys.map { "\($0.service.name) \($0.host):\($0.port)" }.sorted()
        #expect(
            listed == [
                "com.acme.A 192.0.2.1:20881", "com.acme.B 192.0.2.1:20881", "com.acme.C 127.0.0.1:\(other.port)",
                "com.acme.Own 192.0.2.1:20881",
            ])
    }

    @Test("What is missing or wrong is said in words")
    func refusals() throws {
        let world = try RegistrationWorld(
            registries: ["zookeeper://u:secret@127.0.0.1:2181"], [.unchecked("com.acme.Own", 1)])
        defer { world.stop() }
        func words(_ publication: Publication) -> String {
            do {
                try world.registrations.publish(publication) { _ in }
                return "done"
            } catch {
                return "\(error)"
            }
        }
        #expect(words(publication()) == "the port is missing, and there is no inbound Dubbo listener")
        #expect(words(publication("a b", port: 1)) == "\"a b\" is not the name of an interface")
        #expect(words(publication(port: 1) { $0.group = "a b" }) == "\"a b\" is not a group")
        #expect(words(publication(port: 1) { $0.methods = ["a", "b,c"] }) == "\"b,c\" is not a method")
        #expect(words(publication(port: 1) { $0.host = "0.0.0.0" }).hasPrefix("host: \"0.0.0.0\" is no address"))
        #expect(
            words(publication(port: 1) { $0.registry = RegistryReference(type: "nacos", address: "x:1") })
                == "the registry nacos x:1 is not configured; known are zookeeper://127.0.0.1:2181")
        let own = publication("com.acme.Own")
        #expect(throws: PublicationError("com.acme.Own is registered by the configuration, not by this API")) {
            try world.registrations.unpublish(own) { _ in }
        }
        for index in 0..<5 {
            #expect(words(publication("com.acme.I\(index)", port: 1)) == "done")
        }
        #expect(words(publication("com.acme.More", port: 1)) == "5 interfaces are published already")
        #expect(words(publication("com.acme.I1", port: 1)) == "done")
        #expect(world.registrations.statuses.count == 6)
    }

    @Test(
        "A registry is meant by type and any of its servers",
        arguments: [
            ("zookeeper", "127.0.0.1:2181", true), ("ZooKeeper", "", true), ("", "b:2181", true), ("", "B", true),
            ("zookeeper", "x:1,b:2181", true), ("nacos", "127.0.0.1:2181", false),
            ("zookeeper", "127.0.0.1:2182", false),
        ])
    func registry(type: String, address: String, isKnown: Bool) {
        var configuration = Configuration()
        configuration.registries = [RegistryConfiguration(url: "zookeeper://127.0.0.1,b")]
        #expect(RegistryReference(type: type, address: address).matches(in: configuration) == (isKnown ? [0] : []))
    }

    @Test("An application that does not answer, and a registry that is away, are told, and tried on")
    func away() throws {
        let application = try StubApplication(isOpen: false)
        let world = try RegistrationWorld([])
        defer { world.stop() }
        let own = publication(port: application.port) { $0.host = "127.0.0.1" }
        #expect(try publish(world, own)?.contains("Connection refused") == true)
        try application.open()
        #expect(world.wait { world.isRegistered() })
        for identity in world.stubs[0].listed.keys { world.stubs[0].report(identity, "away") }
        world.stubs[0].manner = .refuses("away")
        #expect(try publish(world, own) == "nacos://127.0.0.1:1: away")
        for identity in world.stubs[0].listed.keys { world.stubs[0].report(identity, nil) }
        #expect(try publish(world, own) == nil)
        #expect(try unpublish(world, own) == "nacos://127.0.0.1:1: away")
        #expect(try unpublish(world, own) == nil)
    }

    @Test("What the configuration lists too is the configuration's")
    func takenOver() throws {
        let application = try StubApplication(isOpen: true)
        let world = try RegistrationWorld([])
        defer { world.stop() }
        let own = publication(port: application.port) { $0.host = "127.0.0.1" }
        #expect(try publish(world, own) == nil)
        world.reload([.quick("com.acme.A", .application(application.port))])
        #expect(world.registrations.statuses.map(\.source) == [.configuration])
        #expect(try publish(world, own) == nil)
        #expect(throws: PublicationError.self) { try world.registrations.unpublish(own) { _ in } }
        #expect(world.stubs[0].calls.count == 1)
        world.reload([])
        #expect(world.wait { world.stubs[0].listed.isEmpty })
    }
}
