import Testing

@testable import Codecs

/// Reads the value at the beginning of `bytes`.
private func document(
    _ bytes: [UInt8], at start: Int = 0, limits: Hessian2.Reader.Limits = .init()
) throws(Hessian2.Reader.Failure) -> Hessian2.Document? {
    var reader = Hessian2.Reader(bytes, at: start, limits: limits)
    return try reader.advance()
}

/// A frame that was recorded.
private func recorded(_ name: String) throws -> [UInt8] {
    try #require(RecordedFrame.all.first { $0.file == name + ".bin" }).bytes
}

extension Hessian2.Document {
    /// The whole value as a text that is easy to compare; containers within themselves are named only.
    func shown(_ value: Value, depth: Int = 8) -> String {
        if depth == 0 { return "…" }
        func list(_ contents: Contents) -> String {
            contents.map { shown($0, depth: depth - 1) }.joined(separator: ",")
        }
        return switch kind(of: value) {
        case .null: "null"
        case .boolean: "\(boolean(value)!)"
        case .integer: "\(integer(value)!)"
        case .double: "\(double(value)!)"
        case .date: "@\(date(value)!)"
        case .text: "'\(text(value)!)'"
        case .binary: "\(binary(value)!)"
        case .list: "[\(list(contents(of: value)))]"
        case .map: "{\(list(contents(of: value)))}"
        case .object: "\(className(of: value)!)(\(list(contents(of: value))))"
        case .reference: "?"
        }
    }
}

@Suite struct Hessian2ReaderTests {
    @Test(arguments: [
        ("4e", "null"), ("54", "true"), ("46", "false"), ("90", "0"), ("80", "-16"), ("bf", "47"), ("c830", "48"),
        ("c000", "-2048"), ("cfff", "2047"), ("d40800", "2048"), ("d7ffff", "262143"), ("4900040000", "262144"),
        ("d8", "-8"), ("ef", "15"), ("f810", "16"), ("3c0800", "2048"), ("5900040000", "262144"),
        ("4c0000000080000000", "2147483648"), ("5b", "0.0"), ("5c", "1.0"), ("5d80", "-128.0"), ("5e012c", "300.0"),
        ("5effff", "-1.0"), ("5f00002fda", "12.25"), ("44400921fb54442d18", "3.141592653589793"),
        ("4a000000d04b9284b8", "@894621091000"), ("4b00e3838f", "@894621060000"), ("00", "''"),
        ("02e4b8ade69687", "'中文'"), ("04 61 eda0bd edb880 62", "'a😀b'"), ("03 61 f09f9880", "'a😀'"),
        ("52 0001 61 52 0001 eda0bd 02 edb880 62", "'a😀b'"), ("52 0001 61 30 01 62", "'ab'"), ("53 0001 c3a9", "'é'"),
        ("01 eda0bd", "'\u{fffd}'"), ("02 edb880 61", "'\u{fffd}a'"), ("02 eda0bd 61", "'\u{fffd}a'"),
        ("23010203", "[1, 2, 3]"), ("41 0002 0102 41 0001 03 21 04", "[1, 2, 3, 4]"), ("42 0001 09", "[9]"),
        ("41 0001 01 34 01 02", "[1, 2]"), ("20", "[]"),
        ("7a9192", "[1,2]"), ("78", "[]"), ("57 91 92 5a", "[1,2]"), ("58 91 4e", "[null]"),
        ("71 14\"java.util.LinkedList\" 91", "[1]"), ("55 05\"[long\" d8 5a", "[-8]"), ("56 05\"[long\" 91 d8", "[-8]"),
        ("7a 71 04\"[int\" 91 71 90 92", "[[1],[2]]"),
        ("48 016b 0176 5a", "{'k','v'}"), ("4d 17\"java.util.LinkedHashMap\" 016b 91 5a", "{'k',1}"), ("485a", "{}"),
        ("43 0b\"Frames$User\" 92 03\"age\" 04\"name\" 60 a2 05\"zhang\"", "Frames$User(18,'zhang')"),
        ("43 01\"a\" 90 4f 90", "a()"), ("43 01\"a\" 90 43 01\"b\" 90 7a 61 60", "[b(),a()]"),
        ("7a 43 01\"a\" 90 43 01\"b\" 90 61 60", "[b(),a()]"), ("7a 7a 91 92 51 91", "[[1,2],[1,2]]"),
    ]) func readsAllForms(_ text: String, _ shown: String) throws {
        let bytes = hex(text)
        #expect(try document(bytes).map { $0.shown($0.root) } == shown)
        // What follows is not its business, and what is missing is noticed wherever it ends.
        var reader = Hessian2.Reader(bytes + [0x91], at: 0)
        #expect(try reader.advance() != nil && reader.end == bytes.count)
        for count in 0..<bytes.count {
            #expect(throws: Hessian2.Reader.Failure.self) { try document(Array(bytes[..<count])) }
        }
    }

