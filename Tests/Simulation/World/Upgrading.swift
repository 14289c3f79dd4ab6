import Proxy
import Runtime

/// The way to a process with one worker.
struct Line {
    let process: Int
    let inbox: Mailbox<WorkerMessage>
    let outbox: Mailbox<WorkerEvent>

    init(process: Int) throws {
        self.process = process
        inbox = try Mailbox()
        outbox = try Mailbox()
    }
}

/// A hot upgrade as the control planes of both processes carry it out: one process takes over from the one before.
struct Upgrade {
    enum Phase {
        case none
        /// The new process is told what there is.
        case starting
        /// It serves, and the old one goes on with what is left.
        case handingOver
        /// The old process has ended; something of it is on its way.
        case settling
    }

    /// Something that is between the two processes.
    struct Parcel {
        let due: Int64
        let sentAt: Int64
        let event: WorkerEvent
        /// The connection that goes along.
        let socket: VirtualSocket?
    }

    var phase = Phase.none
    /// Another one was asked for; it waits for the end of the last one.
    var isWished = false
    var isDrainWished = false
    /// The new process has done all that it was told at first.
    var isReady = false
    /// In the order in which they arrive.
    var parcels: [Parcel] = []
    /// Numbers of connections that the old process owes answers.
    var owed: Set<UInt64> = []
    /// What processes that have ended have counted.
    var reports: [WorkerReport] = []
    /// The process that has ended has told what it has counted.
    var hasReport = false

    var isUnderWay: Bool { phase != .none || isWished }

    /// When the next thing arrives.
    var nextTime: Int64 { parcels.first?.due ?? .max }
}

extension World {
    /// The last report of a process that is replaced.
    static let reportOfReplaced: UInt64 = 1_000_001

    func post(_ message: WorkerMessage, to line: Line) {
        line.inbox.post(message)
        kernel.wake(line.inbox.descriptor)
    }

    func wishUpgrade() { if drainedAt == nil { upgrade.isWished = true } }

    /// Whether a new process is to be started now.
    var startsUpgrade: Bool {
        upgrade.isWished && upgrade.phase == .none && inquiry == nil && stoppedUntil == nil && failure == nil
            && ending.phase.rawValue <= Ending.Phase.healed.rawValue
    }

    /// A new process is there and learns what the old one knows.
    func introduce(_ line: Line) {
        upgrade.isWished = false
        upgrade.isReady = false
        upgrade.phase = .starting
        lines.append(line)
        if let last = routes.last { post(routeMessage(last.routes), to: line) }
        for service in snapshots.keys.sorted() {
            if let snapshot = snapshots[service] { post(.update(marked(service, snapshot)), to: line) }
        }
    }

    /// Before a worker looks for events.
    func hastenUpgrade() {
        if upgrade.phase == .starting {
            if upgrade.isReady && inquiry == nil && kernel.random.below(4) == 0 { handOver() }
        } else {
            deliver()
        }
    }

    /// Both workers are idle. Returns whether anything was done.
    func advanceUpgrade() -> Bool {
        takeEvents()
        if upgrade.phase == .starting && upgrade.isReady && inquiry == nil {
            handOver()
            return true
        }
        return deliver()
    }

    private func handOver() {
        kernel.trace?("-- process \(lines[1].process) takes over")
        upgrade.phase = .handingOver
        post(.accept, to: lines[1])
        let names = plan.doors.indices.map { listenerName(plan.doors[$0]) }
        post(.handOver(listeners: Set(names)), to: lines[0])
    }

    // MARK: Between the processes

    /// Something of the old process for the new one, which may take a while and overtakes nothing.
    func passOn(_ event: WorkerEvent, from line: Line) {
        guard upgrade.phase == .handingOver, line.process == lines[0].process else {
            return fail("hand-over", "nobody has asked for it", nil)
        }
        var socket: VirtualSocket?
        if case .handedOver(let connection) = event {
            socket = kernel.take(connection.descriptor, from: line.process)
            if socket == nil { return }
        }
        let delays: [Int64] = [0, 0, 100_000, 1_000_000, 5_000_000]
        let due = now + delays[Int(kernel.random.below(UInt64(delays.count)))]
        upgrade.parcels.append(
            Upgrade.Parcel(
                due: max(due, upgrade.parcels.last?.due ?? 0), sentAt: now, event: event, socket: socket))
    }

