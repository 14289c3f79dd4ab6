/// What holds for a request once it is known which version serves it. A service has one, and each of its versions may have its own.
public struct TrafficPolicy: Equatable, Sendable {
    /// Longest time from a complete request head to a complete response head; a Dubbo or Bolt call's own timeout wins.
    public var timeout: Duration = .seconds(60)
    /// When a request is sent to another host.
    public var retries = RetryPolicy()
    /// How much may be in flight at a time.
    public var circuitBreaker = CircuitBreakerPolicy()
    /// A limit for what is in flight that is found from how long answers take.
    public var adaptsConcurrency = false
    /// How many requests may come in a time.
    public var rateLimit = RateLimitPolicy()
    /// Longest time that an HTTP answer, stream or tunnel may be silent; nil: `limits.idle_timeout`.
    public var streamIdle: Duration?
    /// What is done to some requests on purpose.
    public var fault = FaultPolicy()
    /// Which requests are copied to another version.
    public var mirror = MirrorPolicy()
    /// Whose requests are taken.
    public var access = AccessPolicy()
    /// A version's: its requests in flight count for themselves, not together with those of its service.
    public var hasOwnBreaker = false
    /// A version's: its requests count for themselves in the rate limit, not together with those of its service.
    public var hasOwnRate = false
    /// When its hosts are ejected for what they answer.
    public var outlierDetection = OutlierDetectionPolicy()
    /// How its hosts are asked whether they serve.
    public var healthCheck = HealthCheckPolicy()

    /// The defaults.
    public init() {}

    /// Requests in flight are counted: there is a circuit breaker or an adaptive limit.
    public var limitsWhatIsInFlight: Bool { adaptsConcurrency || !circuitBreaker.isOff }
}