    @Test func findsMembers() throws {
        let bytes = hex("43 01\"u\" 92 01\"a\" 01\"b\" 60 48 01\"x\" 7991 01\"y\" 4e 5a 51 91")
        let found = try #require(try document(bytes))
        let map = try #require(found.member("a", of: found.root))
        #expect(found.kind(of: map) == .map && found.member("x", of: map).map { found.shown($0) } == "[1]")
        #expect(found.member("y", of: map).map { found.kind(of: $0) } == .null && found.member("z", of: map) == nil)
        // The other field means the same map.
        let other = try #require(found.member("b", of: found.root))
        #expect(found.shown(other) == found.shown(map) && found.member("c", of: found.root) == nil)
        #expect(found.member("a", of: try #require(found.member("y", of: map))) == nil)
        // Values of another kind are none.
        #expect(found.text(map) == nil && found.integer(map) == nil && found.double(map) == nil)
        #expect(found.date(map) == nil && found.boolean(map) == nil && found.binary(map) == nil)
        #expect(found.className(of: map) == nil && found.className(of: found.root) == "u")
    }

    @Test func containersWithinThemselvesHaveNoEnd() throws {
        let found = try #require(try document(hex("79 5190")))
        #expect(found.shown(found.root, depth: 4) == "[[[[…]]]]")
    }

    @Test(arguments: [
        "", "40", "45", "47", "50", "5a", "5190", "7a 91", "79 5a", "60", "4f90", "43 01\"a\" 91 01\"b\" 60",
        "48 91 5a", "57 43 01\"a\" 90 5a", "71 90 91", "79 71 91 91", "01 80", "01 c3", "01 c361", "01 e4b861",
        "02 f8808080", "02 f0808080", "02 f4908080", "01 f09f9880", "0291", "5801", "58 8f", "56 01\"a\" d7ffff 91",
        "58 49 7fffffff 91", "58 49 ffffffff", "43 01\"a\" 49 7fffffff", "52 0001 61 91", "41 0001 61 91",
        "43 91 90 60",
        "43 01\"a\" 8f 60", "51 49 7fffffff", "51 91", "4d 4e 5a", "43 01\"a\" 90",
    ]) func refuses(_ text: String) {
        #expect(throws: Hessian2.Reader.Failure.self) { try document(hex(text)) }
    }

