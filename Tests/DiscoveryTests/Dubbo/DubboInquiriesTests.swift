import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// Who is asked what offers come from, how often, and what becomes of it.
@Suite struct DubboInquiriesTests {
    let fixture: Fixture
    let provider: FakeDubbo
    let offers: DubboOffers
    let echo = ServiceKey.dubbo("a.Echo")
    let told: Told

    /// Services of which more was known.
    final class Told {
        var services: [ServiceKey] = []
    }

    init() throws {
        var settings = DubboInquiries.Settings()
        settings.timeout = .seconds(120)
        settings.patience = .milliseconds(150)
        settings.backoff = Backoff(first: .milliseconds(20), cap: .milliseconds(40))
        settings.mostHosts = 3
        settings.mostUnderWay = 2
        fixture = try Fixture(inquiries: settings)
        provider = try FakeDubbo(loop: fixture.loop)
        provider.offers = ["r1": "1.0.0", "r2": "2.0.0"]
        offers = DubboOffers(fixture.context)
        told = Told()
        offers.onChange = { [told] in told.services.append($0) }
    }

    private var inquiries: DubboInquiries { fixture.context.inquiries }

    /// Instances of an application at the provider's port, or at others.
    private func wishes(_ revisions: String..., application: String = "shop", ports: [UInt16]? = nil) throws
        -> DubboWishes
    {
        var wishes = DubboWishes()
        for revision in revisions {
            for port in ports ?? [provider.port] { try add(&wishes, application, revision, port) }
        }
        return wishes
    }

