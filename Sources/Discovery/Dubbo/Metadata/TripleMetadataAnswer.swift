/// Reads the answer to `GetMetadataInfo` of `MetadataServiceV2`, a piece at a time.
///
///     message MetadataInfoV2 { string app = 1; string version = 2; map<string, ServiceInfoV2> services = 3; }
///     message ServiceInfoV2 { string name = 1; string group = 2; string version = 3; string protocol = 4; int32 port = 5;
///                             string path = 6; map<string, string> params = 7; }
struct TripleMetadataAnswer: DubboMetadataReading {
    /// What is taken of an answer.
    struct Limits {
        var services = 20_000
        /// Of all that is kept, in bytes.
        var size = 32 << 20
        /// Of one service; further ones, and those that would make them longer than so many bytes, are left out.
        var parameters = 1000
        var parameterBytes = 1 << 16
        /// Of one service, whatever they are.
        var fields = 5000
    }

    private let bytes: [UInt8]
    private let application: String
    private let revision: String
    private let limits: Limits
    private var reader: Protobuf.Reader
    private var builder: DubboMetadata.Builder

    private static let fieldsPerPiece = 1000
    private static let fieldsOfParameter = 8

    /// - Parameters:
    ///   - bytes: the message.
    ///   - application: whose metadata was asked for.
    ///   - revision: which revision was asked for.
    init(_ bytes: [UInt8], application: String, revision: String, limits: Limits = Limits()) {
        self.bytes = bytes
        self.application = application
        self.revision = revision
        self.limits = limits
        reader = Protobuf.Reader(bytes, 0..<bytes.count)
        builder = DubboMetadata.Builder(application: application)
    }

    mutating func advance() throws(DubboMetadataFailure) -> DubboMetadata? {
        if bytes.isEmpty { throw .init(.wrongRevision, "knows no such revision") }
        do {
            return try readPiece()
        } catch let failure as DubboMetadataFailure {
            throw failure
        } catch {
            throw .init(.unreadable, "the answer is no MetadataInfoV2")
        }
    }

    private mutating func readPiece() throws -> DubboMetadata? {
        for _ in 0..<Self.fieldsPerPiece {
            guard let (field, value) = try reader.next() else { return DubboMetadata(builder) }
            switch (field, value) {
            case (1, .bytes(let range)): try DubboMetadataFailure.check(try reader.text(range), is: application)
            case (2, .bytes(let range)): try DubboMetadataFailure.check(try reader.text(range), is: revision)
            case (3, .bytes(let range)):
                try addService(range)
                return nil
            default: break
            }
        }
        return nil
    }

    private mutating func addService(_ range: Range<Int>) throws {
        var entry = Protobuf.Reader(bytes, range)
        var key = ""
        var place: Range<Int>?
        for _ in 0..<limits.fields {
            guard let (field, value) = try entry.next() else { break }
            switch (field, value) {
            case (1, .bytes(let range)): key = try entry.text(range)
            case (2, .bytes(let range)): place = range
            default: break
            }
        }
        guard let service = try place.map(service), !service.scheme.isEmpty else { return }
        builder.add(key, service)
        guard builder.count <= limits.services, builder.size <= limits.size else {
            throw DubboMetadataFailure(.tooLarge, "it offers too many services")
        }
    }

    private func service(_ range: Range<Int>) throws -> DubboMetadata.Service {
        var reader = Protobuf.Reader(bytes, range)
        var texts = [String](repeating: "", count: 7)
        var port: UInt16 = 0
        var parameters: [String: String] = [:]
        var size = 0
        for _ in 0..<limits.fields {
            guard let (field, value) = try reader.next() else { break }
            switch (field, value) {
            case (1...4, .bytes(let range)), (6, .bytes(let range)): texts[Int(field)] = try reader.text(range)
            case (5, .number(let number)): port = UInt16(exactly: number) ?? 0
            case (7, .bytes(let range)):
                guard parameters.count < limits.parameters, size + range.count <= limits.parameterBytes,
                    let (name, text) = try parameter(range)
                else { break }
                parameters[name] = text
                size += range.count
            default: break
            }
        }
        if !texts[6].isEmpty { parameters["path"] = texts[6] }
        return DubboMetadata.Service(
            interface: texts[1], version: DubboProvider.version(texts[3].isEmpty ? parameters["version"] : texts[3]),
            group: texts[2].isEmpty ? parameters["group"] ?? "" : texts[2], scheme: texts[4], port: port,
            parameters: parameters)
    }

    /// Nil for one that is not used: some are long.
    private func parameter(_ range: Range<Int>) throws -> (String, String)? {
        var reader = Protobuf.Reader(bytes, range)
        var (name, value) = ("", 0..<0)
        for _ in 0...Self.fieldsOfParameter {
            switch try reader.next() {
            case nil: return DubboProvider.isKept(name) ? (name, try reader.text(value)) : nil
            case (1, .bytes(let range))?: name = try reader.text(range)
            case (2, .bytes(let range))?: value = range
            default: break
            }
        }
        return nil
    }
}
