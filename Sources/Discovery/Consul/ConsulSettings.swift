import Configuration
import Runtime

/// What the address of a Consul registry says.
struct ConsulSettings: Equatable {
    /// `http://host:port` or `https://host:port` of each agent, with the path in front of `/v1` if there is one.
    var agents: [String]
    /// ACL token; empty sends none.
    var token = ""
    /// Datacentre; empty for the agent's own.
    var datacentre = ""
    /// Tags that an instance must all have.
    var tags: [String] = []
    /// Leave hosts out of which a check warns.
    var passingOnly = false
    /// Plain tags that are an instance's version where nothing else says one.
    var versionTags: Set<String> = []
    /// How long a blocking query may hang.
    var wait: Duration = .seconds(30)
    /// Blocking queries under way at one time. An agent takes 200 connections of one address.
    var mostBlocking = 100
    /// With more services than that, each is asked for once in this time.
    var round: Duration = .seconds(10)
    /// The shortest time a query hangs then: very many services make the round longer, not the queries more.
    var shortestWait: Duration = .seconds(1)
    /// How often one service is asked for when every query returns at once.
    var pace: Duration = .seconds(1)
    /// The same where nothing has changed each time.
    var slowPace: Duration = .seconds(5)
    /// Longest time for an exchange that does not hang, and for what a hanging one takes beside that.
    var timeout: Duration = .seconds(5)
    /// Largest answer that is taken, in bytes.
    var largestAnswer = 64 << 20
    /// How long an agent that was away is left alone.
    var agentBackoff = Backoff(cap: .seconds(5))
    /// How long a service is left alone that was refused or answered with nonsense.
    var refusalBackoff = Backoff(first: .seconds(2), cap: .seconds(30))
    /// For how long a registration lives without being renewed.
    var timeToLive: Duration = .seconds(15)
    /// After how long without renewal Consul takes a registration out; it takes no less than a minute.
    var removeAfter: Duration = .seconds(60)

    init(agents: [String]) { self.agents = agents }

    init(_ url: RegistryURL, poll: Duration) throws(InvalidValue) {
        self.init(agents: url.origins.map { $0 + url.path })
        token = url.password
        datacentre = url.parameters["dc"] ?? ""
        tags = Self.list(url.parameters["tag"])
        versionTags = Set(Self.list(url.parameters["version-tags"]))
        round = poll * 5
        switch url.parameters["passing"] {
        case nil, "false": break
        case "true": passingOnly = true
        case let value?:
            throw InvalidValue("the parameter passing is true or false, not \(value.debugDescription)")
        }
    }

    private static func list(_ text: String?) -> [String] {
        (text ?? "").split(separator: ",").map(String.init)
    }
}

/// What an agent is asked about a service.
struct ConsulQuery: Equatable {
    let service: String
    /// What the answer must be newer than, and how long to wait for that; nil answers at once.
    var after: (index: UInt64, wait: Duration)?

    static func == (left: Self, right: Self) -> Bool {
        left.service == right.service && left.after?.index == right.after?.index
            && left.after?.wait == right.after?.wait
    }

    /// Path and query behind an agent's base.
    func target(_ settings: ConsulSettings) -> String {
        // A follower's answer is as good, and there is one while no leader is.
        var query = "stale="
        if let after {
            query += "&index=\(after.index)&wait=\(max(1, after.wait.nanoseconds / 1_000_000))ms"
        }
        if !settings.datacentre.isEmpty {
            query += "&dc=" + PercentEncoding.encode(settings.datacentre)
        }
        for tag in settings.tags { query += "&tag=" + PercentEncoding.encode(tag) }
        return "/v1/health/service/\(PercentEncoding.encode(service))?\(query)"
    }

    /// Consul adds up to a sixteenth to the wait, so that not all queries end together.
    func timeout(_ settings: ConsulSettings) -> Duration {
        guard let after else { return settings.timeout }
        return after.wait + after.wait / 16 + settings.timeout
    }
}
