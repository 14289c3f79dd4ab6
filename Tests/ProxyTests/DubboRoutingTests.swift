import Model
import Proxy
import TestSupport
import Testing

@Suite("Which host a Dubbo call gets")
struct DubboRoutingTests {
    /// Four hosts: interface version 1.0.0 untagged and tagged gray, 2.0.0, and 1.0.0 in a group.
    private final class Cast {
        let mesh: DubboMesh
        let hosts: [DubboHost]
        let consumer: DubboSocket

        init(mode: FallbackMode = .fallback, stable: String? = nil) throws {
            mesh = try DubboMesh()
            hosts = try ["one", "gray", "two", "grouped"].map { try DubboHost.echo($0) }
            var policy = ServicePolicy()
            policy.mode = mode
            policy.stable = stable
            try mesh.update(
                [
                    Instance(hosts[0], version: "1.0.0"), Instance(hosts[1], version: "1.0.0", tag: "gray"),
                    Instance(hosts[2], version: "2.0.0"), Instance(hosts[3], version: "1.0.0", group: "g"),
                ], policy: policy)
            consumer = try mesh.connect()
        }

        func stop() {
            consumer.close()
            mesh.stop()
            for host in hosts { host.stop() }
        }

        /// Makes a call of an interface version as Java does: in the body and in the attachments.
        func ask(_ version: String, _ attachments: [(name: String, value: String)] = []) -> DubboFrame? {
            let all = [("version", version)] + attachments
            return consumer.ask(DubboCall(version: version, attachments: all, id: 1))
        }

        func server(_ version: String, _ attachments: [(name: String, value: String)] = []) -> String? {
            ask(version, attachments)?.text.split(separator: "|").first.map(String.init)
        }
    }

    @Test("A call without a wish keeps Dubbo's meaning: its version, its group, untagged hosts")
    func noWish() throws {
        let cast = try Cast()
        defer { cast.stop() }
        for _ in 0..<10 {
            #expect(cast.server("1.0.0") == "one")
            #expect(cast.server("2.0.0") == "two")
            #expect(cast.server("1.0.0", [("group", "g")]) == "grouped")
        }
    }

    @Test("A wish decides: tag before version, x-version before tag; 0.0.0 and * are none")
    func wishes() throws {
        let cast = try Cast()
        defer { cast.stop() }
        for _ in 0..<5 {
            #expect(cast.server("1.0.0", [("dubbo.tag", "gray")]) == "gray")
            #expect(cast.server("1.0.0", [("x-version", "gray")]) == "gray")
            #expect(cast.server("1.0.0", [("dubbo.tag", "gray"), ("x-version", "2.0.0")]) == "two")
            #expect(cast.server("1.0.0", [("x-version", "0.0.0")]) == "one")
            #expect(cast.server("1.0.0", [("x-version", "*")]) == "one")
            #expect(cast.server("1.0.0", [("x-version", "")]) == "one")
        }
    }

    @Test("A wish for another interface version rewrites it in body and attachment; otherwise nothing is changed")
    func rewriting() throws {
        let cast = try Cast()
        defer { cast.stop() }
        #expect(cast.server("1.0.0", [("x-version", "2.0.0"), ("trace", "t")]) == "two")
        let call = try #require(cast.hosts[2].calls.first)
        #expect(call.version == "2.0.0")
        #expect(call.attachment("version") == "2.0.0")
        #expect(call.attachment("trace") == "t")
        #expect(call.argument == "hi")
        #expect(cast.server("1.0.0", [("dubbo.tag", "gray")]) == "gray")
        #expect(cast.hosts[1].calls.first?.version == "1.0.0")
    }

    @Test("Any interface version (*) is rewritten to the host's own, which is the only one that it answers to")
    func anyVersion() throws {
        let cast = try Cast()
        defer { cast.stop() }
        for _ in 0..<10 {
            let server = try #require(cast.server("*"))
            let host = try #require(["one": 0, "two": 2][server])
            #expect(cast.hosts[host].calls.last?.version == (host == 0 ? "1.0.0" : "2.0.0"))
        }
    }

