import Balancing
import Model
import Runtime

/// What a worker has to do besides requests.
struct Mail {
    /// Messages that were taken from the inbox, the next one at the end: what is done is let go one by one.
    var messages: [WorkerMessage] = []
    /// What was begun and takes more than one step. Nothing else is begun until it is over.
    var chore: Chore?
    /// What the clusters that came last have replaced.
    var retired: [RetiredClusters] = []
    /// Services whose hosts requests wait for; they are many.
    var wanted: [ServiceKey] = []
    /// Processor time that all of it has taken.
    var time = WorkTime()

    /// Nanoseconds at a time: what is left then waits until requests have had their turn.
    static let turn: Int64 = 200_000

    /// There is something to do.
    var isWaiting: Bool { !messages.isEmpty || chore != nil || !retired.isEmpty || !wanted.isEmpty }
}

/// Work that is done in steps, so that requests need not wait for its end.
enum Chore {
    case routes(RouteAdoption)
    case service(ServiceBuild)
    case report(ReportDraft)
    case use(UseDraft)
}

extension Worker {
    /// Takes what the inbox holds, unless there is something left of what it held before. It is begun with at once: requests that
    /// were sent after a message are served after it.
    mutating func takeMail() {
        guard mail.messages.isEmpty else { return }
        mail.messages = system.take(inbox)
        mail.messages.reverse()
        readMail()
    }

    /// Does some of what waits, in the order in which it came.
    mutating func readMail() {
        let begin = system.threadNanoseconds
        let end = system.nanoseconds + Mail.turn
        repeat { takeStep() } while mail.isWaiting && running && system.nanoseconds < end
        mail.time.add(nanoseconds: system.threadNanoseconds - begin)
    }

    private mutating func takeStep() {
        if let chore = mail.chore {
            advance(chore)
        } else if !mail.retired.isEmpty {
            releaseRetired()
        } else if let key = mail.wanted.popLast() {
            buildWanted(key)
        } else if let message = mail.messages.popLast() {
            handle(message)
        }
    }

    private mutating func advance(_ chore: Chore) {
        let isMore =
            switch chore {
            case .routes(let adoption): advance(adoption)
            case .service(let build): advance(build)
            case .report(let draft): advance(draft)
            case .use(let draft): advance(draft)
            }
        if !isMore { mail.chore = nil }
    }

    /// Does what was begun to its end.
    mutating func finishChore() {
        while let chore = mail.chore { advance(chore) }
    }

    /// Gives everything back that is not used any more.
    mutating func finishReleasing() {
        while !mail.retired.isEmpty { releaseRetired() }
    }

    private mutating func handle(_ message: WorkerMessage) {
        switch message {
        case .routes(let routes): mail.chore = .routes(RouteAdoption(routes))
        case .update(let snapshot): adopt(snapshot)
        case .remove(let key): removeService(key)
        case .report(let id): mail.chore = .report(beginReport(id))
        case .explain(let id, let request): outbox.post(.explanation(id: id, explain(request)))
        case .drain: beginDrain()
        case .stop: running = false
        }
    }
}
