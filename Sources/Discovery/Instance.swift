import Runtime

/// What applications call: the key under which instances are discovered and requests are routed.
public struct ServiceKey: Hashable, Sendable, CustomStringConvertible {
    /// How names of a kind stand in a registry.
    public enum Kind: String, Hashable, Sendable {
        /// An application name: `order-service`.
        case http
        /// A Dubbo interface: `com.acme.OrderService`. One key covers all its versions and groups.
        case dubbo
        /// A SOFA RPC interface over Bolt: `com.acme.OrderService`. One key covers all its unique ids. Nothing forwards it yet.
        case sofa
    }

    /// Which kind of name it is.
    public let kind: Kind
    /// The application or interface name.
    public let name: String

    /// A key.
    public init(kind: Kind, name: String) {
        self.kind = kind
        self.name = name
    }

    /// `dubbo:com.acme.OrderService`
    public var description: String { "\(kind.rawValue):\(name)" }

    /// By bytes, as requests name services. Texts are equal, too, when they only look the same ("é" as one character or as two),
    /// and a worker would have two services where the control plane has one.
    public static func == (left: ServiceKey, right: ServiceKey) -> Bool {
        left.kind == right.kind && left.name == right.name && left.name.utf8.elementsEqual(right.name.utf8)
    }
}

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
    /// Dubbo: the interface version of the service name; empty where there is none or it is `0.0.0`.
    public var interfaceVersion: String
    /// Dubbo: the group of the service name, SOFA RPC: its unique id; empty where there is none.
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
