import Model

extension Generator {
    /// A quarter of the services have limits that a few clients reach.
    mutating func makeLimits(_ listing: inout Listing) {
        if chance(15) {
            if chance(80) { listing.breaker.requests = 1 + below(4) }
            if chance(30) { listing.breaker.pending = 1 + below(3) }
            if chance(30) { listing.breaker.connections = 1 + below(5) }
        }
        if chance(10) {
            listing.rateLimit.rate = RateLimitPolicy.Rate(requests: 1 + below(20), per: pick([.second, .minute]))
            listing.rateLimit.burst = 1 + below(6)
            if chance(40) { listing.rateLimit.key = .header(RequestPlan.stickyName) }
        }
    }

    /// An eighth of the services delays or aborts requests; now and then one is closed.
    mutating func makeFaults(_ listing: inout Listing, _ kind: ServicePlan.Kind) {
        if chance(12) {
            if chance(80) { listing.fault.delay = .milliseconds(pick([1, 20, 150, 600])) }
            if listing.fault.isOff || chance(30) { listing.fault.abort = kind.abortStatus }
            listing.fault.share = pick([1, 30_000, FaultPolicy.all, FaultPolicy.all])
        }
        listing.isClosed = chance(2)
    }

    /// A quarter of the services copy requests, now and then to a version that nobody has.
    mutating func makeMirror(_ listing: inout Listing, _ versions: [Int]) {
        if !chance(25) { return }
        listing.mirror.version = Listing.versions[chance(90) ? pick(versions) : 4]
        listing.mirror.share = pick([30_000, FaultPolicy.all, FaultPolicy.all, FaultPolicy.all])
    }
}

extension ServicePlan.Kind {
    /// What requests are aborted with.
    var abortStatus: Int {
        switch self {
        case .http: 418
        case .dubbo: 70
        case .bolt: 3
        }
    }
}
