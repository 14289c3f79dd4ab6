import CZooKeeper

/// What a server is asked. Paths begin with a slash and are absolute, the chroot included.
enum ZooKeeperRequest {
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

/// What a server answers.
enum ZooKeeperReply {
    /// It is done.
    case done
    /// The names below the node.
    case children([String])
    /// The node's data.
    case data([UInt8])
    /// There is a node; the session that it ends with, 0 for none.
    case exists(owner: Int64)
}

/// Why a request has no answer.
enum ZooKeeperError: Error, Equatable {
    /// The connection is lost; whether the server has seen the request is not known.
    case lost
    /// No such node.
    case noNode
    /// These credentials are not allowed to do that.
    case notAllowed
    /// There is such a node already.
    case nodeExists
    /// Another code of the library.
    case code(Int32)

    init(_ code: Int32) {
        switch code {
        case ZNONODE.rawValue: self = .noNode
        case ZNOAUTH.rawValue: self = .notAllowed
        case ZNODEEXISTS.rawValue: self = .nodeExists
        case ZCONNECTIONLOSS.rawValue, ZOPERATIONTIMEOUT.rawValue, ZCLOSING.rawValue, ZINVALIDSTATE.rawValue,
            ZSESSIONEXPIRED.rawValue, ZSESSIONMOVED.rawValue, ZAUTHFAILED.rawValue:
            self = .lost
        default: self = .code(code)
        }
    }
}

extension ZooKeeperError: CustomStringConvertible {
    /// In words.
    var description: String {
        switch self {
        case .lost: "the connection to the server is lost"
        case .noNode: "no such node"
        case .notAllowed: "not allowed (NoAuth): USER:PASSWORD@ in the address is missing or not the owner's"
        case .nodeExists: "the node exists already"
        case .code(let code): "ZooKeeper says \(String(cString: zerror(code)))"
        }
    }
}

/// A request on its way through the library, which calls back exactly once.
private final class Pending {
    let connection: ZooKeeperConnection
    let completion: (Result<ZooKeeperReply, ZooKeeperError>) -> Void

    init(
        _ connection: ZooKeeperConnection, completion: @escaping (Result<ZooKeeperReply, ZooKeeperError>) -> Void
    ) {
        self.connection = connection
        self.completion = completion
    }

    /// The library is done with the request.
    static func finish(_ data: UnsafeRawPointer?, _ code: Int32, _ reply: @autoclosure () -> ZooKeeperReply) {
        guard let data else { return }
        let pending = Unmanaged<Pending>.fromOpaque(data).takeRetainedValue()
        let result: Result<ZooKeeperReply, ZooKeeperError> =
            code == ZOK.rawValue ? .success(reply()) : .failure(ZooKeeperError(code))
        pending.connection.deliver { pending.completion(result) }
    }
}

extension ZooKeeperRequest {
    /// Larger data is not ours: a server takes 1 MiB by default.
    private static let largestData = 16 << 20

    /// Hands the request to the library.
    func send(
        _ handle: OpaquePointer, _ connection: ZooKeeperConnection,
        completion: @escaping (Result<ZooKeeperReply, ZooKeeperError>) -> Void
    ) {
        let pending = Unmanaged.passRetained(Pending(connection, completion: completion))
        let code = send(handle, pending.toOpaque())
        guard code != ZOK.rawValue else { return }
        // Not taken: nobody will call back.
        pending.release()
        connection.deliver { completion(.failure(ZooKeeperError(code))) }
    }

    private func send(_ handle: OpaquePointer, _ pending: UnsafeMutableRawPointer) -> Int32 {
        switch self {
        case .children(let path, let watch):
            zoo_awget_children2(handle, path, Self.fired, Self.context(watch), Self.tookChildren, pending)
        case .data(let path, let watch):
            zoo_awget(handle, path, Self.fired, Self.context(watch), Self.tookData, pending)
        case .exists(let path, let watch):
            zoo_awexists(
                handle, path, watch == 0 ? nil : Self.fired, Self.context(watch), Self.tookStat, pending)
        case .create(let path, let data, let isEphemeral, let isOwnerOnly):
            Self.withBytes(data) {
                zoo_acreate(
                    handle, path, $0, $1, czk_acl(isOwnerOnly ? 1 : 0), isEphemeral ? Int32(CZK_EPHEMERAL) : 0,
                    Self.tookName, pending)
            }
        case .set(let path, let data):
            Self.withBytes(data) { zoo_aset(handle, path, $0, $1, -1, Self.tookStat, pending) }
        case .delete(let path): zoo_adelete(handle, path, -1, Self.tookNothing, pending)
        case .forget(let path, let isChildren):
            czk_remove_watches(handle, path, isChildren ? 1 : 0, Self.tookNothing, pending)
        }
    }

    private static func withBytes<Value>(_ data: [UInt8], _ body: (UnsafePointer<CChar>?, Int32) -> Value) -> Value {
        data.withUnsafeBytes { body($0.bindMemory(to: CChar.self).baseAddress, Int32(clamping: $0.count)) }
    }

    private static func context(_ watch: UInt64) -> UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(bitPattern: UInt(watch))
    }

    private static let fired: watcher_fn = { handle, type, _, _, context in
        guard type > 0, let handle, let owner = zoo_get_context(handle), let context else { return }
        let connection = Unmanaged<ZooKeeperConnection>.fromOpaque(owner).takeUnretainedValue()
        let watch = UInt64(UInt(bitPattern: context))
        connection.deliver { connection.onWatch(watch) }
    }

    private static let tookNothing: void_completion_t = { code, data in Pending.finish(data, code, .done) }

    private static let tookName: string_completion_t = { code, _, data in Pending.finish(data, code, .done) }

    private static let tookStat: stat_completion_t = { code, stat, data in
        Pending.finish(data, code, .exists(owner: stat?.pointee.ephemeralOwner ?? 0))
    }

    private static let tookData: data_completion_t = { code, value, length, _, data in
        let bytes = UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : max(0, Int(length)))
        Pending.finish(data, code, .data(bytes.count > largestData ? [] : Array(bytes)))
    }

    private static let tookChildren: strings_stat_completion_t = { code, strings, _, data in
        Pending.finish(data, code, .children(names(strings)))
    }

    private static func names(_ strings: UnsafePointer<String_vector>?) -> [String] {
        guard let strings = strings?.pointee, let data = strings.data else { return [] }
        return UnsafeBufferPointer(start: data, count: max(0, Int(strings.count))).compactMap { name in
            name.map { String(cString: $0) }
        }
    }
}
