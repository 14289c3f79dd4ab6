/// What a server is asked. Paths begin with a slash and are absolute, the chroot included.
enum ZooKeeperRequest: Equatable {
    /// The names below a node. With a watch, which fires once when they change or the node goes.
    case children(String, watch: UInt64)
    /// A node's data. With a watch, which fires once when it changes or the node goes.
    case data(String, watch: UInt64)
    /// Whether there is a node. With a watch, which fires once when it comes, changes or goes; 0 for none.
    case exists(String, watch: UInt64)
    /// A new node.
    case create(String, data: [UInt8], isEphemeral: Bool, isOwnerOnly: Bool)
    /// New data for a node.
    case set(String, data: [UInt8])
    /// Takes a node away.
    case delete(String)
    /// Takes the watches of a node back: those of `children`, or those of `data` and `exists`.
    case forget(String, isChildren: Bool)
}

extension ZooKeeperRequest {
    /// Numbers of messages that are not answered in turn.
    enum Number {
        static let event: Int32 = -1
        static let ping: Int32 = -2
        static let login: Int32 = -4
    }

    private enum Operation {
        static let create: Int32 = 1
        static let delete: Int32 = 2
        static let exists: Int32 = 3
        static let data: Int32 = 4
        static let set: Int32 = 5
        static let children: Int32 = 8
        static let ping: Int32 = 11
        static let removeWatches: Int32 = 18
        static let login: Int32 = 100
        static let close: Int32 = -11
    }

    /// Any version of a node.
    private static let anyVersion: Int32 = -1

    /// Appends the message.
    func write(_ output: inout JuteWriter, number: Int32) {
        output.frame {
            $0.put(number)
            switch self {
            case .children(let path, let watch): Self.putRead(&$0, Operation.children, path, watch)
            case .data(let path, let watch): Self.putRead(&$0, Operation.data, path, watch)
            case .exists(let path, let watch): Self.putRead(&$0, Operation.exists, path, watch)
            case .create(let path, let data, let isEphemeral, let isOwnerOnly):
                $0.put(Operation.create)
                $0.put(path)
                $0.put(data)
                Self.putRights(&$0, isOwnerOnly: isOwnerOnly)
                $0.put(Int32(isEphemeral ? 1 : 0))
            case .set(let path, let data):
                $0.put(Operation.set)
                $0.put(path)
                $0.put(data)
                $0.put(Self.anyVersion)
            case .delete(let path):
                $0.put(Operation.delete)
                $0.put(path)
                $0.put(Self.anyVersion)
            case .forget(let path, let isChildren):
                $0.put(Operation.removeWatches)
                $0.put(path)
                $0.put(Int32(isChildren ? 1 : 2))
            }
        }
    }

    /// Appends a sign of life.
    static func writePing(_ output: inout JuteWriter) {
        output.frame {
            $0.put(Number.ping)
            $0.put(Operation.ping)
        }
    }

    /// Appends a login by `USER:PASSWORD`.
    static func writeLogin(_ output: inout JuteWriter, _ credentials: String) {
        output.frame {
            $0.put(Number.login)
            $0.put(Operation.login)
            // A kind that is always 0.
            $0.put(Int32(0))
            $0.put("digest")
            $0.put(credentials)
        }
    }

    /// Appends the session's end.
    static func writeClose(_ output: inout JuteWriter, number: Int32) {
        output.frame {
            $0.put(number)
            $0.put(Operation.close)
        }
    }

    private static func putRead(_ output: inout JuteWriter, _ operation: Int32, _ path: String, _ watch: UInt64) {
        output.put(operation)
        output.put(path)
        output.put(watch != 0)
    }

    /// Everybody may do everything, or only who has the same credentials.
    private static func putRights(_ output: inout JuteWriter, isOwnerOnly: Bool) {
        let everything: Int32 = 31
        output.put(Int32(1))
        output.put(everything)
        output.put(isOwnerOnly ? "auth" : "world")
        output.put(isOwnerOnly ? "" : "anyone")
    }
}

extension ZooKeeperRequest {
    /// As ZooKeeper calls it. Paths are not told: those of providers may hold a token.
    var name: String {
        switch self {
        case .children: "getChildren"
        case .data: "getData"
        case .exists: "exists"
        case .create: "create"
        case .set: "setData"
        case .delete: "delete"
        case .forget: "removeWatches"
        }
    }
}
