import Configuration
import Model
import Runtime
import Testing

@testable import Discovery

/// A Nacos server whose gRPC port pushes.
@Suite struct NacosPushTests {
    let fixture: Fixture
    let nacos: FakeNacos
    let push: FakeNacosPush
    let order = ServiceKey.http("order")

    init() throws {
        fixture = try Fixture()
        nacos = try FakeNacos(loop: fixture.loop)
        push = try FakeNacosPush(nacos, loop: fixture.loop)
        nacos.set("order", "10.0.0.1", "10.0.0.2")
    }

    private func registry(
        user: String? = nil, adjust: (inout NacosSettings) -> Void = { _ in }
    ) -> NacosRegistry {
        fixture.nacos([nacos], user: user) { settings in
            settings.pushServers = [.init(host: "127.0.0.1", port: push.port)]
            settings.quicken()
            adjust(&settings)
        }
    }

    private func count(_ event: String) -> Int {
        fixture.log.split(separator: "\n").count { $0.contains("event=\(event) ") }
    }

    /// Waits until all of these are pushed over the newest connection.
    private func pushed(_ registry: NacosRegistry, _ names: String...) -> Bool {
        fixture.wait {
            registry.status.mode == .push && push.clients.last?.subscribed.isSuperset(of: names) == true
                && names.allSatisfy {
                    let service = registry.watcher.services[$0]
                    return service?.feed == .pushed && service?.isSubscribing == false && service?.ticket == nil
                }
        }
    }

