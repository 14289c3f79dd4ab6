/// What is done to some requests of a service, or of one of its versions, on purpose: to see how clients bear it.
public struct FaultPolicy: Equatable, Sendable {
    /// How long they wait before they go on, 1 ms to 1 h; nil: not at all.
    public var delay: Duration?
    /// What they are answered with in place of a host's answer; nil: they go to a host. A service looks at a status of its own protocol.
    public var abort: Int?
    /// How many requests it happens to, in thousandths of a percent, 1 to `all`.
    public var share = FaultPolicy.all

    /// Nothing is done.
    public init() {}

    /// Nothing is done.
    public var isOff: Bool { delay == nil && abort == nil }

    /// Every request.
    public static let all = 100_000
}

extension ServiceKey.Kind {
    /// Whether it can be answered with a status on purpose. No two protocols share one.
    public func canAbort(with status: Int) -> Bool {
        switch self {
        case .http: 200...599 ~= status
        case .dubbo, .bolt: hasErrorStatus(status)
        }
    }
}
