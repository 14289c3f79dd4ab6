import Balancing
import Model
import Runtime

/// What a worker has to do besides requests.
struct Updates {
    /// Messages that were taken from the inbox, the next one at the end: what is done is let go one by one.
    var messages: [WorkerMessage] = []
    /// What was begun and takes more than one step. Nothing else is begun until it is over.
    var current: Update?
    /// What the clusters that came last have replaced.
    var retired: [RetiredClusters] = []
    /// Services whose hosts requests wait for; they are many.
    var wanted: [ServiceKey] = []
    /// Processor time that all of it has taken.
    var time = WorkTime()

    /// Nanoseconds at a time: what is left then waits until requests have had their turn.
    static let turn: Int64 = 200_000

    /// There is something to do.
    var isWaiting: Bool { !messages.isEmpty || current != nil || !retired.isEmpty || !wanted.isEmpty }
}

/// Work that is done in steps, so that requests need not wait for its end.
enum Update {
    case routes(RouteAdoption)
    case service(ServiceBuild)
    case report(ReportBuild)
    case use(UsageBuild)
    case tally(TallyBuild)
}

extension Worker {
    /// Takes what the inbox holds, unless there is something left of what it held before. It is begun with at once: requests that
    /// were sent after a message are served after it.
    mutating func takeUpdates() {
        guard updates.messages.isEmpty else { return }
        updates.messages = system.take(inbox)
        updates.messages.reverse()
        advanceUpdates()
    }

    /// Does some of what waits, in the order in which it came.
    mutating func advanceUpdates() {
        let begin = system.threadNanoseconds
        let end = system.nanoseconds + Updates.turn
        repeat { takeStep() } while updates.isWaiting && running && system.nanoseconds < end
        updates.time.add(nanoseconds: system.threadNanoseconds - begin)
    }

    /// Stays a function of its own, which `scripts/budget` counts.
    @inline(never)
    private mutating func takeStep() {
        if let update = updates.current {
            advance(update)
        } else if !updates.retired.isEmpty {
            releaseRetired()
        } else if let key = updates.wanted.popLast() {
            buildWanted(key)
        } else if let message = updates.messages.popLast() {
            handle(message)
        }
    }

    private mutating func advance(_ update: Update) {
        let isMore =
            switch update {
            case .routes(let adoption): advance(adoption)
            case .service(let build): advance(build)
            case .report(let build): advance(build)
            case .use(let build): advance(build)
            case .tally(let build): advance(build)
            }
        if !isMore { updates.current = nil }
    }

    /// Does what was begun to its end.
    mutating func finishUpdate() {
        while let update = updates.current { advance(update) }
    }

    /// Gives everything back that is not used any more.
    mutating func finishReleasing() {
        while !updates.retired.isEmpty { releaseRetired() }
    }

    private mutating func handle(_ message: WorkerMessage) {
        switch message {
        case .routes(let routes): updates.current = .routes(RouteAdoption(routes))
        case .announce(let announcement): adopt(announcement)
        case .update(let snapshot): adopt(snapshot)
        case .remove(let key): removeService(key)
        case .report(let id): updates.current = .report(beginReport(id))
        case .tally: updates.current = .tally(TallyBuild(tables.services))
        case .explain(let id, let request): outbox.post(.explanation(id: id, explain(request)))
        case .accept: beginAccepting()
        case .drain: beginDrain()
        case .handOver(let names): beginHandOver(names)
        case .adopt(let connection): adopt(connection)
        case .owed(let number, let bytes): writeOwed(number, bytes)
        case .settled(let number): endOwed(number)
        case .stop: running = false
        }
    }
}
