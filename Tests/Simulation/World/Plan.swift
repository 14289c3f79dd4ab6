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
    var steps: [Step] = []
}

struct ServicePlan {
    enum Kind: String {
        case http
        case dubbo
    }

    let kind: Kind
    let name: String
    /// Numbers of its hosts in the world.
    let hosts: Range<Int>
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
    case open(client: Int, kind: ServicePlan.Kind)
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
    /// Dubbo: no new requests, please; the other way round; and a heartbeat.
    case readonly(host: Int)
    case writeable(host: Int)
    case heartbeat(host: Int)
    case list(service: Int, Listing)
    case remove(service: Int)
    case routes(Routes)
    case report
    case drain
    /// The next connects or accepts fail for want of something of our own.
    case failConnects(count: Int, code: Int32)
    case failAccepts(count: Int, code: Int32)
    /// Time in which nothing else happens.
    case time(milliseconds: Int)
    /// The process does not run for a while: what happened meanwhile comes in one batch.
    case freeze(milliseconds: Int)
}

/// What the registries list of a service, and its policy.
struct Listing {
    struct Entry {
        let host: Int
        /// 0 is a host without a version.
        let version: Int
        let weight: Int
    }

    var entries: [Entry] = []
    /// Hosts that are listed beside them and refuse connections; makes a list long.
    var padding = 0
    var isStrict = false
    /// 0 for none.
    var stable = 0
    var timeoutMilliseconds = 2000
    var balancer = 0

    static let versions = ["", "1.0", "2.0"]
}

/// Names that the configuration gives to services.
struct Routes {
    var isPinned = false
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

    var service = 0
    var target = Target.name
    /// Index into `Listing.versions`; 0 asks for none.
    var version = 0
    var method = "GET"
    var framing = Framing.none
    var bodySize = 0
    /// The body stays behind, all but its first bytes, until it is released.
    var isHeldBack = false
    var isVersion10 = false
    var closes = false
    var wantsUpgrade = false
    var expectsContinue = false
    var isOneWay = false
    /// Dubbo: the call's own timeout; 0 for none.
    var timeoutMilliseconds = 0
    /// What the first host does that sees it, the second one, and so on; the last one's counts for further ones.
    var reactions = [Reaction.answer(AnswerPlan())]

    /// May be sent to a host twice.
    var isIdempotent: Bool { method != "POST" && method != "PATCH" }
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
    /// The connection ends with it.
    var closes = false
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
    /// Dubbo: another id first, or the answer twice.
    case wrongID
    case twice
    /// Dubbo: not executed, others may take it.
    case exhausted
    /// HTTP: 101, asked for or not.
    case upgrade
}
