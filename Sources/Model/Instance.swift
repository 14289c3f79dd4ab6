import Runtime

/// One host of a service as a registry tells it.
public struct Instance: Hashable, Sendable {
    /// Where it listens. Adapters resolve names before they report.
    public var address: SocketAddress
    /// Relative share of the requests, 1 is normal; 0 or less means none.
    public var weight: Double
    /// False where the registry says that it cannot serve or an operator has switched it off.
    public var available: Bool
    /// Labels. Registries' null values are left out.
    public var metadata: Labels
    /// Dubbo and Bolt: the interface version of the service name; empty where it is not known or stands for none, which is
    /// `0.0.0` for Dubbo and `1.0` for Bolt.
    public var interfaceVersion: String
    /// Dubbo: the group of the service name, Bolt: its unique id; empty where there is none.
    public var group: String

    /// An instance.
    public init(
        address: SocketAddress, weight: Double = 1, available: Bool = true, metadata: Labels = [:],
        interfaceVersion: String = "", group: String = ""
    ) {
        self.address = address
        self.weight = weight
        self.available = available
        self.metadata = metadata
        self.interfaceVersion = interfaceVersion
        self.group = group
    }
}
