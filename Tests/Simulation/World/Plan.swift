/// What a run does: everything follows from its seed.
struct Plan {
    var services: [ServicePlan] = []
    /// Whether an access log is written.
    var hasLog = false
    /// Of 256 peers so many act before the worker looks for events; all do when nothing else happens.
    var eagerness: UInt64 = 256
    var shortness: UInt64 = 0
    var emptiness: UInt64 = 0
    var bufferSize = 65_536
    /// Of 256 turns of a worker so many take long.
    var slowness: UInt64 = 0
    var steps: [Step] = []

    /// Longest body of a frame.
    static let bodyLimit = 120_000

    /// The service that alias and path mean.
    var firstHTTP: Int? { services.firstIndex { $0.kind == .http && !$0.isInbound } }

    var doors: [Door] {
        [.outbound(.http), .outbound(.dubbo), .outbound(.bolt)]
            + services.indices.filter { services[$0].isInbound }.map { .inbound($0) }
    }

    func door(_ service: Int) -> Door {
        services[service].isInbound ? .inbound(service) : .outbound(services[service].kind)
    }

    func kind(of door: Door) -> ServicePlan.Kind {
        switch door {
        case .outbound(let kind): kind
        case .inbound(let service): services[service].kind
        }
    }
}

struct ServicePlan {
    enum Kind: String {
        case http
        case dubbo
        case bolt
    }

    let kind: Kind
    let name: String
    /// Numbers of its hosts in the world.
    let hosts: Range<Int>
    /// The application behind a listener of its own, whatever its requests name.
    var isInbound = false
}

/// A listener.
enum Door: Hashable {
    /// Requests name their service.
    case outbound(ServicePlan.Kind)
    /// All requests are for one application.
    case inbound(Int)
}

/// Something that happens, and when.
struct Step {
    enum Gap {
        /// In the same moment as the step before it.
        case together
        /// After the worker has looked for events so many times.
        case turns(Int)
        /// When nothing else can happen.
        case quiet
    }

    let action: Action
    let gap: Gap
}

/// What can happen.
enum Action {
    case open(client: Int, Door)
    case request(client: Int, RequestPlan)
    /// The client sends what it has held back.
    case release(client: Int)
    case halfClose(client: Int)
    case close(client: Int)
    case reset(client: Int)
    case pause(client: Int)
    case resume(client: Int)
    /// Something that is not the protocol.
    case garbage(client: Int)
    /// Frames: is the connection alive?
    case ping(client: Int)
    /// A host refuses connections; those that are there stay.
    case refuse(host: Int)
    /// A host takes connections (again).
    case accept(host: Int)
    /// A host's process dies: connections are reset, new ones refused.
    case crash(host: Int)
    /// Neither connections nor bytes are answered.
    case hang(host: Int)
    /// Connections without a request end.
    case closeIdle(host: Int)
    /// Frames: no new requests, please; the other way round; and a heartbeat.
    case readonly(host: Int)
    case writeable(host: Int)
    case heartbeat(host: Int)
    /// A host sends what nobody has asked for.
    case chatter(host: Int, Chatter)
    case list(service: Int, Listing)
    case remove(service: Int)
    case routes(Routes)
    case report
    /// How would the request be decided? Then it is sent.
    case inquire(RequestPlan)
    case drain
    /// Another process takes over.
    case upgrade
    /// The next connects or accepts fail for want of something of our own.
    case failConnects(count: Int, code: Int32)
    case failAccepts(count: Int, code: Int32)
    /// Time in which nothing else happens.
    case time(milliseconds: Int)
    /// The process does not run for a while: what happened meanwhile, steps of the same moment too, comes in one batch.
    case freeze(milliseconds: Int)
}

/// What a host says that nobody has asked.
enum Chatter: String {
    /// An answer: to no request, or to one that another host has.
    case answer
    /// A request of its own.
    case request
    /// An answer that is too long for anybody.
    case oversized
}

/// Names that the configuration gives to services.
struct Routes {
    /// Services that it names.
    var pinned: [Int] = []
    /// Further host name of the first HTTP service, and a path prefix of it.
    var hasAlias = false
    var hasPath = false
}

/// One request and what becomes of it at the hosts that see it.
struct RequestPlan {
    enum Target {
        case name
        case alias
        /// The path decides; the host name is of nobody.
        case path(stranger: Int)
    }

    enum Framing {
        case none
        case length
        case chunked
    }

    enum Holding {
        case none
        /// A part of the head, or of the frame, stays behind until it is released.
        case head
        /// The body does, all but its first bytes.
        case body
    }

    static let stickyName = "x-user"

    var service = 0
    var target = Target.name
    /// Index into `Listing.versions`; 0 asks for none.
    var version = 0
    /// What a split may stick to; 0 for nothing.
    var user = 0
    var method = "GET"
    var framing = Framing.none
    var bodySize = 0
    var holding = Holding.none
    var isVersion10 = false
    var closes = false
    var wantsUpgrade = false
    var expectsContinue = false
    var isOneWay = false
    /// Frames: the request's own timeout; 0 for none.
    var timeoutMilliseconds = 0
    /// What the first host does that sees it, the second one, and so on; the last one's counts for further ones.
    var reactions = [Reaction.answer(AnswerPlan())]

    /// May be sent to a host twice.
    var isIdempotent: Bool { method != "POST" && method != "PATCH" }
    var isHeldBack: Bool { holding != .none }
    /// As a frame: longer than is taken.
    var isTooLong: Bool { framing == .none && bodySize > Plan.bodyLimit }
}

struct AnswerPlan {
    enum Framing {
        case length
        case chunked
        case untilClose
    }

    var size = 20
    var framing = Framing.length
    var delayMilliseconds = 0
    /// It comes in two pieces with a pause between them.
    var isBroken = false
    /// The connection ends with it, if need be by a reset.
    var closes = false
    var resets = false
    var hasInterim = false
}

enum Reaction {
    case answer(AnswerPlan)
    /// An answer of the host with another status.
    case status(Int)
    /// An answer before the body is read, and the end.
    case early(Int)
    case silent
    /// The beginning of an answer, and nothing more.
    case stall
    /// The beginning of an answer, and the connection's end.
    case cut(asReset: Bool)
    case reset
    case hangUp
    case garbage
    /// Another id first, or the answer twice; over HTTP more than it has announced, or twice.
    case wrongID
    case twice
    /// An answer that is longer than the limit; over HTTP its head.
    case oversized
    /// Frames: not executed, others may take it.
    case exhausted
    /// HTTP: 101, asked for or not.
    case upgrade
}
