import TestSupport
import Testing

@testable import Discovery

@Suite struct TripleMetadataAnswerTests {
    static let revision = "9a30f119ab953e8411258aaab8e006ef"

    /// What Dubbo 3.3.6 has answered.
    static func recorded() throws -> [UInt8] { try Fixture.bytes("dubbo33-triple-metadata-response.bin") }

    private func read(
        _ message: [UInt8], application: String = "both", revision: String = revision,
        limits: TripleMetadataAnswer.Limits = .init()
    ) throws(DubboMetadataFailure) -> DubboMetadata {
        try TripleMetadataAnswer(message, application: application, revision: revision, limits: limits).readAll()
    }

    @Test func readsARecordedAnswer() throws {
        let metadata = try read(Self.recorded())
        #expect(metadata.application == "both" && Array(metadata.interfaces) == ["demo.EchoService"])
        let services = metadata.services(of: "demo.EchoService")
        #expect(Set(services.map { "\($0.scheme):\($0.port)" }) == ["dubbo:31880", "tri:31051"] && services.count == 2)
        for service in services {
            #expect(service.version == "2.5.0" && service.group == "h")
            #expect(service.parameters["dubbo.tag"] == "gray" && service.parameters["weight"] == "40")
            #expect(service.parameters["methods"] == nil)
        }
    }

