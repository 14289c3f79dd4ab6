import Model
import Proxy
import Runtime
import TestSupport
import Testing

@Suite("Dubbo calls for several groups, and for any version")
struct DubboGroupTests {
    /// Hosts of the groups g1 (two, one of them in version 2.0.0) and g2, and one without a group.
    private final class Cast {
        let mesh: DubboMesh
        let hosts: [String: DubboHost]
        let consumer: DubboSocket
        private var log: AccessLog?

        init(_ log: AccessLog? = nil) throws {
            mesh = try DubboMesh { $0.accessLog = log }
            hosts = try [
                "one": .echo("one"), "later": .echo("later"), "two": .echo("two"), "none": .echo("none"),
            ]
            consumer = try mesh.connect()
            try mesh.update([
                instance("one", "1.0.0", "g1"), instance("later", "2.0.0", "g1"), instance("two", "1.0.0", "g2"),
                instance("none", "1.0.0", ""),
            ])
        }

        func instance(_ host: String, _ version: String, _ group: String) -> Instance {
            Instance(hosts[host]!, version: version, group: group)
        }

        func stop() {
            consumer.close()
            mesh.stop()
            for host in hosts.values { host.stop() }
        }

        func ask(_ group: String?, _ version: String = "1.0.0") -> String {
            var attachments = [("version", version)]
            if let group { attachments.append(("group", group)) }
            let answer = consumer.ask(DubboCall(version: version, attachments: attachments, id: 1))
            return answer?.status == 20 && answer?.body.first == 0x94 ? String(answer!.text.dropLast(3)) : "refused"
        }

        func servers(_ group: String?, _ version: String = "1.0.0") -> Set<String> {
            Set((0..<60).map { _ in ask(group, version) })
        }
    }

    private static let matches: [(group: String, servers: Set<String>)] = [
        ("g1", ["one"]), ("*", ["one", "two", "none"]), ("g1,g2", ["one", "two"]), (" g2 ,\tg1 ", ["one", "two"]),
        ("g2,elsewhere", ["two"]), ("g1,", ["one", "none"]), (",g2", ["two", "none"]), ("g1,*", ["one"]),
        ("elsewhere", ["refused"]), ("x,y", ["refused"]), ("**", ["refused"]), ("G1", ["refused"]),
    ]

    @Test(
        "As Dubbo matches them: * is every group and none, a list its own, an empty place in it none",
        arguments: matches)
    func matching(group: String, servers: Set<String>) throws {
        let cast = try Cast()
        defer { cast.stop() }
        #expect(cast.servers(group) == servers)
        for (name, own) in [("one", "g1"), ("two", "g2"), ("none", "")] {
            let calls = cast.hosts[name]!.calls
            #expect(calls.isEmpty != servers.contains(name))
            #expect(calls.allSatisfy { $0.attachment("group") == own && $0.attachments.count == 4 })
            #expect(calls.allSatisfy { $0.version == "1.0.0" })
        }
    }

    @Test("A call without a group, and one for one group, are as before")
    func narrow() throws {
        let cast = try Cast()
        defer { cast.stop() }
        #expect(cast.servers(nil) == ["none"])
        #expect(cast.servers("g2") == ["two"])
        #expect(cast.hosts["none"]!.calls.allSatisfy { $0.attachment("group") == nil })
    }

    @Test("Any version is any that hosts of the groups have, and each is told its own")
    func anyVersion() throws {
        let cast = try Cast()
        defer { cast.stop() }
        #expect(cast.servers("g1", "*") == ["one", "later"])
        #expect(cast.servers("*", "*") == ["one", "later", "two", "none"])
        #expect(cast.servers(nil, "*") == ["none"])
        for (name, host) in cast.hosts {
            let version = name == "later" ? "2.0.0" : "1.0.0"
            #expect(host.calls.allSatisfy { $0.version == version && $0.attachment("version") == version })
        }
        #expect(cast.hosts["later"]!.calls.allSatisfy { $0.attachment("group") == "g1" })
        // A group is not crossed where only the version is free.
        #expect(cast.servers("g2", "*") == ["two"])
    }

