import Proxy
import TestSupport
import Testing

/// Every deployment brings a version of its own; at any time a service has few.
@Suite struct ManyVersionsTests {
    @Test func afterThousandsOfVersionsNewOnesAreToldApart() throws {
        let (one, two) = (try namedHost("one"), try namedHost("two"))
        let mesh = try TestMesh()
        let client = try mesh.connect()
        for build in 0..<3000 {
            mesh.update([("build-\(build)", one.address), ("next-\(build)", two.address)])
            if build % 10 == 0 {
                try mesh.settle()
                #expect(try client.get("/", "x-version: build-\(build)\r\n").body == "one")
            }
        }
        try mesh.settle()
        for (version, host) in [("build-2999", "one"), ("next-2999", "two")] {
            let answer = try client.get("/", "x-version: \(version)\r\n")
            #expect(answer.body == host && answer.field("x-greymesh-version") == version)
        }
        let service = try #require(try mesh.report().services.first)
        #expect(service.versions.reduce(0) { $0 + $1.codes.reduce(0) { $0 + $1.count } } == 302)
        #expect(service.versions.count < 80, "what has long gone is summed up")
        #expect(service.versions.contains { $0.version == "other" })
    }

    @Test func aThousandVersionsAtOnceCanBeAskedFor() throws {
        let hosts = try (0..<4).map { try namedHost("host-\($0)") }
        let mesh = try TestMesh()
        mesh.update((0..<1500).map { ("v\($0)", hosts[$0 % 4].address) })
        let client = try mesh.connect()
        for number in [0, 1, 1021, 1022, 1023, 1024, 1025, 1499] {
            let answer = try client.get("/", "x-version: v\(number)\r\n")
            #expect(answer.body == "host-\(number % 4)" && answer.field("x-greymesh-version") == "v\(number)")
        }
    }

    /// A request that has waited for its host while its version was replaced many times still tells what served it.
    @Test func aRequestInFlightKeepsItsVersion() throws {
        let gate = try ScriptedServer { connection, _ in
            while !connection.receiveHead().isEmpty {
                _ = connection.receiveHead()
                connection.answer("slow")
            }
        }
        let mesh = try TestMesh()
        mesh.update([("old", gate.address)])
        let client = try mesh.connect()
        client.send("POST / HTTP/1.1\r\nHost: shop\r\nx-version: old\r\nContent-Length: 4\r\n\r\n")
        #expect(waitUntil(within: .seconds(10)) { gate.accepted == 1 })
        let other = try namedHost("other")
        for build in 0..<60 { mesh.update([("build-\(build)", other.address)]) }
        try mesh.settle()
        client.send("\r\n\r\n")
        let answer = try client.receiveAnswer()
        #expect(answer.body == "slow" && answer.field("x-greymesh-version") == "old")
    }
}
