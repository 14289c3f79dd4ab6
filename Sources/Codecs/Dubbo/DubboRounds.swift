extension Dubbo {
    // The count stands in the byte that is a response's status. Requests have no use for it: consumers write 0, providers (2.7.23 and
    // 3.3.6, tried) do not look at it.

    /// Greymeshes that the request at `frame` has come through.
    public static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8 { RoundCount.rounds(frame[3]) }

    /// Counts one more.
    public static func noteRound(_ frame: UnsafeMutablePointer<UInt8>) { frame[3] = RoundCount.increased(frame[3]) }

    /// Takes the last one back: the request did not get there.
    public static func takeRoundBack(_ frame: UnsafeMutablePointer<UInt8>) {
        frame[3] = RoundCount.decreased(frame[3], original: 0)
    }
}
