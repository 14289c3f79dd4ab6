import Runtime

/// Logging in to etcd: when, and with what outcome. Sending is the client's.
///
/// A token lives for some minutes after its last use, and no longer than until a user is changed; only a refused request tells.
struct EtcdSession {
    /// What must happen before a request can be sent.
    enum Need: Equatable {
        case nothing
        case login
        /// A login is under way.
        case waiting
        /// The last login was refused, and it is too early for another.
        case refused(String)
    }

    private let credentials: EtcdSettings.Credentials?
    private(set) var token: String?
    private var refusal: String?
    private var notBefore: Int64 = 0
    private var isLoggingIn = false
    /// The cluster wants no logins.
    private var isOff = false
    private var backoff = Backoff(first: .seconds(2), cap: .seconds(60))

    init(_ credentials: EtcdSettings.Credentials?) { self.credentials = credentials }

    var hasCredentials: Bool { credentials != nil }

    func need(now: Int64) -> Need {
        guard credentials != nil, !isOff, token == nil else { return .nothing }
        if isLoggingIn { return .waiting }
        if let refusal, now < notBefore { return .refused(refusal) }
        return .login
    }

    /// Begins a login; its body.
    mutating func begin() -> String {
        isLoggingIn = true
        let (user, password) = (credentials?.user ?? "", credentials?.password ?? "")
        return "{\"name\":\(JSONString.quoted(user)),\"password\":\(JSONString.quoted(password))}"
    }

    /// Takes a login's answer. Returns why it was refused; nil when requests can be sent.
    mutating func finish(_ response: HTTPResponse, now: Int64) -> String? {
        isLoggingIn = false
        if response.status == 200, let token = EtcdText(response.body)?.string("token"), !token.isEmpty {
            self.token = token
            refusal = nil
            backoff.succeeded()
            return nil
        }
        if response.status == 412 {
            isOff = true
            refusal = nil
            return nil
        }
        notBefore = now + backoff.failed().nanoseconds
        // The words of the answer are left out: what a server makes of a password is not for the log.
        refusal = "login refused with status \(response.status)"
        return refusal
    }

    /// A login that got no answer.
    mutating func abandon() { isLoggingIn = false }

    /// A request with this token, nil for none, was refused.
    mutating func reject(_ refused: String?) {
        isOff = false
        if token == refused { token = nil }
    }
}
