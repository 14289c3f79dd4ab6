import Balancing
import Model
import Runtime

// What hosts with outlier detection have answered, counted in one way for all protocols:
//
// | what | counts as |
// |---|---|
// | an answer with a status that tells of an ill host (`ServiceKey.Kind.tellsOfIllness`) | a failure |
// | no connection, a broken one, no answer in time, what is no answer: each request that it hits | a failure |
// | "I do not have this service", and any other answer, exceptions of the called method included | an answer |
// | our own want of descriptors, the downstream's end, a kept connection that the host closed | nothing |
extension Worker {
    /// A request is on its way to a host.
    @inline(__always)
    func beginTally(_ state: inout RequestState, _ member: UnsafeMutablePointer<Member>) {
        let tally = member.pointee.tally
        tally?.take()
        state.tally = tally
    }

    /// It is not with that host any more.
    @inline(__always)
    func endTally(_ state: inout RequestState) {
        if state.tally != nil { leaveTally(&state) }
    }

    /// Not inlined, as all that only hosts with outlier detection need: the path of other requests stays short.
    @inline(never)
    private func leaveTally(_ state: inout RequestState) {
        guard let tally = state.tally else { return }
        state.tally = nil
        tally.leave()
    }

    /// A host has answered: where somebody looks at that, it tells of its health, and of how much it can do at a time.
    @inline(never)
    mutating func noteAnswer(
        _ state: RequestState, _ limits: RequestLimits, status: Int32, _ execution: Execution = .possible
    ) {
        if state.tally != nil { tallyAnswer(state, status: status, execution) }
        if limits.isMeasured { measureAnswer(state, limits, status: status, execution) }
    }

    /// What an ill host answers at once is no measure of what a well one takes.
    private func measureAnswer(
        _ state: RequestState, _ limits: RequestLimits, status: Int32, _ execution: Execution
    ) {
        guard let service = state.service, execution == .possible, !service.pointee.key.kind.tellsOfIllness(status)
        else { return }
        limits.measure(since: state.givenAt, now: now)
    }

    private mutating func tallyAnswer(_ state: RequestState, status: Int32, _ execution: Execution = .possible) {
        guard let tally = state.tally, let service = state.service else { return }
        if execution != .refused && service.pointee.key.kind.tellsOfIllness(status) {
            note(failureIn: tally, of: service)
        } else {
            tally.pointee.noteSuccess(nanoseconds: now - state.givenAt)
        }
    }

    /// A request has failed by its host's fault, or on the way there.
    @inline(never)
    mutating func tallyFailure(_ state: RequestState) {
        guard let tally = state.tally, let service = state.service else { return }
        note(failureIn: tally, of: service)
    }

    /// The same for a request that never came so far.
    @inline(never)
    mutating func tallyFailure(of member: UnsafeMutablePointer<Member>, _ service: UnsafeMutablePointer<Service>) {
        guard let tally = member.pointee.tally else { return }
        note(failureIn: tally, of: service)
    }

    @inline(never)
    private mutating func note(
        failureIn tally: UnsafeMutablePointer<HostTally>, of service: UnsafeMutablePointer<Service>
    ) {
        if !tally.pointee.noteFailure(now: now) { return }
        let (version, group) = (tally.pointee.version, tally.pointee.group)
        let identity = service.pointee.identity(version, group, tally.pointee.interfaceVersion)
        outbox.post(.failing(service.pointee.key, identity, tally.pointee.address))
    }
}

extension Service {
    /// What the control plane calls the version cluster of these labels.
    func identity(_ version: Int32, _ group: Int32, _ interfaceVersion: Int32) -> VersionCluster.Identity {
        VersionCluster.Identity(
            group: labels[Int(group)].text, interfaceVersion: labels[Int(interfaceVersion)].text,
            version: labels[Int(version)].text)
    }
}
