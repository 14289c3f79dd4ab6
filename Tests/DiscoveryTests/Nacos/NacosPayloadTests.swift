import FoundationEssentials
import Runtime
import Testing

@testable import Discovery

@Suite struct NacosPayloadTests {
    struct Section: Decodable {
        struct Frame: Decodable {
            let from: String
            let channel: String
            let type: String
            let metadataHeaders: [String: String]?
            let json: String
            let payloadHex: String
        }
        let section: String
        let frames: [Frame]
    }

    static func frames(_ version: String) throws -> [Section.Frame] {
        let text = try Fixture.resource("\(version)-grpc.json")
        return try JSONDecoder().decode([Section].self, from: Data(text.utf8)).flatMap(\.frames)
    }

    static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count - 1, by: 2).compactMap {
            UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)
        }
    }

    @Test(arguments: ["nacos2", "nacos3"])
    func readsRecordedMessages(version: String) throws {
        let frames = try Self.frames(version)
        #expect(frames.count > 40)
        for frame in frames {
            let content = try NacosPayload.decode(Self.bytes(frame.payloadHex))
            #expect(content.type == frame.type)
            #expect(String(decoding: content.body, as: UTF8.self) == frame.json)
            let message = try #require(NacosMessage(content))
            if frame.from == "server", frame.json.contains("\"success\":false") {
                #expect(message.failure != nil, "\(frame.json)")
            } else {
                #expect(message.failure == nil, "\(frame.json)")
            }
        }
    }

    @Test(arguments: ["nacos2", "nacos3"])
    func writesWhatRealServersTook(version: String) throws {
        for frame in try Self.frames(version) where frame.from == "client" {
            let headers = (frame.metadataHeaders ?? [:]).map { (name: $0.key, value: $0.value) }
            #expect(headers.count < 2)
            let mine = NacosPayload.encode(frame.type, frame.json, headers: headers, clientIP: "127.0.0.1")
            #expect(mine == Self.bytes(frame.payloadHex), "\(frame.type)")
        }
    }

    @Test(arguments: ["nacos2", "nacos3"])
    func cutAndBrokenEnvelopesDoNotTrap(version: String) throws {
        var generator = SystemRandomNumberGenerator()
        for frame in try Self.frames(version).filter({ $0.payloadHex.count < 2000 }) {
            let whole = Self.bytes(frame.payloadHex)
            for count in 0..<whole.count { _ = try? NacosPayload.decode(Array(whole.prefix(count))) }
            for _ in 0..<200 {
                var broken = whole
                let index = Int.random(in: 0..<broken.count, using: &generator)
                broken[index] = UInt8.random(in: 0...255, using: &generator)
                guard let content = try? NacosPayload.decode(broken) else { continue }
                _ = NacosMessage(content)
            }
        }
    }

    @Test(arguments: [
        "", "ff", "1a", "1a05", "12ffffffffffffffffff01", "12ffffffffffffffffffff01", "0b", "0c", "00", "1a0412027b",
        "12041a02ffff", "8080808080808080808080",
    ])
    func refusesWhatIsNoEnvelope(hex: String) {
        #expect(throws: Protobuf.Malformed.self) { try NacosPayload.decode(Self.bytes(hex)) }
    }

    @Test func passesOverFieldsThatAreNotKnown() throws {
        // Numbers of 1, 4 and 8 bytes and an unknown text around the message.
        let known = NacosPayload.encode("X", "{}")
        let bytes = Self.bytes("0896014d01020304") + known + Self.bytes("210102030405060708520161")
        #expect(try NacosPayload.decode(bytes) == NacosPayload.Content(type: "X", body: Array("{}".utf8)))
    }

    @Test func largeBodiesAreNotLookedThrough() throws {
        let large = #"{"resultCode":500,"message":"a\"b","requestId":"7","serviceInfo":{"x":""#
        let body = Array((large + String(repeating: "y", count: 100_000) + #""},"errorCode":5}"#).utf8)
        let message = try #require(NacosMessage(NacosPayload.Content(type: "XResponse", body: body)))
        #expect(message.requestID == "7" && message.message == "a\"b" && message.resultCode == 500)
        #expect(message.errorCode == 0)
    }

    @Test(arguments: [
        (#"{"resultCode":500,"errorCode":301}"#, NacosPushFailure.Kind.unregistered),
        (#"{"resultCode":500,"errorCode":-401}"#, .unregistered), (#"{"resultCode":500,"errorCode":300}"#, .starting),
        (#"{"resultCode":500,"errorCode":403,"message":"token expired!"}"#, .login),
        (#"{"resultCode":500,"errorCode":403,"message":"authorization failed!"}"#, .refused),
        (#"{"resultCode":500}"#, .refused), (#"{}"#, .refused),
    ])
    func tellsFailuresApart(body: String, kind: NacosPushFailure.Kind) throws {
        let content = NacosPayload.Content(type: "ErrorResponse", body: Array(body.utf8))
        #expect(try #require(NacosMessage(content)).failure?.kind == kind)
    }

    @Test(arguments: ["", "[]", "null", "{", "{\"a\"}", "\u{0}"])
    func bodiesThatAreNoObjectAreRefused(body: String) {
        #expect(NacosMessage(NacosPayload.Content(type: "X", body: Array(body.utf8))) == nil)
    }

    @Test func writesJSON() {
        let json: NacosJSON = .object([
            ("a\"\\", "x\n\u{1}é"), ("b", .list([1, true, .number(2.5), .number(.infinity)])),
            ("c", .labels(["z": "1", "y": "2"])),
        ])
        #expect(json.text == #"{"a\"\\":"x\n\u0001é","b":[1,true,2.5,0],"c":{"y":"2","z":"1"}}"#)
    }
}
