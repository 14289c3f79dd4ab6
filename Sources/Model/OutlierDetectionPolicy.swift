/// When a host of a version gets no requests for a while because of what it has answered. It is compared within its own version.
public struct OutlierDetectionPolicy: Equatable, Sendable {
    /// Whether answers are watched at all.
    public var isOn = false
    /// Failures in a row, as one worker sees them, that have a host ejected, 1 to 1000; nil: they do not matter.
    public var consecutive: Int? = 5
    /// Share of failed requests in an interval, in percent, from which on a host is ejected, 1 to 100; nil: it does not matter.
    public var errorRate: Int? = 50
    /// Requests that a host must have had in the interval for its rate and its median to count, 1 to 1,000,000.
    public var requests = 20
    /// The time over which rates and medians are taken, 1 s to 1 h.
    public var interval: Duration = .seconds(10)
    /// How long the first ejection lasts, 1 s to 1 h; each further one lasts twice as long as the one before.
    public var ejection: Duration = .seconds(30)
    /// The largest share of a version's hosts that is ejected at the same time, in percent, 0 to 100; rounded down.
    public var maxEjected = 50
    /// How many times as long as the version's hosts in general a host may take to answer, 2 to 100; nil: it does not matter.
    public var latency: Int?

    /// The defaults: off.
    public init() {}

    /// The longest ejection, in times of the first.
    public static let longestEjection = 10
}

extension ServiceKey.Kind {
    /// Whether a status of an answer says that the host is ill, and not that the request is wrong.
    ///
    /// Dubbo: the server ran out of time (31), a service (70) or the server itself (80) failed outside of the called method, or there is
    /// no thread (100). What it says of the request (40, 60), of a result that cannot be written (50), and what only a client makes
    /// (25, 30, 35, 90) are none. Bolt: errors of the server (1, 2, 3), no thread (4), what stands behind it (5, 7); not a missing
    /// processor (6), what cannot be read or written (9, 17, 18), and what only a client makes (8, 16). An exception of the called
    /// method is the status of a good answer in both.
    @inlinable
    public func tellsOfIllness(_ status: Int32) -> Bool {
        switch self {
        case .http: status >= 500
        case .dubbo: status == 31 || status == 70 || status == 80 || status == 100
        case .bolt: 1...5 ~= status || status == 7
        }
    }
}
