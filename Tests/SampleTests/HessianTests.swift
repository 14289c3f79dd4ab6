import Testing

@testable import sample

/// The bytes are those of Java's own writer.
struct HessianTests {
    private static func bytes(_ text: String) -> [UInt8] {
        let digits = text.filter { !$0.isWhitespace }.map { UInt8(String($0), radix: 16)! }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private static let values: [(String, HessianValue)] = [
        ("4e", .null), ("54", .bool(true)), ("46", .bool(false)), ("90", .int(0)), ("80", .int(-16)), ("bf", .int(47)),
        ("c830", .int(48)), ("c000", .int(-2048)), ("cfff", .int(2047)), ("d40800", .int(2048)),
        ("d7ffff", .int(262_143)), ("4900040000", .int(262_144)), ("d8", .long(-8)), ("ef", .long(15)),
        ("f810", .long(16)), ("3c0800", .long(2048)), ("5900040000", .long(262_144)),
        ("4c0000000080000000", .long(1 << 31)), ("44400921fb54442d18", .double(.pi)),
        ("4a000000d04b9284b8", .date(894_621_091_000)), ("00", .string("")), ("02e4b8ade69687", .string("中文")),
        ("0461eda0bdedb88062", .string("a😀b")), ("3020" + String(repeating: "61", count: 32), .string(repeated(32))),
        ("530400" + String(repeating: "61", count: 1024), .string(repeated(1024))),
        ("23010203", .binary([1, 2, 3])), ("7a9192", .list([.int(1), .int(2)])),
        ("48016b01765a", .map([HessianValue.Pair(key: .string("k"), value: .string("v"))])),
    ]

    private static func repeated(_ count: Int) -> String { String(repeating: "a", count: count) }

    @Test(arguments: values.indices) func readsAndWritesAsJava(index: Int) throws {
        let (hexadecimal, value) = Self.values[index]
        let bytes = Self.bytes(hexadecimal)
        var reader = HessianReader(bytes)
        #expect(try reader.value() == value && reader.isAtEnd)
        var writer = HessianWriter()
        writer.write(value)
        #expect(writer.bytes == bytes)
    }

    @Test(arguments: [
        ("5b", HessianValue.double(0)), ("5c", .double(1)), ("5d80", .double(-128)), ("5e012c", .double(300)),
        ("5f00002fda", .double(12.25)), ("4b00e3838f", .date(894_621_060_000)),
        ("7203 696e74 9192", .list([.int(1), .int(2)])), ("58989192939495969798", .list((1...8).map { .int($0) })),
        ("57915a", .list([.int(1)])), ("5503696e74915a", .list([.int(1)])), ("5603696e749191", .list([.int(1)])),
        ("4d016d016b01765a", .map([.init(key: .string("k"), value: .string("v"))])), ("5190", .reference(0)),

    ])
    func readsWhatOthersWrite(hexadecimal: String, value: HessianValue) throws {
        var reader = HessianReader(Self.bytes(hexadecimal))
        #expect(try reader.value() == value && reader.isAtEnd)
    }

    @Test func longStringsAreSplitBetweenCharacters() throws {
        let long = String(repeating: "x", count: 0x7fff) + "😀" + String(repeating: "y", count: 70_000)
        var writer = HessianWriter()
        writer.write(long)
        #expect(Array(writer.bytes[..<3]) == [0x52, 0x7f, 0xff])
        var reader = HessianReader(writer.bytes)
        #expect(try reader.value() == .string(long) && reader.isAtEnd)
    }

    @Test func longBinariesComeBack() throws {
        for size in [15, 16, 0xffff, 0x10000, 200_000] {
            let content = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
            var writer = HessianWriter()
            writer.write(.binary(content))
            var reader = HessianReader(writer.bytes)
            #expect(try reader.value() == .binary(content) && reader.isAtEnd)
        }
    }

    @Test func typesAndClassesAreRemembered() throws {
        var reader = HessianReader(Self.bytes("7a 71 0161 91 71 90 92"))
        #expect(try reader.value() == .list([.list([.int(1)]), .list([.int(2)])]))
        let enumerations = "7a 43 0145 91 046e616d65 60 0141 60 0142"
        reader = HessianReader(Self.bytes(enumerations))
        let field = { (text: String) in [HessianValue.Pair(key: .string("name"), value: .string(text))] }
        #expect(
            try reader.value()
                == .list([.object(type: "E", fields: field("A")), .object(type: "E", fields: field("B"))]))
    }

    @Test(arguments: [
        "", "05 6162", "40", "5a", "520100", "48016b", "60", "4f90", "4f49ffffffff", "43016191", "7190", "51 0161",
        "58 49 7fffffff",
    ])
    func brokenBytesAreRefused(hexadecimal: String) {
        var reader = HessianReader(Self.bytes(hexadecimal))
        #expect(throws: HessianError.self) { try reader.value() }
    }

    @Test func nestingHasALimit() {
        var reader = HessianReader([UInt8](repeating: 0x79, count: 100_000))
        #expect(throws: HessianError.self) { try reader.value() }
    }

    @Test func anyBytesEndInAValueOrAnError() {
        var generator = Linear(state: 1)
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...40, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            var reader = HessianReader(bytes)
            _ = try? reader.value()
            #expect(reader.position <= bytes.count)
        }
    }

    /// Random numbers that are the same in every run.
    private struct Linear: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 29)
        }
    }
}
