import Configuration
import Model
import Runtime
import TestSupport
import Testing

@testable import Discovery

/// What tests with a real ZooKeeper share.
struct ZooKeeperFixture {
    let fixture: Fixture
    let server: ZooKeeperServer

    init(
        tick: Int = 500, longestSession: Int = 60_000, names: [String: [String]] = [:],
        inquiries: DubboInquiries.Settings? = nil
    ) throws {
        fixture = try Fixture(names: names, inquiries: inquiries)
        server = try ZooKeeperServer(tick: tick, longestSession: longestSession)
        try server.start()
    }

    func writer(credentials: String = "") throws -> ZooKeeperWriter {
        try ZooKeeperWriter(server.address, credentials: credentials)
    }

    /// A registry on the server; `suffix` stands after its address.
    ///
    /// - Parameters:
    ///   - at: another address of the server.
    ///   - session: session timeout.
    func registry(
        _ suffix: String = "", user: String = "", servers: String = "", at address: SocketAddress? = nil,
        session: Duration = .seconds(10)
    ) throws -> ZooKeeperRegistry {
        try fixture.zookeeper("zookeeper://\(user)\(servers)\(address ?? server.address)\(suffix)", session: session)
    }

    /// Waits until the last list told for a service has exactly these addresses.
    func expect(
        _ service: ServiceKey, _ addresses: [String], _ limit: Duration = .seconds(20),
        at location: SourceLocation = #_sourceLocation
    ) {
        let isRight = fixture.wait(limit) { fixture.addresses(service) == addresses }
        #expect(isRight, "\(fixture.addresses(service) ?? ["nothing"]) \(fixture.log)", sourceLocation: location)
    }

    /// The path of a provider's node.
    static func provider(_ interface: String, _ port: Int, _ parameters: String = "", root: String = "/dubbo") -> String
    {
        let url = "dubbo://127.0.0.1:\(port)/\(interface)?interface=\(interface)&timestamp=1&\(parameters)"
        return "\(root)/\(interface)/providers/\(PercentEncoding.encode(url))"
    }
}

extension Fixture {
    /// A registry on a ZooKeeper that loses no time.
    func zookeeper(_ text: String, session: Duration = .seconds(10)) throws -> ZooKeeperRegistry {
        let url = try RegistryURL(text)
        var settings = try ZooKeeperSettings(url)
        settings.sessionTimeout = session
        settings.backoff = Backoff(first: .milliseconds(50), cap: .milliseconds(200))
        settings.connectTimeout = .milliseconds(500)
        return ZooKeeperRegistry(settings, url: url.description, context: context, reports: reports)
    }
}

extension ServiceKey {
    static func bolt(_ name: String) -> ServiceKey { ServiceKey(kind: .bolt, name: name) }
}
