import Balancing
import Configuration
import Model
import Runtime
import Testing

@testable import ControlPlane
@testable import Proxy

@Suite("Snapshots for the workers")
final class SnapshotPublisherTests {
    private let key = ServiceKey(kind: .http, name: "a")
    private let host = Instance(address: SocketAddress(ipv4: 0x7f00_0001, port: 1), metadata: ["version": "1"])
    private var posted: [String] = []
    private lazy var health = HostHealth(
        loop: try! EventLoop(), logger: Logger { _ in }, serviceIdle: .seconds(600))
    private lazy var publisher = SnapshotPublisher(
        plan: ServicePlan(Configuration()), health: health
    ) { [unowned self] message in
        switch message {
        case .update(let snapshot):
            self.posted.append("update \(snapshot.key.name) \(snapshot.clusters.map(\.name).joined(separator: ","))")
        case .remove(let key): self.posted.append("remove \(key.name)")
        default: self.posted.append("other")
        }
    }

    @Test("Nothing is told when workers would do the same as before")
    func unchanged() {
        publisher.publish(key, [host])
        var relabelled = host
        relabelled.metadata["zone"] = "b"
        publisher.publish(key, [relabelled])
        publisher.publish(key, [host])
        #expect(posted == ["update a 1"])
        var heavier = host
        heavier.weight = 2
        publisher.publish(key, [heavier])
        publisher.publish(key, [])
        #expect(posted == ["update a 1", "update a 1", "update a "])
    }

    @Test("A new policy is told for the services it concerns, with the hosts they have")
    func policies() {
        publisher.publish(key, [host])
        publisher.publish(ServiceKey(kind: .http, name: "b"), [host])
        var configuration = Configuration()
        configuration.services["b"] = ServiceConfiguration()
        configuration.services["b"]?.policy.stable = "1"
        publisher.adopt(ServicePlan(configuration))
        #expect(posted == ["update a 1", "update b 1", "update b 1"])
        configuration.version.instance = ["nothing"]
        publisher.adopt(ServicePlan(configuration))
        #expect(posted.dropFirst(3).sorted() == ["update a unversioned", "update b unversioned"])
    }

    @Test("A service that is let go is removed though nothing was told of it, and told anew when it comes back")
    func withdrawal() {
        publisher.withdraw(key)
        publisher.publish(key, [host])
        #expect(publisher.repeatSnapshot(of: key))
        publisher.withdraw(key)
        #expect(!publisher.repeatSnapshot(of: key))
        publisher.publish(key, [host])
        #expect(posted == ["remove a", "update a 1", "update a 1", "remove a", "update a 1"])
    }
}

@Suite("Reports of the workers")
struct ReportCollectorTests {
    private func report(accepted: UInt64) -> WorkerReport {
        var report = WorkerReport()
        report.bufferAllocations = accepted
        return report
    }

    @Test("All who ask at a time share one question; a late worker is represented by its last report")
    func collect() throws {
        let loop = try EventLoop()
        var asked: [UInt64] = []
        let collector = ReportCollector(loop: loop, workerCount: 2) { asked.append($0) }
        var answers: [[UInt64]] = []
        collector.collect { answers.append($0.map(\.bufferAllocations)) }
        collector.collect { answers.append($0.map(\.bufferAllocations)) }
        #expect(asked == [1])
        collector.receive(report(accepted: 5), from: 1, id: 1)
        collector.receive(report(accepted: 5), from: 1, id: 1)
        #expect(answers.isEmpty)
        collector.receive(report(accepted: 4), from: 0, id: 1)
        #expect(answers == [[4, 5], [4, 5]])

        collector.collect { answers.append($0.map(\.bufferAllocations)) }
        collector.receive(report(accepted: 6), from: 0, id: 2)
        collector.receive(report(accepted: 99), from: 2, id: 2)
        let start = Clock.nanoseconds
        #expect(loop.run(for: .seconds(10)) { answers.count == 3 })
        #expect(Clock.nanoseconds - start > 900_000_000)
        #expect(answers.last == [6, 5])
        #expect(asked == [1, 2])
    }
}

@Suite("Explanations")
struct ExplainerTests {
    private let key = ServiceKey(kind: .http, name: "a")

    @Test("A service that is not known is waited for; the first to know it ends the wait, and so does time")
    func waiting() throws {
        let loop = try EventLoop()
        var asked: [UInt64] = []
        let explainer = Explainer(loop: loop) { id, _ in asked.append(id) }
        var answers: [[String]?] = []
        func explain(_ patience: Duration?) {
            explainer.explain(ExplainRequest(key: key), waiting: patience) { answers.append($0?.steps) }
        }
        explain(.seconds(60))
        explain(.milliseconds(20))
        #expect(asked.isEmpty)
        #expect(loop.run(for: .seconds(10)) { asked == [2] })
        explainer.becameKnown(ServiceKey(kind: .dubbo, name: "a"))
        #expect(asked == [2])
        explainer.becameKnown(key)
        #expect(asked == [2, 1])
        explain(nil)
        #expect(asked == [2, 1, 3])
        var explanation = Explanation()
        explanation.steps = ["x"]
        explainer.receive(explanation, id: 1)
        explainer.receive(explanation, id: 1)
        explainer.receive(explanation, id: 2)
        #expect(answers == [["x"], ["x"]])
        #expect(loop.run(for: .seconds(10)) { answers.count == 3 })
        #expect(answers[2] == nil)
    }
}
