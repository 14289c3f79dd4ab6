import Model
import Runtime

/// One host as one worker sees it: its health and load, shared by all services and versions that list its address.
///
/// Lives behind a pointer; a worker frees it when no cluster lists it and no connection is left.
public struct Endpoint {
    /// The same for the same address, also after it was gone for a while; others have another one.
    let identity: Int
    /// Where it listens.
    public let address: SocketAddress
    /// What is spoken to it.
    public let kind: ServiceKey.Kind
    /// Clusters' members that point here.
    public var references: Int32 = 0
    /// Requests of this worker in flight.
    public var active: Int32 = 0
    /// Open or opening connections of this worker.
    public var connections: Int32 = 0
    /// Failures in a row; a success makes it 0.
    public var failures: Int32 = 0
    /// Monotonic nanoseconds until which it is left alone; 0 when it is well.
    public var retryAt: Int64 = 0
    /// Calls in a row that were not answered in time, with no answer in between.
    public private(set) var timeouts: Int32 = 0
    /// When they last had it ejected: calls that began before tell nothing new.
    private var timedOutAt: Int64 = 0
    /// When the first of them was given to it.
    private var silentSince: Int64 = 0
    /// It got a request since it was ejected.
    private var isOnTrial = false
    /// Connections on which it told that it takes no new requests (Dubbo's readonly event). Each counts itself in and out.
    public var readonlyConnections: Int32 = 0
    /// It takes no new requests.
    public var draining: Bool { readonlyConnections > 0 }
    /// The forwarding engine's connections to it.
    public var pool: UnsafeMutableRawPointer?
    /// Requests sent to it since it was first seen.
    public var requests: UInt64 = 0
    /// Failed connects and broken connections since it was first seen.
    public var totalFailures: UInt64 = 0

    /// A healthy endpoint.
    public init(address: SocketAddress, kind: ServiceKey.Kind) {
        self.address = address
        self.kind = kind
        // All of an IPv4 address and its port; for IPv6 as good as that.
        let high = address.high &* 0x9e37_79b9_7f4a_7c15 ^ (address.low >> 48) &* 0x9fb2_1c65_1e98_df25
        identity = Int(truncatingIfNeeded: (address.low << 16 | UInt64(address.port)) ^ high)
    }

    /// Whether it may get a request now.
    @inline(__always)
    public func isUsable(now: Int64) -> Bool { !draining && (retryAt == 0 || retryAt <= now) }

    /// First time that it is left alone after a failure, and the longest.
    static let firstPause: Int64 = 500_000_000
    static let longestPause: Int64 = 30_000_000_000

    /// Notes a refused, reset or timed-out connection: it is left alone for a while that doubles with each failure.
    ///
    /// - Returns: whether the host is ejected for it. What was under way when it was ejected tells nothing new.
    @discardableResult
    public mutating func noteFailure(now: Int64) -> Bool {
        totalFailures &+= 1
        if now < retryAt && failures > 0 && !isOnTrial { return false }
        isOnTrial = false
        failures = min(failures + 1, 16)
        retryAt = now + min(Self.longestPause, Self.firstPause << Int64(failures - 1))
        return true
    }

    /// Calls in a row without an answer in time after which a host is ejected. One method may be slow in a host that is well, but
    /// then something else is answered in between, be it too late.
    static let mostTimeouts: Int32 = 5
    /// How long it must not have answered anything by then, in nanoseconds: callers that have little time, or many calls at once,
    /// do not take it away from the others.
    static let shortestSilence: Int64 = 1_000_000_000

    /// Notes a call that was not answered in time.
    ///
    /// - Parameter started: when the host was given it.
    /// - Returns: whether the host is ejected for it.
    public mutating func noteTimeout(started: Int64, now: Int64) -> Bool {
        if started < timedOutAt { return false }
        silentSince = timeouts == 0 ? started : min(silentSince, started)
        timeouts = min(timeouts + 1, Self.mostTimeouts)
        if timeouts < Self.mostTimeouts || now - silentSince < Self.shortestSilence { return false }
        timedOutAt = now
        return noteFailure(now: now)
    }

    /// Notes a sign of life that is no answer to a call: it makes a failed connection good, but not calls without an answer.
    public mutating func noteAlive() {
        if timeouts >= Self.mostTimeouts { return }
        failures = 0
        retryAt = 0
    }

    /// Has it left alone although nothing failed: it said that it is going.
    public mutating func eject(until time: Int64) {
        failures = max(failures, 1)
        retryAt = max(retryAt, time)
    }

    /// Whether there is anything that an answer makes good.
    @inline(__always)
    public var hasFailed: Bool { failures | timeouts != 0 }

    /// Notes an answer of any status.
    @inline(__always)
    public mutating func noteSuccess() {
        if hasFailed {
            failures = 0
            timeouts = 0
            retryAt = 0
        }
    }

    /// A request takes the endpoint. After a pause one request tries first; others stay away for `timeout` nanoseconds
    /// or until it has answered.
    @inline(__always)
    public mutating func take(now: Int64, timeout: Int64) {
        requests &+= 1
        active += 1
        if retryAt != 0 {
            retryAt = max(retryAt, now + timeout)
            isOnTrial = true
        }
    }
}

/// Endpoints that a request has been to already. They may be gone meanwhile, or have come back.
public struct TriedEndpoints {
    private var first = 0
    private var second = 0
    private var third = 0
    private var fourth = 0
    private var fifth = 0
    /// How many attempts have ended.
    public private(set) var count: UInt8 = 0

    /// None.
    public init() {}

    /// Adds one; the sixth and later replace the fifth.
    public mutating func insert(_ endpoint: UnsafeMutablePointer<Endpoint>) {
        let identity = endpoint.pointee.identity
        switch count {
        case 0: first = identity
        case 1: second = identity
        case 2: third = identity
        case 3: fourth = identity
        default: fifth = identity
        }
        count = min(count + 1, 250)
    }

    /// Whether it has been tried.
    @inline(__always)
    public func contains(_ endpoint: UnsafeMutablePointer<Endpoint>) -> Bool { count != 0 && search(endpoint) }

    private func search(_ endpoint: UnsafeMutablePointer<Endpoint>) -> Bool {
        let identity = endpoint.pointee.identity
        return identity == first || count > 1 && identity == second || count > 2 && identity == third
            || count > 3 && identity == fourth || count > 4 && identity == fifth
    }
}
