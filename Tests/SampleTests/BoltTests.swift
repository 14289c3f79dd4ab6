import Runtime
import Testing

@testable import sample

/// The sample provider and consumer of SOFA RPC.
struct BoltTests {
    private let loop: EventLoop
    private let service: BoltService
    private let address: SocketAddress
    private let client: BoltClient

    init() throws {
        loop = try EventLoop()
        service = Self.service(loop)
        address = try service.listen(on: SocketAddress("127.0.0.1:0")!)
        client = BoltClient(loop: loop, address: address, timeout: .seconds(5))
    }

    private static func service(_ loop: EventLoop, delay: Duration = .zero) -> BoltService {
        let identity = Identity(service: "com.acme.Echo", version: "v7", host: "h1")
        return BoltService(loop: loop, identity: identity, version: "2.0", uniqueID: "blue", delay: delay)
    }

    private static func request(
        _ service: String = "com.acme.Echo:2.0:blue", method: String = "say",
        headers: [(key: String, value: String)] = []
    ) -> SofaCall {
        SofaCall(service: service, method: method, argument: "hi 😀", headers: headers)
    }

    private func call(_ call: SofaCall, on client: BoltClient? = nil) -> String {
        var answer: String?
        (client ?? self.client).call(call) { result in
            switch result {
            case .success(let text): answer = text
            case .failure(let failure): answer = "! \(failure)"
            }
        }
        _ = loop.run(for: .seconds(10)) { answer != nil }
        return answer ?? "no answer"
    }

    /// Sends frames on a connection of their own and returns the frames that come back until there are `count`.
    private func exchange(_ frames: [BoltFrame], count: Int) throws -> [BoltFrame] {
        let stream = try Stream(loop: loop, connectingTo: address)
        defer { stream.close() }
        var answers: [BoltFrame] = []
        stream.onData = { [unowned stream] in
            while let frame = try? BoltFrame.take(from: &stream.input) { answers.append(frame) }
        }
        for frame in frames { stream.send(frame.bytes) }
        #expect(loop.run(for: .seconds(10)) { answers.count >= count })
        return answers
    }

    @Test func answersWithHostVersionAndArgument() { #expect(call(Self.request()) == "h1|v7|hi 😀") }

    @Test func uniqueNames() {
        #expect(SofaCall.uniqueName("a.B", version: "", uniqueID: "") == "a.B:1.0")
        #expect(SofaCall.uniqueName("a.B", version: "2.0", uniqueID: "u") == "a.B:2.0:u")
    }

    @Test func refusesAsJavaDoes() throws {
        for other in ["com.acme.Other:2.0:blue", "com.acme.Echo:1.0:blue", "com.acme.Echo:2.0"] {
            #expect(call(Self.request(other)) == "! RPC-020100010: RPC cannot find service: [\(other)] ")
        }
        #expect(call(Self.request(method: "fail")) == "! java.lang.RuntimeException: hi 😀")
        var nameless = Self.request().frame(1)
        nameless.header.removeAll { $0.key == "service" }
        var otherClass = Self.request().frame(2)
        otherClass.className = "java.lang.String"
        var otherCodec = Self.request().frame(3)
        otherCodec.codec = 12
        var broken = Self.request().frame(4)
        broken.content.removeLast()
        let answers = try exchange([nameless, otherClass, otherCodec, broken], count: 4)
        #expect(answers.map(\.status) == [18, 2, 18, 18] && answers.map(\.identifier) == [1, 2, 3, 4])
        #expect(answers[2].codec == 12 && answers.allSatisfy { $0.content.isEmpty })
    }

    @Test func errorsAndExceptionsAreMarkedInTheHeader() throws {
        let frames = [Self.request("a.B:1.0"), Self.request(method: "fail"), Self.request()]
        let answers = try exchange(frames.enumerated().map { $1.frame(UInt32($0)) }, count: 3)
        #expect(answers.map { $0.value("sofa_head_response_error") } == ["true", "true", nil])
        #expect(answers.allSatisfy { $0.status == 0 && $0.className == BoltFrame.responseClass })
    }

    @Test func headersAreTold() throws {
        let request = Self.request(method: "headers", headers: [("x-version", "2")]).frame(0xffff_fff0)
        let answer = try #require(try exchange([request], count: 1).first)
        let headers = try SofaResult.read(answer.content).strings
        #expect(headers["x-version"] == "2" && headers["service"] == "com.acme.Echo:2.0:blue")
        #expect(headers["sofa_head_target_service"] == headers["service"] && answer.identifier == 0xffff_fff0)
    }

    @Test func heartbeatsAndOneWayRequests() throws {
        var heartbeat = Self.request().frame(7)
        (heartbeat.command, heartbeat.className, heartbeat.header, heartbeat.content) = (0, "", [], [])
        var oneWayHeartbeat = heartbeat
        (oneWayHeartbeat.kind, oneWayHeartbeat.identifier) = (.oneWay, 8)
        var oneWay = Self.request("wrong:1.0").frame(9)
        oneWay.kind = .oneWay
        let last = Self.request().frame(10)
        let answers = try exchange([heartbeat, oneWayHeartbeat, oneWay, last], count: 3)
        #expect(answers.map(\.identifier) == [7, 8, 10] && answers.map(\.command) == [0, 0, 2])
        #expect(answers[0].bytes == [1, 0, 0, 0, 1, 0, 0, 0, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func manyCallsShareAConnection() {
        var answers: [Int: String] = [:]
        for number in 0..<500 {
            var one = Self.request()
            one.argument = "\(number)"
            client.call(one) { answers[number] = try? $0.get() }
        }
        #expect(client.inFlight == 500)
        #expect(loop.run(for: .seconds(10)) { answers.count == 500 })
        #expect(answers.allSatisfy { $0.value == "h1|v7|\($0.key)" } && client.inFlight == 0)
    }

    @Test func slowCallsTimeOutAndALostConnectionFailsThem() throws {
        let slow = Self.service(loop, delay: .seconds(2))
        let address = try slow.listen(on: SocketAddress("127.0.0.1:0")!)
        let impatient = BoltClient(loop: loop, address: address, timeout: .milliseconds(100))
        #expect(call(Self.request(), on: impatient).hasPrefix("! no answer within"))
        let patient = BoltClient(loop: loop, address: address, timeout: .seconds(5))
        var failure: Result<String, CallFailure>?
        patient.call(Self.request()) { failure = $0 }
        #expect(loop.run(for: .seconds(10)) { slow.inFlight == 2 })
        slow.closeConnections()
        #expect(loop.run(for: .seconds(10)) { failure != nil })
        #expect(throws: CallFailure.self) { try failure?.get() }
    }

    @Test(arguments: [
        Array("GET / HTTP/1.1\r\nHost: a\r\n\r\n".utf8), [1, 9] + [UInt8](repeating: 0, count: 20),
        [1, 1, 0, 100] + [UInt8](repeating: 0, count: 18), [1, 1, 0, 1] + [UInt8](repeating: 0xff, count: 18),
    ])
    func whatIsNotBoltIsClosed(bytes: [UInt8]) throws {
        let stream = try Stream(loop: loop, connectingTo: address)
        var isEnded = false
        stream.onEnd = { _ in isEnded = true }
        stream.send(bytes)
        #expect(loop.run(for: .seconds(10)) { isEnded })
    }

    @Test func framesComeInAnyPieces() throws {
        let bytes = Self.request().frame(1).bytes + BoltFrame(answer: Self.request().frame(2)).bytes
        var input: [UInt8] = []
        var frames: [BoltFrame] = []
        for byte in bytes {
            input.append(byte)
            if let frame = try BoltFrame.take(from: &input) { frames.append(frame) }
        }
        #expect(frames.map(\.identifier) == [1, 2] && input.isEmpty && frames.flatMap(\.bytes) == bytes)
    }
}

/// Values of SOFA RPC's Hessian.
struct SofaValueTests {
    @Test(arguments: [("", 0), ("a", 1), ("hi 😀", 1), ("中", 40), ("x", 32_767), ("😀", 16_384)])
    func textsComeBack(piece: String, count: Int) throws {
        let text = String(repeating: piece, count: count) + (count > 1000 ? "😀y" : "")
        var writer = SofaWriter()
        writer.write(text)
        writer.write([("k", text)])
        var reader = SofaReader(writer.bytes)
        #expect(try reader.value() == .string(text))
        #expect(try reader.value().strings == ["k": text] && reader.isAtEnd)
    }

