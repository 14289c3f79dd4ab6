import Codecs
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct TripleMetadataCallTests {
    let fixture: Fixture
    let provider: FakeTriple

    init() throws {
        fixture = try Fixture(names: ["shop.local": ["127.0.0.1"]])
        provider = try FakeTriple(loop: fixture.loop)
        provider.offers = ["r1": "1.0.0"]
    }

    /// What a call ends with.
    private func ask(
        _ way: DubboMetadataPlace.Way = .triple, host: String = "127.0.0.1", port: UInt16? = nil,
        application: String = "shop", revision: String = "r1", within limit: Duration = .seconds(10)
    ) throws -> Result<[UInt8], DubboMetadataFailure> {
        var result: Result<[UInt8], DubboMetadataFailure>?
        let call = DubboMetadataCall(
            .init(way: way, host: .init(host: host, port: port ?? provider.port)), application: application,
            revision: revision, within: limit, loop: fixture.loop, resolver: fixture.context.resolver
        ) {
            #expect(result == nil)
            result = $0
        }
        #expect(fixture.wait { result != nil })
        withExtendedLifetime(call) {}
        // The connection is not kept.
        #expect(fixture.wait { provider.grpc.clients.isEmpty })
        return try #require(result)
    }

    private func failure(_ result: Result<[UInt8], DubboMetadataFailure>) -> DubboMetadataFailure? {
        if case .failure(let failure) = result { failure } else { nil }
    }

    private var right: [UInt8] { FakeTriple.metadata("shop", "r1", version: "1.0.0", port: provider.port) }

    @Test(arguments: [
        (DubboMetadataPlace.Way.triple, "/org.apache.dubbo.metadata.MetadataServiceV2/GetMetadataInfo", "2.0.0"),
        (.tripleHessian, "/org.apache.dubbo.metadata.MetadataService/getMetadataInfo", "1.0.0"),
    ])
    func asksAsAConsumerDoes(way: DubboMetadataPlace.Way, path: String, version: String) throws {
        let answer = try ask(way).get()
        let metadata = try way.read(answer, application: "shop", revision: "r1").readAll()
        #expect(metadata.services(of: "a.Echo").map(\.version).allSatisfy { $0 == "1.0.0" })
        #expect(metadata.services(of: "a.Echo").contains { $0.scheme == "dubbo" && $0.parameters["weight"] == "50" })
        let question = try #require(provider.questions.first)
        #expect(provider.grpc.accepted == 1 && provider.asked == ["r1"])
        let expected = [
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": "127.0.0.1:\(provider.port)",
            "content-type": "application/grpc", "te": "trailers", "grpc-timeout": "10000m",
            "tri-service-version": version, "tri-service-group": "shop", "user-agent": "greymesh",
        ]
        #expect(question.fields == expected)
        #expect(try ask(way, host: "shop.local").get() == answer)
    }

    @Test func namesThatAreNoFieldAreLeftOut() throws {
        for application in ["商店", "a b", "a\nb", ""] { #expect(try failure(ask(application: application)) == nil) }
        #expect(provider.questions.allSatisfy { ($0.fields["tri-service-group"] ?? "").isEmpty })
        for way in [DubboMetadataPlace.Way.triple, .tripleHessian] {
            let long = String(repeating: "x", count: 5000)
            #expect(try failure(ask(way, application: long))?.kind == .unreachable)
            #expect(try failure(ask(way, revision: long))?.reason == "its name or revision is too long")
        }
        #expect(provider.questions.count == 4)
    }

    @Test(arguments: [1, 2, 8, 9, 10, 100]) func takesPiecesOfAnySize(piece: Int) throws {
        provider.grpc.piece = piece
        #expect(try ask().get().count == right.count)
    }

    @Test func takesLargeAnswers() throws {
        let large = [UInt8](repeating: 7, count: DubboMetadataCall.largestAnswer)
        provider.answer = { _ in FakeTriple.message(large) }
        #expect(try ask().get() == large)
    }

    static let faults: [(String, FakeTriple.Act, DubboMetadataFailure.Kind, String)] = [
        ("closed", { grpc, client, _ in grpc.drop(client) }, .closed, "the server closed the connection"),
        ("silent", { _, _, _ in }, .late, "no answer in time"),
        ("half and silent", { $0.send($1, $2, [0, 0, 0, 0, 9, 1], isLast: false) }, .late, "no answer in time"),
        (
            "half and closed",
            {
                $0.send($1, $2, [0, 0, 0, 0, 9, 1], isLast: false)
                $0.flush($1)
                $0.drop($1)
            }, .closed, "the server closed the connection"
        ),
        ("half", { $0.send($1, $2, [0, 0, 0, 0, 9, 1], isLast: true) }, .unreadable, "a message that is cut off"),
        ("a prefix", { $0.send($1, $2, [0, 0], isLast: true) }, .unreadable, "a message that is cut off"),
        ("no message", { $0.send($1, $2, [], isLast: true) }, .unreadable, "no message before the end"),
        (
            "two messages", { $0.send($1, $2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0], isLast: true) }, .unreadable,
            "more than one message"
        ),
        (
            "messages without end",
            { $0.send($1, $2, [UInt8](repeating: 0, count: 1 << 20), isLast: false) }, .unreadable,
            "more than one message"
        ),
        (
            "compressed", { $0.send($1, $2, [1, 0, 0, 0, 1, 7], isLast: true) }, .unreadable,
            "a compressed message"
        ),
        (
            "too large", { $0.send($1, $2, [0, 0, 0x80, 0, 1], isLast: false) }, .tooLarge,
            "a message of more than 8388608 bytes"
        ),
        (
            "no status", { $0.send($1, $2, [0, 0, 0, 0, 0], isLast: true, trailers: []) }, .unreadable,
            "the server ended the stream"
        ),
        ("status", FakeTriple.status("2", "Internal Server Error"), .refused, "gRPC status 2: Internal Server Error"),
        (
            "status after a message",
            { $0.send($1, $2, [0, 0, 0, 0, 0], isLast: true, trailers: [("grpc-status", "13")]) }, .refused,
            "gRPC status 13"
        ),
        (
            "trailers only",
            {
                $0.respond(
                    $1, $2,
                    [
                        (":status", "404"), ("content-type", "application/grpc"), ("grpc-status", "12"),
                        ("grpc-message", "Invoker for%20gRPC not found %"),
                    ])
            }, .refused, "gRPC status 12: Invoker for%20gRPC not found %"
        ),
        (
            "trailers only, escaped",
            { $0.respond($1, $2, [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "a%20b%0Ac")]) },
            .refused, "gRPC status 5: a b c"
        ),
        (
            "long words",
            { $0.respond($1, $2, [(":status", "200"), ("grpc-status", "5"), ("grpc-message", long)]) },
            .refused, "gRPC status 5: xxx"
        ),
        (
            "HTTP status",
            {
                $0.send(
                    $1, $2, Array("busy".utf8), isLast: true,
                    head: [(":status", "503"), ("content-type", "text/html")],
                    trailers: [])
            }, .refused, "HTTP status 503"
        ),
        ("HTTP status alone", { $0.respond($1, $2, [(":status", "502")]) }, .refused, "HTTP status 502"),
        (
            "JSON",
            {
                $0.send(
                    $1, $2, Array("{}".utf8), isLast: true,
                    head: [(":status", "200"), ("content-type", "application/json")], trailers: [])
            }, .unreadable, "no gRPC, but application/json"
        ),
        ("reset", { $0.reset($1, $2, 2) }, .closed, "reset: INTERNAL_ERROR"),
        (
            "reset within the answer",
            {
                $0.send($1, $2, [0, 0, 0, 0, 9, 1], isLast: false)
                $0.flush($1)
                $0.reset($1, $2, 8)
            }, .closed, "reset: CANCEL"
        ),
        (
            "goes away", { grpc, client, _ in grpc.goAway(client, last: 0, code: 11, words: "too many") }, .closed,
            "reset: REFUSED_STREAM: the server goes away: ENHANCE_YOUR_CALM too many"
        ),
        (
            "garbage after a while",
            { grpc, client, _ in grpc.sendRaw(client, [0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]) }, .unreadable, "broken HTTP/2"
        ),
        (
            "a frame that is too long",
            { grpc, client, _ in grpc.sendRaw(client, [UInt8](repeating: 0xff, count: 100)) }, .unreadable,
            "broken HTTP/2"
        ),
    ]

    private static let long = String(repeating: "x", count: 9000)

    @Test(arguments: faults.indices) func tellsWhatHasGoneWrong(index: Int) throws {
        let (name, act, kind, words) = Self.faults[index]
        provider.answer = { _ in act }
        let found = try failure(ask(within: kind == .late ? .milliseconds(60) : .seconds(10)))
        #expect(found?.kind == kind && found?.reason.hasPrefix(words) == true, "\(name): \(String(describing: found))")
        #expect(found?.host == "127.0.0.1:\(provider.port)" && found?.reason.utf8.count ?? 0 < 200)
    }

    @Test(arguments: [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "speaks no HTTP/2: HTTP/1.1 400 Bad Request"),
        ("HTTP/1.1 400", "speaks no HTTP/2: HTTP/1.1 400"), ("dubbo>", "no answer in time"),
        ("\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}dubbo>\r\n\r\n\r\n", "broken HTTP/2"),
    ])
    func serversOfOtherProtocols(greeting: String, words: String) throws {
        provider.grpc.greeting = Array(greeting.utf8)
        let isLate = words == "no answer in time"
        let found = try failure(ask(within: isLate ? .milliseconds(60) : .seconds(10)))
        #expect(found?.kind == (isLate ? .late : .unreadable) && found?.reason == words)
    }

    /// HTTP/1.1 servers answer the preface, which looks like a request to them.
    @Test func anHTTP1ServerIsNone() throws {
        let server = try FakeServer(loop: fixture.loop) { _ in .raw("HTTP/1.1 505 No\r\n\r\n", close: true) }
        #expect(try failure(ask(port: server.port))?.reason == "speaks no HTTP/2: HTTP/1.1 505 No")
        let dubbo = try FakeDubbo(loop: fixture.loop)
        dubbo.greeting = FakeDubbo.frame([0x4e], flags: 0xe2)
        #expect(try failure(ask(port: dubbo.port))?.kind == .unreadable)
    }

    @Test func placesThatCannotBeReached() throws {
        let refused = try failure(ask(port: try FreePort.next()))
        #expect(refused?.kind == .unreachable && refused?.reason == "cannot connect: Connection refused")
        #expect(try failure(ask(host: "none.local"))?.description == "none.local:\(provider.port): unknown name")
        #expect(provider.grpc.accepted == 0)
    }

    @Test func whatIsCancelledSaysNothing() throws {
        provider.answer = { _ in { _, _, _ in } }
        for steps in 0..<3 {
            let call = DubboMetadataCall(
                .init(way: .triple, host: .init(host: steps == 1 ? "shop.local" : "127.0.0.1", port: provider.port)),
                application: "shop", revision: "r\(steps)", within: .milliseconds(200), loop: fixture.loop,
                resolver: fixture.context.resolver
            ) { _ in Issue.record("it was cancelled") }
            if steps == 2 { #expect(fixture.wait { provider.asked.contains("r2") }) }
            call.cancel()
            #expect(fixture.wait { provider.grpc.clients.isEmpty })
        }
        #expect(!fixture.loop.run(for: .milliseconds(300)) { provider.asked != ["r2"] })
    }
}
