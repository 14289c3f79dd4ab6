import Runtime

/// Whose requests a service, or one of its versions, takes. The others are refused before a host gets them.
public struct AccessPolicy: Equatable, Sendable {
    /// Where clients may be; empty: anywhere.
    public var allow: [AddressRange] = []
    /// Where they may not be, though `allow` names it.
    public var deny: [AddressRange] = []

    /// Everybody.
    public init() {}

    /// Everybody's are taken.
    public var isOff: Bool { allow.isEmpty && deny.isEmpty }

    /// Whether requests of a client are taken.
    public func takes(_ client: SocketAddress) -> Bool {
        if deny.contains(where: { $0.contains(client) }) { return false }
        return allow.isEmpty || allow.contains { $0.contains(client) }
    }

    /// Most ranges of a list.
    public static let mostRanges = 256
}
