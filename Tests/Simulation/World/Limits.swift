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
}