    @Test("Weights hold over the hosts of all groups together", arguments: BalancerKind.allCases)
    func weights(_ balancer: BalancerKind) throws {
        let cast = try Cast()
        defer { cast.stop() }
        var policy = ServicePolicy()
        policy.balancer = balancer
        var heavy = cast.instance("one", "1.0.0", "g1")
        heavy.weight = 6
        var light = cast.instance("two", "1.0.0", "g2")
        light.weight = 2
        var off = cast.instance("none", "1.0.0", "g2")
        off.weight = 0
        try cast.mesh.update([heavy, light, off], policy: policy)
        var counts: [String: Int] = [:]
        for _ in 0..<4000 { counts[cast.ask("g1,g2"), default: 0] += 1 }
        // 3000 and 1000; five standard deviations are 137.
        #expect(counts.count == 2)
        #expect(abs(counts["two", default: 0] - 1000) < 137)
    }

    @Test(
        "A host that cannot be reached gives its requests to all others, each in its own words",
        arguments: [2, 100_000])
    func failover(size: Int) throws {
        let cast = try Cast()
        defer { cast.stop() }
        let dead = SocketAddress(ipv4: 0x7f00_0001, port: try FreePort.next())
        let argument = String(repeating: "a", count: size)
        for round in 0..<8 {
            // Forgotten in between, the dead host is tried anew.
            try cast.mesh.update([cast.instance("one", "1.0.0", "g1"), cast.instance("none", "1.0.0", "")])
            try cast.mesh.update([
                Instance(address: dead, weight: 50, interfaceVersion: "1.0.0", group: "g2"),
                cast.instance("one", "1.0.0", "g1"), cast.instance("none", "1.0.0", ""),
            ])
            let call = DubboCall(
                version: "1.0.0", argument: argument, attachments: [("version", "1.0.0"), ("group", "*")],
                id: Int64(round))
            #expect(cast.consumer.ask(call)?.text.hasSuffix("|" + argument) == true)
        }
        #expect(cast.hosts["one"]!.calls.allSatisfy { $0.attachment("group") == "g1" && $0.argument == argument })
        #expect(cast.hosts["none"]!.calls.allSatisfy { $0.attachment("group") == "" && $0.argument == argument })
        #expect(cast.hosts["one"]!.calls.count + cast.hosts["none"]!.calls.count == 8)
    }

    @Test("A requested version counts within the groups; a refusal names them")
    func requestedVersion() throws {
        let cast = try Cast()
        defer { cast.stop() }
        var policy = ServicePolicy()
        policy.mode = .strict
        var gray = cast.instance("two", "1.0.0", "g2")
        gray.metadata["dubbo.tag"] = "gray"
        try cast.mesh.update([cast.instance("one", "1.0.0", "g1"), gray], policy: policy)
        func ask(_ group: String, _ tag: String) -> DubboFrame? {
            cast.consumer.ask(
                DubboCall(version: "1.0.0", attachments: [("group", group), ("dubbo.tag", tag)], id: 1))
        }
        #expect(ask("g1,g2", "gray")?.text == "two|hi")
        #expect(cast.servers("g1,g2") == ["one"])
        let refusal = try #require(ask("g1,g2", "blue"))
        #expect(refusal.words.contains("in version blue for interface version 1.0.0 and group g1,g2"))
    }

    @Test("The access log tells the group that was asked for, and the one that has served")
    func accessLog() throws {
        let directory = try TemporaryDirectory()
        let path = directory.path(of: "access.log")
        let log = try AccessLog(path: path)
        let cast = try Cast(log)
        #expect(cast.ask("g2,elsewhere") == "two")
        #expect(cast.ask("x,y") == "refused")
        #expect(cast.ask("g1") == "one")
        cast.stop()
        log.stop()
        let lines = String(decoding: try TemporaryDirectory.read(path), as: UTF8.self).split(separator: "\n")
        try #require(lines.count == 3)
        #expect(
            lines[0].contains(#""group":"g2,elsewhere","served_group":"g2","service":"demo.Echo","version":"1.0.0""#))
        #expect(lines[1].contains(#""group":"x,y","service""#))
        #expect(lines[2].contains(#""group":"g1","service""#))
    }
}
