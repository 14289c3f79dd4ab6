import Model
import Runtime

/// What is done to some requests on purpose, as plain values for one worker.
struct FaultRules {
    /// In nanoseconds; 0: none.
    let delay: Int64
    /// The status; 0: none.
    let abort: Int32
    /// Of `FaultPolicy.all`.
    let share: UInt64

    init(_ policy: FaultPolicy, for kind: ServiceKey.Kind) {
        delay = policy.delay?.nanoseconds ?? 0
        abort = policy.abort.map { kind.canAbort(with: $0) ? Int32($0) : 0 } ?? 0
        share = UInt64(policy.share)
    }

    var isOff: Bool { delay == 0 && abort == 0 }
}

/// What is done on purpose, as metrics tell it.
public enum FaultKind: Int, CaseIterable, Sendable {
    /// A request has waited.
    case delay
    /// A request was answered with a status.
    case abort
}

/// How far a request is with what its version does on purpose.
enum FaultState: UInt8 {
    /// It is not decided whether anything is done to it.
    case open
    /// It waits. It has its place in the circuit breaker, and nothing of it was sent.
    case delayed
    /// It is decided, and it has waited if it had to.
    case decided
}

extension Worker {
    /// Decides whether anything is done to a request that is to go to its first host.
    @inline(never)
    mutating func fault(_ state: inout RequestState, _ rules: UnsafePointer<TrafficRules>) -> Hindrance? {
        state.fault = .decided
        let fault = rules.pointee.fault
        if fault.isOff || random.below(UInt64(FaultPolicy.all)) >= fault.share { return nil }
        if fault.delay == 0 { return .aborted(fault.abort) }
        state.fault = .delayed
        return .delayed(until: now + fault.delay)
    }

    /// A request has waited long enough, or has no time left.
    ///
    /// - Returns: what it is aborted with; nil: it goes on, and what is late is found out there.
    func endFault(_ state: inout RequestState, of service: UnsafeMutablePointer<Service>) -> Int32? {
        state.fault = .decided
        let status = service.pointee.traffic.find(state.served).pointee.fault.abort
        return status == 0 || now >= state.deadline ? nil : status
    }
}
