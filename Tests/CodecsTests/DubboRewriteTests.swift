import Testing

@testable import Codecs

@Suite struct DubboRewriteTests {
    static let requests = RecordedFrame.all.filter { $0.kind == "request" && $0.serialization != 3 }
    static let versions = [
        "2.0.0", "1.0.0", "v", "", String(repeating: "9", count: 40), String(repeating: "8", count: 300), "灰度",
    ]

    @Test(arguments: requests)
    func onlyTheVersionChanges(_ recorded: RecordedFrame) throws {
        let frame = try recorded.bytes
        let old = ParsedBody(frame: frame)
        for version in Self.versions {
            let changed = rewrite(frame, to: version)
            guard case .complete(let head) = frameHead(changed) else {
                Issue.record("no frame")
                return
            }
            #expect(head.frameLength == changed.count)
            #expect(changed[..<12] == frame[..<12])
            let new = ParsedBody(frame: changed)
            #expect(new.result == .parsed)
            #expect(new.text(new.invocation.bodyVersion) == version)
            #expect(new.text(new.invocation.version) == version)
            #expect(new.attachment("version") == version)
            #expect(new.invocation.attachmentForm == .untypedMap)
            let isAppended = old.attachment("version") == nil
            #expect(new.invocation.attachmentCount == old.invocation.attachmentCount + (isAppended ? 1 : 0))
            if isAppended { continue }
            // Around field and attachment all is as it was.
            let (oldPieces, newPieces) = (pieces(old), pieces(new))
            #expect(newPieces == oldPieces)
        }
        // Back to the old version gives the very same bytes.
        if old.attachment("version") != nil {
            #expect(rewrite(rewrite(frame, to: "2.0.0"), to: old.text(old.invocation.version)) == frame)
        }
    }

    /// What lies before, between and behind the two places; without the length of fastjson2's map.
    private func pieces(_ parsed: ParsedBody) -> [[UInt8]] {
        let (field, attachment) = (parsed.invocation.bodyVersionField, parsed.invocation.versionAttachmentField)
        let map = Int(parsed.invocation.attachments.start)
        return [
            Array(parsed.body[..<Int(field.start)]), Array(parsed.body[field.end..<map]),
            Array(parsed.body[(map + 4)..<Int(attachment.start)]), Array(parsed.body[attachment.end...]),
        ]
    }

    @Test func workedRequest() {
        let changed = rewrite(DubboInvocationTests.worked, to: "10.0.0")
        let expected = hex(
            """
            dabbc200 0000000000000001 000000b7 05"2.0.2" 0d"com.acme.Echo" 06"10.0.0" 03"say"
            1f"Ljava/lang/String;LFrames$User;" 02"hi" 43 0b"Frames$User" 92 03"age" 04"name" 60 a2 05"zhang"
            48 04"path" 0d"com.acme.Echo" 09"interface" 0d"com.acme.Echo" 07"version" 06"10.0.0" 09"x-version" 02"v2"
            07"timeout" 04"3000" 5a
            """)
        #expect(changed == expected)
    }

    @Test(arguments: [
        ("", "48 07\"version\" 01\"2\" 5a"), ("4e", "48 07\"version\" 01\"2\" 5a"),
        ("4e 4e", "48 07\"version\" 01\"2\" 5a 4e"), ("485a", "48 07\"version\" 01\"2\" 5a"),
        ("4d 01\"m\" 5a", "4d 01\"m\" 07\"version\" 01\"2\" 5a"),
        ("48 01\"a\" 01\"b\" 5a 4e", "48 01\"a\" 01\"b\" 07\"version\" 01\"2\" 5a 4e"),
        // Not plain text: kept, and a later one wins.
        ("48 07\"version\" 91 5a", "48 07\"version\" 91 07\"version\" 01\"2\" 5a"),
        ("48 07\"version\" 4e 5a", "48 07\"version\" 4e 07\"version\" 01\"2\" 5a"),
        ("48 07\"version\" 52 0001\"1\" 01\"2\" 5a", "48 07\"version\" 52 0001\"1\" 01\"2\" 07\"version\" 01\"2\" 5a"),
        (
            "48 07\"version\" 01\"1\" 07\"version\" 91 5a",
            "48 07\"version\" 01\"1\" 07\"version\" 91 07\"version\" 01\"2\" 5a"
        ),
        // Of several the last counts.
        ("48 07\"version\" 01\"1\" 07\"version\" 01\"3\" 5a", "48 07\"version\" 01\"1\" 07\"version\" 01\"2\" 5a"),
        // Keys are compared with case.
        ("48 07\"Version\" 01\"1\" 5a", "48 07\"Version\" 01\"1\" 07\"version\" 01\"2\" 5a"),
    ])
    func hessianAttachments(_ old: String, _ new: String) {
        let frame = Build.frame(Build.call(attachments: hex(old)))
        let changed = rewrite(frame, to: "2")
        #expect(Array(changed.dropFirst(16)) == Build.call(version: "2", attachments: hex(new)))
        let parsed = ParsedBody(frame: changed)
        #expect(parsed.text(parsed.invocation.version) == "2")
    }

