import Testing

@testable import Codecs

/// Requests that are written anew with another path, group and version.
@Suite struct DubboChangeTests {
    static let texts = ["orders/v1", "p", "", String(repeating: "a/", count: 200), "订单/😀"]

    @Test(arguments: RecordedFrame.all.filter { $0.kind == "request" && $0.serialization != 3 })
    func allPartsAtOnce(_ recorded: RecordedFrame) throws {
        let frame = try recorded.bytes
        let old = ParsedBody(frame: frame)
        for text in Self.texts {
            let changed = rewrite(frame, service: text + "s", path: text + "p", version: text + "v", group: text + "g")
            guard case .complete(let head) = frameHead(changed) else {
                Issue.record("no frame")
                return
            }
            #expect(head.frameLength == changed.count)
            let new = ParsedBody(frame: changed)
            #expect(new.result == .parsed)
            let isHessian = recorded.serialization == 2
            // Hessian2 writes what lies beyond the BMP in its own way.
            if isHessian && text.unicodeScalars.contains(where: { $0.value > 0xffff }) { continue }
            #expect(new.text(new.invocation.bodyService) == text + "s")
            #expect(new.text(new.invocation.bodyVersion) == text + "v")
            #expect(new.attachment("path") == text + "p" && new.text(new.invocation.path) == text + "p")
            #expect(new.attachment("version") == text + "v")
            #expect(new.attachment("group") == text + "g" && new.text(new.invocation.group) == text + "g")
            let names = ["path", "version", "group"]
            let added = names.count { old.attachment($0) == nil }
            #expect(Int(new.invocation.attachmentCount) == Int(old.invocation.attachmentCount) + added)
            #expect(new.text(new.invocation.interface) == (old.attachment("interface") ?? text + "p"))
            #expect(new.text(new.invocation.method) == old.text(old.invocation.method))
            #expect(new.text(new.invocation.types) == old.text(old.invocation.types))
            #expect(new.invocation.argumentCount == old.invocation.argumentCount)
            #expect(new.invocation.timeoutMilliseconds == old.invocation.timeoutMilliseconds)
            // Back to what it was gives the very same bytes, where nothing was added.
            if added > 0 { continue }
            let back = rewrite(
                changed, service: old.text(old.invocation.bodyService), path: old.attachment("path"),
                version: old.text(old.invocation.version), group: old.attachment("group"))
            #expect(back == frame)
        }
    }

    private static let hessianMaps: [(old: String, new: String)] = [
        // In whatever order they stand.
        (
            "48 04\"path\" 01\"s\" 07\"version\" 01\"1\" 05\"group\" 01\"*\" 5a",
            "48 04\"path\" 01\"p\" 07\"version\" 01\"2\" 05\"group\" 01\"g\" 5a"
        ),
        (
            "48 05\"group\" 03\"a,b\" 01\"x\" 01\"y\" 07\"version\" 01\"1\" 04\"path\" 01\"s\" 5a",
            "48 05\"group\" 01\"g\" 01\"x\" 01\"y\" 07\"version\" 01\"2\" 04\"path\" 01\"p\" 5a"
        ),
        // What is missing is added behind the others.
        ("48 05\"group\" 00 5a", "48 05\"group\" 01\"g\" 04\"path\" 01\"p\" 07\"version\" 01\"2\" 5a"),
        ("4e", "48 04\"path\" 01\"p\" 07\"version\" 01\"2\" 05\"group\" 01\"g\" 5a"),
        ("", "48 04\"path\" 01\"p\" 07\"version\" 01\"2\" 05\"group\" 01\"g\" 5a"),
        // Not plain text, or another key: kept, and a later one wins.
        (
            "48 04\"path\" 91 04\"Path\" 01\"s\" 05\"group\" 52 0001\"1\" 01\"2\" 07\"version\" 01\"1\" 5a",
            """
            48 04"path" 91 04"Path" 01"s" 05"group" 52 0001"1" 01"2" 07"version" 01"2" 04"path" 01"p" \
            05"group" 01"g" 5a
            """
        ),
        // Of several the last counts.
        (
            "48 04\"path\" 01\"a\" 04\"path\" 01\"b\" 07\"version\" 01\"1\" 05\"group\" 01\"x\" 5a",
            "48 04\"path\" 01\"a\" 04\"path\" 01\"p\" 07\"version\" 01\"2\" 05\"group\" 01\"g\" 5a"
        ),
    ]

    @Test(arguments: hessianMaps)
    func hessianAttachments(_ old: String, _ new: String) {
        let frame = Build.frame(Build.call(version: "1", types: "I", arguments: hex("91"), attachments: hex(old)))
        let changed = rewrite(frame, service: "service", path: "p", version: "2", group: "g")
        let fields = ["2.0.2", "service", "2", "say", "I"].flatMap(Build.hessian)
        #expect(Array(changed.dropFirst(16)) == fields + hex("91") + hex(new))
    }

