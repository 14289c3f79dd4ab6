import Codecs

/// Reads the answer to `getMetadataInfo`, a piece at a time.
///
/// It is Dubbo's `MetadataInfo` in Hessian2: `{services: {KEY: {name, group, version, protocol, port, path, params}}, revision,
/// app}`. Fields count by name, whatever class or map they stand in.
struct DubboMetadataAnswer: DubboMetadataReading {
    private enum Phase {
        case reading(Hessian2.Reader)
        case gathering(Hessian2.Document, Hessian2.Document.Contents, DubboMetadata.Builder)
    }

    /// What is taken of an answer: references can make a short one mean a long one.
    struct Limits {
        var services = 20_000
        /// Of one service; further ones are left out.
        var parameters = 1000
        /// Of all that is kept, in bytes.
        var size = 32 << 20
    }

    private let application: String
    private let revision: String
    private let limits: Limits
    private let isException: Bool
    private var phase: Phase

    /// - Parameters:
    ///   - frame: the whole frame, a response in Hessian2 with status 20.
    ///   - application: whose metadata was asked for.
    ///   - revision: which revision was asked for.
    init(
        _ frame: [UInt8], application: String, revision: String, limits: Limits = Limits()
    ) throws(DubboMetadataFailure) {
        guard frame.count > Dubbo.headSize else { throw .init(.unreadable, "an empty answer") }
        let isException: Bool
        switch frame[Dubbo.headSize] {
        case 0x91, 0x94: isException = false
        case 0x90, 0x93: isException = true
        case 0x92, 0x95: throw .init(.wrongRevision, "knows no revision \(Excerpt.words(Array(revision.utf8)))")
        default: throw .init(.unreadable, "an answer of an unknown kind")
        }
        self.init(
            Hessian2.Reader(frame, at: Dubbo.headSize + 1), isException: isException, application, revision, limits)
    }

    /// - Parameter message: of an answer over Triple, which wraps it:
    ///   `message TripleResponseWrapper { string serializeType = 1; bytes data = 2; string type = 3; }`
    init(
        wrapped message: [UInt8], application: String, revision: String, limits: Limits = Limits()
    ) throws(DubboMetadataFailure) {
        var (serialization, data) = ("", 0..<0)
        do {
            var reader = Protobuf.Reader(message, 0..<message.count)
            for _ in 0..<Self.fieldsOfWrapper {
                guard let (field, value) = try reader.next() else { break }
                switch (field, value) {
                case (1, .bytes(let range)): serialization = try reader.text(range)
                case (2, .bytes(let range)): data = range
                default: break
                }
            }
        } catch {
            throw .init(.unreadable, "an answer without its wrapper")
        }
        // Triple's name for Hessian2.
        guard serialization == "hessian4" else {
            throw .init(.unreadable, "answers in serialization \(Excerpt.words(Array(serialization.utf8)))")
        }
        self.init(Hessian2.Reader(Array(message[data]), at: 0), isException: false, application, revision, limits)
    }

    private init(
        _ reader: Hessian2.Reader, isException: Bool, _ application: String, _ revision: String, _ limits: Limits
    ) {
        self.application = application
        self.revision = revision
        self.limits = limits
        self.isException = isException
        phase = .reading(reader)
    }

    /// The text of a response with another status than 20.
    static func errorText(_ frame: [UInt8], _ head: Dubbo.FrameHead) -> String {
        var words = ""
        if head.serialization == .hessian2 {
            // It is one text.
            var limits = Hessian2.Reader.Limits()
            limits.values = 1
            var reader = Hessian2.Reader(frame, at: Dubbo.headSize, limits: limits)
            let document = try? reader.advance()
            words = document.flatMap { $0.text($0.root) } ?? ""
        }
        return "status \(head.status)" + (words.isEmpty ? "" : ": " + Excerpt.words(Array(words.utf8)))
    }

    private static let valuesPerPiece = 1000
    private static let servicesPerPiece = 5
    private static let fieldsOfWrapper = 16

    mutating func advance() throws(DubboMetadataFailure) -> DubboMetadata? {
        switch phase {
        case .reading(var reader):
            let document: Hessian2.Document?
            do throws(Hessian2.Reader.Failure) {
                // Where it stands must not be held twice, or every piece would copy what was read before.
                phase = .reading(Hessian2.Reader([], at: 0))
                document = try reader.advance(limit: Self.valuesPerPiece)
            } catch {
                throw .init(error == .tooMuch ? .tooLarge : .unreadable, "the answer is no Hessian2: \(error)")
            }
            phase = .reading(reader)
            if let document { phase = try begin(document) }
            return nil
        case .gathering(let document, var contents, var builder):
            phase = .reading(Hessian2.Reader([], at: 0))
            for _ in 0..<Self.servicesPerPiece {
                guard let key = contents.next(), let value = contents.next() else { return DubboMetadata(builder) }
                if let key = document.text(key), let service = service(value, document) {
                    builder.add(key, service)
                }
                guard builder.count <= limits.services, builder.size <= limits.size else {
                    throw .init(.tooLarge, "it offers too many services")
                }
            }
            phase = .gathering(document, contents, builder)
            return nil
        }
    }

    private func begin(_ document: Hessian2.Document) throws(DubboMetadataFailure) -> Phase {
        let root = document.root
        func text(_ name: String) -> String { document.member(name, of: root).flatMap { document.text($0) } ?? "" }
        let services = document.member("services", of: root)
        // Triple does not say that it is one.
        if isException || services == nil && !text("detailMessage").isEmpty {
            let words = text("detailMessage").isEmpty ? "" : ": " + text("detailMessage")
            throw .init(
                .refused, Excerpt.words(Array(((document.className(of: root) ?? "an exception") + words).utf8)))
        }
        if document.kind(of: root) == .null { throw .init(.wrongRevision, "knows no such revision") }
        guard let services, document.kind(of: services) == .map else {
            throw .init(.unreadable, "the answer is no MetadataInfo")
        }
        try DubboMetadataFailure.check(text("revision"), is: revision)
        try DubboMetadataFailure.check(text("app"), is: application)
        return .gathering(
            document, document.contents(of: services), DubboMetadata.Builder(application: text("app")))
    }

    /// Nil where no protocol is said.
    private func service(
        _ value: Hessian2.Document.Value, _ document: Hessian2.Document
    ) -> DubboMetadata.Service? {
        func member(_ name: String) -> String? {
            document.member(name, of: value).flatMap { document.text($0) }
        }
        guard let scheme = member("protocol") else { return nil }
        var parameters: [String: String] = [:]
        if let map = document.member("params", of: value), document.kind(of: map) == .map {
            var contents = document.contents(of: map)
            for _ in 0..<limits.parameters {
                guard let key = contents.next(), let entry = contents.next() else { break }
                if let name = document.text(key), let text = document.text(entry) { parameters[name] = text }
            }
        }
        if let path = member("path") { parameters["path"] = path }
        let port = document.member("port", of: value).flatMap { document.integer($0) }
        return DubboMetadata.Service(
            interface: member("name") ?? "", version: DubboProvider.version(member("version") ?? parameters["version"]),
            group: member("group") ?? parameters["group"] ?? "", scheme: scheme,
            port: port.flatMap { UInt16(exactly: $0) } ?? 0, parameters: parameters)
    }
}