    @Test func nullVersionInTheBody() {
        let frame = Build.frame(hex("05\"2.0.2\" 01\"s\" 4e 01\"m\" 00 48 01\"a\" 01\"b\" 5a"))
        let expected = hex("05\"2.0.2\" 01\"s\" 03\"1.0\" 01\"m\" 00 48 01\"a\" 01\"b\" 07\"version\" 03\"1.0\" 5a")
        #expect(Array(rewrite(frame, to: "1.0").dropFirst(16)) == expected)
    }

    private static func fastjson2Call(_ version: String, _ attachments: [UInt8]) -> [UInt8] {
        ["2.0.2", "s", version, "m", "I"].flatMap { Build.element(Build.jsonb($0)) } + Build.element([0x01])
            + attachments
    }

    @Test(arguments: [
        ("", "a6 50\"version\" 4a\"2\" a5"), ("af", "a6 50\"version\" 4a\"2\" a5"),
        ("a6a5", "a6 50\"version\" 4a\"2\" a5"),
        ("92 4b\"LM\" 00 a6 a5", "92 4b\"LM\" 00 a6 50\"version\" 4a\"2\" a5"),
        ("a6 50\"version\" 4c\"1.0\" 4a\"x\" 4a\"y\" a5", "a6 50\"version\" 4a\"2\" 4a\"x\" 4a\"y\" a5"),
        ("a6 7f50\"version\"00 7a03\"1.0\" a5", "a6 7f50\"version\"00 4a\"2\" a5"),
        ("a6 50\"version\" 01 a5", "a6 50\"version\" 01 50\"version\" 4a\"2\" a5"),
        ("a6 50\"version\" 7c02 3100 a5", "a6 50\"version\" 7c02 3100 50\"version\" 4a\"2\" a5"),
    ])
    func fastjson2Attachments(_ old: String, _ new: String) {
        let oldMap = hex(old).isEmpty ? [] : Build.element(hex(old))
        let frame = Build.frame(Self.fastjson2Call("1.0.0", oldMap), flags: 0xd7)
        let changed = rewrite(frame, to: "2")
        #expect(Array(changed.dropFirst(16)) == Self.fastjson2Call("2", Build.element(hex(new))))
        let parsed = ParsedBody(frame: changed)
        #expect(parsed.result == .parsed)
        #expect(parsed.text(parsed.invocation.version) == "2")
    }

    @Test(arguments: [
        ("", "{\"version\":\"2\"}\n"), ("null\n", "{\"version\":\"2\"}\n"), ("{}\n", "{\"version\":\"2\"}\n"),
        ("{\"a\":1}\n", "{\"a\":1,\"version\":\"2\"}\n"),
        ("{\"version\":\"1\",\"b\":[{}]}\r\n", "{\"version\":\"2\",\"b\":[{}]}\r\n"),
        ("{\"version\":1}\n", "{\"version\":1,\"version\":\"2\"}\n"),
        ("{\"version\":\"\\u0031\"}\n", "{\"version\":\"\\u0031\",\"version\":\"2\"}\n"),
    ])
    func fastjsonAttachments(_ old: String, _ new: String) {
        let start = "\"2.0.2\"\n\"s\"\n"
        let frame = Build.frame(Array("\(start)\"1.0.0\"\n\"m\"\n\"I\"\n7\n\(old)".utf8), flags: 0xc6)
        let changed = rewrite(frame, to: "2")
        #expect(String(decoding: changed.dropFirst(16), as: UTF8.self) == "\(start)\"2\"\n\"m\"\n\"I\"\n7\n\(new)")
        #expect(rewrite(frame, to: "\"") == [])
    }

    @Test func fastjsonBodyWhoseLastLineHasNoEnd() {
        let frame = Build.frame(Array("\"2.0.2\"\n\"s\"\n\"1.0\"\n\"m\"\n\"\"".utf8), flags: 0xc6)
        let changed = rewrite(frame, to: "2")
        let parsed = ParsedBody(frame: changed)
        #expect(parsed.result == .parsed && parsed.text(parsed.invocation.version) == "2")
        #expect(String(decoding: changed, as: UTF8.self).hasSuffix("\"m\"\n\"\"\n{\"version\":\"2\"}\n"))
    }

    @Test func opaqueFramesAreNotRewritten() throws {
        for recorded in RecordedFrame.all where recorded.serialization == 3 && recorded.kind == "request" {
            #expect(rewrite(try recorded.bytes, to: "2") == [])
        }
    }
}
