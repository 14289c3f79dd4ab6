/// What applications call: the key under which instances are discovered and requests are routed.
public struct ServiceKey: Hashable, Sendable, CustomStringConvertible {
    /// How names of a kind stand in a registry.
    public enum Kind: String, CaseIterable, Hashable, Sendable {
        /// An application name: `order-service`.
        case http
        /// A Dubbo interface: `com.acme.OrderService`. One key covers all its versions and groups.
        case dubbo
        /// A SOFA RPC interface over Bolt: `com.acme.OrderService`. One key covers all its versions and unique ids.
        case bolt

        /// The interface version that stands for none: what calls name that ask for no special one. Empty where services have no
        /// interface version.
        public var noVersion: String {
            switch self {
            case .http: ""
            case .dubbo: "0.0.0"
            case .bolt: "1.0"
            }
        }

        /// An interface version with "none" written in one way: empty.
        public func meaningful(_ version: String) -> String { version == noVersion ? "" : version }
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