    @Test func onlyWhatIsAskedForChanges() {
        let attachments = hex("48 04\"path\" 01\"s\" 07\"version\" 01\"1\" 05\"group\" 01\"*\" 5a")
        let frame = Build.frame(Build.call(attachments: attachments))
        #expect(rewrite(frame) == frame)
        #expect(
            Array(rewrite(frame, group: "").dropFirst(16))
                == Build.call(attachments: hex("48 04\"path\" 01\"s\" 07\"version\" 01\"1\" 05\"group\" 00 5a")))
        #expect(
            Array(rewrite(frame, path: "p").dropFirst(16))
                == Build.call(attachments: hex("48 04\"path\" 01\"p\" 07\"version\" 01\"1\" 05\"group\" 01\"*\" 5a")))
    }

    /// The first field may be null, empty, or written longer than it must be.
    @Test(arguments: ["4e", "00", "3000", "53 0000", "53 0005 \"2.0.2\"", "3005 \"2.0.2\""])
    func theFieldBeforeTheService(_ first: String) {
        let rest = "03\"1.0\" 01\"m\" 00 48 04\"path\" 01\"s\" 5a"
        let frame = Build.frame(hex("\(first) 53 0001 \"s\" \(rest)"))
        let changed = rewrite(frame, service: "o/v1", path: "o/v1")
        #expect(
            Array(changed.dropFirst(16)) == hex("\(first) 04\"o/v1\" 03\"1.0\" 01\"m\" 00 48 04\"path\" 04\"o/v1\" 5a"))
    }

    /// Texts in several pieces are made plain first.
    @Test func textsInPieces() throws {
        let frame = Build.frame(
            hex(
                """
                05"2.0.2" 52 0001"s" 01"x" 03"1.0" 01"m" 00
                48 52 0002"pa" 02"th" 52 0001"s" 01"x" 09"interface" 52 0001"i" 00 05"group" 52 0003"g1," 02"g2" 5a
                """))
        var scratch = Dubbo.Scratch()
        let plain = written(Dubbo.plainBound(frameCount: frame.count)) { out in
            withBytes(frame) { Dubbo.writePlainTexts(frame: $0, count: frame.count, &scratch, into: out) }
        }
        let changed = rewrite(plain, service: "i", path: "o", group: "g2")
        #expect(
            Array(changed.dropFirst(16))
                == hex(
                    """
                    05"2.0.2" 01"i" 03"1.0" 01"m" 00
                    48 04"path" 01"o" 09"interface" 01"i" 05"group" 02"g2" 5a
                    """))
    }

    private static func fastjson2Call(_ service: String, _ version: String, _ attachments: [UInt8]) -> [UInt8] {
        Build.element([0xaf]) + [service, version, "m", "I"].flatMap { Build.element(Build.jsonb($0)) }
            + Build.element([0x01]) + attachments
    }

    private static let fastjson2Maps: [(old: String, new: String)] = [
        ("", "a6 4d\"path\" 4a\"p\" 50\"version\" 4a\"2\" 4e\"group\" 4a\"g\" a5"),
        ("af", "a6 4d\"path\" 4a\"p\" 50\"version\" 4a\"2\" 4e\"group\" 4a\"g\" a5"),
        (
            "92 4b\"LM\" 00 a6 4e\"group\" 7902\"ab\" 4d\"path\" 4a\"s\" a5",
            "92 4b\"LM\" 00 a6 4e\"group\" 4a\"g\" 4d\"path\" 4a\"p\" 50\"version\" 4a\"2\" a5"
        ),
        (
            "a6 7f4d\"path\"00 7a03\"abc\" 50\"version\" 4a\"1\" 4e\"group\" 01 a5",
            "a6 7f4d\"path\"00 4a\"p\" 50\"version\" 4a\"2\" 4e\"group\" 01 4e\"group\" 4a\"g\" a5"
        ),
    ]

    @Test(arguments: fastjson2Maps)
    func fastjson2Attachments(_ old: String, _ new: String) {
        let oldMap = hex(old).isEmpty ? [] : Build.element(hex(old))
        let frame = Build.frame(Self.fastjson2Call("s", "1", oldMap), flags: 0xd7)
        let changed = rewrite(frame, service: "service", path: "p", version: "2", group: "g")
        #expect(Array(changed.dropFirst(16)) == Self.fastjson2Call("service", "2", Build.element(hex(new))))
    }

    private static let fastjsonMaps: [(old: String, new: String)] = [
        ("", "{\"path\":\"p\",\"version\":\"2\",\"group\":\"g\"}\n"),
        ("null\n", "{\"path\":\"p\",\"version\":\"2\",\"group\":\"g\"}\n"),
        (
            "{\"group\":\"*\",\"a\":[1],\"path\":\"\"}\r\n",
            "{\"group\":\"g\",\"a\":[1],\"path\":\"p\",\"version\":\"2\"}\r\n"
        ),
        ("{\"path\":1}\n", "{\"path\":1,\"path\":\"p\",\"version\":\"2\",\"group\":\"g\"}\n"),
    ]

    @Test(arguments: fastjsonMaps)
    func fastjsonAttachments(_ old: String, _ new: String) {
        for first in ["null", "\"2.0.2\""] {
            let frame = Build.frame(Array("\(first)\n\"s\"\r\n\"1\"\n\"m\"\n\"I\"\n7\n\(old)".utf8), flags: 0xc6)
            let changed = rewrite(frame, service: "service", path: "p", version: "2", group: "g")
            let text = String(decoding: changed.dropFirst(16), as: UTF8.self)
            #expect(text == "\(first)\n\"service\"\n\"2\"\n\"m\"\n\"I\"\n7\n\(new)")
            #expect(rewrite(frame, path: "a\"b") == [])
        }
    }

    @Test func tooLongATextIsNotWritten() {
        let frame = Build.frame(Build.call(attachments: hex("485a")))
        #expect(rewrite(frame, path: String(repeating: "p", count: 65_536)) == [])
        #expect(ParsedBody(frame: rewrite(frame, path: String(repeating: "p", count: 65_535))).result == .parsed)
    }
}
