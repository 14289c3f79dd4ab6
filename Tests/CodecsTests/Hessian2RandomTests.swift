import Testing

@testable import Codecs

/// Writes random values that use every code, keeping account of the classes defined.
struct Hessian2Generator {
    var random: FixedRandom
    var out: [UInt8] = []
    /// Number of fields of each class.
    var classes: [Int] = []
    var types = 0
    var codes: Set<UInt8> = []

    init(seed: UInt64) { random = FixedRandom(seed: seed) }

    private mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &random) }

    private mutating func code(_ byte: Int) {
        out.append(UInt8(byte))
        codes.insert(UInt8(byte))
    }

    private mutating func noise(_ count: Int) {
        for _ in 0..<count { out.append(UInt8.random(in: 0...255, using: &random)) }
    }

    mutating func value(depth: Int) {
        switch below(depth > 0 ? 16 : 7) {
        case 0: string()
        case 1: binary()
        case 2, 3: scalar()
        case 4:
            code(0x51)
            integer(below(100))
        case 5, 6: code([0x46, 0x4e, 0x54, 0x5b, 0x5c][below(5)])
        case 7, 8: list(depth - 1)
        case 9, 10: openContainer(depth - 1)
        default: object(depth - 1)
        }
    }

    mutating func scalar() {
        let sizes: [(ClosedRange<Int>, Int)] = [
            (0x38...0x3f, 2), (0x44...0x44, 8), (0x4a...0x4a, 8), (0x4b...0x4b, 4), (0x4c...0x4c, 8), (0x59...0x59, 4),
            (0x5d...0x5d, 1), (0x5e...0x5e, 2), (0x5f...0x5f, 4), (0xd8...0xef, 0), (0xf0...0xff, 1),
            (0x80...0xbf, 0), (0x80...0xbf, 0), (0xc0...0xcf, 1), (0xd0...0xd7, 2), (0x49...0x49, 4),
        ]
        let (range, size) = sizes[below(sizes.count)]
        code(Int.random(in: range, using: &random))
        noise(size)
    }

    mutating func integer(_ value: Int) {
        switch below(4) {
        case 0 where (-16...47).contains(value): code(0x90 + value)
        case 0, 1:
            code(0xc8 + (value >> 8))
            out.append(UInt8(truncatingIfNeeded: value))
        case 2:
            code(0xd4 + (value >> 16))
            out += [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        default:
            code(0x49)
            out += withUnsafeBytes(of: Int32(value).bigEndian) { Array($0) }
        }
    }

    private mutating func characters(_ units: Int) {
        var units = units
        while units > 0 {
            let width = below(12)
            if width == 0 && units >= 2 {
                out += hex(below(2) == 0 ? "eda0bdedb880" : "f09f9880")
                units -= 2
            } else {
                out += width == 1 ? hex("e4b8ad") : width == 2 ? hex("c3a9") : [UInt8(0x20 + below(0x5f))]
                units -= 1
            }
        }
    }

    mutating func string() {
        while below(8) == 0 {
            let units = below(300)
            code(0x52)
            out += [UInt8(units >> 8), UInt8(units & 0xff)]
            characters(units)
        }
        switch below(8) {
        case 0:
            let units = below(3000)
            code(0x53)
            out += [UInt8(units >> 8), UInt8(units & 0xff)]
            characters(units)
        case 1, 2:
            let units = below(1024)
            code(0x30 + units >> 8)
            out.append(UInt8(units & 0xff))
            characters(units)
        default:
            let units = below(32)
            code(units)
            characters(units)
        }
    }

    mutating func binary() {
        while below(4) == 0 {
            let count = below(300)
            code(0x41)
            out += [UInt8(count >> 8), UInt8(count & 0xff)]
            noise(count)
        }
        switch below(3) {
        case 0:
            let count = below(500)
            code(0x42)
            out += [UInt8(count >> 8), UInt8(count & 0xff)]
            noise(count)
        case 1:
            let count = below(1024)
            code(0x34 + count >> 8)
            out.append(UInt8(count & 0xff))
            noise(count)
        default:
            let count = below(16)
            code(0x20 + count)
            noise(count)
        }
    }

    mutating func type() {
        if types > 0 && below(2) == 0 {
            integer(below(types))
        } else {
            string()
            types += 1
        }
    }

    mutating func list(_ depth: Int) {
        var count = below(12)
        switch below(4) {
        case 0:
            code(0x58)
            integer(count)
        case 1:
            code(0x56)
            type()
            integer(count)
        case 2:
            count %= 8
            code(0x70 + count)
            type()
        default:
            count %= 8
            code(0x78 + count)
        }
        for _ in 0..<count { value(depth: depth) }
    }

    mutating func openContainer(_ depth: Int) {
        let kind = below(4)
        code([0x48, 0x4d, 0x55, 0x57][kind])
        if kind == 1 || kind == 2 { type() }
        for _ in 0..<below(6) {
            value(depth: depth)
            if kind < 2 { value(depth: depth) }
        }
        out.append(0x5a)
    }

    mutating func object(_ depth: Int) {
        if classes.count < 18 || (below(4) == 0 && classes.count < Hessian2.Scratch.maximumClasses) {
            let fields = below(5)
            code(0x43)
            string()
            integer(fields)
            for _ in 0..<fields { string() }
            classes.append(fields)
        }
        let index = below(2) == 0 ? below(classes.count) : below(min(16, classes.count))
        if index < 16 && below(4) > 0 {
            code(0x60 + index)
        } else {
            code(0x4f)
            integer(index)
        }
        for _ in 0..<classes[index] { value(depth: depth) }
    }
}

@Suite struct Hessian2RandomTests {
    @Test func everyValueEndsAtItsLastByte() {
        var codes: Set<UInt8> = []
        var scratch = Hessian2.Scratch()
        for seed in 0..<2000 as Range<UInt64> {
            var generator = Hessian2Generator(seed: seed)
            generator.value(depth: Int(seed % 5))
            codes.formUnion(generator.codes)
            let bytes = generator.out
            for tail in [0, 40] {
                let end = withBytes(bytes + [UInt8](repeating: 0x90, count: tail)) { memory in
                    var at = 0
                    scratch.beginMessage()
                    return Hessian2.skipValue(memory, count: bytes.count + tail, at: &at, &scratch) ? at : -1
                }
                #expect(end == bytes.count, "seed \(seed)")
            }
        }
        // Every code was met.
        #expect(Set((0...255).map { UInt8($0) }).subtracting(codes) == [0x40, 0x45, 0x47, 0x50, 0x5a])
    }

    @Test func changedAndTruncatedValuesAreSkippedOrRefused() {
        var random = FixedRandom(seed: 7)
        var scratch = Hessian2.Scratch()
        for seed in 0..<200 as Range<UInt64> {
            var generator = Hessian2Generator(seed: seed)
            generator.value(depth: 4)
            for _ in 0..<20 {
                var bytes = generator.out
                for _ in 0..<Int.random(in: 0...3, using: &random) {
                    let place = Int.random(in: 0..<bytes.count, using: &random)
                    bytes[place] = UInt8.random(in: 0...255, using: &random)
                }
                bytes.removeLast(Int.random(in: 0..<bytes.count, using: &random))
                withBytes(bytes) { memory in
                    var at = 0
                    scratch.beginMessage()
                    let skipped = Hessian2.skipValue(memory, count: bytes.count, at: &at, &scratch)
                    #expect(skipped ? at > 0 && at <= bytes.count : at == 0)
                }
            }
        }
    }
}
