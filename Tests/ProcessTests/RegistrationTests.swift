import Discovery
import Glibc
import Runtime
import TestSupport
import Testing

@Suite("The built program registers applications")
struct RegistrationTests {
    /// Another Greymesh, which believes its registry at once.
    private func watcher(_ url: String, _ directory: TemporaryDirectory) throws -> GreymeshProcess {
        let path = try directory.write(
            "watcher.yaml",
            """
            registries: [{url: "\(url)", confirm: 0s, settle: 0s}]
            listeners: [{name: http, protocol: http, listen: 127.0.0.1:0}]
            """)
        return try start(["--config", path])
    }

    private func start(_ arguments: [String]) throws -> GreymeshProcess {
        let process = try GreymeshProcess(["run", "--admin", "127.0.0.1:0", "--workers", "1"] + arguments)
        try process.waitForLog("event=ready")
        return process
    }

    @Test(
        "One by flag is found by others, and taken out before its listener closes", .enabled(if: EtcdServer.isAvailable)
    )
    func byFlag() throws {
        let etcd = try EtcdServer()
        try etcd.start()
        let url = "etcd://127.0.0.1:\(etcd.port)"
        let directory = try TemporaryDirectory()
        let host = try HostThread("one")
        defer { host.stop() }
        let path = try directory.write(
            "inbound.yaml",
            """
            listeners: [{name: inbound, protocol: http, listen: 127.0.0.1:0, forward: "\(host.address)"}]
            withdraw_wait: 4s
            """)
        let owner = try start([
            "--config", path, "--registry", url, "--register", "http://order-service@inbound?version=1.0",
        ])
        defer { owner.child.terminate() }
        try owner.waitForLog("event=registration.registered")
        let other = try watcher(url, directory)
        defer { other.child.terminate() }
        #expect(waitUntil(within: .seconds(20)) { (try? other.get(headers: [("x-version", "1.0")]).text) == "one" })
        let address = try owner.http
        let listed = try GreymeshProcess.command(["registrations", "--admin", try owner.admin])
        #expect(listed.output.contains("order-service  http      \(address)  up      \(url)  registered"))
        #expect(try owner.ask("/registrations").text.contains(#""state": "registered""#))
        #expect(try owner.ask("/metrics").text.contains(#"greymesh_registration_registered{service="order-service""#))

        owner.child.signal(SIGTERM)
        // Every request is served until the other knows.
        let isGone = try waitUntil(within: .seconds(20)) {
            let answer = try other.get()
            #expect(answer.status == 200 || answer.status == 503)
            return answer.status == 503
        }
        #expect(isGone)
        try owner.waitForLog("event=registration.withdrawn")
        #expect(!owner.child.errors.contains("event=drain.started"))
        let direct = HTTPRequest("GET", "http://\(address)/", headers: [("Host", "any")])
        #expect(try HTTPClient.perform(direct).text == "one")
        #expect(try owner.ask("/readyz").status == 503)
        #expect(try owner.child.waitForExit() == .status(0))
        try owner.waitForLog("event=drain.done")
    }

    @Test("Applications publish and subscribe as with MOSN", .enabled(if: ZooKeeperServer.isAvailable))
    func api() throws {
        let zooKeeper = try ZooKeeperServer()
        try zooKeeper.start()
        let url = "zookeeper://\(zooKeeper.address)"
        let directory = try TemporaryDirectory()
        let application = try HostThread("application")
        defer { application.stop() }
        let path = try directory.write(
            "inbound.yaml",
            """
            registries: ["\(url)"]
            listeners: [{name: inbound, protocol: dubbo, listen: 127.0.0.1:0, forward: "\(application.address)"}]
            withdraw_wait: 0s
            """)
        let owner = try start(["--config", path])
        defer { owner.child.terminate() }
        let other = try watcher(url, directory)
        defer { other.child.terminate() }
        func message(_ version: String) -> String {
            """
            {"registry":{"type":"zookeeper","addr":"\(zooKeeper.address)"},"service":{"interface":"com.acme.Orders",\
            "methods":["get","put"],"port":"\(application.address.port)","name":"Orders","group":"","version":"\(version)"}}
            """
        }
        #expect(try other.post("/sub", message("")) == #"{"err_no":0,"err_msg":"subscribe success"}"#)
        for version in ["1.0.0", "2.0.0", "1.0.0"] {
            #expect(try owner.post("/pub", message(version)) == #"{"err_no":0,"err_msg":"publish success"}"#)
        }
        func versions() throws -> [String] {
            try other.ask("/clusters?service=com.acme.Orders").text.split(separator: "\n").compactMap { line in
                line.contains(#""interfaceVersion": "#) ? String(line.split(separator: "\"")[3]) : nil
            }.sorted()
        }
        #expect(try waitUntil(within: .seconds(20)) { try versions() == ["1.0.0", "2.0.0"] })
        let listener = try owner.logged("listener.opened", "address")
        #expect(try other.ask("/clusters?service=com.acme.Orders").text.contains(listener))
        #expect(try owner.post("/unpub", message("1.0.0")) == #"{"err_no":0,"err_msg":"unpub success"}"#)
        #expect(try waitUntil(within: .seconds(20)) { try versions() == ["2.0.0"] })
        owner.child.signal(SIGTERM)
        #expect(try owner.child.waitForExit() == .status(0))
        #expect(try waitUntil(within: .seconds(20)) { try versions() == [] })
    }

    @Test("What an application has published outlives a killed process", .enabled(if: EtcdServer.isAvailable))
    func published() throws {
        let ledger = try EtcdLedger()
        try ledger.startEmpty()
        try ledger.waitUntilItServes()
        let application = try HostThread("application")
        defer { application.stop() }
        let directory = try TemporaryDirectory()
        let arguments = [
            "--http", "127.0.0.1:0", "--dubbo", "off", "--registry", ledger.url, "--state", directory.path,
        ]
        let port = application.address.port
        let message =
            #"{"service":{"interface":"com.acme.Orders","port":"\#(port)","group":"blue","version":"1.0.0"}}"#
        let first = try start(arguments)
        #expect(try first.post("/pub", message) == #"{"err_no":0,"err_msg":"publish success"}"#)
        #expect(waitUntil(within: .seconds(10)) { access(directory.path(of: "publications"), R_OK) == 0 })
        first.child.signal(SIGKILL)
        try first.child.waitForExit()
        // Its entry lives on with its lease; without that, and whatever else etcd knew, it is written by the next process.
        try ledger.kill()
        try ledger.startEmpty()
        try ledger.waitUntilItServes()
        let second = try start(arguments)
        defer { second.child.terminate() }
        let wanted = ListedEntry(
            service: "com.acme.Orders", address: "\(application.address)", version: "1.0.0", group: "blue", weight: 100,
            zone: "")
        #expect(try waitUntil(within: .seconds(20)) { try ledger.listed() == [wanted] }, "\(second.child.errors)")
        #expect(try second.post("/unpub", message) == #"{"err_no":0,"err_msg":"unpub success"}"#)
        #expect(try ledger.listed().isEmpty)
        #expect(second.child.terminate() == .status(0))
        let third = try start(arguments)
        #expect(try third.ask("/registrations").text.contains(#""registrations": []"#))
        third.child.terminate()
    }
}
