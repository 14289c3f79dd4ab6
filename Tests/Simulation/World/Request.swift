/// A request of a client, from its first byte to its end.
final class Request {
    enum Outcome: Equatable {
        /// A whole answer. `host` is nil when Greymesh answered itself.
        case answered(status: Int, host: Int?)
        /// An answer that ended in the middle, and the client could see it.
        case cut
        /// The connection ended instead.
        case unanswered
        /// The client has gone, or nobody expects an answer.
        case given
    }

    let number: Int
    let plan: RequestPlan
    let client: Int
    /// Its head is sent, or a part of it; the worker may have it from then on.
    var headSentAt: Int64?
    /// All of its head is.
    var headDoneAt: Int64?
    /// Its turn has come on its connection, too.
    var startedAt: Int64?
    /// Its last byte is sent.
    var isSent = false
    var endedAt: Int64?
    var outcome: Outcome?
    /// The status of its answer as it was written, and whether that was an error of our own that does not look like one.
    var rawStatus: Int?
    /// Hosts that have seen its head, and what each did.
    var seen: [(host: Int, reaction: Reaction)] = []
    /// Hosts that it came to on a connection that they had kept open: one that closes it then may just not have wanted it any more.
    var staleHosts: Set<Int> = []
    /// Hosts that have seen the whole of it.
    var wholeAt: [Int] = []
    /// When the whole answer of a host was on the worker's side of a connection.
    private(set) var deliveredAt: Int64?
    /// One read takes the answer, and all that is in front of it, as soon as the worker looks at the connection.
    private(set) var isReadAtOnce = false
    /// Hosts that are in no hurry with it.
    var holders = 0
    /// Since when nothing but a wait before a further try keeps it, as far as was looked, and how many hosts had seen it by then.
    var idle: (since: Int64, seen: Int)?
    /// Its client did not read, or half-closed, while it was in flight.
    var wasPaused = false
    /// The service was listed when it began.
    var wasKnown = false
    /// The client has read the head of an answer: the deadline is kept.
    var hasAnswer = false
    /// Time that the process was frozen, or could not accept, meanwhile.
    var lostTime: Int64 = 0
    /// The client has sent something wrong or has aborted on this connection.
    var isDoomed = false
    /// It is the copy of one, which no client waits for.
    var isCopy = false
    /// Its copy, where a host has seen one.
    var copy: Request?
    /// Multiplexed protocols: the id by which hosts know it. A copy has another one.
    var workersID: Int64?
    /// Somebody's output of a tunnel: what was sent and what has arrived.
    var tunnel = Tunnel()

    struct Tunnel {
        struct HostSide {
            var received = 0
            var sawEnd = false
            var isClean = true
        }

        var clientSize = 0
        var hostSize = 0
        var atClient = 0
        var clientSawEnd = false
        /// Neither the client nor the host has seen a reset.
        var isClean: Bool { isCleanAtClient && hostSide.isClean }
        var isCleanAtClient = true
        /// The host whose answer the client has. Others may have changed to the protocol as well and were not waited for.
        var host = -1
        var hostSides: [Int: HostSide] = [:]

        var hostSide: HostSide { hostSides[host] ?? HostSide() }
    }

    init(number: Int, plan: RequestPlan, client: Int) {
        self.number = number
        self.plan = plan
        self.client = client
    }

    var isOpen: Bool { outcome == nil }

    /// A host has sent the whole of its answer.
    ///
    /// - Parameter unread: bytes of the connection that the worker has not read.
    func deliver(_ world: World, unread: Int) {
        if deliveredAt != nil { return }
        deliveredAt = world.now
        isReadAtOnce = unread < 2000 && world.plan.shortness == 0 && world.plan.emptiness == 0
    }

    /// Its number is that of a step, unless it is one of the last that must succeed.
    var isProbe: Bool { number >= 1_000_000 }

    /// The reaction of the next host that sees it.
    func nextReaction() -> Reaction { plan.reactions[min(seen.count, plan.reactions.count - 1)] }

    /// Bytes that only this request, or its answer, has.
    static func pattern(_ number: Int, _ size: Int, salt: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: size) { bytes, count in
            for index in 0..<size { bytes[index] = UInt8(truncatingIfNeeded: number &* 131 &+ index &* 7 &+ salt) }
            count = size
        }
    }

    static let requestSalt = 1
    static let answerSalt = 5
}
