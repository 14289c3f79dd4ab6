import Testing

@testable import Codecs

private func skipJSONB(_ bytes: [UInt8], depth: Int = 64) -> Int? {
    let stack = UnsafeMutablePointer<Int32>.allocate(capacity: depth)
    defer { stack.deallocate() }
    let end = withBytes(bytes) { JSONB.skip($0, 0, bytes.count, stack, depth: depth) }
    return end < 0 ? nil : end
}

@Suite struct JSONBTests {
    static let values = [
        "00", "2f", "f0", "ff", "30ff", "3fff", "400000", "47ffff", "4800000001", "49", "4a\"a\"",
        "78" + String(repeating: "61", count: 47),
        "79 30\"x\"".replacing("30", with: "01"), "7a 04 f09f9880", "7b 02 6100", "7c 04 2d4e8765", "7d 02 4e2d",
        "7e 02 b0a1",
        "7f 4a\"k\" 00", "7f 01", "90 38ff", "91 03 010203", "92 4b\"LM\" 00 a6a5", "92 01 a6a5", "93 4a\"$\"", "94",
        "95 00",
        "a3 00000000000000000000000000 0000", "a4 10 00000000000000000000000000000000", "a6a5", "a6 4a\"k\" 01 a5",
        "a6 7f4a\"k\"01 af a5",
        "a6 01 02 a5", "a7 010203 00", "a8 07e80101 010203 00", "a9 07e80101", "aa 07e80101010203 00 4c\"UTC\"",
        "ab 0000000000000001", "ac 00000001", "ad 00000001", "ae d8 00", "af", "b0", "b1", "b2", "b3", "b4 d8",
        "b5 0000000000000001", "b6 01", "b7 00000001", "b8 d8", "b9 01 bb 0101", "ba e0", "bb 02 0101", "bc 0102",
        "bd 01",
        "be 0000000000000001", "bf 00000001", "c00000", "c70000", "c800", "d700", "d8", "ef",
        "a6 4a\"a\" 95 a6 4a\"b\" 92 4a\"T\" 02 a6 a5 a5 a5",
    ]

    @Test(arguments: values) func endsAtTheLastByte(_ text: String) {
        let bytes = hex(text)
        #expect(skipJSONB(bytes) == bytes.count)
        #expect(skipJSONB(bytes + [0x00]) == bytes.count)
        for count in 0..<bytes.count { #expect(skipJSONB(Array(bytes[..<count])) == nil) }
    }

    @Test(arguments: [
        "a5", "a6 01 a5", "79 af", "79 ff", "a4 ff", "a4 487fffffff", "91 487fffffff", "7f af", "92 af a6a5",
        "7f 7f 01",
    ])
    func refused(_ text: String) {
        #expect(skipJSONB(hex(text)) == nil)
    }

    @Test func nestingIsLimited() {
        let nested = [UInt8](repeating: 0x95, count: 64) + [0x00]
        #expect(skipJSONB(nested) == 65)
        #expect(skipJSONB([0x95] + nested) == nil)
        #expect(skipJSONB([UInt8](repeating: 0xa6, count: 100_000)) == nil)
    }

    @Test func numbers() {
        let values: [(String, Int64?)] = [
            ("00", 0), ("2f", 47), ("f0", -16), ("ff", -1), ("3830", 48), ("3000", -2048), ("3fff", 2047),
            ("440800", 2048),
            ("4800040000", 262144), ("48ffffffff", -1), ("e0", 0), ("d8", -8), ("ef", 15), ("d030", 48),
            ("c40800", 2048),
            ("bf00040000", 262144), ("be0000000080000000", 1 << 31), ("bd04", 4), ("bdff", -1), ("bc0100", 256),
            ("bcffff", -1),
            ("af", nil), ("4a31", nil), ("38", nil), ("be00", nil), ("", nil),
        ]
        for (text, value) in values {
            let bytes = hex(text)
            #expect(withBytes(bytes) { JSONB.number($0, 0, bytes.count) } == value, "\(text)")
        }
    }

    @Test func writing() {
        #expect(Build.jsonb("2.0.2") == hex("4e 322e302e32"))
        #expect(Build.jsonb("") == [0x49])
        #expect(Build.jsonb("灰") == hex("7a 4800000003 e781b0"))
        #expect(Build.jsonb(String(repeating: "a", count: 47)).first == 0x78)
        let long = Build.jsonb(String(repeating: "a", count: 48))
        #expect(long.starts(with: hex("79 4800000030")) && skipJSONB(long) == long.count)
    }
}

@Suite struct DubboFastjson2Tests {
    private func call(_ fields: [[UInt8]]) -> ParsedBody {
        ParsedBody(fields.flatMap(Build.element), .fastjson2)
    }

