import Foundation
import Glibc
import Runtime
import TestSupport
import Testing

/// What the documentation promises of `access` and `trusted_proxies`.
@Suite("Access in the built program", .serialized)
struct AccessProcessTests {
    @Test("Whoever is denied or not allowed gets 403, by connection or as trusted proxies say, and no host hears of it")
    func http() throws {
        let (one, two) = (try HostThread("1.0"), try HostThread("2.0"))
        defer { one.stop(); two.stop() }
        let directory = try TemporaryDirectory()
        let hosts = [("1.0", one), ("2.0", two)].map { version, host in
            "{address: \"\(host.address)\", metadata: {version: \"\(version)\"}}"
        }
        let process = try GreymeshProcess.serve(
            in: directory, "http",
            services:
                "order-service: {stable: \"1.0\", mode: strict, access: {allow: [10.0.0.0/8, 127.0.0.0/8], deny: [10.0.66.0/24]}, "
                + "versions: {\"2.0\": {access: {allow: [192.0.2.7, 192.0.2.8]}, rate_limit: {rate: 1/h, key: client-address}}}}",
            hosts: "order-service: [\(hosts.joined(separator: ", "))]",
            more: "access_log: {path: access.log}\ntrusted_proxies: [127.0.0.1, 10.9.0.0/16]")
        defer { process.child.terminate() }
        func status(_ forwarded: String?, _ version: String = "") throws -> Int {
            var headers = forwarded.map { [(name: "X-Forwarded-For", value: $0)] } ?? []
            if !version.isEmpty { headers.append((name: "x-version", value: version)) }
            let answer = try process.get(headers: headers)
            let error = answer.header("x-greymesh-error")
            #expect(error == [403: "denied", 429: "rate"][answer.status])
            return answer.status
        }
        #expect(try status(nil) == 200)
        #expect(try status("10.1.1.1") == 200 && status("10.0.66.9") == 403 && status("192.0.2.7") == 403)
        // What the client wrote itself does not count, what trusted proxies wrote does.
        #expect(try status("10.1.1.1, 192.0.2.7") == 403 && status("192.0.2.7, 10.1.1.1, 10.9.0.2") == 200)
        #expect(try status("::ffff:10.0.66.9") == 403 && status("[2001:db8::1]:80") == 403)
        #expect(try status("192.0.2.7", "2.0") == 200 && status("10.1.1.1", "2.0") == 403)
        // A rate limit means the same client, whatever way it comes by; who has no access takes no token.
        #expect(try status("192.0.2.7, 10.9.0.3", "2.0") == 429 && status("192.0.2.8:99", "2.0") == 200)
        #expect(one.requests == 3 && two.requests == 2)
        let series = "greymesh_refused_total{service=\"order-service\",protocol=\"http\",version="
        let metrics = try process.ask("/metrics").text
        #expect(metrics.contains(series + "\"1.0\",reason=\"denied\"} 5\n"), "\(metrics)")
        #expect(metrics.contains(series + "\"2.0\",reason=\"denied\"} 1\n"))
        let shown = try process.ask("/config").text.filter { !$0.isWhitespace }
        #expect(shown.contains(#""trusted_proxies":["127.0.0.1","10.9.0.0/16"]"#), "\(shown)")
        #expect(shown.contains(#""access":{"allow":["10.0.0.0/8","127.0.0.0/8"],"deny":["10.0.66.0/24"]}"#))
        func explained(_ more: String) throws -> String {
            try process.ask("/explain?service=order-service\(more)").text
        }
        #expect(try explained("").contains("\"dependsOn\": \"client\""))
        #expect(try explained("&client=10.1.1.1").contains("10.1.1.1 has access: 10.0.0.0/8 is allowed"))
        let refused = try explained("&client=10.0.66.9")
        #expect(
            refused.contains("10.0.66.9 has no access: 10.0.66.0/24 is denied") && refused.contains("\"hosts\": []"))
        process.child.signal(SIGTERM)
        #expect(try process.child.waitForExit() == .status(0))
        let log = try String(contentsOfFile: directory.path(of: "access.log"), encoding: .utf8)
        let line = log.split(separator: "\n").first { $0.contains("\"client\":\"10.0.66.9\"") }
        #expect(line?.contains("\"peer\":\"127.0.0.1\"") == true && line?.contains("\"status\":403,") == true, "\(log)")
    }

    @Test(
        "Who is no trusted proxy says nothing of its client; one client sticks to one version, whatever proxy it comes by"
    )
    func trust() throws {
        let (one, two) = (try HostThread("1.0"), try HostThread("2.0"))
        defer { one.stop(); two.stop() }
        let hosts = [("1.0", one), ("2.0", two)].map { version, host in
            "{address: \"\(host.address)\", metadata: {version: \"\(version)\"}}"
        }
        func serve(_ directory: TemporaryDirectory, _ more: String) throws -> GreymeshProcess {
            try GreymeshProcess.serve(
                in: directory, "http",
                services:
                    "order-service: {split: {\"1.0\": 50, \"2.0\": 50}, sticky: client-address, access: {deny: [10.0.0.0/8]}}",
                hosts: "order-service: [\(hosts.joined(separator: ", "))]", more: more)
        }
        func version(_ process: GreymeshProcess, _ forwarded: String) throws -> String {
            try process.get(headers: [("X-Forwarded-For", forwarded)]).text
        }
        let directory = try TemporaryDirectory()
        let untrusting = try serve(directory, "")
        let all = try (1...16).map { try version(untrusting, "10.0.0.\($0)") }
        #expect(Set(all).count == 1 && ["1.0", "2.0"].contains(all[0]))
        untrusting.child.terminate()
        let other = try TemporaryDirectory()
        let trusting = try serve(other, "trusted_proxies: [127.0.0.0/8]")
        defer { trusting.child.terminate() }
        for client in (1...16).map({ "192.0.2.\($0)" }) {
            let served = try version(trusting, client)
            #expect(try version(trusting, "198.51.100.9, \(client), 127.0.0.2") == served)
            let explained = try trusting.ask("/explain?service=order-service&client=\(client)").text
            #expect(explained.contains("\"version\": \"\(served)\""), "\(client) \(served) \(explained)")
        }
        #expect(one.requests > all.count { $0 == "1.0" } && two.requests > all.count { $0 == "2.0" })
    }

    @Test("Dubbo and Bolt: by the connection, and a version's own", arguments: ["dubbo", "bolt"])
    func framed(listener: String) throws {
        let service = try SampleService(listener, "a", ["--interface", "demo.Shop"])
        defer { withExtendedLifetime(service) {} }
        let tag = listener == "dubbo" ? "dubbo.tag" : "version"
        func calls(_ settings: String) throws -> (tally: SampleCaller.Tally, metrics: String) {
            let directory = try TemporaryDirectory()
            let process = try GreymeshProcess.serve(
                in: directory, listener, services: "demo.Shop: {stable: gray, \(settings)}",
                hosts: "demo.Shop: [{address: \"\(service.address)\", metadata: {\(tag): gray}}]")
            defer { process.child.terminate() }
            let caller = try SampleCaller(listener, process.address(of: "in"), count: 6)
            return (try caller.tally(), try process.ask("/metrics").text)
        }
        let denied = try calls("access: {deny: [127.0.0.0/8]}")
        #expect(denied.tally.answered == 0 && denied.tally.failed == 6)
        let labels = "{service=\"demo.Shop\",protocol=\"\(listener)\",version=\"gray\""
        #expect(denied.metrics.contains("greymesh_refused_total\(labels),reason=\"denied\"} 6\n"), "\(denied.metrics)")
        let code = listener == "dubbo" ? 40 : 6
        #expect(denied.metrics.contains("greymesh_responses_total\(labels),code=\"\(code)\"} 6\n"), "\(denied.metrics)")
        let allowed = try calls(
            "access: {deny: [127.0.0.0/8]}, versions: {gray: {access: {deny: off, allow: [\"::ffff:127.0.0.1\"]}}}")
        #expect(allowed.tally.answered == 6 && allowed.tally.failed == 0)
    }
}
