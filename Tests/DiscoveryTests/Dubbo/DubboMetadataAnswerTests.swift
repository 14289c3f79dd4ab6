import Codecs
import TestSupport
import Testing

@testable import Discovery

@Suite struct DubboMetadataAnswerTests {
    static let revision = "9049926309453c1e9c4f32a69b7fc641"

    /// What Dubbo 3.3.6 has answered.
    static func recorded() throws -> [UInt8] {
        try Fixture.bytes("dubbo33-hessian2-metadata-response.bin")
    }

    private func read(
        _ frame: [UInt8], application: String = "shop33", revision: String = revision
    ) throws(DubboMetadataFailure) -> DubboMetadata {
        try DubboMetadataAnswer(frame, application: application, revision: revision).readAll()
    }

    @Test func readsARecordedAnswer() throws {
        let metadata = try read(Self.recorded())
        #expect(metadata.application == "shop33" && Array(metadata.interfaces) == ["demo.EchoService"])
        let service = try #require(metadata.services(of: "demo.EchoService").first)
        #expect(service.version == "1.0.0" && service.group == "g" && service.scheme == "dubbo")
        #expect(service.port == 20702 && metadata.services(of: "demo.EchoService").count == 1)
        #expect(service.parameters["dubbo.tag"] == "gray" && service.parameters["weight"] == "30")
        #expect(service.parameters["env"] == "blue" && service.parameters["methods"] == nil)
        #expect(metadata.services(of: "demo.Other").isEmpty)
    }