    @Test("Fallback: a wish that nobody can meet goes to the stable version, without one to the call's own")
    func fallback() throws {
        let plain = try Cast()
        defer { plain.stop() }
        #expect(plain.server("1.0.0", [("x-version", "9")]) == "one")
        let stable = try Cast(stable: "2.0.0")
        defer { stable.stop() }
        #expect(stable.server("1.0.0", [("x-version", "9")]) == "two")
    }

    @Test("Strict: an exception that names service, version and group, and that is not a status that causes retries")
    func strict() throws {
        let cast = try Cast(mode: .strict)
        defer { cast.stop() }
        let answer = try #require(cast.ask("1.0.0", [("x-version", "9")]))
        #expect(answer.status == 20)
        #expect(answer.body.first == 0x93)
        #expect(answer.words.contains("org.apache.dubbo.rpc.RpcException"))
        #expect(
            answer.words.contains(
                "no usable host of service demo.Echo in version 9 for interface version 1.0.0 without group"))
        #expect(cast.hosts.allSatisfy { $0.calls.isEmpty })
        let report = try cast.mesh.report()
        #expect(report.services.first?.versions.first?.codes.map(\.code) == [60])
        #expect(report.services.first?.routes.first?.requested == "other")
    }

    @Test("A group is never crossed, not even as a last resort")
    func groups() throws {
        let cast = try Cast()
        defer { cast.stop() }
        let answer = try #require(cast.ask("1.0.0", [("group", "elsewhere")]))
        #expect(answer.words.contains("interface version 1.0.0 and group elsewhere"))
        #expect(cast.server("1.0.0", [("group", "g"), ("x-version", "2.0.0")]) == "grouped")
        #expect(cast.hosts[0].calls.isEmpty && cast.hosts[2].calls.isEmpty)
    }

    @Test("fastjson2: wishes are read, the version is rewritten, and a refusal has a status")
    func fastjson2() throws {
        let cast = try Cast(mode: .strict)
        defer { cast.stop() }
        func element(_ bytes: [UInt8]) -> [UInt8] { [0, 0, 0, UInt8(bytes.count)] + bytes }
        func text(_ text: String) -> [UInt8] { [0x49 + UInt8(text.utf8.count)] + Array(text.utf8) }
        func frame(_ requested: String) -> DubboFrame {
            let fields = ["2.0.2", "demo.Echo", "1.0.0", "say", ""].flatMap { element(text($0)) }
            let map = [0xa6] + text("x-version") + text(requested) + text("version") + text("1.0.0") + [0xa5]
            return DubboFrame(flags: 0xd7, id: 3, body: fields + element(map))
        }
        cast.consumer.send(frame("2.0.0"))
        #expect(waitUntil(within: .seconds(10)) { cast.hosts[2].frames.count == 1 })
        let words = try #require(cast.hosts[2].frames.first).words
        #expect(!words.contains("1.0.0"))
        cast.consumer.send(frame("9"))
        var refusal = try #require(cast.consumer.receive())
        if refusal.status == 20 { refusal = try #require(cast.consumer.receive()) }
        #expect(refusal.status == 60)
        #expect(refusal.text.contains("in version 9"))
    }

    @Test("A split sticks to the attachment that the service names")
    func sticky() throws {
        let cast = try Cast()
        defer { cast.stop() }
        var policy = ServicePolicy()
        policy.split = [VersionWeight(version: "1.0.0", weight: 1), VersionWeight(version: "2.0.0", weight: 1)]
        policy.sticky = .header("user")
        try cast.mesh.update(
            [Instance(cast.hosts[0], version: "1.0.0"), Instance(cast.hosts[2], version: "2.0.0")], policy: policy)
        var servers: Set<String> = []
        for user in 0..<20 {
            let call = DubboCall(attachments: [("user", "u\(user)")], id: 1)
            let answers = Set((0..<5).map { _ in cast.consumer.ask(call)?.text ?? "" })
            #expect(answers.count == 1)
            servers.formUnion(answers)
        }
        #expect(servers == ["one|hi", "two|hi"])
    }
}
