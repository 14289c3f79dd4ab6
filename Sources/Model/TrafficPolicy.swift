/// What holds for a request once it is known which version serves it. A service has one, and each of its versions may have its own.
public struct TrafficPolicy: Equatable, Sendable {
    /// Longest time from a complete request head to a complete response head; a Dubbo or Bolt call's own timeout wins.
    public var timeout: Duration = .seconds(60)
    /// When a request is sent to another host.
    public var retries = RetryPolicy()
    /// When its hosts are ejected for what they answer.
    public var outlierDetection = OutlierDetectionPolicy()
    /// How its hosts are asked whether they serve.
    public var healthCheck = HealthCheckPolicy()

    /// The defaults.
    public init() {}
}
