import Configuration
import FoundationEssentials
import Runtime

/// What the address of a Eureka registry says.
struct EurekaSettings: Equatable {
    /// `http://host:port/eureka` of each server.
    var servers: [String]
    /// The value of the header `Authorization`; nil sends none.
    var authorization: String?
    /// Which of an instance's fields is dialled.
    var usesHostName = false
    /// Time between two polls.
    var poll: Duration = .seconds(5)
    /// The whole list is read at least this often: changes of changes can go unnoticed.
    var fullPeriod: Duration = .seconds(300)
    /// Servers keep changes for three minutes, and answer from a cache that is renewed each half minute.
    var longestGap: Duration = .seconds(150)
    /// Longest time for one exchange.
    var timeout: Duration = .seconds(10)
    /// Largest answer that is taken, in bytes.
    var largestAnswer = 256 << 20
    /// How long a server that was away is left alone.
    var serverBackoff = Backoff(cap: .seconds(5))
    /// How long a whole list is not read again because changes do not add up.
    var mismatchBackoff = Backoff(first: .seconds(10), cap: .seconds(120))
    /// For how long the whole list is read in place of changes after a server has refused those.
    var changesBackoff = Backoff(first: .seconds(60), cap: .seconds(3600))
    /// How long a registration waits between two heartbeats; the server forgets it after three times that.
    var heartbeat: Duration = .seconds(30)

    /// Answers come from a cache that servers renew every 30 s by default: to ask more often finds nothing more.
    static let shortestPoll = Duration.seconds(5)
    /// Servers count on a heartbeat each half minute: fewer look to them as if the network had failed.
    static let heartbeatRange = Duration.seconds(1)...Duration.seconds(30)

    init(servers: [String]) { self.servers = servers }

    init(_ url: RegistryURL, poll: Duration) throws(InvalidValue) {
        let path = url.path.isEmpty ? "/eureka" : url.path
        self.init(servers: url.origins.map { $0 + path })
        if !url.user.isEmpty {
            let credentials = Data("\(url.user):\(url.password)".utf8).base64EncodedString()
            authorization = "Basic \(credentials)"
        }
        self.poll = max(poll, Self.shortestPoll)
        if let text = url.parameters["heartbeat"] {
            heartbeat = try SettingValue.duration(text, in: Self.heartbeatRange)
        }
        switch url.parameters["address"] {
        case nil, "ip": break
        case "hostname": usesHostName = true
        case let value?: throw InvalidValue("the parameter address is ip or hostname, not \(value.debugDescription)")
        }
    }

    /// Headers of every request.
    var headers: [(name: String, value: String)] {
        // Alone: with another type beside it some servers answer JSON under the name of XML.
        [("Accept", "application/json")] + (authorization.map { [("Authorization", $0)] } ?? [])
    }
}
