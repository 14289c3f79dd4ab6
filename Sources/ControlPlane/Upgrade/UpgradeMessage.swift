import Configuration
import Model
import Proxy
import Runtime

/// What the old and the new process of an upgrade tell each other. At most one descriptor goes with a message.
///
/// The old one begins: `hello`, a `socket` for each listening socket, `offered`. The new one answers `ready` when it can serve, or
/// `failed`. Then the old one says `go` and gives away connections as they come free, in the end `finished`.
enum UpgradeMessage: Equatable {
    /// What the new process needs before it can begin.
    struct Hello: Equatable {
        /// What the process speaks; another number is refused.
        var format = UpgradeMessage.format
        /// Services in use that have hosts.
        var services: [ServiceKey] = []
    }

    /// Where a listening socket belongs.
    struct Socket: Equatable {
        /// The listener's name; empty for the admin API.
        var name: String
        /// What is spoken there; nil for the admin API.
        var `protocol`: ListenerProtocol?
        /// The address of the configuration; port 0 where the system has chosen one.
        var address: SocketAddress
    }

    /// What applications have asked for through the admin API.
    struct Wishes: Equatable {
        /// Publications, in the notation of the file in which they are kept.
        var publications: [UInt8] = []
        /// What is watched for good.
        var subscriptions: [Subscription] = []
    }

    case hello(Hello)
    case socket(Socket)
    case offered
    /// The new process serves as soon as it is told; connections of these listeners can be given to it.
    case ready(listeners: [String])
    /// It cannot serve, and why.
    case failed(String)
    case go(Wishes)
    case connection(HandedConnection)
    case owed(number: UInt64, [UInt8])
    case settled(number: UInt64)
    case finished
    /// The new process ends: nothing more is to be given.
    case leave

    /// Raised whenever old and new programs would not understand each other.
    static let format: UInt32 = 1
}

extension UpgradeMessage {
    private enum Code: UInt8 {
        case hello, socket, offered, ready, failed, go, connection, owed, settled, finished, leave
    }

    /// Whether a descriptor goes with the message that these bytes begin.
    static func needsDescriptor(_ bytes: [UInt8]) -> Bool {
        switch bytes.first.flatMap(Code.init) {
        case .socket, .connection: true
        default: false
        }
    }

    /// Whether a descriptor goes with it.
    var hasDescriptor: Bool {
        switch self {
        case .socket, .connection: true
        default: false
        }
    }

    /// The message without its length.
    var bytes: [UInt8] {
        var writer = UpgradeWriter()
        switch self {
        case .hello(let hello):
            writer.put(Code.hello.rawValue)
            writer.put(hello.format)
            writer.put(hello.services) { $0.put($1) }
        case .socket(let socket):
            writer.put(Code.socket.rawValue)
            writer.put(socket.name)
            writer.put(socket.protocol?.rawValue ?? "")
            writer.put("\(socket.address)")
        case .offered: writer.put(Code.offered.rawValue)
        case .ready(let names):
            writer.put(Code.ready.rawValue)
            writer.put(names) { $0.put($1) }
        case .failed(let reason):
            writer.put(Code.failed.rawValue)
            writer.put(reason)
        case .go(let wishes):
            writer.put(Code.go.rawValue)
            writer.put(wishes.publications)
            writer.put(wishes.subscriptions) {
                $0.put($1.service)
                $0.put($1.interfaceVersion)
                $0.put($1.group)
            }
        case .connection(let connection):
            writer.put(Code.connection.rawValue)
            Self.put(connection, into: &writer)
        case .owed(let number, let bytes):
            writer.put(Code.owed.rawValue)
            writer.put(number)
            writer.put(bytes)
        case .settled(let number):
            writer.put(Code.settled.rawValue)
            writer.put(number)
        case .finished: writer.put(Code.finished.rawValue)
        case .leave: writer.put(Code.leave.rawValue)
        }
        return writer.bytes
    }

    private static func put(_ connection: HandedConnection, into writer: inout UpgradeWriter) {
        writer.put(connection.listener)
        writer.put("\(connection.peer)")
        writer.put(connection.number)
        writer.put(connection.lane)
        writer.put(UInt64(max(0, connection.skip)))
        writer.put(connection.inbound)
        writer.put(connection.outbound)
    }

    /// Reads a message without its length.
    ///
    /// - Parameter descriptor: what came with it; -1: nothing. A message that needs one and has none is refused.
    /// - Returns: nil for anything that is not exactly a message.
    init?(_ bytes: [UInt8], descriptor: Int32) {
        var reader = UpgradeReader(bytes)
        guard let message = Self.read(&reader, descriptor), reader.isAtEnd, message.hasDescriptor == (descriptor >= 0)
        else { return nil }
        self = message
    }

    private static func read(_ reader: inout UpgradeReader, _ descriptor: Int32) -> UpgradeMessage? {
        guard let code = reader.byte().flatMap(Code.init) else { return nil }
        switch code {
        case .hello:
            guard let format = reader.number32() else { return nil }
            // Of another format nothing more is understood.
            guard format == Self.format else {
                reader.skipAll()
                return .hello(Hello(format: format))
            }
            return reader.list({ $0.service() }).map { .hello(Hello(services: $0)) }
        case .socket:
            guard let name = reader.text(), let kind = reader.text(), let address = reader.address() else { return nil }
            let known = ListenerProtocol(rawValue: kind)
            return known == nil && !kind.isEmpty
                ? nil : .socket(Socket(name: name, protocol: known, address: address))
        case .offered: return .offered
        case .ready: return reader.list { $0.text() }.map { .ready(listeners: $0) }
        case .failed: return reader.text().map { .failed($0) }
        case .go:
            guard let publications = reader.data(), let subscriptions = reader.list({ $0.subscription() }) else {
                return nil
            }
            return .go(Wishes(publications: publications, subscriptions: subscriptions))
        case .connection: return reader.connection(descriptor).map { .connection($0) }
        case .owed:
            guard let number = reader.number64(), let bytes = reader.data() else { return nil }
            return .owed(number: number, bytes)
        case .settled: return reader.number64().map { .settled(number: $0) }
        case .finished: return .finished
        case .leave: return .leave
        }
    }
}