    /// What has arrived is told to the new process.
    @discardableResult
    private func deliver() -> Bool {
        var isAnything = false
        while let first = upgrade.parcels.first, first.due <= now {
            upgrade.parcels.removeFirst()
            deliver(first)
            isAnything = true
        }
        if upgrade.phase == .settling && upgrade.parcels.isEmpty { finishUpgrade() }
        return isAnything
    }

    private func deliver(_ parcel: Upgrade.Parcel) {
        guard let line = lines.last else { return }
        switch parcel.event {
        case .handedOver(var connection):
            guard let socket = parcel.socket else { return }
            if connection.number != 0 && !upgrade.owed.insert(connection.number).inserted {
                fail("hand-over", "two connections have the same number", nil)
            }
            connection.descriptor = kernel.give(socket, to: line.process)
            kernel.trace?("-- connection \(connection.descriptor) arrives, owed as \(connection.number)")
            noteArrival(of: socket, sentAt: parcel.sentAt)
            post(.adopt(connection), to: line)
        case .owed(let number, let bytes):
            if !upgrade.owed.contains(number) { fail("hand-over", "an answer that is not owed", nil) }
            post(.owed(number: number, bytes), to: line)
        case .settled(let number):
            if upgrade.owed.remove(number) == nil { fail("hand-over", "settled and not owed", nil) }
            post(.settled(number: number), to: line)
        default: break
        }
    }

    /// Time in which a connection was with no process is nobody's, and the new process counts from when it gets it.
    private func noteArrival(of socket: VirtualSocket, sentAt: Int64) {
        guard let (number, client) = clients.first(where: { $0.value.socket.isConnected(to: socket) }) else { return }
        client.endIsDueSince = nil
        for request in requests.values where request.client == number && request.isOpen {
            guard let begin = request.headSentAt else { continue }
            request.lostTime += now - (request.headDoneAt == nil ? begin : sentAt)
        }
    }

    // MARK: The end of the old process

    /// A worker has come to its end.
    func noteDrained(_ line: Line) {
        if line.process != lines.last?.process { return }
        ending.isDrained = true
        if drainedAt == nil { fail("drain", "nobody has asked for it", nil) }
    }

    func takeReport(_ id: UInt64, _ report: WorkerReport) {
        if id != Self.reportOfReplaced { return reports.append((id, report)) }
        upgrade.reports.append(report)
        upgrade.hasReport = true
    }

    /// What the old process holds at its end, and when it has closed all.
    func inspectReplaced(_ inventory: Inventory, isTornDown: Bool) {
        var rest = inventory
        // Nothing is done any more.
        rest.updates = 0
        if !isTornDown {
            // Its connections to hosts stay to the end, and with them the hosts.
            (rest.services, rest.endpoints, rest.draining, rest.buffers) = (0, 0, 0, 0)
            (rest.upstreams, rest.framedUpstreams, rest.connectionsOfEndpoints) = (0, 0, 0)
            // These are those of the new one as well.
            (rest.limitedRequests, rest.limitedPending, rest.limitedConnections) = (0, 0, 0)
        }
        if rest != Inventory() {
            fail("left over", "in the process that was replaced: " + Self.describe(rest), nil)
        }
    }

    /// The old process is gone.
    func dismiss() {
        lines.removeFirst()
        upgrade.hasReport = false
        upgrade.phase = .settling
        deliver()
    }

    private func finishUpgrade() {
        kernel.trace?("-- the hand-over has ended")
        upgrade.phase = .none
        if !upgrade.owed.isEmpty { fail("hand-over", "answers are owed for ever", open.first) }
        upgrade.owed = []
        if upgrade.isDrainWished {
            upgrade.isDrainWished = false
            upgrade.isWished = false
            drain()
        }
    }
}
