import Codecs
import Glibc
import Runtime

// What a connection to a host is waiting for, and for how long. `heartbeat` is 30 s.
//
// | phase | ends by itself after | then |
// |---|---|---|
// | connecting | `connect_timeout` | the host is ejected, its calls go to others |
// | nothing heard | `heartbeat` | it gets a heartbeat; without an answer for two more it is lost |
// | nothing heard since before a call that has run out of time | at once | it gets a heartbeat; without an answer for 5 s it is lost |
// | an answer has begun and does not go on (64 KiB count) | `heartbeat` | lost: no heartbeat's answer can overtake it |
// | requests that it does not take | `heartbeat` without a byte taken | lost |
// | readonly | 3 s | the host may be connected to anew; this connection goes with its last call |
// | writing failed | when what it sent before is read, at most 1 s | lost |
//
// Lost: the host is ejected when there were calls; those of which nothing was sent go to other hosts, the others are answered.
extension Worker {
    /// Sees to interest, timer and memory after every step: they follow from the state and from nothing else.
    @inline(__always)
    mutating func watch(_ provider: UnsafeMutablePointer<Provider>) {
        let memory = provider.pointee.inbound.capacity + provider.pointee.outbound.capacity
        dubbo.providerMemory += memory - provider.pointee.countedMemory
        provider.pointee.countedMemory = memory

        let due = nextDeadline(provider)
        let timer = timer(provider)
        if !timer.pointee.isSet || due < timer.pointee.deadline { wheel.set(timer, deadline: due) }

        let interest = wantedInterest(provider)
        if interest == provider.pointee.interest { return }
        provider.pointee.interest = interest
        system.rewatch(provider.pointee.descriptor, interest, token: Token(.provider, provider).rawValue)
    }

    @inline(__always)
    private func wantedInterest(_ provider: UnsafeMutablePointer<Provider>) -> Readiness {
        switch provider.pointee.phase {
        case .connecting: return .writable
        case .broken: return .readable
        case .ready, .readonly:
            let writes = !provider.pointee.outbound.isEmpty && !provider.pointee.isDirty
            return writes ? [.readable, .writable] : .readable
        }
    }

    @inline(__always)
    private func nextDeadline(_ provider: UnsafeMutablePointer<Provider>) -> Int64 {
        let phase = provider.pointee.phase
        if phase == .connecting || phase == .broken { return provider.pointee.phaseEnd }
        var due = provider.pointee.answerBy
        if due == 0 || provider.pointee.isWithinFrame {
            let frameEnd = provider.pointee.progress.heardAt + settings.heartbeat
            due = due == 0 ? frameEnd : min(due, frameEnd)
        }
        if provider.pointee.takenAt != 0 { due = min(due, provider.pointee.takenAt + settings.heartbeat) }
        if provider.pointee.readonlyUntil != 0 { due = min(due, provider.pointee.readonlyUntil) }
        return due
    }

    /// The timer is set for the earliest deadline there was; since then things may have gone on.
    mutating func providerTimeout(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.isClosed { return }
        if nextDeadline(provider) <= now {
            switch provider.pointee.phase {
            case .connecting:
                return lose(provider, "connect: not within \(settings.limits.connectTimeout / 1_000_000) ms", .network)
            case .broken: return lose(provider, "writing failed")
            case .ready, .readonly: keepAlive(provider)
            }
        }
        if !provider.pointee.isClosed { watch(provider) }
    }

    /// Sends a heartbeat when the host was not heard for a while, and gives the connection up when that does not help.
    private mutating func keepAlive(_ provider: UnsafeMutablePointer<Provider>) {
        let silence = now - provider.pointee.progress.heardAt
        let seconds = silence / 1_000_000_000
        if provider.pointee.readonlyUntil != 0 && provider.pointee.readonlyUntil <= now { leaveReadonly(provider) }
        if provider.pointee.takenAt != 0 && provider.pointee.takenAt + settings.heartbeat <= now {
            return lose(provider, "it has taken nothing for \((now - provider.pointee.takenAt) / 1_000_000_000) s")
        }
        if silence >= settings.heartbeat && provider.pointee.isWithinFrame {
            return lose(provider, "it has stopped within a frame for \(seconds) s")
        }
        if provider.pointee.answerBy != 0 && provider.pointee.answerBy <= now {
            return lose(provider, "nothing heard for \(seconds) s, heartbeats included")
        }
        if silence >= settings.heartbeat && provider.pointee.answerBy == 0 {
            sendHeartbeat(provider, patience: 2 * settings.heartbeat)
        }
    }

    /// A call has run out of time and the host was not heard since it began: is it still there?
    mutating func probe(_ provider: UnsafeMutablePointer<Provider>) {
        if provider.pointee.phase != .ready && provider.pointee.phase != .readonly { return }
        let patience = min(Self.probePatience, 2 * settings.heartbeat)
        if provider.pointee.answerBy != 0 && provider.pointee.answerBy <= now + patience { return }
        sendHeartbeat(provider, patience: patience)
    }

    @inline(__always)
    func timer(_ provider: UnsafeMutablePointer<Provider>) -> UnsafeMutablePointer<WheelTimer> {
        UnsafeMutableRawPointer(provider).assumingMemoryBound(to: WheelTimer.self)
    }
}
