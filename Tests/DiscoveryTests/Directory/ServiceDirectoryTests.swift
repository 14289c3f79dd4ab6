import Configuration
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct ServiceDirectoryTests {
    /// A registry that says what the test tells it to.
    final class StubRegistry: Registry {
        let url: String
        var status = RegistryStatus()
        let reports: RegistryReports
        private(set) var subscribed: Set<ServiceKey> = []
        private(set) var refreshed: [ServiceKey] = []
        private(set) var isStopped = false

        init(_ url: String, _ reports: RegistryReports) {
            self.url = url
            self.reports = reports
        }

        func subscribe(_ service: ServiceKey) { subscribed.insert(service) }
        func unsubscribe(_ service: ServiceKey) { subscribed.remove(service) }
        func refresh(_ service: ServiceKey) { refreshed.append(service) }
        func stop() { isStopped = true }
    }

    final class World {
        let fixture: Fixture
        private(set) var directory: ServiceDirectory!
        private(set) var stubs: [StubRegistry] = []
        private(set) var told: [ServiceKey: [[String]]] = [:]
        private(set) var removed: [ServiceKey] = []

        init(
            registries: Int = 2, idle: Duration = .seconds(600), most: Int = 100,
            confirm: Duration = .zero, settle: Duration = .zero
        ) throws {
            fixture = try Fixture()
            var limits = LimitConfiguration()
            limits.serviceIdle = idle
            limits.services = most
            var answerLimits = AnswerLimits()
            answerLimits.confirmTime = confirm
            answerLimits.settleTime = settle
            directory = ServiceDirectory(
                registryCount: registries, limits: limits, answerLimits: answerLimits, loop: fixture.loop,
                logger: fixture.context.logger,
                onChange: { [unowned self] in
                    told[$0, default: []].append($1.map { "\($0.address) \($0.metadata["from"] ?? "")" })
                },
                onRemove: { [unowned self] in removed.append($0) },
                make: { [unowned self] index, reports in
                    stubs.append(StubRegistry("stub\(index)", reports))
                    return stubs[index]
                })
        }

        func say(_ index: Int, _ service: ServiceKey, _ ips: String...) {
            let instances = ips.map {
                Instance(address: SocketAddress(ip: $0, port: 80)!, metadata: ["from": "\(index)"])
            }
            stubs[index].reports.instances(service, instances)
        }
    }

    let order = ServiceKey.http("order")

    @Test func waitsForAllRegistriesAndMerges() throws {
        let world = try World()
        world.directory.require(order)
        #expect(world.stubs.allSatisfy { $0.subscribed == [order] })
        world.say(1, order, "10.0.0.2", "10.0.0.1")
        #expect(world.told.isEmpty && world.directory.statuses.first?.state == .ready)
        world.say(0, order, "10.0.0.3", "10.0.0.2")
        // A host that both list is taken from the first.
        #expect(world.told[order] == [["10.0.0.1:80 1", "10.0.0.2:80 0", "10.0.0.3:80 0"]])
        world.say(1, order, "10.0.0.1", "10.0.0.2")
        #expect(world.told[order]?.count == 1)
        world.say(0, order)
        #expect(world.told[order]?.last == ["10.0.0.1:80 1", "10.0.0.2:80 1"])
        #expect(world.directory.instances(of: order)?.count == 2)
        world.say(0, .http("nobody asked"), "10.0.0.1")
        #expect(world.told.count == 1)
        world.directory.stop()
        #expect(world.stubs.filter(\.isStopped).count == 2)
        world.say(0, order, "10.0.0.9")
        #expect(world.told[order]?.count == 2)
    }

    @Test func emptyAndFailedServicesAreToldOnce() throws {
        let world = try World()
        world.directory.touch(order)
        world.say(0, order)
        #expect(world.told.isEmpty)
        world.stubs[1].reports.failed(order, "away")
        #expect(world.told[order] == [[]])
        #expect(world.directory.statuses.first?.state == .ready)
        world.say(1, order, "10.0.0.1")
        // A failure takes nothing away.
        world.stubs[1].reports.failed(order, "away")
        #expect(world.told[order] == [[], ["10.0.0.1:80 1"]])
        let lost = ServiceKey.http("lost")
        world.directory.touch(lost)
        for stub in world.stubs { stub.reports.failed(lost, "away") }
        #expect(world.told[lost] == [[]])
        #expect(world.directory.statuses.map(\.state) == [.failed, .ready])
    }

    @Test func anEmptyAnswerIsDoubtedUntilItIsConfirmed() throws {
        let world = try World(registries: 1, confirm: .milliseconds(100))
        let stub = world.stubs[0]
        world.directory.require(order)
        world.say(0, order, "10.0.0.1")
        world.say(0, order)
        #expect(world.told[order]?.count == 1)
        // It asks again by itself, and an answer with hosts ends the doubt.
        #expect(world.fixture.wait { stub.refreshed.count >= 2 })
        world.say(0, order, "10.0.0.1")
        let asked = stub.refreshed.count
        world.say(0, order)
        while world.told[order]?.count == 1 {
            let before = stub.refreshed.count
            try #require(world.fixture.wait { stub.refreshed.count > before })
            world.say(0, order)
        }
        #expect(stub.refreshed.count >= asked + 2)
        #expect(world.told[order] == [["10.0.0.1:80 0"], []])
        world.directory.stop()
    }

    @Test func afterAnOutageHostsGoWhenTheyHadTimeToComeBack() throws {
        let world = try World(registries: 1, settle: .milliseconds(200))
        let stub = world.stubs[0]
        world.directory.require(order)
        world.say(0, order, "10.0.0.1", "10.0.0.2")
        stub.status.unsteadyAt = Clock.nanoseconds
        world.say(0, order, "10.0.0.2", "10.0.0.3")
        #expect(world.told[order]?.last == ["10.0.0.1:80 0", "10.0.0.2:80 0", "10.0.0.3:80 0"])
        #expect(
            world.fixture.wait {
                if !stub.refreshed.isEmpty { world.say(0, order, "10.0.0.2", "10.0.0.3") }
                return world.told[order]?.last == ["10.0.0.2:80 0", "10.0.0.3:80 0"]
            })
        // Who is let go is not asked for.
        world.directory.stop()
    }

    @Test func everyDoubtedServiceGetsItsTurn() throws {
        let world = try World(registries: 1, most: 1000, confirm: .milliseconds(200))
        let keys = (0..<300).map { ServiceKey.http("s\($0)") }
        for key in keys {
            world.directory.require(key)
            world.say(0, key, "10.0.0.1")
            world.say(0, key)
        }
        // Many at once would be a storm: the rate is held.
        #expect(!world.fixture.wait(.milliseconds(500)) { world.stubs[0].refreshed.count > 200 })
        #expect(world.fixture.wait { Set(world.stubs[0].refreshed).count == keys.count })
        #expect(world.stubs[0].refreshed.count < 2 * keys.count)
        world.directory.stop()
    }

    @Test func aRegistryThatIsAwayDoesNotOverruleWhatOthersHear() throws {
        let world = try World(settle: .milliseconds(50))
        world.directory.require(order)
        world.say(0, order, "10.0.0.1", "10.0.0.2")
        world.say(1, order, "10.0.0.1", "10.0.0.2")
        #expect(world.told[order] == [["10.0.0.1:80 0", "10.0.0.2:80 0"]])
        // That it is away changes nothing.
        world.stubs[0].status.state = .failed
        #expect(!world.fixture.wait(.milliseconds(600)) { world.told[order]?.count != 1 })
        let address = SocketAddress(ip: "10.0.0.2", port: 80)!
        let other = Instance(address: SocketAddress(ip: "10.0.0.1", port: 80)!, metadata: ["from": "1"])
        world.stubs[1].reports.instances(order, [other, Instance(address: address, metadata: ["from": "new"])])
        // Only what is new counts more than what was known.
        #expect(world.told[order]?.last == ["10.0.0.1:80 0", "10.0.0.2:80 new"])
        // When it is back and no doubts are left its word counts again.
        world.stubs[0].status.state = .connected
        #expect(world.fixture.wait { world.told[order]?.last == ["10.0.0.1:80 0", "10.0.0.2:80 0"] })
        world.directory.stop()
    }

    @Test func priorityTakesTheFirstRegistryThatListsHosts() throws {
        let world = try World()
        world.directory.adopt { $0.name == "order" ? .priority : .union }
        let user = ServiceKey.http("user")
        for service in [order, user] {
            world.directory.require(service)
            world.say(1, service, "10.0.0.2")
            world.say(0, service, "10.0.0.1")
        }
        #expect(world.told[order] == [["10.0.0.1:80 0"]])
        #expect(world.told[user]?.last == ["10.0.0.1:80 0", "10.0.0.2:80 1"])
        world.say(0, order)
        #expect(world.told[order]?.last == ["10.0.0.2:80 1"])
        // Another rule counts at once.
        world.say(0, order, "10.0.0.1")
        world.directory.adopt { _ in .union }
        #expect(world.told[order]?.last == ["10.0.0.1:80 0", "10.0.0.2:80 1"])
    }

    @Test func aSilentRegistryDoesNotHoldUpTheOthers() throws {
        let world = try World()
        world.directory.require(order)
        world.say(0, order, "10.0.0.1")
        #expect(world.told.isEmpty)
        #expect(world.fixture.wait(.seconds(5)) { world.told[order] == [["10.0.0.1:80 0"]] })
        world.say(1, order, "10.0.0.2")
        #expect(world.told[order]?.last?.count == 2)
        // That there are no hosts is not told before all have been asked.
        let empty = ServiceKey.http("empty")
        world.directory.require(empty)
        world.say(0, empty)
        #expect(!world.fixture.wait(.milliseconds(300)) { world.told[empty] != nil })
        world.say(1, empty)
        #expect(world.told[empty] == [[]])
    }

    @Test func withoutRegistriesAServiceIsEmpty() throws {
        let world = try World(registries: 0)
        world.directory.touch(order)
        #expect(world.fixture.wait { world.told[order] == [[]] })
    }

    @Test func oneAddressCanServeSeveralDubboVersions() throws {
        let world = try World(registries: 1)
        let echo = ServiceKey.dubbo("a.Echo")
        world.directory.require(echo)
        let address = SocketAddress("10.0.0.1:1")!
        world.stubs[0].reports.instances(
            echo,
            [
                Instance(address: address, weight: 0, interfaceVersion: "2"),
                Instance(address: address, interfaceVersion: "1"),
                Instance(address: address, available: false, interfaceVersion: "1", group: "g"),
            ])
        #expect(world.directory.instances(of: echo)?.map(\.interfaceVersion) == ["1", "1", "2"])
        let status = try #require(world.directory.statuses.first)
        #expect(status.instances == 3 && status.usable == 1 && status.isRequired && status.changedAt != nil)
    }

    @Test func letsGoWhatIsNotAskedFor() throws {
        let world = try World(registries: 1, idle: .milliseconds(100))
        let kept = ServiceKey.http("kept")
        let asked = ServiceKey.http("asked")
        world.directory.require(kept)
        world.directory.touch(order)
        world.directory.touch(asked)
        for service in [kept, order, asked] { world.say(0, service, "10.0.0.1") }
        #expect(
            world.fixture.wait {
                world.directory.touch(asked)
                return world.removed == [order]
            })
        #expect(world.stubs[0].subscribed == [kept, asked])
        #expect(world.directory.instances(of: order) == nil)
        // What the configuration no longer names goes the same way.
        world.directory.release(kept)
        #expect(world.fixture.wait { Set(world.removed) == [order, kept, asked] })
        // And can come back.
        world.directory.touch(order)
        world.say(0, order, "10.0.0.1")
        #expect(world.told[order]?.count == 2)
    }

    @Test func boundsWhatRequestsCanSubscribe() throws {
        let world = try World(registries: 1, most: 3)
        for name in ["r1", "r2"] { world.directory.require(.http(name)) }
        for name in ["a", "b", "c"] { #expect(world.directory.touch(.http(name))) }
        #expect(!world.directory.touch(.http("d")))
        #expect(!world.directory.touch(.http("e")))
        #expect(world.directory.touch(.http("a")) && world.directory.touch(.http("r1")))
        world.directory.require(.http("r3"))
        #expect(world.directory.count == 6)
        #expect(world.fixture.log.contains("services.limit_reached"))
        // A service that is required by now does not count.
        world.directory.require(.http("a"))
        #expect(world.directory.touch(.http("d")))
    }

    @Test func dropsNamesThatNoRegistryListsFirst() throws {
        let world = try World(registries: 1, most: 400)
        world.directory.touch(order)
        world.say(0, order, "10.0.0.1")
        for number in 0..<1000 {
            let name = ServiceKey.http("made-up-\(number)")
            #expect(world.directory.touch(name))
            world.say(0, name)
        }
        #expect(world.directory.count <= 101)
        #expect(world.removed.first == .http("made-up-0") && !world.removed.contains(order))
        #expect(world.directory.touch(.http("new")))
    }

    @Test func leavesOutThisProcess() throws {
        let world = try World(registries: 2)
        let own = SocketAddress("10.0.0.1:80")!
        world.directory.isOwn = { $0 == own }
        world.directory.require(order)
        world.say(0, order, "10.0.0.1", "10.0.0.2")
        world.say(1, order, "10.0.0.1")
        #expect(world.directory.instances(of: order)?.map { "\($0.address)" } == ["10.0.0.2:80"])
        #expect(world.directory.registryStatuses.map { $0.dropped[.ownAddress] } == [1, 1])
        #expect(world.fixture.log.contains("registry.own_address"))
        world.say(1, order, "10.0.0.3")
        #expect(world.directory.registryStatuses.map { $0.dropped[.ownAddress] } == [1, nil])
        world.directory.isOwn = { _ in false }
        #expect(world.directory.instances(of: order)?.count == 3)
    }

    @Test func mergesRealAdapters() throws {
        let files = try TemporaryDirectory()
        try files.write("services.yaml", "services: {order: [{address: 10.0.0.1:80, metadata: {from: file}}]}")
        let fixture = try Fixture(directory: files.path)
        let nacos = try FakeNacos(loop: fixture.loop)
        nacos.services["order"] = [.init(ip: "10.0.0.1", port: 80), .init(ip: "10.0.0.2", port: 80)]
        var told: [[Instance]] = []
        let directory = try ServiceDirectory(
            registries: [
                RegistryConfiguration(url: "file:services.yaml"),
                RegistryConfiguration(url: "nacos://127.0.0.1:\(nacos.server.port)", poll: .milliseconds(100)),
            ], limits: LimitConfiguration(), context: fixture.context, onChange: { told.append($1) })
        directory.require(order)
        #expect(fixture.wait { !told.isEmpty })
        #expect(told.first?.map(\.metadata) == [["from": "file"], [:]])
        #expect(directory.registries.map(\.url) == ["file:services.yaml", "nacos://127.0.0.1:\(nacos.server.port)"])
        #expect(directory.registries.allSatisfy { $0.status.state == .connected && $0.status.subscriptions == 1 })
        // One registry going away takes nothing away.
        nacos.server.stop()
        #expect(fixture.wait { directory.registries[1].status.state == .failed })
        #expect(told.count == 1)
        directory.stop()
        #expect(throws: InvalidValue.self) {
            try ServiceDirectory(
                registries: [RegistryConfiguration(url: "nacos://")], limits: LimitConfiguration(),
                context: fixture.context, onChange: { _, _ in })
        }
    }
}
