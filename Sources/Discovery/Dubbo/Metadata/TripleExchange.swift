import Codecs
import Glibc
import Runtime

/// One call over Triple, which is gRPC without TLS: one connection, one request, one answer.
final class TripleExchange: DubboMetadataExchange {
    /// What is called.
    struct Call {
        let path: String
        let fields: [(String, String)]
        let message: [UInt8]
    }

    private let completion: (Result<[UInt8], DubboMetadataFailure>) -> Void
    private var connection: GRPCConnection?
    private var message: [UInt8]?
    /// Why the server goes away, where it has said that.
    private var farewell = ""

    /// Starts the call. `completion` is called once, later, with the answer's message; not after `close`.
    ///
    /// - Throws: `SystemError` when there is no socket.
    init(
        to address: SocketAddress, authority: String, _ call: Call, loop: EventLoop,
        completion: @escaping (Result<[UInt8], DubboMetadataFailure>) -> Void
    ) throws {
        self.completion = completion
        let connection = try GRPCConnection(
            to: address, authority: authority, largestMessage: DubboMetadataCall.largestAnswer, loop: loop
        ) { [weak self] in self?.take($0) }
        self.connection = connection
        guard connection.open(call.path, call.message, fields: call.fields, isLast: true) != nil else {
            throw SystemError("open a stream", code: ENOMEM)
        }
    }

    deinit { close() }

    func close() {
        connection?.close()
        connection = nil
    }

    private func take(_ event: GRPCConnection.Event) {
        switch event {
        case .connected: break
        case .message(_, let bytes):
            guard message == nil else { return end(.failure(.init(.unreadable, "more than one message"))) }
            message = bytes
        case .goingAway(let words): farewell = words
        case .ended(_, let how): end(how)
        case .closed(let how): end(how)
        }
    }

    private func end(_ how: GRPCEnd) {
        let kind: DubboMetadataFailure.Kind
        switch how.kind {
        case .complete:
            guard let message else { return end(.failure(.init(.unreadable, "no message before the end"))) }
            return end(.success(message))
        case .refused: kind = .refused
        case .unreachable: kind = .unreachable
        case .closed: kind = .closed
        case .unreadable: kind = .unreadable
        case .tooLarge: kind = .tooLarge
        }
        let words = kind == .closed && !farewell.isEmpty ? "\(how): \(farewell)" : how.description
        end(.failure(.init(kind, words)))
    }

    private func end(_ result: Result<[UInt8], DubboMetadataFailure>) {
        guard connection != nil else { return }
        close()
        completion(result)
    }
}

extension TripleExchange.Call {
    /// Texts that are longer are refused: they stand in the head of the request, or are no revision.
    private static let longestText = 4096

    /// The call that asks for a revision; nil where application or revision are too long.
    init?(_ way: DubboMetadataPlace.Way, application: String, revision: String, within limit: Duration) {
        guard max(application.utf8.count, revision.utf8.count) <= Self.longestText else { return nil }
        var request = Protobuf.Writer()
        let service = "/org.apache.dubbo.metadata.MetadataService"
        let version: String
        if way == .triple {
            // The method's name is that of the .proto file; no other spelling is known.
            (path, version) = (service + "V2/GetMetadataInfo", "2.0.0")
            request.field(1, revision.utf8)
        } else {
            (path, version) = (service + "/getMetadataInfo", "1.0.0")
            request.field(1, "hessian4".utf8)
            request.field(2, Hessian2.text(revision))
            request.field(3, "java.lang.String".utf8)
        }
        message = request.bytes
        var fields = [
            ("tri-service-version", version), ("grpc-timeout", "\(max(1, limit.nanoseconds / 1_000_000))m"),
        ]
        // The service's group is the application. Where that is no field's value it goes without: there is but one group.
        if application.utf8.allSatisfy({ 0x21...0x7e ~= $0 }) { fields.append(("tri-service-group", application)) }
        self.fields = fields
    }
}
