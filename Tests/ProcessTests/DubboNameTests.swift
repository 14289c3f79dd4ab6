import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// Sample providers refuse calls that do not name their path, version and group.
@Suite("Dubbo providers' paths and groups through the built program", .serialized)
struct DubboNameTests {
    private final class Mesh {
        private let directory = try! TemporaryDirectory()
        private var services: [SampleService] = []
        let greymesh: GreymeshProcess

        /// - Parameter hosts: path, version and group of each, and its weight.
        init(_ hosts: [(name: String, path: String, version: String, group: String, weight: Int)]) throws {
            var listed: [String: [String]] = [:]
            for host in hosts {
                var options = ["--interface", host.path, "--version", host.version]
                if !host.group.isEmpty { options += ["--group", host.group] }
                let service = try SampleService("dubbo", host.name, options)
                services.append(service)
                let metadata = host.path == "demo.Shop" ? "{}" : "{path: \(host.path)}"
                let key = "demo.Shop:\(host.version)" + (host.group.isEmpty ? "" : ":" + host.group)
                listed[key, default: []].append(
                    "{address: \"\(service.address)\", weight: \(host.weight), metadata: \(metadata)}")
            }
            let lines = listed.map { "  \($0): [\($1.joined(separator: ", "))]\n" }
            let file = "services:\n" + lines.sorted().joined()
            let path = try directory.write("services.yaml", file)
            greymesh = try GreymeshProcess([
                "run", "--registry", "file:\(path)", "--http", "off", "--dubbo", "127.0.0.1:0", "--admin",
                "127.0.0.1:0",
                "--workers", "2", "--access-log", directory.path(of: "log"),
            ])
            try greymesh.waitForLog("event=ready")
        }

        deinit {
            greymesh.child.terminate()
        }

        func call(_ count: Int, version: String = "1.0.0", group: String? = nil) throws -> SampleCaller.Tally {
            var options = ["--version", version, "--timeout-ms", "20000"]
            // One after the other: with several in flight the less busy host, which is the faster one, gets more than its weight.
            options += ["--connections", "1", "--concurrency", "1"]
            if let group { options += ["--group", group] }
            return try SampleCaller("dubbo", greymesh.address(of: "dubbo"), count: count, options).tally()
        }

        func explain(_ query: String) throws -> String {
            let answer = try greymesh.ask("/explain?service=demo.Shop&protocol=dubbo&" + query)
            return String(decoding: answer.body, as: UTF8.self)
        }

        var log: String {
            get throws { String(decoding: try TemporaryDirectory.read(directory.path(of: "log")), as: UTF8.self) }
        }
    }

    @Test("Every provider gets its own path")
    func paths() throws {
        let mesh = try Mesh([
            ("plain", "demo.Shop", "1.0.0", "", 1), ("own", "orders/v1", "1.0.0", "", 1),
            ("context", "ctx/demo.Shop", "1.0.0", "", 1),
        ])
        let tally = try mesh.call(120)
        #expect(tally.failed == 0 && Set(tally.counts.keys) == ["plain", "own", "context"], "\(tally)")
        let told = try mesh.explain("version=1.0.0")
        #expect(told.contains("is called by its path orders/v1") && told.contains("by its path ctx/demo.Shop"))
    }

    @Test("A list of groups, all of them, and any version: by weight over all hosts, each called as it is")
    func groups() throws {
        let mesh = try Mesh([
            ("one", "demo.Shop", "1.0.0", "g1", 3), ("two", "orders/v1", "1.0.0", "g2", 1),
            ("later", "demo.Shop", "2.0.0", "g2", 1), ("none", "demo.Shop", "1.0.0", "", 1),
        ])
        #expect(try mesh.call(20, group: "g1").counts == ["one": 20])
        #expect(try mesh.call(20).counts == ["none": 20])
        let both = try mesh.call(2000, group: "g1,g2")
        #expect(both.failed == 0 && Set(both.counts.keys) == ["one", "two"])
        // 500; five standard deviations are 97.
        #expect(abs(both.counts["two", default: 0] - 500) < 97, "\(both)")
        let all = try mesh.call(100, group: "*")
        #expect(all.failed == 0 && Set(all.counts.keys) == ["one", "two", "none"])
        let any = try mesh.call(100, version: "*", group: "*")
        #expect(any.failed == 0 && Set(any.counts.keys) == ["one", "two", "later", "none"])
        #expect(try mesh.call(2, group: "x,y").failed == 2)
        #expect(try mesh.explain("version=1.0.0&group=g1,g2").contains("serves with 2 of 2 hosts"))
        mesh.greymesh.child.signal(SIGTERM)
        try mesh.greymesh.child.waitForExit()
        let lines = try mesh.log.split(separator: "\n").filter { $0.contains("\"group\":\"g1,g2\"") }
        #expect(lines.count == 2000)
        let served = lines.count { $0.contains("\"served_group\":\"g2\"") }
        #expect(served == both.counts["two"])
    }
}
