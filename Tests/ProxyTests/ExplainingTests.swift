import Balancing
import Configuration
import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("An explanation decides as a request would")
struct ExplainingTests {
    private let key = ServiceKey(kind: .http, name: "shop")

    private func explain(_ mesh: TestMesh, _ request: ExplainRequest) throws -> Explanation {
        let id = UInt64.random(in: 1...UInt64.max)
        mesh.post(.explain(id: id, request))
        var found: Explanation?
        let inTime = waitUntil(within: .seconds(10)) {
            for case .explanation(id, let explanation) in mesh.events { found = explanation }
            return found != nil
        }
        guard inTime, let found else { throw TestFailure("no explanation") }
        return found
    }

    @Test("Of repeated headers the first counts, of attachments the last; a star in an attachment is no wish")
    func repeatedNames() throws {
        let (one, two) = (try namedHost("1.0"), try namedHost("2.0"))
        let mesh = try TestMesh()
        mesh.update([("1.0", one.address), ("2.0", two.address)])
        let headers = [("x-version", "1.0"), ("X-Version", "2.0")]
        let real = try mesh.connect().get("/", "x-version: 1.0\r\nX-Version: 2.0\r\n").body
        #expect(try explain(mesh, ExplainRequest(key: key, headers: headers)).version == real)
        let dubbo = ServiceKey(kind: .dubbo, name: "demo.Echo")
        let instances = [("1.0", one), ("2.0", two)].map { version, host in
            Instance(address: host.address, metadata: ["version": version])
        }
        mesh.post(
            .update(
                ServiceSnapshot(key: dubbo, policy: ServicePolicy(), instances: instances, versionKeys: ["version"])))
        #expect(try explain(mesh, ExplainRequest(key: dubbo, headers: headers)).version == "2.0")
        let star = [("x-version", "*"), ("version", "1.0")]
        #expect(try explain(mesh, ExplainRequest(key: dubbo, headers: star)).version == "1.0")
    }

    @Test("What is tried further is told where it is not the usual")
    func furtherTries() throws {
        let host = try namedHost("1.0")
        let mesh = try TestMesh()
        mesh.update([("1.0", host.address)])
        let request = ExplainRequest(key: key)
        #expect(try !explain(mesh, request).steps.contains { $0.contains("further tr") })
        var policy = ServicePolicy()
        policy.traffic.retries.onReset = true
        policy.traffic.retries.hedge = .milliseconds(200)
        mesh.update(policy: policy, [("1.0", host.address)])
        let text = "timeout 1m, 2 further tries after connect, reset, another host as well after 200ms"
        #expect(waitUntil(within: .seconds(5)) { (try? explain(mesh, request).steps.contains(text)) == true })
    }

    @Test("What sticks to the client's address needs it")
    func clientAddress() throws {
        let (one, two) = (try namedHost("1.0"), try namedHost("2.0"))
        let mesh = try TestMesh()
        var policy = ServicePolicy()
        policy.split = [VersionWeight(version: "1.0", weight: 50), VersionWeight(version: "2.0", weight: 50)]
        policy.sticky = .clientAddress
        mesh.update(policy: policy, [("1.0", one.address), ("2.0", two.address)])
        let real = try mesh.connect().get().body
        let told = try explain(mesh, ExplainRequest(key: key, client: "127.0.0.1"))
        #expect(told.version == real && told.dependsOn == nil)
        let untold = try explain(mesh, ExplainRequest(key: key))
        #expect(untold.version == nil && untold.dependsOn == "client")
        let wish = try explain(mesh, ExplainRequest(key: key, headers: [("x-version", "2.0")]))
        #expect(wish.version == "2.0")
    }

    @Test("Several groups and any version: all hosts that a call may get, and the paths that they are called by")
    func severalGroups() throws {
        let key = ServiceKey(kind: .dubbo, name: "demo.Echo")
        let mesh = try TestMesh()
        let addresses = (1...4).map { SocketAddress(ipv4: 0x7f00_0001, port: $0) }
        let instances = [
            Instance(address: addresses[0], interfaceVersion: "1.0", group: "g1"),
            Instance(address: addresses[1], metadata: ["path": "orders/v1"], interfaceVersion: "1.0", group: "g2"),
            Instance(address: addresses[2], interfaceVersion: "2.0", group: "g2"),
            Instance(address: addresses[3], interfaceVersion: "1.0"),
        ]
        mesh.post(
            .update(
                ServiceSnapshot(key: key, policy: ServicePolicy(), instances: instances, versionKeys: ["version"])))
        func hosts(_ group: String, _ version: String) throws -> ([Int], String?, [String]) {
            let told = try explain(mesh, ExplainRequest(key: key, interfaceVersion: version, group: group))
            let numbers = told.hosts.compactMap { host in addresses.firstIndex { "\($0)" == host } }
            return (numbers, told.cluster, told.steps)
        }
        #expect(try hosts("g1", "1.0").0 == [0])
        let both = try hosts("g1,g2", "1.0")
        #expect(both.0 == [0, 1] && both.1 == "1.0")
        #expect(both.2.contains("call of interface version 1.0, group any of g1,g2"))
        #expect(both.2.contains { $0.hasSuffix("serves with 2 of 2 hosts") })
        #expect(both.2.last == "\(addresses[1]) is called by its path orders/v1")
        #expect(try Set(hosts("*", "1.0").0) == [0, 1, 3])
        let any = try hosts("g2", "*")
        #expect(any.0 == [1, 2] && any.1 == "any")
        #expect(try hosts("x,y", "1.0").0.isEmpty)
    }
}
