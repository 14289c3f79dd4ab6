/// How many Greymeshes a request has come through, in a byte of its head that nobody else has a use for. The upper four bits mark a
/// count, so that what others may write there is not taken for one.
///
/// A property of the request would have to be written into each frame, and applications pass those on with the requests that they make
/// themselves: a long chain of services would look like a loop.
enum RoundCount {
    private static let mark: UInt8 = 0xe0

    @inline(__always)
    static func rounds(_ byte: UInt8) -> UInt8 { byte & 0xf0 == mark ? byte & 0x0f : 0 }

    /// The byte for one round more.
    @inline(__always)
    static func increased(_ byte: UInt8) -> UInt8 { mark | (rounds(byte) &+ 1) & 0x0f }

    /// The byte for one round less: the request did not get there. `original` is what stands for none.
    static func decreased(_ byte: UInt8, original: UInt8) -> UInt8 {
        let count = rounds(byte)
        return count > 1 ? mark | count &- 1 : original
    }
}
