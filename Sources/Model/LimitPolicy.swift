/// How much a service, or one of its versions, may have at a time in the whole process. What goes beyond it is refused at once.
public struct CircuitBreakerPolicy: Equatable, Sendable {
    /// Most requests that hosts have or that wait, for the registries or for a connection; nil: any number.
    public var requests: Int?
    /// Most requests among them that wait; nil: any number.
    public var pending: Int?
    /// Most connections to hosts, those that are not used at the moment included; nil: any number.
    public var connections: Int?

    /// No limit.
    public init() {}

    /// Nothing is limited.
    public var isOff: Bool { requests == nil && pending == nil && connections == nil }

    /// What a limit may be.
    public static let range = 1...1_000_000
}

/// How many requests a service, or one of its versions, may get in a time, in the whole process. What goes beyond it is refused at once.
public struct RateLimitPolicy: Equatable, Sendable {
    /// Requests in a time, which the configuration writes as `100/s`.
    public struct Rate: Equatable, Sendable, CustomStringConvertible {
        /// What the requests are counted in.
        public enum Period: String, CaseIterable, Sendable {
            case second = "s"
            case minute = "m"
            case hour = "h"

            /// How long that is.
            public var seconds: Int {
                switch self {
                case .second: 1
                case .minute: 60
                case .hour: 3600
                }
            }
        }

        /// 1 to 1,000,000.
        public var requests: Int
        /// What they are counted in.
        public var period: Period

        /// So many in a time.
        public init(requests: Int, per period: Period) {
            self.requests = requests
            self.period = period
        }

        /// As the configuration writes it.
        public var description: String { "\(requests)/\(period.rawValue)" }
    }

    /// Nil: any number of requests.
    public var rate: Rate?
    /// Most requests at once after a rest, 1 to 1,000,000; nil: what one second brings.
    public var burst: Int?
    /// What has a rate of its own for each value; nil: all requests together have one.
    public var key: StickyKey?

    /// No limit.
    public init() {}

    /// What a rate or a burst may be.
    public static let range = 1...1_000_000

    /// `burst`, or what stands in for it.
    public var effectiveBurst: Int {
        guard let rate else { return 0 }
        return burst ?? max(1, rate.requests / rate.period.seconds)
    }
}
