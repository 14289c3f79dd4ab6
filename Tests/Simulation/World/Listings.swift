/// What the control plane has told of a service, and when it held.
struct ListingHistory {
    struct Epoch {
        /// Nil: the service is not watched.
        let listing: Listing?
        let postedAt: Int64
        /// The worker has taken it.
        var takenAt: Int64?
        /// The worker has taken the next one.
        var endedAt: Int64?
    }

    private(set) var epochs: [Epoch] = []
    /// Posted and not known to be taken.
    private var untaken = 0

    var last: Listing? { epochs.last?.listing }

    mutating func post(_ listing: Listing?, now: Int64) {
        epochs.append(Epoch(listing: listing, postedAt: now))
        untaken += 1
    }

    /// The worker has done all that it was told.
    mutating func take(now: Int64) {
        if untaken == 0 { return }
        for index in epochs.count - untaken..<epochs.count {
            epochs[index].takenAt = now
            if index > 0 { epochs[index - 1].endedAt = now }
        }
        untaken = 0
    }

    /// Everything that may have held at some time in between.
    func during(_ start: Int64, _ end: Int64) -> [Epoch] {
        epochs.filter { $0.postedAt <= end && ($0.endedAt ?? .max) >= start }
    }

    /// Whether something was known for certain at a time.
    func isKnown(at time: Int64) -> Bool {
        epochs.contains { $0.listing != nil && ($0.takenAt ?? .max) <= time && ($0.endedAt ?? .max) > time }
    }
}