    private func add(_ wishes: inout DubboWishes, _ application: String, _ revision: String, _ port: UInt16) throws {
        let parameters = provider.instance(revision).mapValues {
            $0.replacing("\(provider.port)", with: "\(port)")
        }
        let instance = try #require(
            DubboApplication(name: application, host: "127.0.0.1", port: port, metadata: parameters))
        wishes.add(application, instance)
    }

    private func versions(_ revision: String, application: String = "shop", in offers: DubboOffers? = nil) -> [String]?
    {
        (offers ?? self.offers).metadata(of: application, revision)?.services(of: "a.Echo").map(\.version)
    }

    private func isAwaited(_ revision: String, in offers: DubboOffers? = nil) -> Bool {
        (offers ?? self.offers).isAwaited("shop", revision)
    }

    private var status: RegistryStatus {
        var status = RegistryStatus()
        offers.describe(&status)
        return status
    }

    @Test func oneAnswerServesAll() throws {
        let other = DubboOffers(fixture.context)
        let services = (0..<20).map { ServiceKey.dubbo("s\($0)") }
        for service in services {
            offers.update(service, try wishes("r1"))
            other.update(service, try wishes("r1", "r2"))
            #expect(isAwaited("r1") && versions("r1") == nil)
        }
        #expect(fixture.wait { !isAwaited("r1") && !isAwaited("r2", in: other) })
        #expect(provider.asked.sorted() == ["r1", "r2"] && versions("r1") == ["1.0.0"])
        #expect(versions("r2", in: other) == ["2.0.0"] && Set(told.services) == Set(services))
        // Who comes later need not wait.
        offers.update(echo, try wishes("r2"))
        #expect(!isAwaited("r2") && versions("r2") == ["2.0.0"] && provider.asked.count == 2)
        #expect(status == RegistryStatus())
        // What nobody wants any longer is forgotten.
        other.stop()
        for service in services { offers.forget(service) }
        #expect(inquiries.count == 1 && versions("r1") == nil && versions("r2") == ["2.0.0"])
        offers.update(echo, DubboWishes())
        #expect(inquiries.count == 0)
    }

    @Test func anotherInstanceIsAskedWhereOneIsSilent() throws {
        let dead = try FakeDubbo(loop: fixture.loop)
        dead.answer = { _, _ in .close([]) }
        let ports = [dead.port, try FreePort.next(), provider.port]
        offers.update(echo, try wishes("r1", ports: ports))
        #expect(fixture.wait { versions("r1") == ["1.0.0"] })
        #expect(dead.asked.count <= 1 && provider.asked == ["r1"] && told.services == [echo])
        #expect(!isAwaited("r1") && !fixture.log.contains("metadata_unknown"))
    }

    @Test func hostsAreHeldBackForAWhileOnly() throws {
        provider.answer = { _, _ in .silence }
        offers.update(echo, try wishes("r1"))
        #expect(fixture.wait { provider.asked == ["r1"] } && isAwaited("r1"))
        #expect(fixture.wait { !isAwaited("r1") } && told.services == [echo] && versions("r1") == nil)
        #expect(status.unansweredRevisions == 1)
        let line = try #require(fixture.log.split(separator: "\n").first { $0.contains("dubbo.metadata_unknown") })
        #expect(line.contains("level=warning") && line.contains("application=shop revision=r1"))
        // Whoever needs it now does not wait either.
        let other = DubboOffers(fixture.context)
        other.update(echo, try wishes("r1"))
        #expect(!isAwaited("r1", in: other))
        var status = RegistryStatus()
        other.describe(&status)
        #expect(status.unansweredRevisions == 1)
        other.forget(echo)
        other.describe(&status)
        #expect(status.unansweredRevisions == 0 && self.status.unansweredRevisions == 1)
    }

    @Test func failuresAreRepeatedMoreAndMoreSlowly() throws {
        var fails = true
        provider.answer = { [provider] application, revision in
            if fails { return .bytes(FakeDubbo.response(HessianText.text("no").bytes, status: 70), piece: 0) }
            return .bytes(
                FakeDubbo.metadata(application, revision, version: "1.0.0", port: provider.port), piece: 0)
        }
        offers.update(echo, try wishes("r1"))
        #expect(fixture.wait { !isAwaited("r1") && provider.asked.count >= 4 })
        #expect(fixture.log.contains(#"127.0.0.1:\#(provider.port): status 70: no""#))
        #expect(status.unansweredRevisions == 1 && versions("r1") == nil)
        fails = false
        #expect(fixture.wait { versions("r1") == ["1.0.0"] })
        #expect(told.services == [echo, echo] && status.unansweredRevisions == 0 && !isAwaited("r1"))
        #expect(fixture.log.contains("dubbo.metadata_known") && provider.asked.count < 30)
    }

    /// Of very many instances some are asked, then there is a rest; a new one is asked at once.
    @Test func aRoundIsShort() throws {
        var settings = DubboInquiries.Settings()
        settings.mostHosts = 3
        settings.backoff = Backoff(first: .seconds(600), cap: .seconds(600))
        let fixture = try Fixture(inquiries: settings)
        let offers = DubboOffers(fixture.context)
        let dead = try (0..<3).map { _ in try FakeDubbo(loop: fixture.loop) }
        for provider in dead { provider.answer = { _, _ in .close([]) } }
        var wishes = DubboWishes()
        for provider in dead[..<2] { try add(&wishes, "shop", "r1", provider.port) }
        offers.update(echo, wishes)
        let key = DubboInquiry.Key(application: "shop", revision: "r1")
        #expect(fixture.wait { fixture.context.inquiries[key]?.state == .resting })
        #expect(dead.map(\.asked.count) == [1, 1, 0])
        // As before: nobody is asked.
        offers.update(echo, wishes)
        #expect(fixture.context.inquiries[key]?.state == .resting)
        try add(&wishes, "shop", "r1", dead[2].port)
        offers.update(echo, wishes)
        #expect(fixture.wait { dead[2].asked.count == 1 && fixture.context.inquiries[key]?.state == .resting })
        // Enough for this round.
        let right = try FakeDubbo(loop: fixture.loop)
        try add(&wishes, "shop", "r1", right.port)
        offers.update(echo, wishes)
        #expect(fixture.context.inquiries[key]?.state == .resting && right.asked.isEmpty)
        offers.stop()
        #expect(fixture.context.inquiries.count == 0)
    }

    @Test func onlySomeAreAskedAtATime() throws {
        let revisions = (0..<40).map { "q\($0)" }
        for revision in revisions { provider.offers[revision] = revision }
        let names = revisions.map { ServiceKey.dubbo($0) }
        for (name, revision) in zip(names, revisions) {
            offers.update(name, try wishes(revision, application: revision))
        }
        #expect(inquiries.underWay == 0)
        #expect(fixture.wait { revisions.allSatisfy { versions($0, application: $0) == [$0] } })
        #expect(provider.mostOpen <= 2 + 1 && provider.accepted == 40 && inquiries.underWay == 0)
    }

    @Test func whatIsForgottenIsNotAskedOn() throws {
        provider.answer = { _, _ in .silence }
        let names = (0..<3).map { ServiceKey.dubbo("s\($0)") }
        for name in names { offers.update(name, try wishes(name.name)) }
        #expect(fixture.wait { provider.asked.count == 2 } && inquiries.underWay == 2)
        // The one that waits gets the free place.
        let first = try #require(names.first { $0.name == provider.asked[0] })
        offers.forget(first)
        #expect(fixture.wait { provider.asked.count == 3 && provider.open == 2 })
        offers.stop()
        #expect(fixture.wait { provider.open == 0 } && inquiries.underWay == 0 && inquiries.count == 0)
        #expect(told.services.allSatisfy { $0 != first })
    }

    @Test func anotherAnswerThanAskedForIsNone() throws {
        provider.answer = { [provider] application, _ in
            .bytes(FakeDubbo.metadata(application, "r9", version: "9.0.0", port: provider.port), piece: 0)
        }
        offers.update(echo, try wishes("r1"))
        #expect(fixture.wait { !isAwaited("r1") } && versions("r1") == nil)
        #expect(fixture.log.contains("tells about r9, not r1"))
    }

    @Test func whoeverTellsInNoKnownWayIsNotAsked() throws {
        var wishes = DubboWishes()
        for (index, change) in [
            ("meta-v", "2.0.0"), ("dubbo.metadata-service.url-params", #"{"port":"1","protocol":"rest"}"#),
            ("dubbo.metadata-service.url-params", #"{"port":"1","protocol":"dubbo","version":"2.0.0"}"#),
            ("dubbo.metadata-service.url-params", #"{"port":"0"}"#), ("dubbo.metadata-service.url-params", "x"),
        ].enumerated() {
            var parameters = provider.instance("t\(index)")
            parameters[change.0] = change.1
            let instance = try #require(
                DubboApplication(name: "shop", host: "127.0.0.1", port: 1, metadata: parameters))
            #expect(instance.metadataPlace == nil && instance.isMetadataLookedUp)
            wishes.add("shop", instance)
        }
        offers.update(echo, wishes)
        offers.update(.dubbo("b"), wishes)
        #expect(!isAwaited("t0") && status.unaskedRevisions == 5 && inquiries.count == 0)
        #expect(fixture.log.contains("dubbo.metadata_not_asked"))
        offers.forget(echo)
        #expect(status.unaskedRevisions == 5)
        offers.stop()
        #expect(status.unaskedRevisions == 0)
        // Numbers, and what is left out.
        var parameters = provider.instance("r1")
        parameters["dubbo.metadata-service.url-params"] = #"{"port":\#(provider.port)}"#
        parameters["meta-v"] = nil
        let instance = try #require(DubboApplication(name: "shop", host: "::1", port: 1, metadata: parameters))
        #expect(instance.metadataPlace == .init(way: .dubbo, host: .init(host: "::1", port: provider.port)))
        #expect(!instance.isMetadataLookedUp)
    }

    /// A `tri` port beside the `dubbo` one.
    @Test(arguments: ["2.0.0", "1.0.0"]) func instancesThatTellOverTripleAreAsked(version: String) throws {
        let triple = try FakeTriple(loop: fixture.loop)
        triple.offers = ["r1": "5.0.0"]
        var wishes = DubboWishes()
        let instance = try #require(
            DubboApplication(
                name: "shop", host: "127.0.0.1", port: triple.port,
                metadata: triple.instance("r1", dubbo: 20_771, version: version)))
        wishes.add("shop", instance)
        offers.update(echo, wishes)
        #expect(fixture.wait { versions("r1")?.contains("5.0.0") == true } && triple.asked == ["r1"])
        #expect(status == RegistryStatus() && told.services == [echo])
        // It is listed where it speaks dubbo, though another instance has told of its own port.
        let providers = offers.providers(instance, of: "a.Echo", stored: nil)
        #expect(providers.hosts.map(\.port) == [20_771] && providers.hosts.first?.instance.weight == 0.5)
        #expect(providers.unused == (version == "2.0.0" ? [.unsupportedProtocol: 1] : [:]))
    }

    @Test func eachInstanceIsAskedInItsOwnWay() throws {
        let triple = try FakeTriple(loop: fixture.loop)
        triple.answer = { _ in FakeTriple.message(FakeTriple.metadata("shop", "r9", version: "9", port: 1)) }
        func add(_ revision: String, to wishes: inout DubboWishes) throws {
            let metadata = triple.instance(revision, dubbo: 1)
            wishes.add(
                "shop",
                try #require(DubboApplication(name: "shop", host: "127.0.0.1", port: 1, metadata: metadata)))
        }
        var wishes = try wishes("r1")
        try add("r1", to: &wishes)
        offers.update(echo, wishes)
        #expect(fixture.wait { versions("r1") == ["1.0.0"] } && triple.questions.count <= 1)
        wishes = DubboWishes()
        try add("r2", to: &wishes)
        offers.update(echo, wishes)
        #expect(fixture.wait { !isAwaited("r2") } && versions("r2") == nil && status.unansweredRevisions == 1)
        #expect(fixture.log.contains("127.0.0.1:\(triple.port): tells about r9, not r2"))
    }

    /// What cannot be used need not be known.
    @Test func whoeverListensForTripleAloneIsNotAsked() throws {
        var metadata = provider.instance("r1")
        metadata["dubbo.endpoints"] = #"[{"port":1,"protocol":"tri"}]"#
        let instance = try #require(
            DubboApplication(name: "shop", host: "127.0.0.1", port: 1, metadata: metadata))
        var wishes = DubboWishes()
        wishes.add("shop", instance)
        offers.update(echo, wishes)
        #expect(inquiries.count == 0 && status == RegistryStatus())
        #expect(offers.providers(instance, of: "a.Echo", stored: nil).unused == [.unsupportedProtocol: 1])
    }

    @Test func aRegistryThatIsGoneIsNotTold() throws {
        var other: DubboOffers? = DubboOffers(fixture.context)
        other?.update(echo, try wishes("r1"))
        #expect(inquiries.count == 1)
        other = nil
        #expect(inquiries.count == 0)
        #expect(!fixture.loop.run(for: .milliseconds(30)) { !provider.asked.isEmpty })
    }
}
