import Balancing
import Runtime

/// What every request has while it is here, whatever its protocol: the first part of an exchange or of a multiplexed request.
struct RequestState {
    /// Nil before one is found, and after the end.
    var service: UnsafeMutablePointer<Service>?
    /// What it asks of the service.
    var asked = Asked()
    /// Hosts that it has been to and will not go back to.
    var tried = TriedEndpoints()
    /// It was repeated after something was sent, and counts in its service's `FurtherTries`.
    var isRepeated = false
    /// How far it is with what is done to it on purpose.
    var fault = FaultState.open
    /// Another host was asked beside one that did not answer, or none could be.
    var isHedged = false
    /// What it waits for before a further try.
    var backoff = Backoff()
    /// Whether it is copied to another version, or is such a copy.
    var mirror = MirrorState.open
    /// Label of the version that serves, for counters; `ServiceMetrics.nobody` before one is chosen.
    var served = ServiceMetrics.nobody
    /// Where what becomes of the present try is counted; nil: nowhere.
    var tally: UnsafeMutablePointer<HostTally>?
    /// When it came, in monotonic nanoseconds.
    var started: Int64 = 0
    /// When the host that it is with could begin with it: for HTTP with the last part of its body.
    var givenAt: Int64 = 0
    /// When an answer is of no use any more.
    var deadline: Int64 = 0
    /// The beginning of the access log's line; empty when none is written.
    var logLine = Buffer()

    /// It waits on purpose, with no host.
    var isDelayed: Bool { fault == .delayed || backoff.cause != nil }
}
