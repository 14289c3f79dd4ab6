import Configuration
import Glibc
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct SavedHostsTests {
    let folder: TemporaryDirectory
    let fixture: Fixture
    let order = ServiceKey.http("order service/ü")
    let echo = ServiceKey.dubbo("demo.Echo")
    let url = "nacos://127.0.0.1:8848"

    init() throws {
        folder = try TemporaryDirectory()
        fixture = try Fixture()
    }

    private var hosts: [ServiceKey: [Instance]] {
        [
            order: [
                Instance(address: SocketAddress("10.0.0.1:80")!, weight: 2.5, metadata: ["version": "1\"0", "": "\n"]),
                Instance(address: SocketAddress("[::1]:81")!, available: false),
            ],
            echo: [Instance(address: SocketAddress("10.0.0.2:80")!, interfaceVersion: "1.0.0", group: "g")],
        ]
    }

    private func store(url: String? = nil) throws -> SavedHosts {
        let store = try SavedHosts(
            folder: folder.path + "/state", url: url ?? self.url, loop: fixture.loop, logger: fixture.context.logger,
            pause: .milliseconds(10))
        #expect(fixture.wait { store.isLoaded })
        return store
    }

    /// Writes a file and returns its path.
    private func write() throws -> String {
        let store = try store()
        store.current = { hosts }
        store.changed()
        #expect(fixture.wait { store.count(of: order) == 2 })
        store.stop()
        let entries = try #require(opendir(folder.path + "/state"))
        defer { closedir(entries) }
        var names: [String] = []
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        #expect(names.count == 1)
        return folder.path + "/state/" + (names.first ?? "")
    }

    @Test func whatIsSavedIsThereAtTheNextStart() throws {
        let path = try write()
        var information = stat()
        #expect(stat(path, &information) == 0 && information.st_mode & 0o777 == 0o600)
        let store = try store()
        #expect(store.count(of: order) == 2 && store.count(of: .http("other")) == 0)
        #expect(store.hosts(of: order)?.hosts == hosts[order] && store.hosts(of: echo)?.hosts == hosts[echo])
        #expect(store.hosts(of: .http("other")) == nil)
        // Another registry's are not mixed in.
        let other = try self.store(url: "nacos://other:8848")
        #expect(other.count(of: order) == 0)
        other.stop()
        store.stop()
        #expect(!fixture.log.contains("saved_hosts.failed"))
    }

    @Test func servicesNobodyAsksForAreKeptAndEmptyOnesForgotten() throws {
        _ = try write()
        let store = try store()
        store.current = { [.http("new"): hosts[echo] ?? [], order: []] }
        store.changed()
        #expect(fixture.wait { store.count(of: .http("new")) == 1 })
        #expect(store.count(of: echo) == 1 && store.count(of: order) == 0)
        // What is not written yet is written at the end.
        store.current = { [.http("last"): hosts[echo] ?? []] }
        store.changed()
        store.stop()
        let next = try self.store()
        #expect(next.count(of: .http("last")) == 1 && next.hosts(of: echo)?.hosts == hosts[echo])
        next.stop()
    }

    @Test func aDamagedFileIsNotUsedAndReplaced() throws {
        let path = try write()
        let good = try TemporaryDirectory.read(path)
        let flipped = Array(String(decoding: good, as: UTF8.self).replacing(#""address""#, with: #""addresS""#).utf8)
        #expect(flipped != good)
        let damaged: [[UInt8]] = [
            [], Array(good.dropLast(2)), Array(good.prefix(good.count / 2)), flipped, Array("garbage\n".utf8),
            [UInt8](repeating: 0, count: 5000), good + good,
            Array(String(decoding: good, as: UTF8.self).replacing("hosts 1", with: "hosts 2").utf8),
        ]
        for (index, bytes) in damaged.enumerated() {
            try folder.write(String(path.dropFirst(folder.path.utf8.count + 1)), String(decoding: bytes, as: UTF8.self))
            let store = try store()
            // A second copy behind a whole first one is not looked at.
            #expect(store.count(of: order) == (bytes == good + good ? 2 : 0), "\(index)")
            store.stop()
        }
        #expect(fixture.log.contains("saved_hosts.failed") && fixture.log.contains("its checksum is wrong"))
        _ = try write()
    }

    @Test func aFolderThatCannotBeWrittenIsToldOnce() throws {
        try folder.write("state", "a file")
        let store = try store()
        for _ in 0..<3 {
            store.changed()
            _ = fixture.wait(.milliseconds(50)) { false }
        }
        store.stop()
        #expect(fixture.log.split(separator: "\n").count { $0.contains("saved_hosts.failed") } == 1)
    }

    @Test func whatCouldNotBeWrittenIsWrittenAtTheEnd() throws {
        let store = try store()
        rmdir(folder.path + "/state")
        try folder.write("state", "a file")
        store.current = { hosts }
        store.changed()
        #expect(fixture.wait { fixture.log.contains("saved_hosts.failed") })
        unlink(folder.path + "/state")
        mkdir(folder.path + "/state", 0o700)
        store.stop()
        let next = try self.store()
        #expect(next.count(of: order) == 2)
        next.stop()
    }

    @Test(arguments: ["-9223372036854775808", "9223372036854775807", "0"])
    func extremeTimesAndWeightsAreSurvived(time: String) throws {
        let path = try write()
        var lines = String(decoding: try TemporaryDirectory.read(path), as: UTF8.self).split(separator: "\n")
            .dropLast().map(String.init)
        for index in lines.indices.dropFirst() {
            var words = lines[index].split(separator: " ", maxSplits: 4).map(String.init)
            words[2] = time
            lines[index] = words.joined(separator: " ").replacing("\"weight\":2.5", with: "\"weight\":1e300")
        }
        var checksum = Checksum()
        for line in lines { checksum.add(line.utf8) }
        let text = lines.joined(separator: "\n") + "\n"
        try folder.write(
            String(path.dropFirst(folder.path.utf8.count + 1)),
            text + String(decoding: checksum.lastLine(count: lines.count - 1), as: UTF8.self))
        let store = try store()
        let found = store.hosts(of: order)
        #expect(found.map { $0.age >= 0 && $0.hosts.allSatisfy { $0.weight <= 1_000_000 } } ?? time.hasPrefix("-"))
        store.changed()
        store.stop()
    }

    // MARK: With a directory

    private func directory(_ stub: @escaping (RegistryReports) -> any Registry) throws -> ServiceDirectory {
        let saved = try SavedHosts(
            folder: folder.path + "/state", url: url, loop: fixture.loop, logger: fixture.context.logger,
            pause: .milliseconds(10))
        var limits = AnswerLimits()
        limits.confirmTime = .milliseconds(100)
        return fixture.directory(limits: limits, saved: saved, make: stub)
    }

    @Test func aStartWithTheRegistryAwayUsesSavedHosts() throws {
        _ = try write()
        let nacos = try FakeNacos(loop: fixture.loop)
        let port = nacos.server.port
        nacos.server.stop()
        let directory = try directory { [fixture] in
            var settings = NacosSettings(servers: ["http://127.0.0.1:\(port)/nacos"])
            settings.poll = .milliseconds(20)
            settings.serverBackoff = Backoff(first: .milliseconds(10), cap: .milliseconds(20))
            return NacosRegistry(settings, url: url, context: fixture.context, reports: $0)
        }
        directory.require(order)
        directory.require(.http("unknown"))
        #expect(!directory.knowsRequired)
        #expect(fixture.wait { fixture.told[order]?.count == 1 && fixture.told[.http("unknown")] == [[]] })
        #expect(fixture.told[order]?.first?.count == 2)
        #expect(directory.statuses.map(\.state) == [.saved, .failed] && !directory.knowsRequired)
        // Saved hosts are served: that is all that readiness asks for.
        directory.release(.http("unknown"))
        #expect(directory.knowsRequired)
        #expect(fixture.log.contains("registry.saved_hosts_used"))
        // The registry comes back and lists nothing yet: what was saved stays until that is confirmed.
        try nacos.server.restart()
        #expect(fixture.wait { directory.statuses.first?.state == .ready })
        #expect(fixture.told[order]?.count == 1 && directory.statuses.first?.isHeld == true)
        directory.stop()
        // It was the registry that was doubted, so the hosts are still there.
        let next = try store()
        #expect(next.count(of: order) == 2)
        next.stop()
    }

    @Test func aFirstAnswerThatIsEmptyIsDoubted() throws {
        _ = try write()
        let nacos = try FakeNacos(loop: fixture.loop)
        let directory = try directory { fixture.nacos(nacos, reports: $0) }
        directory.require(order)
        #expect(fixture.wait { fixture.told[order]?.first?.count == 2 })
        // It stays so: then it is believed.
        #expect(fixture.wait { fixture.told[order]?.last == [] })
        directory.stop()
        #expect(try store().count(of: order) == 0)
    }

    @Test func aSlowRegistryDoesNotHoldUpAStart() throws {
        _ = try write()
        let nacos = try FakeNacos(loop: fixture.loop)
        nacos.fault = { _ in .raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", close: false) }
        let directory = try directory { fixture.nacos(nacos, reports: $0) }
        directory.require(order)
        let start = Clock.nanoseconds
        #expect(fixture.wait { fixture.told[order]?.first?.count == 2 })
        #expect(Clock.nanoseconds - start < 3_000_000_000)
        directory.stop()
    }
}
