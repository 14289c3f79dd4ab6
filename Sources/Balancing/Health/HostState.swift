/// Why a host of a version gets no requests, as the control plane tells the workers; empty: it gets them.
///
/// It belongs to a host in one version: an address that two versions list may be out in one of them alone. What a worker sees of
/// connections belongs to the address, and stands in its `Endpoint`.
public struct HostState: OptionSet, Hashable, Sendable {
    /// One bit for each reason.
    public let rawValue: UInt8

    /// - Parameter rawValue: one bit for each reason.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// What it has answered had it ejected.
    public static let ejected = HostState(rawValue: 1)
    /// Its health checks have failed.
    public static let unhealthy = HostState(rawValue: 2)
}
