import Configuration
import Model
import Runtime
import Synchronization
import TestSupport

@testable import Discovery

/// What adapter tests share: a loop, a log that can be read, and everything that was reported.
final class Fixture {
    let loop: EventLoop
    let context: DiscoveryContext
    /// All lists told for a service, oldest first.
    private(set) var told: [ServiceKey: [[Instance]]] = [:]
    /// Services that were said to have failed, with the reason.
    private(set) var failures: [ServiceKey: String] = [:]
    /// What was said of registrations, oldest first: nil is success, otherwise the reason.
    private(set) var registrations: [Registration.Identity: [String?]] = [:]
    private let lines: LogLines

    final class LogLines: Sendable {
        private let text = Mutex("")
        var all: String { text.withLock { $0 } }
        func add(_ line: String) { text.withLock { $0 += line } }
    }

    /// - Parameters:
    ///   - names: what name lookups answer; other names fail.
    ///   - inquiries: how instances of Dubbo applications are asked.
    init(
        names: [String: [String]] = [:], directory: String = ".", inquiries: DubboInquiries.Settings? = nil
    ) throws {
        loop = try EventLoop()
        let lines = LogLines()
        self.lines = lines
        let resolver = NameResolver(loop: loop) { name in
            guard let addresses = names[name] else { return .failed("unknown name") }
            return .addresses(addresses.compactMap { SocketAddress(ip: $0, port: 0) })
        }
        var context = DiscoveryContext(
            loop: loop, http: try HTTPClient(loop: loop), resolver: resolver,
            logger: Logger(minimum: .debug, write: { lines.add($0) }), directory: directory)
        if let inquiries {
            context.inquiries = DubboInquiries(
                loop: loop, resolver: resolver, logger: context.logger, settings: inquiries)
        }
        self.context = context
    }

    /// The log so far.
    var log: String { lines.all }

    var reports: RegistryReports {
        RegistryReports(
            instances: { [unowned self] in told[$0, default: []].append($1) },
            failed: { [unowned self] in failures[$0] = $1 },
            registration: { [unowned self] in registrations[$0, default: []].append($1) })
    }

    /// A directory over one registry; what it tells is in `told`.
    func directory(
        limits: AnswerLimits, saved: SavedHosts? = nil, make: @escaping (RegistryReports) -> any Registry
    ) -> ServiceDirectory {
        ServiceDirectory(
            registryCount: 1, limits: LimitConfiguration(), answerLimits: limits, saved: saved, loop: loop,
            logger: context.logger,
            onChange: { [unowned self] in told[$0, default: []].append($1) }, onRemove: { _ in },
            make: { _, reports in make(reports) })
    }

    /// Waits for a condition, at most some seconds.
    func wait(_ limit: Duration = .seconds(30), until condition: () -> Bool) -> Bool {
        loop.run(for: limit, until: condition)
    }

    /// Addresses of the last list told for a service; nil when none was.
    func addresses(_ service: ServiceKey) -> [String]? { told[service]?.last?.map { "\($0.address)" } }

    /// A captured answer.
    static func resource(_ name: String) throws -> String { String(decoding: try bytes(name), as: UTF8.self) }

    /// The bytes of a captured answer.
    static func bytes(_ name: String) throws -> [UInt8] {
        let here = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        return try TemporaryDirectory.read("/\(here)/Resources/\(name)")
    }
}

extension ServiceKey {
    static func http(_ name: String) -> ServiceKey { ServiceKey(kind: .http, name: name) }
    static func dubbo(_ name: String) -> ServiceKey { ServiceKey(kind: .dubbo, name: name) }
}
