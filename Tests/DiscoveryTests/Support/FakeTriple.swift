import Codecs
import Runtime

@testable import Discovery

/// A provider that tells over Triple what its application offers, on the test's own loop, and goes wrong where it is told to.
final class FakeTriple {
    /// What is done with a request.
    typealias Act = @Sendable (FakeGRPC, FakeGRPC.Client, Int32) -> Void

    /// A request.
    struct Question {
        let fields: [String: String]
        let revision: String
    }

    let grpc: FakeGRPC
    /// What requests are answered with; by default what `offers` says.
    var answer: (Question) -> Act = { _ in { _, _, _ in } }
    /// Versions of the interface `a.Echo` by revision.
    var offers: [String: String] = [:]
    private(set) var questions: [Question] = []

    init(loop: EventLoop) throws {
        grpc = try FakeGRPC(loop: loop)
        answer = { [unowned self] question in
            let isHessian = question.fields[":path"]?.hasSuffix("MetadataService/getMetadataInfo") == true
            let application = question.fields["tri-service-group"] ?? ""
            guard let version = offers[question.revision] else {
                return isHessian ? Self.message(Self.wrap([0x4e])) : Self.status("2", "Internal Server Error")
            }
            if isHessian {
                let frame = FakeDubbo.metadata(application, question.revision, version: version, port: port)
                return Self.message(Self.wrap(Array(frame[(Dubbo.headSize + 1)...])))
            }
            return Self.message(Self.metadata(application, question.revision, version: version, port: port))
        }
        grpc.onMessage = { [unowned self] client, stream, message in
            let fields = client.streams[stream]?.fields ?? [:]
            questions.append(Question(fields: fields, revision: Self.revision(message)))
            answer(questions[questions.count - 1])(grpc, client, stream)
        }
    }

    var port: UInt16 { grpc.port }
    /// Revisions that were asked for, oldest first.
    var asked: [String] { questions.map(\.revision) }

    /// The metadata with which an instance registers that tells here, and listens for the dubbo protocol elsewhere.
    func instance(_ revision: String, dubbo: UInt16 = 20_880, version: String = "2.0.0") -> [String: String] {
        [
            "dubbo.endpoints": #"[{"port":\#(dubbo),"protocol":"dubbo"},{"port":\#(port),"protocol":"tri"}]"#,
            "dubbo.metadata-service.url-params":
                #"{"prefer.serialization":"hessian2","version":"\#(version)","port":"\#(port)","protocol":"tri"}"#,
            "dubbo.metadata.revision": revision, "dubbo.metadata.storage-type": "local", "meta-v": version,
        ]
    }

    private static func revision(_ message: [UInt8]) -> String {
        var reader = Protobuf.Reader(message, 0..<message.count)
        while let (field, value) = try? reader.next() {
            guard case .bytes(let range) = value else { continue }
            if field == 1, let text = try? reader.text(range), text != "hessian4" { return text }
            if field == 2 {
                var hessian = Hessian2.Reader(message, at: range.lowerBound)
                return (try? hessian.advance()).flatMap { $0.text($0.root) } ?? ""
            }
        }
        return ""
    }

    // MARK: Acts

    static func message(_ bytes: [UInt8]) -> Act { { $0.write($1, $2, bytes, isLast: true) } }

    /// An error, in the trailers.
    static func status(_ status: String, _ words: String) -> Act {
        { $0.send($1, $2, [], isLast: true, trailers: [("grpc-status", status), ("grpc-message", words)]) }
    }

    // MARK: Messages

    /// An answer in Hessian2, in its wrapper.
    static func wrap(_ value: [UInt8], serialization: String = "hessian4") -> [UInt8] {
        var wrapper = Protobuf.Writer()
        wrapper.field(1, serialization.utf8)
        wrapper.field(2, value)
        wrapper.field(3, "org.apache.dubbo.metadata.MetadataInfo".utf8)
        return wrapper.bytes
    }

    /// A `MetadataInfoV2` that offers `a.Echo` in one version with the tag `gray` and weight 50, over both protocols.
    static func metadata(_ application: String, _ revision: String, version: String, port: UInt16) -> [UInt8] {
        let parameters = ["dubbo.tag": "gray", "weight": "50"]
        return metadata(
            application, revision,
            [
                ("a.Echo:\(version):tri", service("tri", version: version, port: UInt64(port), parameters)),
                ("a.Echo:\(version):dubbo", service("dubbo", version: version, port: 20_880, parameters)),
            ])
    }

    static func metadata(_ application: String, _ revision: String, _ services: [(String, [UInt8])]) -> [UInt8] {
        var info = Protobuf.Writer()
        if !application.isEmpty { info.field(1, application.utf8) }
        if !revision.isEmpty { info.field(2, revision.utf8) }
        for (key, service) in services {
            var entry = Protobuf.Writer()
            entry.field(1, key.utf8)
            entry.field(2, service)
            info.field(3, entry.bytes)
        }
        return info.bytes
    }

    static func service(
        _ scheme: String, version: String, group: String = "", port: UInt64, path: String = "a.Echo",
        _ parameters: [String: String] = [:]
    ) -> [UInt8] {
        var service = Protobuf.Writer()
        service.field(1, "a.Echo".utf8)
        if !group.isEmpty { service.field(2, group.utf8) }
        if !version.isEmpty { service.field(3, version.utf8) }
        service.field(4, scheme.utf8)
        service.field(5, port)
        service.field(6, path.utf8)
        for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
            var entry = Protobuf.Writer()
            entry.field(1, name.utf8)
            entry.field(2, value.utf8)
            service.field(7, entry.bytes)
        }
        return service.bytes
    }
}

extension DubboMetadataReading {
    /// Reads all of an answer.
    func readAll() throws(DubboMetadataFailure) -> DubboMetadata {
        var answer = self
        while true {
            if let metadata = try answer.advance() { return metadata }
        }
    }
}