    @Test func looksAtWhoAnswersAboutWhat() throws {
        let frame = try Self.recorded()
        for (application, revision) in [("shop", Self.revision), ("shop33", "feed")] {
            let failure = #expect(throws: DubboMetadataFailure.self) {
                try read(frame, application: application, revision: revision)
            }
            #expect(failure?.kind == .wrongRevision)
        }
    }

    @Test func damagedAnswersDoNoHarm() throws {
        let frame = try Self.recorded()
        for count in 0..<frame.count - 15 { #expect((try? read(Array(frame[..<count]))) == nil) }
        var good = 0
        for index in Dubbo.headSize..<frame.count {
            for bit in [index % 8, (index + 3) % 8] {
                var damaged = frame
                damaged[index] ^= 1 << UInt8(bit)
                guard let metadata = try? read(damaged) else { continue }
                good += 1
                for interface in metadata.interfaces { _ = metadata.services(of: interface) }
            }
        }
        #expect(good > 0)
    }

    @Test func readsOtherFormsOfTheSame() throws {
        // As maps, with numbers as text and a field that nobody knows; values that are no text are left out.
        let answer = HessianText.map([
            ("x", .raw([0x91])), ("app", .text("shop")),
            (
                "services",
                .map([
                    (
                        "h/g/a.Echo:2.0.0:dubbo",
                        FakeDubbo.service("dubbo", version: "2.0.0", group: "h/g", port: 20_880)
                    ),
                    ("a.Echo:0.0.0:tri", FakeDubbo.service("tri", version: "0.0.0", port: 70_000, ["\"\\": "a\nb😀"])),
                    ("a.Broken:dubbo", .map([])), ("a.Wrong:dubbo", .raw([0x4e])),
                ])
            ),
        ])
        let metadata = try read(FakeDubbo.response([0x91] + answer.bytes + [0x4e]), application: "shop")
        let services = metadata.services(of: "a.Echo")
        #expect(services.map(\.version) == ["2.0.0", ""] && services.map(\.group) == ["h/g", ""])
        #expect(services.map(\.port) == [20_880, 0] && services.map(\.scheme) == ["dubbo", "tri"])
        #expect(services.last?.parameters == ["\"\\": "a\nb😀"])
        #expect(metadata.services(of: "a.Broken").isEmpty && metadata.services(of: "a.Wrong").isEmpty)
    }

    @Test(arguments: [
        ([0x95], DubboMetadataFailure.Kind.wrongRevision), ([0x92], .wrongRevision), ([0x94, 0x4e], .wrongRevision),
        ([], .unreadable), ([0x96], .unreadable), ([0x4e], .unreadable), ([0x91], .unreadable),
        ([0x91, 0x48, 0x5a], .unreadable), ([0x91, 0x91], .unreadable), ([0x91, 0x40], .unreadable),
    ])
    func refuses(body: [UInt8], kind: DubboMetadataFailure.Kind) {
        let failure = #expect(throws: DubboMetadataFailure.self) { try read(FakeDubbo.response(body)) }
        #expect(failure?.kind == kind, "\(body.prefix(8)) \(String(describing: failure))")
    }

    @Test func refusesVeryDeepAnswers() {
        refuses(body: [0x91] + [UInt8](repeating: 0x57, count: 5000), kind: .unreadable)
    }

    @Test func tellsAnExceptionInWords() throws {
        let exception =
            HessianText.definition("java.lang.IllegalStateException", ["cause", "detailMessage"]) + [0x60, 0x51, 0x90]
            + HessianText.text("not\nyet").bytes
        for flag: UInt8 in [0x90, 0x93] {
            let failure = #expect(throws: DubboMetadataFailure.self) {
                try read(FakeDubbo.response([flag] + exception))
            }
            #expect(failure == .init(.refused, "java.lang.IllegalStateException: not yet"))
        }
    }

    /// A short answer can mean a very long one when everything refers to one map.
    @Test func repeatedMeaningIsBounded() throws {
        let parameters = HessianText.map((0..<90).map { ("key\($0)", .text("a value of some length, which adds up")) })
        var services = HessianText.text("a.S:dubbo").bytes
        services += HessianText.map([("params", parameters), ("protocol", .text("dubbo"))]).bytes
        for index in 0..<100 {
            services += HessianText.text("a.S\(index):dubbo").bytes
            services += HessianText.map([("params", .raw([0x51, 0x93])), ("protocol", .text("dubbo"))]).bytes
        }
        let body: [UInt8] = [0x91, 0x48] + HessianText.text("services").bytes + [0x48] + services + [0x5a, 0x5a]
        func read(_ limits: DubboMetadataAnswer.Limits) throws(DubboMetadataFailure) -> DubboMetadata {
            try DubboMetadataAnswer(FakeDubbo.response(body), application: "a", revision: "b", limits: limits)
                .readAll()
        }
        let all = try read(.init())
        #expect(all.interfaces.count == 101)
        #expect(all.services(of: "a.S99").first?.parameters == all.services(of: "a.S").first?.parameters)
        #expect(try read(.init(parameters: 7)).services(of: "a.S99").first?.parameters.count == 7)
        for limits in [DubboMetadataAnswer.Limits(services: 100), .init(size: 300_000)] {
            let failure = #expect(throws: DubboMetadataFailure.self) { try read(limits) }
            #expect(failure?.kind == .tooLarge)
        }
    }

    @Test func errorTextsAreExcerpts() throws {
        let long =
            "org.apache.dubbo.remoting.RemotingException: Not found exported service:\n"
            + String(repeating: "x", count: 9000)
        let frame = FakeDubbo.response(HessianText.text(long).bytes, status: 70)
        guard
            case .complete(let head) = frame.withUnsafeBufferPointer({
                Dubbo.parseFrameHead($0.baseAddress!, count: $0.count)
            })
        else { return #expect(Bool(false)) }
        let words = DubboMetadataAnswer.errorText(frame, head)
        #expect(
            words.hasPrefix("status 70: org.apache.dubbo.remoting.RemotingException: Not found exported service: xxx"))
        #expect(words.utf8.count < 200)
        let other = Dubbo.FrameHead(flags: 23, status: 40, id: 1, bodyLength: 3)
        #expect(DubboMetadataAnswer.errorText(frame, other) == "status 40")
    }
}
