import Configuration
import Discovery
import Glibc
import Runtime
import TestSupport
import Testing

@testable import ControlPlane

@Suite("Publications over a restart")
struct SavedPublicationsTests {
    let folder: TemporaryDirectory
    let application: StubApplication

    init() throws {
        folder = try TemporaryDirectory()
        application = try StubApplication(isOpen: true)
    }

    private var file: String { folder.path + "/state/publications" }

    private func world(
        registries: [String] = ["nacos://127.0.0.1:1"], _ wanted: [RegistrationConfiguration] = []
    ) throws -> RegistrationWorld {
        try RegistrationWorld(registries: registries, wanted, state: folder.path + "/state")
    }

    private func publication(
        _ interface: String = "com.acme.A", _ change: (inout Publication) -> Void = { _ in }
    ) -> Publication {
        var publication = Publication(interface: interface)
        (publication.port, publication.host) = (application.port, "127.0.0.1")
        change(&publication)
        return publication
    }

    private func publish(_ world: RegistrationWorld, _ publication: Publication) throws {
        var outcome: String??
        try world.registrations.publish(publication) { outcome = .some($0) }
        #expect(world.wait { outcome != nil } && outcome == .some(nil))
    }

    private func saved() -> [Publication] {
        (try? SavedPublicationsFile.read(TemporaryDirectory.read(file))) ?? []
    }

    @Test("They are listed again once the application serves, and no more after they were taken out")
    func restart() throws {
        let first = try world()
        try publish(first, publication { ($0.version, $0.group, $0.methods) = ("1.0.0", "blue", ["get", "put"]) })
        try publish(first, publication("com.acme.B") { $0.registry = RegistryReference(type: "nacos") })
        // As a process that is killed: the file is there without an orderly end.
        #expect(first.wait { saved().count == 2 })
        var information = stat()
        #expect(stat(file, &information) == 0 && information.st_mode & 0o777 == 0o600)
        application.close()

        let second = try world()
        defer { second.stop() }
        #expect(second.wait { second.registrations.statuses.map(\.health) == [.down, .down] })
        #expect(second.stubs[0].calls.isEmpty)
        try application.open()
        #expect(second.wait { second.isRegistered(0) && second.isRegistered(1) })
        let blue = try #require(second.stubs[0].listed.values.first { $0.group == "blue" })
        #expect(blue.interfaceVersion == "1.0.0" && blue.metadata == ["methods": "get,put"])
        #expect(second.registrations.statuses.map(\.source) == [.api, .api])
        // Repeated by the application's own restart, nothing changes.
        try publish(second, publication("com.acme.B") { $0.registry = RegistryReference(type: "nacos") })
        #expect(second.stubs[0].calls.count == 2)
        try second.registrations.unpublish(publication { ($0.version, $0.group) = ("1.0.0", "blue") }) { _ in }
        #expect(second.wait { saved().map(\.interface) == ["com.acme.B"] })
        first.stop()
        // What is not written yet is at the end; an end takes nothing back.
        try second.registrations.unpublish(publication("com.acme.B")) { _ in }
        try publish(second, publication("com.acme.C"))
        second.registrations.withdraw { _ in }
        second.stop()
        #expect(saved().map(\.interface) == ["com.acme.C"])
    }

    @Test("What the present configuration cannot list is kept for the next")
    func dormant() throws {
        let first = try world()
        try publish(first, publication { $0.registry = RegistryReference(type: "nacos") })
        try publish(first, publication("com.acme.B"))
        first.stop()
        let second = try world(registries: ["zookeeper://127.0.0.1:2"])
        #expect(second.wait { second.registrations.statuses.map(\.service.name) == ["com.acme.B"] })
        #expect(second.log.contains("event=publication.not_restored interface=com.acme.A"))
        try publish(second, publication("com.acme.C"))
        second.stop()
        #expect(Set(saved().map(\.interface)) == ["com.acme.A", "com.acme.B", "com.acme.C"])
        let third = try world()
        #expect(third.wait { third.registrations.statuses.count == 3 })
        third.stop()
        // Taken out while it cannot be listed.
        let fourth = try world(registries: ["zookeeper://127.0.0.1:2"])
        var outcome: String??
        try fourth.registrations.unpublish(publication()) { outcome = .some($0) }
        #expect(outcome == .some(nil))
        fourth.stop()
        #expect(Set(saved().map(\.interface)) == ["com.acme.B", "com.acme.C"])
    }

    @Test("What the configuration lists meanwhile is the configuration's")
    func takenOver() throws {
        let first = try world()
        try publish(first, publication())
        first.stop()
        let second = try world([.quick("com.acme.A", .application(application.port))])
        #expect(
            second.wait { second.isRegistered() && second.registrations.statuses.map(\.source) == [.configuration] })
        second.stop()
        #expect(saved().isEmpty)
    }

    @Test("Those that do not serve make room for others")
    func room() throws {
        let first = try world()
        let other = try StubApplication(isOpen: true)
        for index in 0..<5 { try publish(first, publication("com.acme.I\(index)") { $0.port = other.port }) }
        #expect(throws: PublicationError("5 interfaces are published already")) {
            try first.registrations.publish(publication()) { _ in }
        }
        first.stop()
        other.close()
        let second = try world()
        defer { second.stop() }
        #expect(second.wait { second.registrations.statuses.map(\.health) == Array(repeating: .down, count: 5) })
        try publish(second, publication())
        #expect(second.registrations.statuses.count == 5 && second.log.contains("event=publication.forgotten"))
    }

    @Test("A damaged file is not used and replaced")
    func damaged() throws {
        let first = try world()
        try publish(first, publication { $0.methods = ["a\"\u{e9}"] })
        first.stop()
        let good = try TemporaryDirectory.read(file)
        #expect(saved().map(\.methods) == [["a\"\u{e9}"]])
        var flipped = good
        flipped[good.count / 2] ^= 1
        let text = String(decoding: good, as: UTF8.self)
        for bytes in [
            [], Array(good.dropLast()), Array(good.prefix(good.count / 2)), flipped, good + good,
            [UInt8](repeating: 10, count: 100), Array("greymesh publications 1\n".utf8),
            Array(text.replacing("publications 1", with: "publications 2").utf8),
        ] {
            try folder.write("state/publications", String(decoding: bytes, as: UTF8.self))
            let second = try world()
            #expect(second.registrations.statuses.isEmpty && second.log.contains("event=saved_publications.failed"))
            try publish(second, publication("com.acme.B"))
            second.stop()
            #expect(saved().map(\.interface) == ["com.acme.B"])
        }
    }

    @Test("A folder that cannot be written is told once, and does not stop anything")
    func readOnly() throws {
        try folder.write("state", "a file")
        let world = try world()
        try publish(world, publication())
        try publish(world, publication("com.acme.B"))
        #expect(world.wait { world.logged("event=saved_publications.failed") >= 1 })
        world.stop()
        #expect(world.logged("event=saved_publications.failed") <= 2 && world.stubs[0].listed.count == 2)
    }
}
