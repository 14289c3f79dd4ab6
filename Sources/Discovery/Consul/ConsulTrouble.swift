import Runtime

/// How an answer came about.
struct ConsulExchange: Equatable {
    /// Which agent gave it.
    let agent: Int
    /// For how long the query might hang; nil: it was to be answered at once.
    let wait: Duration?
    /// How long it took.
    let time: Duration

    /// It hung until its time was over.
    var isQuiet: Bool { wait.map { time >= $0 * 0.9 } ?? false }
}

/// What an answer says that is not a list.
enum ConsulTrouble: Equatable {
    /// The agent cannot serve anybody.
    case away(String)
    /// The query was refused.
    case refused(String)
    /// There are too many connections or queries.
    case tooMany(String)

    /// Nil for an answer with a list.
    ///
    /// - Parameter token: what must not be told, whatever the agent makes of it.
    init?(_ response: HTTPResponse, hiding token: String) {
        let words = Excerpt.words(response, hiding: token)
        switch response.status {
        case 200: return nil
        case 429: self = .tooMany(words)
        case 502, 503, 504: self = .away(words)
        case 500:
            // While a leader is elected, or when no server of the cluster can be reached.
            let isCluster = ["No cluster leader", "rpc error", "No known Consul servers"].contains {
                response.text.contains($0)
            }
            self = isCluster ? .away(words) : .refused(words)
        case 401, 403: self = .refused("the ACL token is not good for this: " + words)
        default: self = .refused(words)
        }
    }
}