    @Test func theAddressSaysWhereServersPush() throws {
        func settings(_ text: String) throws -> NacosSettings {
            NacosSettings(try RegistryURL(text), poll: .seconds(2))
        }
        let plain = try settings("nacos://a,[::1]:7000?clusters=A,B")
        #expect(plain.pushServers.map(\.description) == ["a:9848", "[::1]:8000"] && plain.clusters == "A,B")
        #expect(NacosQuestion.hosts("s").target(.v1, plain).contains("clusters=A%2CB"))
        #expect(NacosQuestion.hosts("s").target(.v3, plain).contains("clusterName=A%2CB"))
        #expect(try settings("nacos://a:65000").pushServers.isEmpty)
        #expect(try settings("nacos://a?push=off").pushServers.isEmpty)
        #expect(try settings("nacos://a?push=on").pushServers.count == 1)
        #expect(throws: InvalidValue.self) {
            try RegistryConfiguration(url: "nacos://a?push=maybe").makeRegistry(
                fixture.context, reports: fixture.reports)
        }
    }

    @Test func pollingEndsWhenTheSubscriptionIsAnswered() throws {
        push.fault = { $0.type == "SubscribeServiceRequest" ? .silence : nil }
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { push.count("SubscribeServiceRequest") == 1 && nacos.polls("order") > 5 })
        push.fault = { _ in nil }
        // Unanswered, it is tried again; from then on there are no polls.
        #expect(fixture.wait { push.count("SubscribeServiceRequest") == 2 })
        let polls = nacos.polls("order")
        #expect(!fixture.wait(.milliseconds(200)) { nacos.polls("order") > polls + 1 })
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func pushedListsAreToldAndNothingIsPolled() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil } && pushed(registry, "order"))
        #expect(fixture.wait { push.clients.first?.answers.isEmpty == true })
        let polls = nacos.polls("order")
        nacos.set("order", "10.0.0.1", "10.0.0.3", metadata: #"{"version":"v2","none":null}"#)
        push.push("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.3:8080"] })
        #expect(fixture.told[order]?.last?.map(\.metadata) == [["version": "v2"], ["version": "v2"]])
        #expect(fixture.wait { push.clients.first?.answers.map(\.type) == ["NotifySubscriberResponse"] })
        #expect(push.clients.first?.answers.first?.requestID == "1")
        // The same list again, in another order, is no news.
        push.push("order")
        #expect(fixture.wait { push.clients.first?.answers.count == 2 })
        #expect(fixture.told[order]?.count == 2)
        #expect(nacos.polls("order") == polls)
        #expect(registry.status.state == .connected && registry.status.unsteadyAt == nil)
        registry.stop()
        #expect(fixture.wait { push.clients.isEmpty })
    }

    @Test func unhealthyHostsAreDroppedWithTheReason() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        nacos.services["order"] = [.init(ip: "10.0.0.1"), .init(ip: "10.0.0.2", healthy: false), .init(ip: "")]
        push.push("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        #expect(registry.status.dropped == [.unhealthy: 1, .unreadable: 1])
        registry.stop()
    }

    @Test func whereTheServerProtectsTheTruthIsAskedFor() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        push.isProtected = true
        nacos.services["order"] = [.init(ip: "10.0.0.1"), .init(ip: "10.0.0.2", healthy: false)]
        push.push("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        // It becomes healthy, which is no change of a protected list and is not pushed.
        nacos.set("order", "10.0.0.1", "10.0.0.2")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"] })
        push.isProtected = false
        push.push("order")
        let truths = push.count("ServiceQueryRequest")
        #expect(!fixture.wait(.milliseconds(200)) { push.count("ServiceQueryRequest") > truths + 2 })
        registry.stop()
    }

    @Test func aLostConnectionIsPolledOverAndComesBack() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        let polls = nacos.polls("order")
        push.stop()
        #expect(fixture.wait { registry.status.mode == .polling })
        let lost = try #require(registry.status.unsteadyAt)
        nacos.set("order", "10.0.0.1")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:8080"] })
        #expect(nacos.polls("order") > polls)
        try push.restart()
        #expect(pushed(registry, "order"))
        #expect(try #require(registry.status.unsteadyAt) > lost)
        let after = nacos.polls("order")
        nacos.set("order", "10.0.0.4")
        push.push("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.4:8080"] })
        #expect(nacos.polls("order") <= after + 1)
        #expect(count("registry.push_lost") == 1 && count("registry.push_connected") == 2, "\(fixture.log)")
        #expect(registry.status.state == .connected && fixture.failures.isEmpty)
        registry.stop()
    }

    @Test func aMissedPushIsHealedByReadingAnew() throws {
        let registry = registry { $0.reread = .milliseconds(50) }
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        nacos.set("order", "10.0.0.9")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.9:8080"] })
        registry.stop()
    }

    @Test func aDoubtedListIsReadAnewAndTold() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order") && fixture.wait { fixture.told[order]?.count == 1 })
        let polls = nacos.polls("order")
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(nacos.polls("order") == polls)
        registry.stop()
    }

    static let endings: [(String, @Sendable (FakeNacosPush) -> Void)] = [
        ("connection", { push in for client in push.clients { push.drop(client) } }),
        ("stream", { push in for client in push.clients { push.endStream(client) } }),
        ("unregistered", { $0.fault = { $0.type == "SubscribeServiceRequest" ? .error(301) : nil } }),
        ("module", { $0.fault = { $0.type == "SubscribeServiceRequest" ? .error(-401) : nil } }),
        ("garbage", { $0.fault = { $0.type == "HealthCheckRequest" ? .raw("HTTP/1.1 400 Bad\r\n\r\n") : nil } }),
        ("silence", { $0.fault = { $0.type == "HealthCheckRequest" ? .silence : nil } }),
    ]

    @Test(arguments: endings.indices)
    func everyEndIsFollowedByANewConnection(index: Int) throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        let before = push.accepted
        Self.endings[index].1(push)
        registry.refresh(order)
        #expect(fixture.wait { push.accepted > before }, "\(Self.endings[index].0)")
        push.fault = { _ in nil }
        nacos.set("order", "10.0.0.8")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.8:8080"] }, "\(Self.endings[index].0)")
        #expect(pushed(registry, "order"), "\(Self.endings[index].0)")
        #expect(fixture.wait { push.clients.count == 1 })
        registry.stop()
    }

    static let refusals: [(String, String, FakeNacosPush.Answer)] = [
        ("starting", "ServerCheckRequest", .error(300, "Server is starting,please try later.")),
        ("closed", "ServerCheckRequest", .close), ("silent", "ServerCheckRequest", .silence),
        ("HTTP/1", "ServerCheckRequest", .raw("HTTP/1.1 400 Bad Request\r\n\r\n")),
        ("no envelope", "ServerCheckRequest", .nonsense), ("no message", "ServerCheckRequest", .end),
        ("no acknowledgement", "ConnectionSetupRequest", .silence),
    ]

    @Test(arguments: refusals.indices)
    func whileThereIsNoPushServicesArePolledQuietly(index: Int) throws {
        let (name, type, answer) = Self.refusals[index]
        push.fault = { $0.type == type ? answer : nil }
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { push.accepted >= 3 && nacos.polls("order") > 5 }, "\(name)")
        #expect(registry.status.mode == .polling && registry.status.state == .connected, "\(name)")
        #expect(registry.status.failures == 0 && registry.status.unsteadyAt == nil, "\(name)")
        #expect(count("registry.push_unavailable") == 1, "\(name)\n\(fixture.log)")
        push.fault = { _ in nil }
        #expect(pushed(registry, "order"), "\(name)")
        registry.stop()
    }

    @Test func aServiceThatIsRefusedIsPolled() throws {
        push.fault = { $0.type == "SubscribeServiceRequest" ? .error(400, "no") : nil }
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { push.count("SubscribeServiceRequest") > 0 && nacos.polls("order") > 5 })
        nacos.set("order", "10.0.0.7")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.7:8080"] })
        #expect(fixture.failures.isEmpty)
        registry.stop()
    }

    @Test(arguments: ["reset", "go away"])
    func anotherConnectionIsMadeBeforeTheOldOneIsLeft(way: String) throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        let old = try #require(push.clients.first)
        let polls = nacos.polls("order")
        if way == "reset" {
            push.request(old, "ConnectResetRequest", #""module":"internal""#)
        } else {
            push.goAway(old)
        }
        #expect(fixture.wait { push.clients.count == 2 && push.clients.last?.subscribed == ["order"] })
        #expect(registry.status.mode == .push)
        nacos.set("order", "10.0.0.5")
        push.push("order")
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.5:8080"] })
        #expect(fixture.wait { push.clients.count == 1 })
        #expect(push.clients.first !== old)
        #expect(nacos.polls("order") == polls)
        #expect(count("registry.push_lost") == 0)
        registry.stop()
    }

    @Test func answersWhatTheServerAsks() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        let client = try #require(push.clients.first)
        let id = push.request(client, "ClientDetectionRequest", #""module":"internal""#)
        #expect(fixture.wait { client.answers.map(\.type) == ["ClientDetectionResponse"] })
        #expect(client.answers.first?.requestID == id)
        // What it does not know changes nothing.
        push.request(client, "SomethingNewRequest", #""x":[1]"#)
        push.request(client, "NotifySubscriberRequest", #""serviceInfo":{"name":"other","hosts":[]}"#)
        push.request(client, "NotifySubscriberRequest", #""serviceInfo":{"name":"order","groupName":"G","hosts":[]}"#)
        push.request(client, "NotifySubscriberRequest", #""serviceInfo":{"name":"order"}"#)
        push.request(client, "NotifySubscriberRequest", #""serviceInfo":null"#)
        #expect(fixture.wait { client.answers.count == 6 })
        #expect(fixture.addresses(order) == ["10.0.0.1:8080", "10.0.0.2:8080"])
        #expect(registry.status.mode == .push && push.clients.count == 1)
        registry.stop()
    }

    @Test func anOldServerDoesNotAcknowledge() throws {
        push.acknowledges = false
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        registry.stop()
    }

    @Test func manyServicesAreSubscribedAtOnceButNotAllTogether() throws {
        let registry = registry { $0.poll = .seconds(10) }
        for number in 0..<500 { registry.subscribe(.http("s\(number)")) }
        #expect(fixture.wait { push.clients.first?.subscribed.count == 500 })
        #expect(fixture.wait { fixture.told.count == 500 })
        registry.unsubscribe(.http("s7"))
        #expect(fixture.wait { push.clients.first?.subscribed.contains("s7") == false })
        registry.stop()
    }

    @Test func aLargePushIsTaken() throws {
        let registry = registry()
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        let labels = "{\"version\":\"v1\",\"text\":\"\(String(repeating: "x", count: 300))\"}"
        nacos.services["order"] = (0..<5000).map {
            .init(ip: "10.1.\($0 / 250).\($0 % 250)", metadata: labels)
        }
        push.push("order")
        nacos.services["order"]?.removeLast()
        push.push("order")
        #expect(fixture.wait { fixture.told[order]?.last?.count == 4999 })
        #expect(registry.status.mode == .push)
        registry.stop()
    }

    @Test func takesTheNextServer() throws {
        let other = try FakeNacosPush(nacos, loop: fixture.loop)
        let registry = registry {
            $0.pushServers.append(.init(host: "127.0.0.1", port: other.port))
            $0.servers.append($0.servers[0])
        }
        registry.subscribe(order)
        #expect(pushed(registry, "order"))
        push.stop()
        #expect(fixture.wait { other.clients.first?.subscribed == ["order"] })
        #expect(registry.status.mode == .push)
        registry.stop()
    }

    @Test func callsCarryTheTokenAndLogInAgain() throws {
        nacos.tokens = ["t1"]
        var logins = 0
        nacos.fault = { request in
            guard request.path.contains("/auth/") else { return nil }
            logins += 1
            return .ok(#"{"accessToken":"t\#(logins)","tokenTtl":18000}"#)
        }
        let registry = registry(user: "nacos")
        registry.subscribe(order)
        #expect(pushed(registry, "order") && fixture.wait { fixture.told[order] != nil })
        #expect(push.calls.filter { $0.type == "SubscribeServiceRequest" }.allSatisfy { $0.token == "t1" })
        nacos.tokens = ["t2"]
        registry.refresh(order)
        #expect(fixture.wait { fixture.told[order]?.count == 2 })
        #expect(logins == 2 && registry.status.failures == 0)
        // A token that is good and refused all the same ends in polling, not in a loop.
        nacos.tokens = []
        registry.refresh(order)
        #expect(fixture.wait { registry.status.failures > 0 })
        #expect(!fixture.wait(.milliseconds(300)) { logins > 40 })
        #expect(!fixture.log.contains("t1") && !fixture.log.contains("s3cret"))
        registry.stop()
    }

    @Test func namesOfDubboServicesAreListedOverTheConnection() throws {
        nacos.hasV1 = false
        nacos.hasV3 = true
        let echo = ServiceKey.dubbo("a.Echo")
        nacos.set("providers:a.Echo:3.0.0:", "10.0.0.1", metadata: #"{"protocol":"dubbo"}"#)
        let registry = registry()
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080"] })
        nacos.set("providers:a.Echo:4.0.0:", "10.0.0.2", metadata: #"{"protocol":"dubbo"}"#)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.1:8080", "10.0.0.2:8080"] })
        registry.stop()
    }

    @Test func newNamesAreToldByServersThatCan() throws {
        push.abilities = #"{"fuzzyWatch":true}"#
        let echo = ServiceKey.dubbo("a.Echo")
        let registry = registry { $0.poll = .seconds(20) }
        registry.subscribe(echo)
        #expect(fixture.wait { fixture.addresses(echo) == [] && push.count("NamingFuzzyWatchRequest") == 1 })
        nacos.set("providers:a.Echo:4.0.0:", "10.0.0.2", metadata: #"{"protocol":"dubbo"}"#)
        let client = try #require(push.clients.first)
        push.request(
            client, "NamingFuzzyWatchChangeNotifyRequest",
            #""serviceKey":"public@@DEFAULT_GROUP@@providers:a.Echo:4.0.0:","changedType":"ADD_SERVICE""#)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.2:8080"] })
        nacos.set("providers:a.Echo:5.0.0:", "10.0.0.3", metadata: #"{"protocol":"dubbo"}"#)
        push.request(
            client, "NamingFuzzyWatchSyncRequest",
            #""contexts":[{"serviceKey":"public@@DEFAULT_GROUP@@providers:a.Echo:5.0.0:"},{"serviceKey":5},7]"#)
        #expect(fixture.wait { fixture.addresses(echo) == ["10.0.0.2:8080", "10.0.0.3:8080"] })
        registry.stop()
    }
}

extension NacosSettings {
    /// Short waits, for tests.
    mutating func quicken() {
        pushTiming.setUp = .milliseconds(400)
        pushTiming.call = .milliseconds(400)
        pushTiming.health = .milliseconds(60)
        pushTiming.healthAnswer = .milliseconds(60)
        pushBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(50))
        pushReturnBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(50))
    }
}
