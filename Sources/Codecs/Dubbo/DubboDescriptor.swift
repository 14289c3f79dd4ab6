import CLinux

extension Dubbo {
    /// Letters of primitive types as bits counted from 'A': B C D F I J S V Z.
    private static var primitives: UInt32 {
        1 << 1 | 1 << 2 | 1 << 3 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 18 | 1 << 21 | 1 << 25
    }

    /// Number of types in a descriptor such as `Ljava/lang/String;[[I`; -1 when it is none.
    static func argumentCount(_ body: UnsafePointer<UInt8>, _ types: ByteRange, _ bodyCount: Int) -> Int {
        var at = Int(types.start)
        let end = types.end
        var count = 0
        while at < end {
            let letter = body[at]
            at &+= 1
            if letter == 0x5b {
                // Dimensions belong to the type that must follow.
                if at == end { return -1 }
                continue
            }
            if letter == 0x4c {
                at = afterSemicolon(body, at, end, bodyCount)
                if at < 0 { return -1 }
            } else if letter < 0x41 || letter > 0x5a || primitives >> UInt32(letter &- 0x41) & 1 == 0 {
                return -1
            }
            count &+= 1
        }
        return count
    }

    /// Searches 32 bytes at a time; `readable` is how far bytes may be loaded.
    @inline(__always)
    private static func afterSemicolon(
        _ body: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ readable: Int
    ) -> Int {
        var at = start
        while readable &- at >= 32 {
            let bits = clinux_equal_bits_32(body + at, 0x3b)
            if bits != 0 {
                at &+= bits.trailingZeroBitCount &+ 1
                return at <= end ? at : -1
            }
            at &+= 32
        }
        while at < end {
            at &+= 1
            if body[at &- 1] == 0x3b { return at }
        }
        return -1
    }

    /// Whether the call is `$invoke` or `$invokeAsync` with the descriptor of generic calls.
    @inline(__always)
    static func isGeneric(_ body: UnsafePointer<UInt8>, _ invocation: Invocation) -> Bool {
        invocation.method.count >= 7 && body[Int(invocation.method.start)] == 0x24
            && isGenericMethod(body, invocation)
    }

    @inline(never)
    private static func isGenericMethod(_ body: UnsafePointer<UInt8>, _ invocation: Invocation) -> Bool {
        equals(body, invocation.types, "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;")
            && (equals(body, invocation.method, "$invoke") || equals(body, invocation.method, "$invokeAsync"))
    }

    static func equals(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange, _ text: StaticString) -> Bool {
        Int(range.count) == text.utf8CodeUnitCount && hasPrefix(bytes, range, text)
    }

    static func hasPrefix(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange, _ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        if Int(range.count) < count { return false }
        for at in 0..<count where bytes[Int(range.start) &+ at] != text.utf8Start[at] { return false }
        return true
    }
}
