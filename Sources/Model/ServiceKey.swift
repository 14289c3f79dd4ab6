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
