import Model
import Runtime
import Testing

@testable import Discovery

/// Registrations in an etcd that answers late, is away and refuses.
@Suite struct EtcdRegistrationTests {
    let fixture: Fixture
    let gateway = EtcdFaultTests.Gateway()
    let server: FakeServer

    init() throws {
        fixture = try Fixture()
        server = try FakeServer(loop: fixture.loop) { [gateway] in gateway.answer($0) }
    }

    /// The keys that stand in a fake etcd that takes registrations.
    final class Store {
        private(set) var keys: Set<String> = []
        private(set) var revocations = 0
        /// What is answered to a write, which takes effect all the same.
        var writeFault: FakeServer.Answer?
        var revokeFault: (Int) -> FakeServer.Answer? = { _ in nil }
        private let header = #""header":{"cluster_id":"7","revision":"10"}"#

        func answer(_ request: FakeServer.Request) -> FakeServer.Answer? {
            switch request.path {
            case "/v3/lease/grant": return .ok("{\(header),\"ID\":\"77\",\"TTL\":\"15\"}")
            case "/v3/lease/keepalive": return .ok("{\"result\":{\(header),\"ID\":\"77\",\"TTL\":\"15\"}}\n")
            case "/v3/lease/revoke":
                revocations += 1
                if let fault = revokeFault(revocations) { return fault }
                keys = []
                return .ok("{\(header)}")
            case "/v3/kv/txn" where request.body.contains("request_put"):
                for operation in request.body.split(separator: "{\"request_").dropFirst() {
                    let key = operation.split(separator: "\"key\":\"").last?.split(separator: "\"").first
                    guard let key = key.map(String.init) else { continue }
                    if operation.hasPrefix("put") { keys.insert(key) } else { keys.remove(key) }
                }
                return writeFault ?? .ok("{\(header),\"succeeded\":true}")
            default: return nil
            }
        }
    }

    private func provider(weight: Double) -> Registration {
        var registration = Registration(service: .dubbo("com.acme.Shop"), host: "10.0.0.5", port: 20880)
        registration.weight = weight
        return registration
    }

    @Test func aKeyThatWasAnsweredTooLateIsReplaced() throws {
        let store = Store()
        gateway.fault = { store.answer($0) }
        store.writeFault = .silence
        let registry = fixture.etcd([server.base]) { $0.timeout = .milliseconds(200) }
        defer { registry.stop() }
        registry.register(provider(weight: 1))
        #expect(fixture.wait { store.keys.count == 1 })
        let first = store.keys
        registry.register(provider(weight: 0.5))
        _ = fixture.wait(.milliseconds(300)) { false }
        store.writeFault = nil
        #expect(fixture.wait { fixture.registrations[provider(weight: 1).identity]?.last == .some(nil) })
        #expect(store.keys.count == 1 && store.keys != first)
    }

    @Test func whatChangesWhileTheClusterIsAwayIsWrittenWhenItIsBack() throws {
        let store = Store()
        gateway.fault = { store.answer($0) }
        let registry = fixture.etcd([server.base]) { $0.probePeriod = .milliseconds(50) }
        defer { registry.stop() }
        registry.register(provider(weight: 1))
        #expect(fixture.wait { fixture.registrations[provider(weight: 1).identity] == [nil] })
        let first = store.keys
        gateway.fault = { _ in .status(503, "away") }
        #expect(fixture.wait { registry.status.state == .failed })
        registry.register(provider(weight: 0.5))
        gateway.fault = { store.answer($0) }
        #expect(fixture.wait { store.keys.count == 1 && store.keys != first })
    }

    @Test func aLeaseThatCannotBeRevokedIsTriedAgain() throws {
        let store = Store()
        gateway.fault = { store.answer($0) }
        store.revokeFault = { $0 < 3 ? .status(429, "busy") : nil }
        let registry = fixture.etcd([server.base])
        defer { registry.stop() }
        let registration = provider(weight: 1)
        registry.register(registration)
        #expect(fixture.wait { fixture.registrations[registration.identity] == [nil] })
        var outcomes: [String?] = []
        for _ in 0..<2 { registry.deregister(registration.identity) { outcomes.append($0) } }
        #expect(fixture.wait { outcomes.count == 2 })
        #expect(outcomes == [nil, nil] && store.keys.isEmpty && store.revocations == 3)
    }

    @Test func aMemberIsNotBlamedForWhatAnotherWasSent() throws {
        let (first, second) = (Store(), Store())
        let gateway = EtcdFaultTests.Gateway()
        let other = try FakeServer(loop: fixture.loop) { gateway.answer($0) }
        self.gateway.fault = { first.answer($0) }
        gateway.fault = { second.answer($0) }
        first.writeFault = .silence
        let registry = fixture.etcd([server.base, other.base]) { $0.timeout = .milliseconds(500) }
        defer { registry.stop() }
        registry.subscribe(.http("order"))
        #expect(fixture.wait { fixture.ports(.http("order")) == [9001] })
        registry.register(provider(weight: 1))
        #expect(fixture.wait { first.keys.count == 1 })
        // The write hangs while its member is lost and another one taken.
        server.resetStream()
        #expect(fixture.wait { other.requests.contains { $0.path == "/v3/watch" } })
        #expect(fixture.wait { fixture.registrations[provider(weight: 1).identity]?.last == .some(nil) })
        #expect(second.keys.count == 1 && other.requests.count { $0.path == "/v3/watch" } == 1)
    }
}
