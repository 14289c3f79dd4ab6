import Runtime

/// Logging in to Nacos: keeps a token fresh. Knows when and how; sending is the client's.
struct NacosSession {
    /// What must happen before a question can be sent.
    enum Need: Equatable {
        /// Nothing.
        case nothing
        /// A login now.
        case login
        /// A login is under way.
        case waiting
        /// A login got no answer; the next may be tried after this time.
        case pause(Duration)
    }

    private let credentials: NacosSettings.Credentials?
    private(set) var token: String?
    /// Why the last login was refused. Until the next one, questions go without a token: the server may not want one.
    private(set) var refusal: String?
    private var renewAt: Int64 = 0
    private var isLoggingIn = false
    private var notBefore: Int64 = 0
    private var backoff = Backoff(first: .seconds(5), cap: .seconds(60))
    /// Servers of 3.x without compatibility have the newer path only.
    private var usesNewPath = false
    private var triedBothPaths = false

    init(_ credentials: NacosSettings.Credentials?) { self.credentials = credentials }

    var hasCredentials: Bool { credentials != nil }

    /// What a question sent now needs.
    func need(now: Int64) -> Need {
        guard credentials != nil else { return .nothing }
        let canSend = token != nil || refusal != nil
        if isLoggingIn { return canSend ? .nothing : .waiting }
        if token != nil && now < renewAt { return .nothing }
        if now >= notBefore { return .login }
        return canSend ? .nothing : .pause(.nanoseconds(notBefore - now))
    }

    /// Begins a login: its request for a server.
    mutating func begin(_ server: String) -> HTTPRequest {
        isLoggingIn = true
        let path = usesNewPath ? "/v3/auth/user/login" : "/v1/auth/login"
        let form = PercentEncoding.form([
            ("username", credentials?.user ?? ""), ("password", credentials?.password ?? ""),
        ])
        return HTTPRequest(
            "POST", server + path, headers: [("Content-Type", "application/x-www-form-urlencoded")],
            body: Array(form.utf8), maximumBody: 1 << 20)
    }

    /// Takes a login's answer. Returns why it was refused; nil when there is a token or the other path is to be tried.
    mutating func finish(_ response: HTTPResponse, now: Int64) -> String? {
        isLoggingIn = false
        if response.status == 200, let (token, lifetime) = NacosAnswer.token(response.body) {
            self.token = token
            refusal = nil
            // As Nacos' own client: when a tenth of its life is left.
            renewAt = now + lifetime.nanoseconds / 10 * 9
            backoff.succeeded()
            notBefore = 0
            triedBothPaths = false
            return nil
        }
        if [404, 410, 501].contains(response.status) && !triedBothPaths {
            usesNewPath.toggle()
            triedBothPaths = true
            return nil
        }
        triedBothPaths = false
        notBefore = now + backoff.failed().nanoseconds
        // The words of the answer are left out: what a server makes of a password is not for the log.
        refusal = "login refused with status \(response.status)"
        return refusal
    }

    /// A login that got no answer.
    mutating func abandon(now: Int64) {
        isLoggingIn = false
        notBefore = now + Duration.milliseconds(500).jittered.nanoseconds
    }

    /// A server refused this token.
    mutating func reject(_ refused: String) {
        if token == refused { token = nil }
    }
}
