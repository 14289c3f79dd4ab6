import Model

/// What the registries list of a service, and its policy.
struct Listing {
    struct Entry {
        let host: Int
        /// 0 is a host without a version.
        let version: Int
        let weight: Int
    }

    struct Share {
        let version: Int
        let weight: UInt32
    }

    var entries: [Entry] = []
    /// Hosts that are listed beside them and refuse connections; makes a list long.
    var padding = 0
    var isStrict = false
    /// 0 for none.
    var stable = 0
    /// Shares of the requests that ask for no version.
    var split: [Share] = []
    /// The same key gets the same version of the split.
    var isSticky = false
    var timeoutMilliseconds = 2000
    var balancer = 0
    var retries = RetryPolicy()
    var breaker = CircuitBreakerPolicy()
    var rateLimit = RateLimitPolicy()
    var fault = FaultPolicy()
    var mirror = MirrorPolicy()
    /// Nobody has access.
    var isClosed = false

    /// Requests may be refused, or delayed and aborted on purpose.
    var isLimited: Bool { !breaker.isOff || rateLimit.rate != nil || !fault.isOff || isClosed }
    var outliers = OutlierDetectionPolicy()

    static let versions = ["", "1.0", "2.0", "2.1", "3.0"]

    /// The versions that a request which asks for `version` is meant for; nil when any host will do.
    func wanted(_ version: Int) -> Set<Int>? {
        if version > 0 { return [version] }
        let shares = split.filter { $0.weight > 0 }.map(\.version)
        if !shares.isEmpty { return Set(shares) }
        return stable > 0 ? [stable] : nil
    }
}

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

    /// Whether the worker knew hosts for certain at a time: whatever may have held then lists some.
    func isKnown(at time: Int64) -> Bool {
        let holding = during(time, time)
        return holding.contains { ($0.takenAt ?? .max) <= time } && holding.allSatisfy { $0.listing != nil }
    }
}
