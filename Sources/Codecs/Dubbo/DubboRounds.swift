extension Dubbo {
    // How many Greymeshes a request has come through stands in its head, in the byte that is a response's status. Requests have no use
    // for it: consumers write 0, providers (2.7.23 and 3.3.6, tried) do not look at it. An attachment would have to be written into each
    // body, and applications pass those on with the calls that they make themselves: a long chain of services would look like a loop.

    /// Greymeshes that a request may come through.
    @inlinable public static var mostRounds: UInt8 { 8 }

    /// Greymeshes that the request at `frame` has come through. The upper four bits mark a count, so that nobody's own use of the byte is
    /// taken for one.
    @inlinable @inline(__always)
    public static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8 { frame[3] & 0xf0 == 0xe0 ? frame[3] & 0x0f : 0 }

    /// Counts one more.
    @inlinable @inline(__always)
    public static func noteRound(_ frame: UnsafeMutablePointer<UInt8>) {
        frame[3] = 0xe0 | (rounds(frame) &+ 1) & 0x0f
    }

    /// Takes the last one back: the request did not get there.
    public static func takeRoundBack(_ frame: UnsafeMutablePointer<UInt8>) {
        let count = rounds(frame)
        if count > 0 { frame[3] = 0xe0 | count &- 1 }
    }
}
