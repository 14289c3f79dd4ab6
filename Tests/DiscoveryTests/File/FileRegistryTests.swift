import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct FileRegistryTests {
    let directory: TemporaryDirectory
    let fixture: Fixture
    let order = ServiceKey.http("order")

    init() throws {
        directory = try TemporaryDirectory()
        fixture = try Fixture(names: ["app": ["10.0.0.9"]], directory: directory.path)
    }

    private func registry(_ path: String = "services.yaml") -> FileRegistry {
        FileRegistry(path: path, url: "file:\(path)", context: fixture.context, reports: fixture.reports)
    }

    private func text(_ addresses: String...) -> String {
        "services:\n  order:\n" + addresses.map { "    - {address: \"\($0)\"}\n" }.joined()
    }

    @Test func readsEverything() throws {
        try directory.write(
            "services.yaml",
            """
            services:
              order:
                - {address: 127.0.0.1:9001, metadata: {version: "1.0", none: , n: 5}, weight: 50}
                - address: "[::1]:80"
              com.acme.Echo:1.0.0:
                - {address: 10.0.0.1:1, weight: 0}
              com.acme.Echo:2.0.0:blue: [{address: app:2}]
              com.acme.Echo:0.0.0: [{address: 10.0.0.3:3}]
              com.acme.Echo: [{address: 10.0.0.4:4}]
              empty:
            """)
        let registry = registry()
        let echo = ServiceKey.dubbo("com.acme.Echo")
        for service in [order, echo, .http("empty"), .http("none"), .dubbo("none"), .http("com.acme.Echo")] {
            registry.subscribe(service)
        }
        #expect(fixture.wait { fixture.told.count == 6 && fixture.told[echo]?.last?.count == 4 })
        #expect(fixture.addresses(order) == ["127.0.0.1:9001", "[::1]:80"])
        #expect(fixture.told[order]?.last?.map(\.weight) == [0.5, 1])
        #expect(fixture.told[order]?.last?.first?.metadata == ["version": "1.0", "n": "5"])
        let echoes = fixture.told[echo]?.last?.map { "\($0.address) \($0.interfaceVersion) \($0.group) \($0.weight)" }
        #expect(
            echoes == ["10.0.0.1:1 1.0.0  0.0", "10.0.0.3:3   1.0", "10.0.0.4:4   1.0", "10.0.0.9:2 2.0.0 blue 1.0"])
        #expect(fixture.addresses(.http("empty")) == [] && fixture.addresses(.dubbo("none")) == [])
        #expect(fixture.addresses(.http("com.acme.Echo")) == ["10.0.0.4:4"])
        #expect(registry.status.state == .connected && registry.status.subscriptions == 6)
        registry.stop()
    }

    @Test func readsBoltServices() throws {
        func file(_ port: Int) -> String {
            """
            services:
              com.acme.Echo: [{address: 10.0.0.1:1}]
              com.acme.Echo:1.0: [{address: 10.0.0.2:1, metadata: {version: v7}}]
              com.acme.Echo:2.0:blue: [{address: 10.0.0.3:\(port)}]
              com.acme.Echo:1.0:blue: [{address: 10.0.0.4:1}]
            """
        }
        try directory.write("services.yaml", file(1))
        let registry = registry()
        defer { registry.stop() }
        let (bolt, dubbo) = (ServiceKey.bolt("com.acme.Echo"), ServiceKey.dubbo("com.acme.Echo"))
        for service in [bolt, dubbo] { registry.subscribe(service) }
        #expect(fixture.wait { fixture.told[bolt]?.last?.count == 4 && fixture.told[dubbo]?.last?.count == 4 })
        func names(_ key: ServiceKey) -> [String]? {
            fixture.told[key]?.last?.map { "\($0.address) \($0.interfaceVersion) \($0.group)" }
        }
        #expect(names(bolt) == ["10.0.0.1:1  ", "10.0.0.2:1  ", "10.0.0.3:1 2.0 blue", "10.0.0.4:1  blue"])
        #expect(names(dubbo) == ["10.0.0.1:1  ", "10.0.0.2:1 1.0 ", "10.0.0.3:1 2.0 blue", "10.0.0.4:1 1.0 blue"])
        #expect(fixture.told[bolt]?.last?[1].metadata["version"] == "v7")
        try directory.replace("services.yaml", file(2))
        #expect(fixture.wait { names(bolt)?[2] == "10.0.0.3:2 2.0 blue" })
    }

    @Test func seesEveryKindOfReplacement() throws {
        try directory.write("services.yaml", text("10.0.0.1:1"))
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:1"] })
        try directory.write("services.yaml", text("10.0.0.2:1"))
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:1"] })
        try directory.replace("services.yaml", text("10.0.0.3:1"))
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.3:1"] })
        #expect(unlink(directory.path(of: "services.yaml")) == 0)
        #expect(fixture.wait { registry.status.state == .failed })
        #expect(
            registry.status.lastError == "\(directory.path)/services.yaml: cannot be read: No such file or directory")
        #expect(fixture.addresses(order) == ["10.0.0.3:1"])
        try directory.write("services.yaml", text("10.0.0.4:1"))
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.4:1"] })
        #expect(registry.status.state == .connected)
        #expect(fixture.told[order]?.count == 4)
        registry.stop()
    }

    @Test func followsSwappedLinks() throws {
        // As Kubernetes mounts a ConfigMap: services.yaml -> ..data/services.yaml, ..data -> a directory.
        for (name, address) in [("one", "10.0.0.1:1"), ("two", "10.0.0.2:1")] {
            #expect(mkdir(directory.path(of: name), 0o755) == 0)
            try directory.write("\(name)/services.yaml", text(address))
        }
        #expect(symlink("one", directory.path(of: "..data")) == 0)
        #expect(symlink("..data/services.yaml", directory.path(of: "services.yaml")) == 0)
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:1"] })
        #expect(symlink("two", directory.path(of: "..tmp")) == 0)
        #expect(rename(directory.path(of: "..tmp"), directory.path(of: "..data")) == 0)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:1"] })
        // What the link leads to now is watched as well.
        try directory.replace("two/services.yaml", text("10.0.0.3:1"))
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.3:1"] })
        registry.stop()
    }

    @Test func waitsForTheWriterToClose() throws {
        let file = try directory.write("services.yaml", text("10.0.0.1:1"))
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        let descriptor = open(file, O_WRONLY | O_TRUNC)
        let half = "services:\n  other:\n    - {address: 10.0.0.8:1}\n"
        #expect(write(descriptor, half, half.utf8.count) == half.utf8.count)
        // Half a file can be a right one.
        #expect(!fixture.wait(.milliseconds(200)) { fixture.told[order]?.count != 1 })
        let rest = "  order:\n    - {address: 10.0.0.2:1}\n"
        #expect(write(descriptor, rest, rest.utf8.count) == rest.utf8.count)
        close(descriptor)
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.2:1"] })
        #expect(fixture.told[order]?.count == 2)
        registry.stop()
    }

    @Test func aBadFileChangesNothingAndIsTold() throws {
        try directory.write("services.yaml", text("10.0.0.1:1"))
        let registry = registry()
        registry.subscribe(order)
        #expect(fixture.wait { fixture.told[order] != nil })
        try directory.replace("services.yaml", "services:\n  order:\n    - {adress: 10.0.0.2:1}\n")
        #expect(fixture.wait { registry.status.state == .failed })
        let file = directory.path(of: "services.yaml")
        #expect(fixture.log.contains("\(file):3: unknown key"))
        #expect(fixture.log.contains("did you mean"))
        // Another mistake is another line, although the state is the same.
        try directory.replace("services.yaml", "services: [")
        #expect(
            fixture.wait { fixture.log.contains("\(file):2: not YAML") || fixture.log.contains("\(file):1: not YAML") })
        #expect(fixture.told[order]?.count == 1)
        registry.stop()
    }

    @Test func aFileThatIsNotThereFailsAndComesLater() throws {
        let registry = registry("sub/services.yaml")
        registry.subscribe(order)
        #expect(fixture.wait { fixture.failures[order]?.contains("cannot be read") == true })
        #expect(registry.status.state == .failed)
        // Even its directory is new: found by looking from time to time.
        #expect(mkdir(directory.path(of: "sub"), 0o755) == 0)
        try directory.write("sub/services.yaml", text("10.0.0.1:1"))
        #expect(fixture.wait { fixture.addresses(order) == ["10.0.0.1:1"] })
        registry.stop()
    }

    @Test(arguments: [
        ("", 1), ("services:", 1), ("{}", 1), ("services: {order: 5}", 1), ("service: {}", 1), ("- a", 1),
        ("services: []", 1),
        ("services:\n  order:\n    - 127.0.0.1:80", 3), ("services:\n  order:\n    - {weight: 5}", 3),
        ("services:\n  order:\n    - {address: 127.0.0.1}", 3),
        ("services:\n  order:\n    - {address: 127.0.0.1:0}", 3),
        ("services:\n  order:\n    - {address: 127.0.0.1:70000}", 3),
        ("services:\n  order:\n    - {address: 127.0.0.500:1}", 3),
        ("services:\n  order:\n    - {address: \"::1:80\"}", 3),
        ("services:\n  order:\n    - {address: \"a b:80\"}", 3),
        ("services:\n  order:\n    - {address: a:1, weight: -1}", 3),
        ("services:\n  order:\n    - {address: a:1, weight: much}", 3),
        ("services:\n  order:\n    - {address: a:1, weight: 1000001}", 3),
        ("services:\n  order:\n    - {address: a:1, metadata: x}", 3),
        ("services:\n  order:\n    - {address: a:1, metadata: {a: [1]}}", 3),
        ("services:\n  order:\n    - {address: a:1}\n    - {address: a:1}", 4),
        ("services:\n  order: []\n  order: []", 3), ("services:\n  a:b:c:d: []", 2), ("services:\n  \"a b\": []", 2),
        ("services:\n  \":1\": []", 2),
    ])
    func tellsTheLineOfAMistake(text: String, line: Int) {
        #expect {
            try ServiceFile.parse(Array(text.utf8), file: "f")
        } throws: { error in
            "\(error)".hasPrefix("f:\(line): ")
        }
    }

    @Test func aFileWithoutServicesIsRight() throws {
        #expect(try ServiceFile.parse(Array("services: {}\n".utf8), file: "f").services.isEmpty)
    }

    @Test func manyServicesAreReadQuicklyAndOnlyChangesAreTold() throws {
        var lines = ["services:"]
        for number in 0..<10_000 {
            lines.append("  service-\(number):")
            lines.append(
                "    - {address: 10.0.\(number / 250).\(number % 250):80, metadata: {version: \"1.0\"}, weight: 100}")
        }
        try directory.write("services.yaml", lines.joined(separator: "\n"))
        let registry = registry()
        for number in 0..<10_000 { registry.subscribe(.http("service-\(number)")) }
        #expect(fixture.wait { fixture.told.count == 10_000 })
        lines[2] = "    - {address: 10.1.0.0:80}"
        try directory.replace("services.yaml", lines.joined(separator: "\n"))
        #expect(fixture.wait { fixture.addresses(.http("service-0")) == ["10.1.0.0:80"] })
        #expect(registry.status.changes == 10_001)
        registry.stop()
    }
}
