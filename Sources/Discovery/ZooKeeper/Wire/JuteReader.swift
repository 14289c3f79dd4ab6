/// Reads what ZooKeeper writes (its records are called Jute): big-endian numbers, and texts with their length in front.
///
/// Nothing in the bytes is trusted: what does not fit is `Malformed`, and no memory is taken for what is only announced.
struct JuteReader {
    /// The bytes are not what is read from them.
    struct Malformed: Error {}

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// Checks that nothing is left.
    func end() throws(Malformed) {
        if !rest.isEmpty { throw Malformed() }
    }

    mutating func int32() throws(Malformed) -> Int32 { try number() }

    mutating func int64() throws(Malformed) -> Int64 { try number() }

    /// Bytes with their length in front; -1 stands for none.
    mutating func buffer() throws(Malformed) -> ArraySlice<UInt8> {
        let count = try int32()
        return count == -1 ? [] : try take(Int(count))
    }

    /// A text; what is no UTF-8 in it is replaced.
    mutating func text() throws(Malformed) -> String { String(decoding: try buffer(), as: UTF8.self) }

    /// Names of nodes: texts of which none is empty. -1 stands for no list.
    mutating func names() throws(Malformed) -> JuteNames {
        let count = Int(try int32())
        if count == -1 { return [] }
        guard let length = rest.withUnsafeBytes({ JuteNames.length(count, in: $0) }) else { throw Malformed() }
        return JuteNames(count: count, bytes: try take(length))
    }

    private mutating func number<Number: FixedWidthInteger>() throws(Malformed) -> Number {
        try take(Number.bitWidth / 8).reduce(0) { $0 << 8 | Number(truncatingIfNeeded: $1) }
    }

    private mutating func take(_ count: Int) throws(Malformed) -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else { throw Malformed() }
        defer { rest = rest.dropFirst(count) }
        return rest.prefix(count)
    }
}
