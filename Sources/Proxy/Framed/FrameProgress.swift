/// When a peer was last heard: when a frame of it began or ended, or has gone on by a good piece. Less is no progress, or a byte now
/// and then would hold up whatever waits behind the frame.
struct FrameProgress {
    /// A piece that counts.
    private static let piece = 65_536

    /// When that was.
    private(set) var heardAt: Int64 = 0
    /// Bytes of the frame that came since.
    private var bytes = 0

    @inline(__always)
    mutating func hear(now: Int64) {
        heardAt = now
        bytes = 0
    }

    /// More of a frame that had begun before has come. Returns whether it counts.
    mutating func goOn(_ count: Int, now: Int64) -> Bool {
        bytes += count
        if bytes < Self.piece { return false }
        hear(now: now)
        return true
    }
}
