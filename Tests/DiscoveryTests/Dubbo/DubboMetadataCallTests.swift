import Codecs
import Runtime
import TestSupport
import Testing

@testable import Discovery

@Suite struct DubboMetadataCallTests {
    let fixture: Fixture
    let provider: FakeDubbo

    init() throws {
        fixture = try Fixture(names: ["shop.local": ["127.0.0.1"], "empty.local": []])
        provider = try FakeDubbo(loop: fixture.loop)
        provider.offers = ["r1": "1.0.0"]
    }

    /// What a call ends with.
    private func ask(
        _ host: String = "127.0.0.1", port: UInt16? = nil, application: String = "shop", revision: String = "r1",
        within limit: Duration = .seconds(10)
    ) throws -> Result<[UInt8], DubboMetadataFailure> {
        var result: Result<[UInt8], DubboMetadataFailure>?
        let call = DubboMetadataCall(
            .init(way: .dubbo, host: .init(host: host, port: port ?? provider.port)), application: application,
            revision: revision, within: limit, loop: fixture.loop, resolver: fixture.context.resolver
        ) {
            #expect(result == nil)
            result = $0
        }
        #expect(fixture.wait { result != nil })
        withExtendedLifetime(call) {}
        // The connection is not kept.
        #expect(fixture.wait { provider.open == 0 })
        return try #require(result)
    }

    private func failure(_ result: Result<[UInt8], DubboMetadataFailure>) -> DubboMetadataFailure? {
        if case .failure(let failure) = result { failure } else { nil }
    }

    private static func right(_ revision: String, _ port: UInt16) -> [UInt8] {
        FakeDubbo.metadata("shop", revision, version: "1.0.0", port: port)
    }

    @Test func asksOnceAndLeaves() throws {
        let frame = try ask().get()
        #expect(frame == Self.right("r1", provider.port) && provider.asked == ["r1"] && provider.accepted == 1)
        let metadata = try DubboMetadataAnswer(frame, application: "shop", revision: "r1").readAll()
        #expect(metadata.services(of: "a.Echo").map(\.version) == ["1.0.0"])
        #expect(try ask("shop.local").get() == frame)
    }

    @Test(arguments: [1, 2, 15, 16, 17, 100]) func takesPiecesOfAnySize(piece: Int) throws {
        let right = Self.right("r1", provider.port)
        // A heartbeat, an event, a request and answers to others come in between.
        let noise =
            FakeDubbo.frame([0x4e], flags: 0xe2) + FakeDubbo.frame([0x01, 0x52], flags: 0xa2)
            + FakeDubbo.frame([0x4e], flags: 0x22, status: 20) + FakeDubbo.response([0x91, 0x91], id: 2)
            + FakeDubbo.frame([0x05, 0x32], flags: 0xc2)
        provider.greeting = FakeDubbo.frame([0x4e], flags: 0xe2, id: 7)
        provider.answer = { _, _ in .bytes(noise + right + noise, piece: piece) }
        #expect(try ask().get() == right)
    }

    @Test func skipsLongAnswersToOthers() throws {
        let right = Self.right("r1", provider.port)
        var long = FakeDubbo.response([UInt8](repeating: 0, count: DubboMetadataCall.largestAnswer + 1), id: 9)
        long += right
        provider.answer = { _, _ in .bytes(long, piece: 0) }
        #expect(try ask().get() == right)
    }

    @Test func takesLargeAnswers() throws {
        let body = [0x94] + [UInt8](repeating: 0x4e, count: 5_000_000)
        provider.answer = { _, _ in .bytes(FakeDubbo.response(body), piece: 0) }
        #expect(try ask().get().count == body.count + Dubbo.headSize)
    }

