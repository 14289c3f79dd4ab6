import Balancing
import Runtime

/// Why requests are refused, as metrics tell it.
public enum RefusalReason: Int, CaseIterable, Sendable {
    /// The circuit breaker's `requests`.
    case requests
    /// The circuit breaker's `pending`.
    case pending
    /// The circuit breaker's `connections`.
    case connections
    /// The limit that was found from how long answers take.
    case concurrency
    /// The rate limit.
    case rate
    /// Its client has no access.
    case denied
}

/// A request is over a limit, or its client has no access.
struct Refusal {
    let reason: RefusalReason
    /// Nanoseconds until the rate lets such a request through; 0 for other limits.
    var wait: Int64 = 0

    var answer: LocalAnswer {
        switch reason {
        case .requests, .pending, .connections, .concurrency: .overloaded
        case .rate: .rateLimited
        case .denied: .denied
        }
    }

    /// What it says to a person.
    var text: StaticString {
        switch reason {
        case .requests: "greymesh: as many requests of the service or version are in flight as circuit_breaker allows"
        case .pending:
            "greymesh: as many requests of the service or version wait as circuit_breaker allows"
        case .connections: "greymesh: as many connections are open for the service or version as circuit_breaker allows"
        case .concurrency: "greymesh: with more requests in flight the service or version would only answer later"
        case .rate: "greymesh: the rate_limit of the service or version is reached"
        case .denied: "greymesh: the client's address has no access to the service or version"
        }
    }
}

/// Where a request counts for limits: in its circuit breaker from its first host to its end, between two hosts too. Every request ends
/// in one place, where it counts out.
struct RequestLimits {
    /// Where it counts as a request in flight; nil: nowhere. Its service keeps that alive.
    private(set) var place: Unmanaged<BreakerCounts>?
    /// That, while another host is looked for and this one still has the request.
    private var keptPlace: Unmanaged<BreakerCounts>?
    /// Hash of what its rate limit counts it by.
    var limitKey: UInt64 = 0
    /// It counts among those that wait for a connection, or for the registries.
    private(set) var isPending = false
    /// How long its answer takes counts there.
    private(set) var isMeasured = false
    /// Two hosts have it, and it counts twice.
    private var isDouble = false

    /// Counts the request in where it is to go.
    ///
    /// - Parameters:
    ///   - rules: those of the version that is to serve it.
    ///   - isFirst: it has been to no host so far. Only then it takes a token: a further try is no further request.
    /// - Returns: nil: it may go there.
    @inline(never)
    mutating func admit(_ rules: UnsafePointer<TrafficRules>, isFirst: Bool, now: Int64) -> Refusal? {
        if isFirst, let bucket = rules.pointee.bucket {
            let wait = bucket._withUnsafeGuaranteedRef { $0.take(key: limitKey, now: now) }
            if wait > 0 { return Refusal(reason: .rate, wait: wait) }
        }
        let next = rules.pointee.breaker
        if next?.toOpaque() == place?.toOpaque() { return nil }
        // It may have a place there that it has kept.
        if let next, next.toOpaque() != keptPlace?.toOpaque() {
            let (most, adapted) = (rules.pointee.mostRequests, rules.pointee.isAdaptive ? next.concurrency : .max)
            if !next.enter(most: min(most, adapted)) {
                return Refusal(reason: adapted < most ? .concurrency : .requests)
            }
        }
        if place?.toOpaque() == keptPlace?.toOpaque() { endPending() } else { leaveLimits() }
        place = next
        isMeasured = rules.pointee.isAdaptive
        return nil
    }

    /// A host has answered that had the request since a time, or has not answered in time.
    @inline(never)
    func measure(since givenAt: Int64, now: Int64) {
        if !isMeasured { return }
        place?._withUnsafeGuaranteedRef {
            $0.concurrency.note(nanoseconds: now - givenAt, active: $0.requests.current, now: now)
        }
    }

    /// Counts in a request that waits for the registries.
    ///
    /// - Returns: nil: it may wait.
    mutating func beginWaiting(_ rules: UnsafePointer<TrafficRules>, now: Int64) -> Refusal? {
        if rules.pointee.breaker == nil { return nil }
        if let refusal = admit(rules, isFirst: false, now: now) { return refusal }
        return beginPending(rules) ? nil : Refusal(reason: .pending)
    }

    /// Another host is looked for, while the one that has the request may keep it.
    mutating func beginMove() { keptPlace = place }

    /// Another host has it, or none: it counts where it is.
    mutating func endMove(isDone: Bool, wasPending: Bool) {
        let kept = keptPlace
        keptPlace = nil
        if isDone {
            if kept?.toOpaque() != place?.toOpaque() { kept?.leave() }
            return
        }
        if kept?.toOpaque() != place?.toOpaque() {
            leaveLimits()
            place = kept
        }
        if wasPending && !isPending {
            isPending = place?.enterPending(most: .max) ?? false
        }
    }

    /// Another host is to have it as well. False: there are too many requests in flight.
    mutating func beginDouble(_ rules: UnsafePointer<TrafficRules>) -> Bool {
        guard let place else { return true }
        let most = min(rules.pointee.mostRequests, rules.pointee.isAdaptive ? place.concurrency : .max)
        isDouble = place.enter(most: most)
        return isDouble
    }

    /// One host has it, or none.
    mutating func endDouble() {
        if !isDouble { return }
        isDouble = false
        place?.leave()
    }

    /// Counts it in among those that wait for a connection. False: there are too many.
    mutating func beginPending(_ rules: UnsafePointer<TrafficRules>) -> Bool {
        guard let place, !isPending else { return true }
        let most = rules.pointee.mostPending
        isPending = place.enterPending(most: most)
        return isPending
    }

    /// It has a connection, or waits for that one no longer.
    mutating func endPending() {
        if !isPending { return }
        isPending = false
        place?.leavePending()
    }

    /// It has ended, or goes to where others count it.
    mutating func leaveLimits() {
        guard let place else { return }
        endPending()
        endDouble()
        place.leave()
        self.place = nil
    }
}

extension Unmanaged where Instance == BreakerCounts {
    @inline(__always)
    fileprivate var concurrency: Int { _withUnsafeGuaranteedRef { $0.concurrency.current } }

    @inline(__always)
    fileprivate func enter(most: Int) -> Bool { _withUnsafeGuaranteedRef { $0.requests.enter(most: most) } }

    @inline(__always)
    fileprivate func leave() { _withUnsafeGuaranteedRef { $0.requests.leave() } }

    @inline(__always)
    fileprivate func enterPending(most: Int) -> Bool { _withUnsafeGuaranteedRef { $0.pending.enter(most: most) } }

    @inline(__always)
    fileprivate func leavePending() { _withUnsafeGuaranteedRef { $0.pending.leave() } }
}

extension Unmanaged<BreakerCounts>? {
    /// The connection that counted there is closed.
    mutating func leaveConnections() {
        self?.takeRetainedValue().connections.leave()
        self = nil
    }
}
