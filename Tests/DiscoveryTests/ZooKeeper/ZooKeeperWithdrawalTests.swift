import Configuration
import Model
import Runtime
import Synchronization
import Testing

@testable import Discovery

/// A ZooKeeper that refuses what a registrar asks for.
@Suite struct ZooKeeperWithdrawalTests {
    private enum Operation {
        static let create: Int32 = 1
        static let delete: Int32 = 2
        static let exists: Int32 = 3
    }

    let fixture: Fixture
    let shop = Registration(service: .http("shop"), host: "10.0.0.7", port: 8080)

    init() throws { fixture = try Fixture() }

    /// Says that the node has been made.
    private static func made(_ question: FakeZooKeeper.Question) -> FakeZooKeeper.Answer {
        .bytes(FakeZooKeeper.message(question.number) { $0.put(question.path) })
    }

    /// Says that there is a node.
    private static func found(_ question: FakeZooKeeper.Question) -> FakeZooKeeper.Answer {
        .bytes(FakeZooKeeper.message(question.number) { for _ in 0..<17 { $0.put(Int32(0)) } })
    }

    /// The node cannot be made for want of those above it, which are there.
    @Test func aNodeWhoseParentsComeAndGoIsNotMadeInALoop() throws {
        let server = try FakeZooKeeper { question in
            guard question.operation == Operation.create, question.path.split(separator: "/").count < 3 else {
                return nil
            }
            return .bytes(FakeZooKeeper.message(question.number, code: -110))
        }
        let registry = try fixture.zookeeper("zookeeper://\(server.address)")
        defer { registry.stop() }
        registry.register(shop)
        func attempts() -> Int { server.questions.count { $0.operation == Operation.create } }
        #expect(fixture.wait { attempts() >= 4 })
        // The node, the two above it, the node again; then a pause of 250 ms or more.
        #expect(!fixture.wait(.milliseconds(600)) { attempts() > 12 })
    }

    @Test func aNodeThatMayNotBeDeletedIsTriedAgain() throws {
        let refusals = Mutex(0)
        let server = try FakeZooKeeper { question in
            switch question.operation {
            case Operation.create:
                return Self.made(question)
            case Operation.exists:
                return Self.found(question)
            case Operation.delete:
                let isRefused = refusals.withLock { count in
                    count += 1
                    return count <= 2
                }
                return .bytes(FakeZooKeeper.message(question.number, code: isRefused ? -127 : 0))
            default: return nil
            }
        }
        let registry = try fixture.zookeeper("zookeeper://\(server.address)")
        defer { registry.stop() }
        registry.register(shop)
        refusals.withLock { $0 = 2 }
        #expect(fixture.wait { fixture.registrations[shop.identity]?.last == .some(nil) })
        refusals.withLock { $0 = 0 }
        var left: [String?] = []
        registry.deregister(shop.identity) { left.append($0) }
        #expect(fixture.wait { !left.isEmpty })
        #expect(left == [nil] && refusals.withLock { $0 } == 3)
    }
}