    @Test(
        arguments: [
            ([0x90], HessianValue.int(0)), ([0xc8, 0x30], .int(48)), ([0xd4, 0x08, 0], .int(2048)),
            ([0x49, 0xff, 0xff, 0xff, 0xfe], .int(-2)), ([0xe1], .long(1)), ([0xf8, 0x10], .long(16)),
            ([0x3c, 0x08, 0], .long(2048)), ([0x77, 0, 4, 0, 0], .long(262_144)),
            ([0x4c, 0, 0, 0, 1, 0, 0, 0, 0], .long(1 << 32)), ([0x67], .double(0)), ([0x68], .double(1)),
            ([0x69, 0xff], .double(-1)), ([0x6a, 1, 0], .double(256)), ([0x6b, 0x3f, 0xc0, 0, 0], .double(1.5)),
            ([0x64, 0, 0, 0, 0, 0, 0, 0, 5], .date(5)), ([0x23, 1, 2, 3], .binary([1, 2, 3])),
            ([0x62, 0, 1, 9, 0x42, 0, 1, 8], .binary([9, 8])), ([0x56, 0x6e, 1, 0x91, 0x7a], .list([.int(1)])),
            ([0x56, 0x74, 0, 1, 0x61, 0x6c, 0, 0, 0, 1, 0x4e, 0x7a], .list([.null])), ([0x4a, 1], .reference(1)),
        ] as [([UInt8], HessianValue)])
    func values(bytes: [UInt8], value: HessianValue) throws {
        var reader = SofaReader(bytes)
        #expect(try reader.value() == value && reader.isAtEnd)
    }

    @Test(
        arguments: [
            [], [5, 0x61], [0x40], [0x73, 0, 0], [0x6f, 0x90], [0x4d, 1], [0x56], [0x4f, 0x4e], [1, 0xff],
        ] as [[UInt8]])
    func brokenBytesAreRefused(bytes: [UInt8]) {
        var reader = SofaReader(bytes)
        #expect(throws: HessianError.self) { try reader.value() }
    }

    @Test func nestingHasALimit() {
        var reader = SofaReader([UInt8](repeating: 0x56, count: 100_000))
        #expect(throws: HessianError.self) { try reader.value() }
    }
}
