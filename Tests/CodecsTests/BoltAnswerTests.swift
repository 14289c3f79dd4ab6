import Testing

@testable import Codecs

@Suite struct BoltAnswerTests {
    private static let variants: [Bolt.Variant] = [.version1, .version2, .version2WithChecksums]

    private func request(_ variant: Bolt.Variant, id: UInt32 = 1, codec: UInt8 = 1) -> Bolt.FrameHead {
        Bolt.FrameHead(variant: variant, type: .request, command: 1, id: id, codec: codec)
    }

    private func error(_ text: [UInt8], _ request: Bolt.FrameHead) -> [UInt8] {
        written(Bolt.errorBound) { out in
            withBytes(text) {
                Bolt.writeError(
                    text: $0, count: text.count, answering: request, otherwise: Bolt.Status.noProcessor, into: out)
            }
        }
    }

    private func error(_ text: String, codec: UInt8) -> [UInt8] {
        error(Array(text.utf8), request(.version1, codec: codec))
    }

    private func content(_ frame: [UInt8]) throws -> [UInt8] {
        Array(frame.suffix(try #require(boltHead(frame)).contentLength))
    }

    // MARK: Status

    @Test func statusIsAHeadAlone() {
        let answers = [
            hex("01 00 0002 01 fffffff0 0b 0004 0000 0000 00000000"),
            hex("02 01 00 0002 01 fffffff0 0b 00 0004 0000 0000 00000000"),
            hex("02 02 00 0002 01 fffffff0 0b 00 0004 0000 0000 00000000"),
        ]
        for (variant, answer) in zip(Self.variants, answers) {
            var asked = request(variant, id: 0xffff_fff0, codec: 11)
            asked.switches = 1
            #expect(
                written(Bolt.largestHeadSize) { Bolt.writeStatus(Bolt.Status.serverBusy, answering: asked, into: $0) }
                    == answer)
        }
    }

    @Test func statusIsWhatTheRealServerSends() throws {
        let busy = written(Bolt.largestHeadSize) {
            Bolt.writeStatus(Bolt.Status.serverBusy, answering: request(.version1, id: 2), into: $0)
        }
        #expect(busy == (try RecordedBoltFrame.bytes("response-busy")))
        let timeout = written(Bolt.largestHeadSize) {
            Bolt.writeStatus(Bolt.Status.timeout, answering: request(.version1), into: $0)
        }
        #expect(timeout == WorkedBoltFrame.all.first { $0.description == "timeout" }?.bytes)
    }

    // MARK: Errors with words

    @Test(arguments: [("hessian2", 1), ("json", 12), ("protobuf", 11)] as [(String, UInt8)])
    func errorIsWhatAConsumerTook(_ name: String, _ codec: UInt8) throws {
        #expect(error("greymesh: no host for v9", codec: codec) == (try RecordedBoltFrame.bytes("reply-error-\(name)")))
    }

    @Test(arguments: variants)
    func errorIsInTheVariantOfTheRequest(_ variant: Bolt.Variant) throws {
        for codec in [1, 11, 12] as [UInt8] {
            var asked = request(variant, id: 77, codec: codec)
            asked.switches = 1
            let answer = error(Array("x".utf8), asked)
            let head = try #require(boltStep(answer).frame)
            #expect(head.variant == variant && head.id == 77 && head.codec == codec && head.switches == 0)
            #expect(head.frameLength == answer.count && head.status == 0 && head.type == .response)
        }
    }

    @Test(arguments: [0, 2, 13, 14, 22, 23, 99] as [UInt8])
    func otherCodecsGetTheStatus(_ codec: UInt8) {
        let status = hex("01 00 0002 01 00000001") + [codec] + hex("0006 0000 0000 00000000")
        #expect(error("words", codec: codec) == status)
    }

    @Test func hessianCountsUnits() throws {
        // 灰 is one unit, 😀 two, each of three bytes.
        let content = try content(error("灰😀", codec: 1))
        #expect(Array(content.suffix(14)) == hex("53 0003 e781b0 eda0bd edb880 4e4e"))
        let empty = try self.content(error("", codec: 1))
        #expect(Array(empty.suffix(6)) == hex("54 53 0000 4e4e"))
    }

    @Test(arguments: [
        ("", #""""#), (#"a"b\c"#, #""a\"b\\c""#), ("\n\t\u{1f}\u{7f}", "\"\\u000a\\u0009\\u001f\u{7f}\""),
        ("灰😀/", #""灰😀/""#), (#"\"#, #""\\""#),
    ])
    func jsonIsEscaped(_ text: String, _ json: String) throws {
        #expect(String(decoding: try content(error(text, codec: 12)), as: UTF8.self) == json)
    }

    @Test func bytesThatAreNoTextBecomeQuestionMarks() throws {
        let bytes = hex(#""a" ff "b" e4bd"#)
        #expect(try content(error(bytes, request(.version1, codec: 11))) == Array("a?b??".utf8))
        #expect(try content(error(bytes, request(.version1, codec: 12))) == Array("\"a?b??\"".utf8))
        #expect(try content(error(bytes, request(.version1, codec: 1))).suffix(7) == Array("a?b??NN".utf8))
    }

    @Test(arguments: [1, 11, 12] as [UInt8])
    func longTextIsCutBetweenCharacters(_ codec: UInt8) throws {
        for text in ["灰", "\u{1}", "😀", "x"] {
            let long = String(repeating: text, count: 5000)
            let answer = error(long, codec: codec)
            #expect(answer.count <= Bolt.errorBound && boltStep(answer).frame?.frameLength == answer.count)
            let characters = 4096 / text.utf8.count
            let content = String(decoding: try content(answer), as: UTF8.self)
            if codec == 11 { #expect(content == String(repeating: text, count: characters)) }
        }
    }

    @Test func errorIsReadAsOne() throws {
        let answer = error("no host \u{e9}\u{1f600}", codec: 1)
        let head = try #require(boltHead(answer))
        let text = withBytes(answer) { bytes in
            #expect(Bolt.responseKind(bytes, head) == .failure && !boltRefuses(bytes, head))
            return Bolt.errorText(bytes, head)
        }
        #expect(text?.end == answer.count - 2)
    }

    // MARK: Heartbeats and goaway

    @Test func heartbeatsOfEveryVariant() throws {
        let requests = [
            try RecordedBoltFrame.bytes("heartbeat"),
            hex("02 01 01 0000 01 00000002 01 00 ffffffff 0000 0000 00000000"),
            try RecordedBoltFrame.bytes("v2-heartbeat"),
        ]
        let answers = [
            try RecordedBoltFrame.bytes("heartbeat-ack"),
            hex("02 01 00 0000 01 00000002 01 00 0000 0000 0000 00000000"),
            try RecordedBoltFrame.bytes("v2-heartbeat-ack"),
        ]
        for (index, variant) in Self.variants.enumerated() {
            let request = written(Bolt.largestHeadSize) { Bolt.writeHeartbeatRequest(id: 2, variant, into: $0) }
            #expect(request == requests[index])
            var head = try #require(boltHead(request))
            let answer = written(Bolt.largestHeadSize) { Bolt.writeHeartbeatAnswer(request: head, into: $0) }
            #expect(answer == answers[index])
            // Whatever else is in the request.
            head.codec = 12
            head.switches = 1
            head.headerLength = 10
            let other = try #require(
                boltHead(written(Bolt.largestHeadSize) { Bolt.writeHeartbeatAnswer(request: head, into: $0) }))
            #expect(other.codec == 12 && other.switches == 0 && other.bodyLength == 0 && other.isHeartbeat)
        }
    }

    @Test func goaway() throws {
        let frame = written(Bolt.largestHeadSize) { Bolt.writeGoaway(id: 9, into: $0) }
        #expect(frame == (try RecordedBoltFrame.bytes("goaway")))
    }

    // MARK: Responses

    private static let marked = BoltBuild.map([("sofa_head_response_error", "true")])

    private func kind(_ frame: [UInt8]) throws -> (Bolt.ResponseKind, Bool) {
        let head = try #require(boltHead(frame))
        return withBytes(frame) { (Bolt.responseKind($0, head), boltRefuses($0, head)) }
    }

    private func response(codec: UInt8, header: [UInt8] = marked, status: UInt16 = 0, _ content: String) -> [UInt8] {
        BoltBuild.frame(
            type: .response, command: 2, codec: codec, status: status, className: "\(Bolt.responseClass)",
            header: header, content: Array(content.utf8))
    }

    @Test func textAnswersAreToldApart() throws {
        let missing = "RPC-020100010: RPC cannot find service: [x:1.0] "
        let method = "RPC-020100011: Cannot find invoke method"
        #expect(try kind(response(codec: 11, missing)) == (.failure, true))
        #expect(try kind(response(codec: 12, "\"\(missing)\"")) == (.failure, true))
        #expect(try kind(response(codec: 11, method)) == (.failure, false))
        // Of another service that is what the called method has met, which was executed then.
        for name in ["y:1.0", "xx:1.0", "x", "", "[x:1.0"] {
            let other = "RPC-020100010: RPC cannot find service: [\(name)] "
            for codec in [11, 12] as [UInt8] {
                #expect(try kind(response(codec: codec, other)) == (.failure, name == "x"), "\(name)")
            }
        }
        for text in ["RPC-020100010", "RPC-020100010: [", "RPC-020100010: [x"] {
            #expect(try kind(response(codec: 11, text)) == (.failure, false))
        }
        #expect(try kind(response(codec: 12, "\"boom\"")) == (.exception, false))
        #expect(try kind(response(codec: 12, "\"")) == (.exception, false))
        #expect(try kind(response(codec: 11, "")) == (.exception, false))
        #expect(try kind(response(codec: 13, missing)) == (.unknown, false))
        #expect(try kind(response(codec: 11, status: 18, missing)) == (.unknown, false))
        for header in [[], BoltBuild.map([("sofa_head_response_error", "false")]), [1, 2, 3]] {
            #expect(try kind(response(codec: 11, header: header, missing)) == (.value, false))
        }
    }

    @Test func fieldsOfHessianDecideNotTheHeader() throws {
        var frame = error("RPC-020100010: gone", codec: 1)
        #expect(try kind(frame) == (.failure, true))
        #expect(try kind(rewriteHeader(frame, [("sofa_head_response_error", "false", true)])) == (.failure, true))
        let place = frame.count - 2 - 19 - 4
        #expect(frame[place] == 0x54)
        frame[place] = 0x46
        #expect(try kind(frame) == (.exception, false))
        frame[place - 1] = 0x91
        #expect(try kind(frame) == (.unknown, false))
    }

    @Test func truncatedContentIsNotUnderstood() throws {
        let whole = try content(error("RPC-020100010", codec: 1))
        for count in 0..<whole.count {
            let frame = BoltBuild.frame(type: .response, header: Self.marked, content: Array(whole.prefix(count)))
            let (kind, refuses) = try kind(frame)
            #expect(kind == .unknown || kind == .failure)
            // Of the text nothing may be missing.
            #expect(!refuses || count >= whole.count - 2)
        }
    }
}