    static let faults: [(String, FakeDubbo.Answer, DubboMetadataFailure.Kind, String)] = {
        let text = HessianText.text("no\nsuch thing").bytes
        var huge = FakeDubbo.response([])
        huge.replaceSubrange(12..<16, with: [0x7f, 0xff, 0xff, 0xff])
        let half = Array(FakeDubbo.response(text, status: 20).dropLast())
        return [
            ("closed", .close([]), .closed, "closed the connection without an answer"),
            ("half", .close(half), .closed, "closed the connection within the answer"),
            ("silent", .silence, .late, "no answer in time"),
            ("half and silent", .bytes(half, piece: 0), .late, "no answer in time"),
            (
                "events without end", .bytes(FakeDubbo.frame([0x4e], flags: 0xe2), piece: 0), .late, "no answer in time"
            ),
            ("HTTP", .bytes(Array("HTTP/1.1 400 Bad Request\r\n".utf8), piece: 1), .unreadable, "speaks no Dubbo"),
            (
                "negative", .bytes([0xda, 0xbb, 2, 20] + [UInt8](repeating: 0xff, count: 12), piece: 0), .unreadable,
                "speaks"
            ),
            ("huge", .bytes(huge, piece: 0), .tooLarge, "an answer of 2147483647 bytes"),
            ("error", .bytes(FakeDubbo.response(text, status: 70), piece: 0), .refused, "status 70: no such thing"),
            (
                "error in another serialization",
                .bytes(FakeDubbo.frame([0, 0, 0, 1, 0xaf], flags: 23, status: 40), piece: 0), .refused, "status 40"
            ),
            ("empty error", .bytes(FakeDubbo.response([], status: 100), piece: 0), .refused, "status 100"),
            (
                "fastjson2", .bytes(FakeDubbo.frame([0, 0, 0, 1, 0xaf], flags: 23, status: 20), piece: 0), .unreadable,
                "answers in serialization 23"
            ),
        ]
    }()

    @Test(arguments: faults.indices) func tellsWhatHasGoneWrong(index: Int) throws {
        let (name, answer, kind, words) = Self.faults[index]
        provider.answer = { _, _ in answer }
        let isLate = kind == .late
        let found = try failure(ask(within: isLate ? .milliseconds(60) : .seconds(10)))
        #expect(found?.kind == kind && found?.reason.hasPrefix(words) == true, "\(name): \(String(describing: found))")
        #expect(found?.host == "127.0.0.1:\(provider.port)")
    }

    @Test func placesThatCannotBeReached() throws {
        let free = try FreePort.next()
        let refused = try failure(ask(port: free))
        #expect(refused?.kind == .unreachable && refused?.description.contains("Connection refused") == true)
        #expect(try failure(ask("none.local")) == failed(.unreachable, "unknown name", "none.local"))
        #expect(try failure(ask("empty.local")) == failed(.unreachable, "no address", "empty.local"))
        let long = String(repeating: "x", count: 70_000)
        #expect(try failure(ask(application: long))?.kind == .unreachable)
        #expect(try failure(ask("::1", port: free))?.host == "[::1]:\(free)")
        #expect(provider.accepted == 0)
    }

    private func failed(_ kind: DubboMetadataFailure.Kind, _ reason: String, _ host: String) -> DubboMetadataFailure {
        var failure = DubboMetadataFailure(kind, reason)
        failure.host = "\(host):\(provider.port)"
        return failure
    }

    @Test func whatIsCancelledSaysNothing() throws {
        provider.answer = { _, _ in .silence }
        for steps in 0..<3 {
            let call = DubboMetadataCall(
                .init(way: .dubbo, host: .init(host: steps == 1 ? "shop.local" : "127.0.0.1", port: provider.port)),
                application: "shop", revision: "r\(steps)", within: .milliseconds(200), loop: fixture.loop,
                resolver: fixture.context.resolver
            ) { _ in Issue.record("it was cancelled") }
            if steps == 2 { #expect(fixture.wait { provider.asked.contains("r2") }) }
            call.cancel()
            #expect(fixture.wait { provider.open == 0 })
        }
        #expect(!fixture.loop.run(for: .milliseconds(300)) { provider.asked != ["r2"] })
    }
}
