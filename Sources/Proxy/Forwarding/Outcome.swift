import Balancing
import Glibc
import Runtime

/// Whose failure it is that a request did not end well. Decided once, where the end is seen.
enum Outcome {
    /// This process or machine has no descriptors, ports or memory left.
    case ours
    /// The host refuses, resets, is silent, or answers what is no answer.
    case host
    /// The way to the host.
    case network
    /// The downstream went, or did not send or take what it should.
    case downstream

    /// A host that serves well would not have caused it.
    var isOfHost: Bool { self == .host || self == .network }

    /// Whose failure a system call's error on a connection to a host is.
    init(error: Int32) {
        switch error {
        case _ where SystemError.isOurs(error): self = .ours
        case EHOSTUNREACH, ENETUNREACH, ENETDOWN, EHOSTDOWN, ETIMEDOUT: self = .network
        default: self = .host
        }
    }
}

extension Worker {
    /// Notes a failure where it belongs: with the host, or in the log when it is ours.
    mutating func blame(_ outcome: Outcome, _ endpoint: UnsafeMutablePointer<Endpoint>, _ reason: String) {
        switch outcome {
        case .host, .network: noteFailure(endpoint, reason)
        case .ours: note(.exhausted(address: endpoint.pointee.address, reason: reason))
        case .downstream: break
        }
    }

    /// Notes that a host has not answered a request in time that it has had since `started`. One method may be slow in a host that is
    /// well: only several in a row have it ejected.
    mutating func noteTimeout(_ endpoint: UnsafeMutablePointer<Endpoint>, since started: Int64) {
        if !endpoint.pointee.noteTimeout(started: started, now: now) { return }
        let pause = (endpoint.pointee.retryAt - now) / 1_000_000
        let reason = "several requests in a row without an answer in time"
        note(.hostFailed(address: endpoint.pointee.address, reason: reason, pauseMilliseconds: pause))
    }
}
