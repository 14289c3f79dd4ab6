import Discovery
import Runtime
import TestSupport
import Testing

@Suite("A registry that lists the process itself")
struct LoopTests {
    @Test("Its own listeners and its admin API are never hosts; the reason is counted and logged")
    func ownAddresses() throws {
        let directory = try TemporaryDirectory()
        let host = try HostThread("one")
        defer { host.stop() }
        try directory.replace("services.yaml", "services: {}\n")
        let process = try GreymeshProcess.run(["--registry", "file:services.yaml"], directory: directory.path)
        defer { process.child.terminate() }
        try directory.replace(
            "services.yaml",
            """
            services:
              order-service:
                - {address: "\(try process.http)"}
                - {address: "\(host.address)"}
                - {address: "\(try process.admin)"}

            """)
        #expect(waitUntil(within: .seconds(10)) { (try? process.get().text) == "one" })
        for _ in 0..<10 { #expect(try process.get().text == "one") }
        let metrics = try process.ask("/metrics").text
        #expect(metrics.contains(#"reason="own_address"} 2"#))
        #expect(try process.ask("/registries").text.contains(#""own_address": 2"#))
        try process.waitForLog("event=registry.own_address")
    }
}
