import Balancing
import Model
import Runtime

/// Which requests are copied to another version, as plain values for one worker.
struct MirrorRules {
    /// Label of the version that gets the copies; `LabelTable.unknown`: none.
    let version: Int32
    /// Of `FaultPolicy.all`.
    let share: UInt64

    /// - Parameter label: what a version is called here.
    init(_ policy: MirrorPolicy, label: (String) -> Int) {
        version = policy.version.map { Int32(label($0)) } ?? Int32(LabelTable.unknown)
        share = UInt64(policy.share)
    }

    var isOff: Bool { version == LabelTable.unknown }
}

/// What a request has to do with copies.
enum MirrorState: UInt8 {
    /// It is not decided whether it is copied.
    case open
    /// It is not, or its copy is made.
    case decided
    /// It is copied when a host has answered it, or has not in time.
    case chosen
    /// It is a copy. Nobody waits for it, and no rule of the service holds for it but the time that it may take.
    case copy

    /// Its end has something to do with copies.
    @inline(__always)
    var concernsEnd: Bool { rawValue >= Self.chosen.rawValue }
}

/// What has become of a copy, as metrics tell it.
public enum MirrorResult: Int, CaseIterable, Sendable, CustomStringConvertible {
    /// The host has answered, or has a request that is not answered.
    case sent
    /// The host could not be reached, or has not answered.
    case failed
    /// There was too much in flight, or the process is to end.
    case dropped
    /// The request was too large to be kept.
    case tooLarge
    /// The version has no host that is usable.
    case noHost

    /// What it is called in metrics.
    public var description: String {
        switch self {
        case .sent: "sent"
        case .failed: "failed"
        case .dropped: "dropped"
        case .tooLarge: "too_large"
        case .noHost: "no_host"
        }
    }
}

extension Worker {
    /// Decides whether a request is copied that is to go to a host.
    @inline(never)
    mutating func chooseForMirror(_ state: inout RequestState, _ rules: UnsafePointer<TrafficRules>) {
        let share = rules.pointee.mirror.share
        let all = UInt64(FaultPolicy.all)
        state.mirror = share == all || random.below(all) < share ? .chosen : .decided
    }

    /// The version that gets a request's copy. Nil: none does, for that version serves the request itself, or rules are others now.
    func mirrorVersion(_ state: RequestState) -> Int32? {
        guard let service = state.service else { return nil }
        let rules = service.pointee.traffic.find(state.served).pointee.mirror
        return rules.isOff || rules.version == state.served ? nil : rules.version
    }
}
