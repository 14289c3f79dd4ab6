/// When a request of a service is sent to another host.
public struct RetryPolicy: Equatable, Sendable {
    /// Further tries beside the first, 0 to 5; 0 is none.
    public var attempts = 2
    /// A request of which nothing was sent goes to another host.
    public var onConnect = true
    /// A request whose connection broke before a byte of the answer does.
    public var onReset = false
    /// Statuses of answers after which another host is asked, in ascending order. A service looks at those of its own protocol.
    public var statuses: [Int] = []
    /// Names of methods that may be repeated once something was sent, with `*` at either end or both. Nil: the idempotent ones of
    /// HTTP, none of Dubbo and Bolt.
    public var methods: [String]?
    /// Longest time for one try that can be followed by another; nil is none.
    public var perTryTimeout: Duration?
    /// How long a request waits before its second further try, give or take; twice as long before each one after that. Zero is not at all.
    public var backoff = Duration.milliseconds(25)
    /// After which time without an answer another host is asked as well; nil is never. The first answer counts.
    public var hedge: Duration?
    /// How many of the service's requests in flight may be further tries after something was sent, in percent, 0 to 100.
    public var budget = 20

    /// The defaults.
    public init() {}

    /// Whether requests are repeated of which something was sent.
    public var repeatsWhatWasSent: Bool { onReset || !statuses.isEmpty || hedge != nil }

    /// Most further tries.
    public static let mostAttempts = 5

    /// The causes as the configuration writes them.
    public var causes: [String] {
        (onConnect ? ["connect"] : []) + (onReset ? ["reset"] : []) + statuses.map { "\($0)" }
    }
}

extension ServiceKey.Kind {
    /// Whether a status is an error of the protocol that another host may not have. No two protocols share one.
    public func hasErrorStatus(_ status: Int) -> Bool {
        switch self {
        case .http: 500...599 ~= status
        case .dubbo: [25, 30, 31, 35, 40, 50, 60, 70, 80, 90, 100].contains(status)
        case .bolt: 1...9 ~= status || 16...18 ~= status
        }
    }
}

/// HTTP's methods that are forwarded and known by name.
public enum HTTPMethods {
    /// All of them.
    public static let all = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]
    /// Those that do the same twice as once (RFC 9110, section 9.2.2).
    public static let idempotent = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"]
}

/// A name with `*` at its beginning, at its end, or at both, for any text there.
public struct NamePattern: Equatable, Sendable {
    /// What is compared.
    public let text: String
    /// Anything may stand before it.
    public let isOpenAtStart: Bool
    /// Anything may stand behind it.
    public let isOpenAtEnd: Bool

    /// Reads `find*`, `*All`, `*user*` or `*`.
    public init(_ pattern: String) {
        isOpenAtStart = pattern.hasPrefix("*")
        isOpenAtEnd = pattern.hasSuffix("*")
        text = String(pattern.dropFirst(isOpenAtStart ? 1 : 0).dropLast(isOpenAtEnd && pattern != "*" ? 1 : 0))
    }

    /// Whether a name is one of those that are meant.
    public func matches(_ name: String) -> Bool {
        switch (isOpenAtStart, isOpenAtEnd) {
        case (false, false): name == text
        case (false, true): name.hasPrefix(text)
        case (true, false): name.hasSuffix(text)
        case (true, true): text.isEmpty || name.contains(text)
        }
    }
}
