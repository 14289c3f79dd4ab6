import Testing

@testable import Codecs

/// Where the first value of `bytes` ends; nil when it is refused.
func skipHessian(_ bytes: [UInt8]) -> Int? {
    var scratch = Hessian2.Scratch()
    return withBytes(bytes) { memory in
        var at = 0
        let skipped = Hessian2.skipValue(memory, count: bytes.count, at: &at, &scratch)
        return skipped ? at : nil
    }
}

@Suite struct Hessian2SkipTests {
    /// Written by the Java implementation (hessian-lite).
    static let javaValues = [
        "4e", "54", "46", "90", "80", "bf", "c830", "c000", "cfff", "d40800", "d7ffff", "4900040000", "d8", "ef",
        "f810",
        "3c0800", "5900040000", "4c0000000080000000", "5b", "5c", "5d80", "5e012c", "5f00002fda", "44400921fb54442d18",
        "4a000000d04b9284b8", "4b00e3838f", "00", "02e4b8ade69687", "23010203", "7a9192", "04 61 eda0bd edb880 62",
        "71 14\"java.util.LinkedList\" 91", "72 04 5b696e74 91 92", "58 98 9192939495969798", "48016b01765a",
        "4d 17\"java.util.LinkedHashMap\" 016b 0176 5a", "43 09\"Gen$Color\" 91 04\"name\" 60 03\"RED\"",
        "43 14\"java.math.BigDecimal\" 91 05\"value\" 60 04\"12.5\"",
        "43 0b\"Frames$User\" 92 03\"age\" 04\"name\" 60 a2 05\"zhang\"", "5190", "485a", "78", "57 91 5a",
        "55 05\"[long\" d8 5a", "56 05\"[long\" 91 d8", "43 01\"a\" 90 4f 90", "7a 71 04\"[int\" 91 71 90 92",
    ]

    @Test(arguments: javaValues) func endsAtTheLastByte(_ text: String) {
        let bytes = hex(text)
        #expect(skipHessian(bytes) == bytes.count)
        #expect(skipHessian(bytes + [0x91]) == bytes.count)
    }