    private let fields = ["2.0.2", "demo", "1.0", "say", "I"].map(Build.jsonb)

    @Test func stringsInEveryEncoding() {
        let map = hex(
            "a6 4a\"a\" 4a\"x\" 4a\"b\" 79 01\"y\" 4a\"c\" 7a 03 e4b8ad 4a\"d\" 7c 02 2d4e 4a\"e\" 07 7f4a\"f\"00 4a\"z\" 7f00 4a\"g\" 94 4a\"h\" a5"
        )
        let parsed = call(fields + [[0x01], map])
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentCount == 8)
        #expect(parsed.attachment("a") == "x")
        #expect(parsed.attachment("b") == "y")
        #expect(parsed.attachment("c") == "中")
        #expect(parsed.attachment("d") == nil)
        #expect(parsed.attachment("e") == nil)
        #expect(parsed.attachment("f") == "z")
    }

    @Test(arguments: ["52\"interface\" 01", "50\"timeout\" 38ff", "4c\"_TO\" bf000000ff", "50\"timeout\" 4c\"255\""])
    func timeouts(_ entry: String) {
        let parsed = call(fields + [[0x01], hex("a6 \(entry) a5")])
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.timeoutMilliseconds == (entry.contains("interface") ? 0 : 255))
    }

    @Test func wrongBodies() {
        #expect(call(Array(fields.prefix(4))).result == .malformed)
        #expect(call(fields).result == .malformed)
        #expect(call(fields + [[0x01]]).result == .parsed)
        for map in ["a6", "a6 4a\"a\" a5", "a5", "00", "94", "92 a6a5", "a6 a6 a5", "a6 4a\"a\" 4b\"a\""] {
            #expect(call(fields + [[0x01], hex(map)]).result == .malformed, "\(map)")
        }
        #expect(ParsedBody(hex("00000000"), .fastjson2).result == .malformed)
        #expect(ParsedBody(hex("ffffffff 00"), .fastjson2).result == .malformed)
        #expect(ParsedBody(hex("7fffffff 00"), .fastjson2).result == .malformed)
    }

    @Test func argumentsAreNotDecoded() {
        let parsed = call(fields + [[0xa5, 0xa5, 0xff], hex("a6a5")])
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachments.count == 6)
    }
}

@Suite struct DubboFastjsonTests {
    private func call(_ text: String) -> ParsedBody { ParsedBody(Array(text.utf8), .fastjson) }
    private let fields = "\"2.0.2\"\n\"demo\"\n\"1.0\"\n\"say\"\n\"I\"\n"

    @Test func valuesOfEveryKind() {
        let parsed = call(
            fields + "7\n"
                + #"{"a":"x","b":1.5,"c":[1,{"d":"]}"}],"e":null,"f":"\"q","\"g":"h","timeout":250,"i":"j,}"}"# + "\n")
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentCount == 8)
        #expect(parsed.attachment("a") == "x")
        #expect(parsed.attachment("i") == "j,}")
        for name in ["b", "c", "d", "e", "f", "g", "timeout"] { #expect(parsed.attachment(name) == nil) }
        #expect(parsed.invocation.timeoutMilliseconds == 250)
    }

    @Test(arguments: [
        "{", "{}x", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{\"a\":1]", "{\"a\":\"b}", "[1]", "x",
        "{\"a\":\"\\",
    ])
    func wrongAttachments(_ line: String) {
        #expect(call(fields + "7\n" + line + "\n").result == .malformed)
        #expect(call(fields + "7\n" + line).result == .malformed)
    }

    @Test func wrongFields() {
        #expect(call("").result == .malformed)
        #expect(call("\"2.0.2\"\n").result == .malformed)
        #expect(call(fields.replacing("say", with: "s\\u0061y") + "7\n{}\n").result == .malformed)
        #expect(call(fields.replacing("\"say\"", with: "say") + "7\n{}\n").result == .malformed)
        #expect(call(fields).result == .malformed)
        #expect(call(fields + "7\n").invocation.attachmentForm == .missing)
        #expect(call(fields.replacing("\"1.0\"", with: "null") + "7\nnull\n").result == .parsed)
    }
}