    /// An application without protobuf, or of an older Dubbo, tells in Hessian2.
    @Test func readsARecordedAnswerInHessian() throws {
        let bytes = try Fixture.bytes("dubbo33-triple-hessian-metadata-response.bin")
        let application = "plain"
        let revision = "cd40c0e9fbdc7d6affefbeffd53c8ea5"
        let way = DubboMetadataPlace.Way.tripleHessian
        let metadata = try way.read(bytes, application: application, revision: revision).readAll()
        let services = metadata.services(of: "demo.EchoService")
        #expect(Set(services.map { "\($0.scheme):\($0.port)" }) == ["dubbo:20880", "tri:50051"])
        #expect(services.allSatisfy { $0.version == "2.5.0" && $0.group == "h" && $0.parameters["weight"] == "40" })
        for (application, revision) in [("x", revision), (application, "x")] {
            let failure = #expect(throws: DubboMetadataFailure.self) {
                try way.read(bytes, application: application, revision: revision).readAll()
            }
            #expect(failure?.kind == .wrongRevision)
        }
        for count in 0..<bytes.count - 60 {
            #expect(throws: DubboMetadataFailure.self) {
                try way.read(Array(bytes[..<count]), application: application, revision: revision).readAll()
            }
        }
    }

    static let exception =
        HessianText.definition("java.lang.IllegalStateException", ["cause", "detailMessage"]) + [0x60, 0x51, 0x90]
        + HessianText.text("not\nyet").bytes

    @Test(arguments: [
        (FakeTriple.wrap([0x4e]), DubboMetadataFailure.Kind.wrongRevision, "knows no such revision"),
        (FakeTriple.wrap(exception), .refused, "java.lang.IllegalStateException: not yet"),
        (FakeTriple.wrap([0x4e], serialization: "fastjson2"), .unreadable, "answers in serialization fastjson2"),
        (FakeTriple.wrap([]), .unreadable, "the answer is no Hessian2"),
        (FakeTriple.wrap([0x90]), .unreadable, "the answer is no MetadataInfo"),
        ([], .unreadable, "answers in serialization nothing"), ([0xff], .unreadable, "an answer without its wrapper"),
    ])
    func refusesInHessian(message: [UInt8], kind: DubboMetadataFailure.Kind, words: String) {
        let failure = #expect(throws: DubboMetadataFailure.self) {
            try DubboMetadataPlace.Way.tripleHessian.read(message, application: "a", revision: "b").readAll()
        }
        #expect(failure?.kind == kind && failure?.reason.hasPrefix(words) == true, "\(String(describing: failure))")
    }

    @Test func looksAtWhoAnswersAboutWhat() throws {
        let message = try Self.recorded()
        for (application, revision) in [("shop", Self.revision), ("both", "feed")] {
            let failure = #expect(throws: DubboMetadataFailure.self) {
                try read(message, application: application, revision: revision)
            }
            #expect(failure?.kind == .wrongRevision && failure?.reason.hasPrefix("tells about ") == true)
        }
        // What says nothing is taken at its word.
        let service = FakeTriple.service("dubbo", version: "1.0.0", port: 1)
        let silent = try read(FakeTriple.metadata("", "", [("a.Echo:dubbo", service)]))
        #expect(silent.application == "both" && silent.services(of: "a.Echo").count == 1)
        #expect(throws: DubboMetadataFailure(.wrongRevision, "knows no such revision")) { try read([]) }
    }

    @Test func readsThePath() throws {
        for (path, own) in [("a.Echo", nil), ("orders/v1", "orders/v1"), ("", nil)] {
            let service = FakeTriple.service("dubbo", version: "1.0.0", port: 1, path: path)
            let metadata = try read(FakeTriple.metadata("both", Self.revision, [("a.Echo:1.0.0:dubbo", service)]))
            #expect(metadata.services(of: "a.Echo").map { $0.parameters["path"] } == [own])
        }
    }

    @Test func readsOtherFormsOfTheSame() throws {
        // The services come first, fields that nobody knows in between; a service without a protocol is left out.
        let unknown: [UInt8] = [0x52, 1, 7, 0x58, 0x96, 1, 0x5d, 1, 2, 3, 4, 0x61, 1, 2, 3, 4, 5, 6, 7, 8]
        let services = FakeTriple.metadata(
            "", "",
            [
                (
                    "h/g/a.Echo:2.0.0:dubbo",
                    FakeTriple.service("dubbo", version: "2.0.0", group: "h/g", port: 20_880) + unknown
                ),
                ("a.Echo:0.0.0:tri", FakeTriple.service("tri", version: "0.0.0", port: 70_000, ["\"\\": "a\nb😀"])),
                ("a.Echo:dubbo", FakeTriple.service("dubbo", version: "", port: .max, ["version": "7", "group": "q"])),
                ("a.Broken:dubbo", []), ("a.Wrong:dubbo", FakeTriple.service("", version: "1", port: 1)),
            ])
        let message = unknown + services + unknown + FakeTriple.metadata("both", Self.revision, [])
        let metadata = try read(message)
        let found = metadata.services(of: "a.Echo")
        #expect(found.map(\.version) == ["2.0.0", "", "7"] && found.map(\.group) == ["h/g", "", "q"])
        #expect(found.map(\.port) == [20_880, 0, 0] && found.map(\.scheme) == ["dubbo", "tri", "dubbo"])
        #expect(found[1].parameters == ["\"\\": "a\nb😀"] && metadata.interfaces.count == 1)
        // What is about another one is found out at the end as well.
        #expect(throws: DubboMetadataFailure.self) { try read(services + FakeTriple.metadata("", "r9", [])) }
    }

    @Test func damagedAnswersDoNoHarm() throws {
        let message = try Self.recorded()
        var good = 0
        for count in 1..<message.count { if (try? read(Array(message[..<count]))) != nil { good += 1 } }
        // Only between two fields it is whole.
        #expect(good <= 4)
        for index in message.indices {
            for bit in [index % 8, (index + 3) % 8] {
                var damaged = message
                damaged[index] ^= 1 << UInt8(bit)
                guard let metadata = try? read(damaged) else { continue }
                good += 1
                for interface in metadata.interfaces { _ = metadata.services(of: interface) }
            }
        }
        #expect(good > 100)
    }

    @Test(
        arguments: [
            [0xff], [0x0a, 0x05, 0x41], [0x1a, 0x02, 0x0a, 0x05], [0x1a, 0x04, 0x12, 0x02, 0x0a, 0x09],
            [0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x0b], [0x0a, 0x01, 0xff],
            Array("<html></html>".utf8),
        ] as [[UInt8]])
    func refuses(message: [UInt8]) {
        let failure = #expect(throws: DubboMetadataFailure.self) { try read(message) }
        #expect(failure == .init(.unreadable, "the answer is no MetadataInfoV2"))
    }

    @Test func whatIsKeptIsBounded() throws {
        let parameters = Dictionary(uniqueKeysWithValues: (0..<90).map { ("key\($0)", "a value of some length") })
        let service = FakeTriple.service("dubbo", version: "1", port: 1, parameters)
        let message = FakeTriple.metadata("", "", (0..<100).map { ("a.S\($0):dubbo", service) })
        let all = try read(message)
        #expect(all.interfaces.count == 100 && all.services(of: "a.S99").first?.parameters == parameters)
        #expect(try read(message, limits: .init(parameters: 7)).services(of: "a.S9").first?.parameters.count == 7)
        let short = try read(message, limits: .init(parameterBytes: 300)).services(of: "a.S9").first?.parameters
        #expect(short.map { 5...15 ~= $0.count } == true)
        #expect(try read(message, limits: .init(fields: 50)).services(of: "a.S9").first?.parameters.count == 45)
        for limits in [TripleMetadataAnswer.Limits(services: 99), .init(size: 300_000)] {
            let failure = #expect(throws: DubboMetadataFailure.self) { try read(message, limits: limits) }
            #expect(failure?.kind == .tooLarge)
        }
        // Long texts that nobody needs do not crowd out what is needed.
        let methods = ["methods": String(repeating: "m,", count: 100_000), "dubbo.tag": "gray"]
        let long = FakeTriple.service("dubbo", version: "1", port: 1, methods)
        let tagged = try read(FakeTriple.metadata("", "", [("a.Echo:dubbo", long)])).services(of: "a.Echo").first
        #expect(tagged?.parameters == ["dubbo.tag": "gray"])
    }

    /// A large answer is read in small pieces, however it is made up.
    @Test func piecesAreSmall() throws {
        let service = FakeTriple.service("dubbo", version: "1", port: 1)
        let many = FakeTriple.metadata("", "", (0..<300).map { ("a.S\($0):dubbo", service) })
        let fields = [UInt8](repeating: 0x58, count: 20_000)
        for (message, least) in [(many, 300), (fields, 10)] {
            var answer = TripleMetadataAnswer(message, application: "a", revision: "b")
            var pieces = 1
            while try answer.advance() == nil { pieces += 1 }
            #expect(pieces >= least)
        }
    }
}