    @Test(arguments: javaValues) func truncatedAnywhere(_ text: String) {
        let bytes = hex(text)
        for count in 0..<bytes.count { #expect(skipHessian(Array(bytes[..<count])) == nil) }
    }

    @Test(arguments: [
        "40", "45", "47", "50", "5a",  // reserved, and the end mark as a value
        "48 91 5a",  // key without value
        "4d 4e 5a",  // a type that is null
        "51 4e", "51 8f",  // reference that is no int, or negative
        "58 8f", "58 4e", "58 49 ffffffff",  // list of -1, of null, of -1
        "56 01\"x\" 49 80000000",
        "60", "4f 90", "4f 8f", "43 01\"a\" 90 61",  // instance of a class that was not defined
        "43 91 90 60", "43 01\"a\" 4e 60", "43 01\"a\" 8f 60", "43 01\"a\" 91 91 60",  // wrong class definitions
        "43 01\"a\" 90", "57 43 01\"a\" 90 5a",  // class definition without an instance
        "52 0001 61", "52 0001 61 91", "52 0001 61 4e",  // piece of text without the last one
        "41 0001 61 4e", "41 0001 61 01",  // piece of binary without the last one
        "01 80", "01 bf", "01 f8", "01 ff",  // bytes that begin no character
        "01 f09f9880",  // half of a character of two units
        "02 e4b8ad c2",
    ])
    func refused(_ text: String) {
        #expect(skipHessian(hex(text)) == nil)
    }

    @Test func piecesOfText() {
        let ascii = [UInt8](repeating: 0x61, count: 0x8000)
        #expect(skipHessian(hex("528000") + ascii + hex("0161")) == 3 + 0x8000 + 2)
        #expect(skipHessian(hex("528000") + ascii + hex("3020") + ascii[..<0x20]) == 3 + 0x8000 + 2 + 0x20)
        #expect(skipHessian(hex("528000") + ascii + hex("52 0000 53 0001 62")) == 3 + 0x8000 + 3 + 4)
        #expect(skipHessian(hex("418000") + ascii + hex("2161")) == 3 + 0x8000 + 2)
        #expect(skipHessian(hex("418000") + ascii + hex("3401 61")) == 3 + 0x8000 + 3)
        #expect(skipHessian(hex("420003 616263")) == 6)
    }

    /// Lengths count UTF-16 units: a character may take one to four bytes.
    @Test func textOfAllWidths() {
        for text in ["é", "中", "😀", "a中", "中a", "éé中😀"] {
            for repeats in [1, 7, 8, 15, 16, 31, 32, 33, 100, 1000] {
                for padding in [0, 1, 31, 32, 63] {
                    let value = String(repeating: "x", count: padding) + String(repeating: text, count: repeats)
                    // As Java writes it, and with 4-byte sequences as some others do.
                    let java = Build.hessian(value)
                    #expect(skipHessian(java) == java.count)
                    #expect(skipHessian(java + [UInt8](repeating: 0x61, count: 64)) == java.count)
                    let units = value.utf16.count
                    let plain = [0x53, UInt8(units >> 8), UInt8(truncatingIfNeeded: units)] + Array(value.utf8)
                    #expect(skipHessian(plain) == plain.count)
                }
            }
        }
    }

    @Test func nestingIsLimited() {
        let limit = Hessian2.Scratch.maximumDepth
        let deepest = [UInt8](repeating: 0x79, count: limit - 1) + [0x78]
        #expect(skipHessian(deepest) == limit)
        #expect(skipHessian([UInt8](repeating: 0x79, count: limit) + [0x78]) == nil)
        #expect(skipHessian([UInt8](repeating: 0x57, count: 1 << 20)) == nil)
    }

    @Test func classesAreLimited() {
        let definition = hex("43 01\"a\" 90")
        func definitions(_ count: Int) -> [UInt8] { Array(repeatElement(definition, count: count).joined()) }
        let limit = Hessian2.Scratch.maximumClasses
        let bytes = definitions(limit) + [0x60]
        #expect(skipHessian(bytes) == bytes.count)
        #expect(skipHessian(definitions(limit + 1) + [0x60]) == nil)
        // The last of all can be named.
        let last = definitions(limit) + hex("4f 49") + [0, 0, UInt8((limit - 1) >> 8), UInt8((limit - 1) & 0xff)]
        #expect(skipHessian(last) == last.count)
    }

    @Test func aMessageBeginsWithoutClasses() {
        var scratch = Hessian2.Scratch()
        let bytes = hex("43 01\"a\" 90 60") + [0x60]
        withBytes(bytes) { memory in
            var at = 0
            #expect(Hessian2.skipValue(memory, count: bytes.count, at: &at, &scratch))
            #expect(Hessian2.skipValue(memory, count: bytes.count, at: &at, &scratch))
            #expect(at == bytes.count)
            at = bytes.count - 1
            scratch.beginMessage()
            #expect(!Hessian2.skipValue(memory, count: bytes.count, at: &at, &scratch))
            #expect(at == bytes.count - 1)
        }
    }

    /// Lengths that promise more than there is cost nothing.
    @Test func hostileLengths() {
        for head in [
            "58 49 7fffffff", "56 00 49 7fffffff", "43 00 49 7fffffff", "53 ffff", "33 ff", "37 ff", "42 ffff",
        ] {
            #expect(skipHessian(hex(head)) == nil)
            #expect(skipHessian(hex(head) + [UInt8](repeating: 0x90, count: 500)) == nil)
        }
    }

    @Test func numbers() {
        let values: [(String, Int64?)] = [
            ("90", 0), ("80", -16), ("bf", 47), ("c830", 48), ("c000", -2048), ("cfff", 2047), ("d40800", 2048),
            ("d7ffff", 262143), ("d00000", -262144), ("4900040000", 262144), ("d8", -8), ("ef", 15), ("f810", 16),
            ("f000", -2048), ("3c0800", 2048), ("5900040000", 262144), ("4c0000000080000000", 1 << 31),
            ("49ffffffff", -1), ("4e", nil), ("5b", nil), ("49000400", nil), ("c8", nil), ("", nil),
        ]
        for (text, value) in values {
            let bytes = hex(text)
            #expect(withBytes(bytes) { Hessian2.number($0, 0, bytes.count) } == value, "\(text)")
        }
    }

    @Test func writing() {
        #expect(Build.hessian("") == [0])
        #expect(Build.hessian("a😀b") == hex("04 61 eda0bd edb880 62"))
        #expect(Build.hessian("中文") == hex("02 e4b8ade69687"))
        #expect(Build.hessian(String(repeating: "a", count: 32)).starts(with: hex("3020")))
        #expect(Build.hessian(String(repeating: "a", count: 1023)).starts(with: hex("33ff")))
        #expect(Build.hessian(String(repeating: "a", count: 1024)).starts(with: hex("530400")))
        let broken: [UInt8] = [0x61, 0xff, 0xe4, 0xb8, 0x62, 0xf0, 0x80, 0x80, 0x80, 0xed, 0xa0, 0xbd]
        let text = written(Hessian2.textBound(broken.count)) { out in
            withBytes(broken) { Hessian2.writeText($0, broken.count, out) }
        }
        #expect(text == [10] + Array("a???b????".utf8) + hex("eda0bd"))
        for (value, bytes) in [(0, "90"), (47, "bf"), (-16, "80"), (48, "4900000030"), (-17, "49ffffffef")] {
            #expect(written(5) { Hessian2.writeInt(Int32(value), $0) } == hex(bytes))
        }
    }
}
