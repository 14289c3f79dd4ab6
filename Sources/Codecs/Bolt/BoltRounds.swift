extension Bolt {
    // The count stands in the byte `ver2`, which is 1 in all frames; Java peers do not look at it (tried). A checksum covers it:
    // `patch` comes after a change.

    @inline(__always)
    private static func place(_ frame: UnsafePointer<UInt8>) -> Int { frame[0] == 2 ? 5 : 4 }

    /// Greymeshes that the request at `frame` has come through.
    public static func rounds(_ frame: UnsafePointer<UInt8>) -> UInt8 { RoundCount.rounds(frame[place(frame)]) }

    /// Counts one more.
    public static func noteRound(_ frame: UnsafeMutablePointer<UInt8>) {
        frame[place(frame)] = RoundCount.increased(frame[place(frame)])
    }

    /// Takes the last one back: the request did not get there.
    public static func takeRoundBack(_ frame: UnsafeMutablePointer<UInt8>) {
        frame[place(frame)] = RoundCount.decreased(frame[place(frame)], original: 1)
    }
}
