import Testing

@testable import Codecs

@Suite struct DubboInvocationTests {
    /// Written by the Java implementation: `say(String, User)` with the class of User defined among the arguments.
    static let worked = hex(
        """
        dabbc200 0000000000000001 000000b5 05"2.0.2" 0d"com.acme.Echo" 05"1.0.0" 03"say"
        1f"Ljava/lang/String;LFrames$User;" 02"hi" 43 0b"Frames$User" 92 03"age" 04"name" 60 a2 05"zhang"
        48 04"path" 0d"com.acme.Echo" 09"interface" 0d"com.acme.Echo" 07"version" 05"1.0.0" 09"x-version" 02"v2"
        07"timeout" 04"3000" 5a
        """)

    @Test func workedRequest() {
        #expect(
            frameHead(Self.worked) == .complete(Dubbo.FrameHead(flags: 0xc2, status: 0, id: 1, bodyLength: 181)))
        let parsed = ParsedBody(frame: Self.worked)
        let invocation = parsed.invocation
        #expect(parsed.result == .parsed)
        #expect(parsed.text(invocation.method) == "say")
        #expect(parsed.text(invocation.types) == "Ljava/lang/String;LFrames$User;")
        #expect(invocation.argumentCount == 2)
        #expect(invocation.attachments == ByteRange(start: 96, count: 181 - 96))
        #expect(invocation.attachmentForm == .untypedMap)
        #expect(invocation.attachmentCount == 5)
        #expect(parsed.text(invocation.interface) == "com.acme.Echo")
        #expect(parsed.text(invocation.version) == "1.0.0")
        #expect(invocation.group == .none)
        #expect(invocation.timeoutMilliseconds == 3000)
        #expect(parsed.attachment("x-version") == "v2")
        #expect(invocation.genericMethod == .none)
    }

    @Test func oneWayWithoutAttachments() {
        let frame = hex(
            "dabb820000000000000000020000002205322e302e320d636f6d2e61636d652e4563686f05302e302e300470696e6700485a")
        guard case .complete(let head) = frameHead(frame) else {
            Issue.record("no frame")
            return
        }
        #expect(!head.isTwoWay && head.isRequest && !head.isEvent)
        let parsed = ParsedBody(frame: frame)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentCount == 0)
        #expect(parsed.invocation.argumentCount == 0)
        #expect(parsed.text(parsed.invocation.interface) == "com.acme.Echo")
    }

    @Test(arguments: [
        ("4e", Dubbo.AttachmentForm.null), ("", .missing), ("485a", .untypedMap), ("4d 01\"m\" 5a", .typedMap),
    ])
    func formsOfNoAttachments(_ text: String, _ form: Dubbo.AttachmentForm) {
        let parsed = ParsedBody(Build.call(attachments: hex(text)), .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentForm == form)
        #expect(Int(parsed.invocation.attachments.count) == hex(text).count)
        #expect(parsed.text(parsed.invocation.path) == "com.acme.Echo")
        #expect(parsed.text(parsed.invocation.interface) == "com.acme.Echo")
    }

    @Test(arguments: [
        "91", "51 90", "48", "48 01\"a\"", "48 01\"a\" 5a", "48 01\"a\" 01", "48 78 5a", "4d 5a", "5a", "4d 4e 5a",
    ])
    func wrongAttachments(_ text: String) {
        #expect(ParsedBody(Build.call(attachments: hex(text)), .hessian2).result == .malformed)
    }

    @Test func bytesAfterTheMap() {
        let parsed = ParsedBody(Build.call(attachments: hex("48 01\"a\" 01\"b\" 5a 4e")), .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachments.count == 6)
    }

    @Test func attachmentsWinOverTheBody() {
        let map = Build.entries([("path", "other"), ("version", "2.0.0"), ("group", "g"), ("interface", "i")])
        let parsed = ParsedBody(Build.call(attachments: [0x48] + map + [0x5a]), .hessian2)
        let invocation = parsed.invocation
        #expect(parsed.text(invocation.path) == "other")
        #expect(parsed.text(invocation.version) == "2.0.0")
        #expect(parsed.text(invocation.group) == "g")
        #expect(parsed.text(invocation.interface) == "i")
        #expect(parsed.text(invocation.bodyService) == "com.acme.Echo")
        #expect(parsed.text(invocation.bodyVersion) == "1.0.0")
    }

    @Test func theLastOfEqualKeysWins() {
        let map = Build.entries([
            ("version", "2"), ("x-version", "v1"), ("version", "3"), ("X-Version", "v2"), ("x-versio", "v3"),
            ("x-versions", "v4"),
        ])
        let parsed = ParsedBody(Build.call(attachments: [0x48] + map + [0x5a]), .hessian2)
        #expect(parsed.text(parsed.invocation.version) == "3")
        #expect(parsed.attachment("x-version") == "v2")
        #expect(parsed.attachment("version") == "3")
        #expect(parsed.attachment("") == nil)
    }

    @Test func keysAreComparedWithoutCase() {
        let map = Build.entries([
            ("A-Long-KEY-of-several-Words", "1"), ("é-key", "2"), ("key@", "3"), ("key`", "4"), ("[bracket[", "5"),
        ])
        let parsed = ParsedBody(Build.call(attachments: [0x48] + map + [0x5a]), .hessian2)
        #expect(parsed.attachment("a-long-key-of-several-words") == "1")
        #expect(parsed.attachment("a-long-key-of-several-wordz") == nil)
        #expect(parsed.attachment("é-key") == "2")
        // '@' and '`' differ in the bit of case only, and so do '[' and '{'.
        #expect(parsed.attachment("key@") == "3")
        #expect(parsed.attachment("key`") == "4")
        #expect(parsed.attachment("{bracket{") == nil)
    }

    @Test func valuesOfOtherKinds() {
        let attachments =
            hex(
                "48 01\"a\" 91 01\"b\" 4e 01\"c\" 48 01\"x\" 01\"y\" 5a 91 01\"n\" 78 01\"o\" 01\"d\" 52 0001\"p\" 01\"q\""
            )
            + hex("01\"e\" 43 01\"K\" 91 01\"f\" 60 01\"z\" 01\"g\" 60 02\"zz\" 07\"version\" 93 01\"h\" 01\"i\" 5a")
        let parsed = ParsedBody(Build.call(attachments: attachments), .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentCount == 10)
        for name in ["a", "b", "c", "d", "e", "g", "n", "o", "version"] { #expect(parsed.attachment(name) == nil) }
        #expect(parsed.attachment("h") == "i")
        #expect(parsed.text(parsed.invocation.version) == "1.0.0")
        #expect(parsed.invocation.versionAttachmentField == .none)
    }

    @Test(arguments: [
        ("07\"timeout\" 04\"1500\"", 1500), ("07\"timeout\" cdff", 1535), ("07\"timeout\" 4c0000000000000bb8", 3000),
        ("07\"timeout\" 04\"1500\" 03\"_TO\" cc00", 1024), ("03\"_to\" 03\"700\" 07\"timeout\" 04\"1500\"", 700),
        ("07\"timeout\" 04\"1500\" 03\"_TO\" 80", 1500), ("07\"timeout\" 01\"x\"", 0), ("07\"timeout\" 00", 0),
        ("07\"timeout\" 02\"-1\"", 0), ("07\"timeout\" 0a\"2147483647\"", 2147483647),
        ("07\"timeout\" 0a\"2147483648\"", 0), ("07\"timeout\" 0b\"00000000001\"", 0), ("07\"timeout\" 8f", 0),
        ("07\"timeout\" 4c7fffffffffffffff", 0), ("07\"timeout\" 5c", 0), ("07\"timeout\" 4e", 0), ("", 0),
    ])
    func timeout(_ entries: String, _ expected: Int32) {
        let parsed = ParsedBody(Build.call(attachments: [0x48] + hex(entries) + [0x5a]), .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.timeoutMilliseconds == expected)
    }

    @Test func manyAttachments() {
        let pairs = (0..<5_000).map { ("key-\($0)", "value-\($0)") } + [("x-version", "v2"), ("version", "9")]
        let parsed = ParsedBody(Build.call(attachments: [0x48] + Build.entries(pairs) + [0x5a]), .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.attachmentCount == 5_002)
        for number in [0, 255, 256, 257, 4_999] { #expect(parsed.attachment("key-\(number)") == "value-\(number)") }
        #expect(parsed.attachment("x-version") == "v2")
        #expect(parsed.text(parsed.invocation.version) == "9")
    }

    @Test func tooManyAttachments() {
        let limit = Dubbo.Scratch.maximumAttachments
        let entries = [UInt8](repeating: 0, count: 2 * limit)
        #expect(ParsedBody(Build.call(attachments: [0x48] + entries + [0x5a]), .hessian2).result == .parsed)
        let parsed = ParsedBody(Build.call(attachments: [0x48] + entries + [0, 0, 0x5a]), .hessian2)
        #expect(parsed.result == .malformed)
        #expect(parsed.invocation.attachmentsOverflow)
    }

    @Test(arguments: [
        ("", 0), ("I", 1), ("VZBCDFIJS", 9), ("[I", 1), ("[[I", 1), ("Ljava/lang/String;[B", 2), ("LA$B;[[LC;J", 3),
        ("L" + String(repeating: "x", count: 100) + ";I", 2), ("X", -1), ("[", -1), ("I[", -1), ("Lx", -1), ("L", -1),
        (";", -1), ("i", -1), ("@", -1), ("Ljava/lang/String;Lx", -1), ("é", -1),
    ])
    func descriptors(_ types: String, _ count: Int) {
        for padding in [0, 100] {
            let bytes = Array(types.utf8) + [UInt8](repeating: 0x3b, count: padding)
            let found = withBytes(bytes) {
                Dubbo.argumentCount($0, ByteRange(start: 0, count: types.utf8.count), bytes.count)
            }
            #expect(found == count)
        }
    }

    @Test func genericCalls() {
        let types = "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"
        let arguments = hex("04\"real\" 71 07\"[string\" 01\"I\" 71 07\"[object\" 91")
        for (method, isGeneric) in [("$invoke", true), ("$invokeAsync", true), ("$invokeX", false), ("invoke", false)] {
            let body = Build.call(method: method, types: types, arguments: arguments, attachments: hex("485a"))
            let parsed = ParsedBody(body, .hessian2)
            #expect(parsed.result == .parsed)
            #expect(parsed.text(parsed.invocation.calledMethod) == (isGeneric ? "real" : method))
        }
        let plain = ParsedBody(
            Build.call(method: "$invoke", types: "I", arguments: [0x91], attachments: hex("485a")), .hessian2)
        #expect(plain.invocation.genericMethod == .none)
        let echo = ParsedBody(
            Build.call(
                method: "$echo", types: "Ljava/lang/Object;", arguments: hex("02\"hi\""), attachments: hex("485a")),
            .hessian2)
        #expect(echo.text(echo.invocation.calledMethod) == "$echo")
    }

    @Test func nullFields() {
        let body = hex("4e 4e 4e 03\"say\" 00 485a")
        let parsed = ParsedBody(body, .hessian2)
        #expect(parsed.result == .parsed)
        #expect(parsed.invocation.bodyVersion == .none)
        #expect(parsed.invocation.bodyVersionField == ByteRange(start: 2, count: 1))
        #expect(parsed.text(parsed.invocation.method) == "say")
    }

    @Test func truncatedAnywhere() {
        let body = Array(Self.worked.dropFirst(Dubbo.headSize))
        // Without any byte of the map a body is complete.
        for count in 0..<body.count where count != 96 {
            #expect(ParsedBody(Array(body[..<count]), .hessian2).result == .malformed, "\(count)")
        }
    }

    @Test func unknownSerializations() {
        for id in 0..<32 as Range<UInt8> where ![2, 6, 23].contains(id) {
            let parsed = ParsedBody([1, 2, 3], Dubbo.Serialization(id: id))
            #expect(parsed.result == .opaque)
            #expect(parsed.invocation.attachmentForm == .unknown)
        }
    }
}
