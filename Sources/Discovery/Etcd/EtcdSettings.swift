import Configuration
import Model
import Runtime

/// What the address of an etcd registry says.
struct EtcdSettings: Equatable {
    struct Credentials: Equatable {
        var user: String
        var password: String
    }

    /// `http://host:port` or `https://host:port` of each member.
    var servers: [String]
    /// Name and password; nil logs in nowhere.
    var credentials: Credentials?
    /// How applications stand there.
    var layouts = EtcdLayout.usual
    /// What Greymesh itself is registered as, HTTP applications.
    var registrationLayout = EtcdLayout(.kratos)
    /// Longest time for one exchange. etcd itself gives up after 7 s without a quorum.
    var timeout: Duration = .seconds(5)
    /// How often the cluster is asked whether it still is the one that is watched.
    var probePeriod: Duration = .seconds(15)
    /// Longest silence of the watch: etcd says something every 10 minutes.
    var idle: Duration = .seconds(660)
    /// After this time without a first answer a member's own copy is read.
    var staleAfter: Duration = .seconds(1)
    /// A change of what is watched waits this long for others, and this much follows the last.
    var gatherTime: Duration = .milliseconds(20)
    var reopenPause: Duration = .seconds(1)
    /// Prefixes asked for in one exchange: an answer is cut into its parts in one go. etcd takes up to 128.
    var batch = 8
    /// Keys of a prefix asked for in one exchange.
    var pageSize = 64
    /// Exchanges that read, under way at one time.
    var mostReads = 4
    /// Most keys of one prefix.
    var mostKeys = 100_000
    /// Life of a registration after Greymesh was last heard of, in whole seconds of 2 or more.
    var leaseSeconds = 15
    /// How often registrations are renewed; with every third renewal it is seen to that nobody has deleted them.
    var renewalPeriod: Duration = .seconds(5)
    /// Largest answer and longest line of the watch, in bytes.
    var largestAnswer = 32 << 20
    /// How long a member that was away is left alone.
    var serverBackoff = Backoff(first: .milliseconds(200), cap: .seconds(5))

    init(servers: [String]) { self.servers = servers }

    init(_ url: RegistryURL) throws(InvalidValue) {
        guard url.path.isEmpty else { throw InvalidValue("an etcd URL has no path; prefixes stand in layout=") }
        self.init(servers: url.origins)
        if !url.user.isEmpty { credentials = Credentials(user: url.user, password: url.password) }
        if let text = url.parameters["layout"] { layouts = try EtcdLayout.list(text) }
        let known = layouts.first { $0.kind == .kratos || $0.kind == .goZero }
        registrationLayout = known ?? registrationLayout
    }
}

/// A way in which applications stand in etcd, and under which prefix.
struct EtcdLayout: Hashable {
    enum Kind: String, CaseIterable {
        /// `/dubbo/INTERFACE/providers/URL`, and `/services/APPLICATION/HOST:PORT` of dubbo-go 3.
        case dubbo
        /// `/microservices/NAME/ID`.
        case kratos
        /// `NAME/LEASE`.
        case goZero = "go-zero"
        /// `/micro/registry/NAME/ID`.
        case goMicro = "go-micro"

        var usualPrefix: String {
            switch self {
            case .dubbo: "/dubbo"
            case .kratos: "/microservices"
            case .goZero: ""
            case .goMicro: "/micro/registry"
            }
        }

        /// Which services stand in it.
        var services: ServiceKey.Kind { self == .dubbo ? .dubbo : .http }
    }

    let kind: Kind
    /// Without a slash at its end; empty for none.
    let prefix: String

    init(_ kind: Kind, prefix: String? = nil) {
        self.kind = kind
        self.prefix = prefix ?? kind.usualPrefix
    }

    /// What is read where the address does not say.
    static let usual = [EtcdLayout(.dubbo), EtcdLayout(.kratos)]

    /// Reads `dubbo,kratos:/team/microservices`.
    static func list(_ text: String) throws(InvalidValue) -> [EtcdLayout] {
        var layouts: [EtcdLayout] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let pair = part.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            guard let kind = Kind(rawValue: String(pair[0])) else {
                let names = Kind.allCases.map(\.rawValue)
                let near = NearestName.hint(for: String(pair[0]), among: names)
                throw InvalidValue(
                    "\"\(pair[0])\" is not a layout; known are \(names.joined(separator: ", "))\(near)")
            }
            var prefix = pair.count == 2 ? String(pair[1]) : kind.usualPrefix
            while prefix.hasSuffix("/") { prefix.removeLast() }
            guard kind == .goZero || !prefix.isEmpty else {
                throw InvalidValue("the layout \(kind.rawValue) needs a prefix, such as \(kind.usualPrefix)")
            }
            guard !layouts.contains(where: { $0.kind == kind || $0.prefix == prefix }) else {
                throw InvalidValue("a layout or prefix is given twice: \(part)")
            }
            layouts.append(EtcdLayout(kind, prefix: prefix))
        }
        return layouts
    }
}