    @Test func keepsToItsLimits() throws {
        var limits = Hessian2.Reader.Limits()
        limits.depth = 3
        #expect(try document(hex("79 79 79 91"), limits: limits) != nil)
        #expect(throws: Hessian2.Reader.Failure.tooDeep) { try document(hex("79 79 79 79 91"), limits: limits) }
        limits.values = 4
        #expect(try document(hex("7b 919293"), limits: limits) != nil)
        #expect(throws: Hessian2.Reader.Failure.tooMuch) { try document(hex("7c 91929394"), limits: limits) }
        let fields = "43 01\"a\" 94 01\"b\" 01\"c\" 01\"d\" 01\"e\" 60 9192939495"
        #expect(throws: Hessian2.Reader.Failure.tooMuch) { try document(hex(fields), limits: limits) }
        limits.text = 4
        #expect(try document(hex("03\"abc\""), limits: limits) != nil)
        #expect(throws: Hessian2.Reader.Failure.tooMuch) { try document(hex("04\"abcd\""), limits: limits) }
        limits.bytes = 8
        #expect(throws: Hessian2.Reader.Failure.tooMuch) {
            try document([UInt8](repeating: 0x91, count: 9), limits: limits)
        }
        // As deep as bytes allow, which a reader that calls itself would not survive.
        #expect(throws: Hessian2.Reader.Failure.tooDeep) { try document([UInt8](repeating: 0x57, count: 1 << 20)) }
        #expect(throws: Hessian2.Reader.Failure.malformed(at: 0)) { try document([0x91], at: 2) }
        #expect(throws: Hessian2.Reader.Failure.malformed(at: 1)) { try document([0x91], at: 1) }
    }

    @Test func piecesMakeNoDifference() throws {
        let bytes = try recorded("dubbo33-hessian2-metadata-response")
        let whole = try #require(try document(bytes, at: Dubbo.headSize + 1))
        for limit in [1, 2, 7] {
            var reader = Hessian2.Reader(bytes, at: Dubbo.headSize + 1)
            var found: Hessian2.Document?
            while found == nil { found = try reader.advance(limit: limit) }
            #expect(found.map { $0.shown($0.root) } == whole.shown(whole.root))
        }
        #expect(whole.className(of: whole.root) == "org.apache.dubbo.metadata.MetadataInfo")
    }

    /// What is skipped is read, apart from what only a reader looks at; what is read is skipped, to the same end.
    @Test func agreesWithSkipping() {
        var read = 0
        for seed in 0..<250 {
            var generator = Hessian2Generator(seed: UInt64(seed))
            generator.value(depth: 4)
            var bytes = generator.out
            if seed % 3 == 0, let place = bytes.indices.randomElement(using: &generator.random) {
                bytes[place] = UInt8.random(in: 0...255, using: &generator.random)
            }
            let skipped = skipHessian(bytes)
            var reader = Hessian2.Reader(bytes, at: 0)
            if let found = try? reader.advance() {
                read += 1
                #expect(skipped == reader.end)
                _ = found.shown(found.root, depth: 3)
            } else if skipped != nil {
                // A reference or type that nothing stands for, or bytes that are no text.
                #expect(bytes.contains(0x51) || generator.types > 0 || seed % 3 == 0)
            }
        }
        #expect(read > 80)
    }

    @Test func damagedMessagesDoNoHarm() throws {
        let bytes = try recorded("dubbo33-hessian2-metadata-response")
        for count in 0..<bytes.count - 15 {
            var reader = Hessian2.Reader(Array(bytes[..<count]), at: Dubbo.headSize + 1)
            // The last bytes are the attachments, which are not read.
            #expect((try? reader.advance()) == nil)
        }
        for index in Dubbo.headSize + 1..<bytes.count {
            var damaged = bytes
            damaged[index] ^= 1 << UInt8(index % 8)
            var reader = Hessian2.Reader(damaged, at: Dubbo.headSize + 1)
            if let found = try? reader.advance() { _ = found.shown(found.root, depth: 3) }
        }
    }
}

@Suite struct DubboRequestTests {
    @Test func asksAsARealCaller() throws {
        var call = Dubbo.TextCall(
            service: "org.apache.dubbo.metadata.MetadataService", version: "1.0.0", group: "shop33",
            method: "getMetadataInfo", arguments: ["9049926309453c1e9c4f32a69b7fc641"])
        #expect(Dubbo.request(call, id: 1) == (try recorded("dubbo33-hessian2-metadata-request")))
        call = Dubbo.TextCall(service: "a.B", method: "c", arguments: ["", "中😀"])
        let parsed = ParsedBody(frame: Dubbo.request(call, id: -7))
        #expect(parsed.result == .parsed && parsed.attachment("version") == "0.0.0")
        #expect(parsed.attachment("group") == nil && parsed.attachment("path") == "a.B")
        call.arguments = [String(repeating: "a", count: Dubbo.TextCall.longestText)]
        #expect(call.isValid && ParsedBody(frame: Dubbo.request(call, id: 1)).result == .parsed)
        call.arguments[0] += "a"
        #expect(!call.isValid)
    }
}
