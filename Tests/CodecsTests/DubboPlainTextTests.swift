import Testing

@testable import Codecs

@Suite("Dubbo requests whose texts are in several pieces or another encoding")
struct DubboPlainTextTests {
    /// The frame written anew; empty when that cannot be done.
    private func plain(_ body: [UInt8], flags: UInt8 = 0xc2) -> [UInt8] {
        let frame = Build.frame(body, flags: flags)
        var scratch = Dubbo.Scratch()
        return written(Dubbo.plainBound(frameCount: frame.count)) { out in
            withBytes(frame) { Dubbo.writePlainTexts(frame: $0, count: frame.count, &scratch, into: out) }
        }
    }

    /// A text in pieces of these lengths.
    private func pieces(_ text: String, _ lengths: [Int]) -> [UInt8] {
        var rest = Array(text.utf8)[...]
        var bytes: [UInt8] = []
        for length in lengths {
            bytes += [0x52, UInt8(length >> 8), UInt8(length & 0xff)] + rest.prefix(length)
            rest = rest.dropFirst(length)
        }
        return bytes + Build.hessian(String(decoding: rest, as: UTF8.self))
    }

    @Test(arguments: [[1], [1, 2], [0], [0, 0, 3], [9], [4, 5]])
    func hessianPieces(_ lengths: [Int]) {
        let fields = ["2.0.2", "com.acme.Echo", "1.0.0.0.0", "sayManyWords", "Ljava/lang/String;"]
        let attachments = [0x48] + pieces("x-version", lengths) + pieces("2.0.0.gray", lengths) + [0x5a]
        let body = fields.flatMap { pieces($0, lengths.map { min($0, 2) }) } + Build.hessian("argument") + attachments
        #expect(ParsedBody(body, .hessian2).invocation.hasUnusualTexts)
        let frame = plain(body)
        let parsed = ParsedBody(frame: frame)
        #expect(parsed.result == .parsed)
        #expect(!parsed.invocation.hasUnusualTexts)
        #expect(parsed.text(parsed.invocation.interface) == "com.acme.Echo")
        #expect(parsed.text(parsed.invocation.version) == "1.0.0.0.0")
        #expect(parsed.text(parsed.invocation.method) == "sayManyWords")
        #expect(parsed.attachment("x-version") == "2.0.0.gray")
        let expected = fields.flatMap { Build.hessian($0) } + Build.hessian("argument") + [0x48]
        #expect(
            frame == Build.frame(expected + Build.hessian("x-version") + Build.hessian("2.0.0.gray") + [0x5a]))
    }

    @Test("Arguments, other values and what is plain already stay byte for byte")
    func onlyWhatDecides() {
        let argument = pieces("an argument", [3])
        let other = hex("43 01\"K\" 91 01\"f\" 60 01\"z\" 01\"g\" 60 02\"zz\"")
        let attachments = [0x48] + Build.hessian("o") + other + Build.hessian("k") + pieces("v2", [1]) + [0x5a]
        let frame = plain(Build.call(types: "Ljava/lang/String;", arguments: argument, attachments: attachments))
        let expected = [0x48] + Build.hessian("o") + other + Build.hessian("k") + Build.hessian("v2") + [0x5a]
        #expect(
            frame == Build.frame(Build.call(types: "Ljava/lang/String;", arguments: argument, attachments: expected)))
    }

    @Test("A text that no piece can hold stays in several")
    func longText() {
        let text = String(repeating: "x", count: 70_000)
        let attachments = [0x48] + Build.hessian("k") + pieces(text, [32_768, 32_768]) + [0x5a]
        let body = Build.call(attachments: attachments)
        #expect(plain(body) == Build.frame(body))
        let fitting = String(repeating: "x", count: 65_535)
        let joined = plain(Build.call(attachments: [0x48] + Build.hessian("k") + pieces(fitting, [32_768]) + [0x5a]))
        #expect(ParsedBody(frame: joined).attachment("k") == fitting)
    }

    @Test(arguments: [
        hex("7c 04 2d4e 8765"), hex("7d 04 4e2d 6587"), hex("7b 06 feff 4e2d 6587"), hex("7b 06 fffe 2d4e 8765"),
        hex("7b 04 4e2d 6587"), hex("7a 06 e4b8ad e69687"),
    ])
    func fastjson2Wish(_ wish: [UInt8]) {
        let map = [0xa6] + Build.jsonb("x-version") + wish + Build.jsonb("n") + [0x07, 0xa5]
        let fields = ["2.0.2", "com.acme.Echo", "1.0.0", "say", ""].map { Build.element(Build.jsonb($0)) }
        let body = fields.flatMap(\.self) + Build.element(map)
        let frame = plain(body, flags: 0xd7)
        let parsed = ParsedBody(frame: frame)
        #expect(parsed.result == .parsed)
        #expect(!parsed.invocation.hasUnusualTexts)
        #expect(parsed.attachment("x-version") == "中文")
        #expect(parsed.invocation.attachmentCount == 2)
    }

    @Test("Fields and keys of fastjson2 in UTF-16 and Latin-1")
    func fastjson2Fields() {
        let utf16 = hex("7c 02 2d4e")
        let latin1 = hex("4b \"k\" e9")
        let fields = [Build.jsonb("2.0.2"), utf16, latin1, Build.jsonb("say"), Build.jsonb("")].map(Build.element)
        let map = [0xa6] + latin1 + Build.jsonb("v") + utf16 + latin1 + [0xa5]
        let parsed = ParsedBody(frame: plain(fields.flatMap(\.self) + Build.element(map), flags: 0xd7))
        #expect(parsed.result == .parsed)
        #expect(parsed.text(parsed.invocation.bodyService) == "中")
        #expect(parsed.text(parsed.invocation.bodyVersion) == "ké")
        #expect(parsed.attachment("ké") == "v")
        #expect(parsed.attachment("中") == "ké")
    }

    @Test("Whatever the bytes are, nothing is read or written beyond its memory, and what comes out can be read")
    func random() {
        var state: UInt64 = 7
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let attachments = [0x48] + pieces("x-version", [2, 3]) + pieces("v2", [1]) + [0x5a]
        let hessian = Build.call(types: "I", arguments: [0x91], attachments: attachments)
        let jsonb =
            ["2.0.2", "a", "1", "say", ""].map { Build.element(Build.jsonb($0)) }.flatMap(\.self)
            + Build.element([0xa6] + hex("7c 04 2d4e 8765") + hex("4a e9") + [0xa5])
        for turn in 0..<20_000 {
            var body = turn % 2 == 0 ? hessian : jsonb
            for _ in 0...next(3) { body[next(body.count)] = UInt8(next(256)) }
            if next(4) == 0 { body.removeLast(next(body.count)) }
            let frame = plain(body, flags: turn % 2 == 0 ? 0xc2 : 0xd7)
            if !frame.isEmpty { _ = ParsedBody(frame: frame) }
        }
    }
}
