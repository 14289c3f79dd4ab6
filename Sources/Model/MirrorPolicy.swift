/// Requests of a service, or of one of its versions, that are copied to another version: to see how it bears them.
public struct MirrorPolicy: Equatable, Sendable {
    /// The version whose hosts get the copies; nil: nothing is copied.
    public var version: String?
    /// How many requests are copied, in thousandths of a percent, 1 to `FaultPolicy.all`.
    public var share = FaultPolicy.all

    /// Nothing is copied.
    public init() {}

    /// Nothing is copied.
    public var isOff: Bool { version == nil }
}
