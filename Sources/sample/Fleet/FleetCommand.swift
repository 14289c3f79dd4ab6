import Configuration
import Discovery
import Model
import Runtime

/// `greymesh-sample fleet`: what a registry gets from very many sidecars. Each has the adapter and the connections of a real
/// one; they share a thread and this process.
enum FleetCommand {
    static func run(_ words: [String]) throws {
        let options = try Options(words, values: ["registry", "sidecars", "services", "seconds", "ramp-ms", "poll-ms"])
        let count = try options.number("sidecars", in: 1...100_000) ?? 1000
        let poll = Duration.milliseconds(try options.number("poll-ms", in: 500...3_600_000) ?? 2000)
        let fleet = Fleet(
            registry: RegistryConfiguration(url: try options.required("registry"), poll: poll), loop: try EventLoop(),
            services: try options.number("services", in: 1...10_000) ?? 5)
        let ramp = Duration.milliseconds(try options.number("ramp-ms", in: 0...600_000) ?? 10_000)
        let seconds = try options.number("seconds", in: 1...86_400) ?? 60
        try fleet.run(count: count, ramp: ramp, seconds: seconds)
    }
}

/// Sidecars that watch the same services.
private final class Fleet {
    private let registry: RegistryConfiguration
    private let loop: EventLoop
    private let services: [ServiceKey]
    private let resolver: NameResolver
    private let logger = Logger(minimum: .error)
    private var sidecars: [any Registry] = []
    private var lists = 0

    init(registry: RegistryConfiguration, loop: EventLoop, services: Int) {
        self.registry = registry
        self.loop = loop
        self.services = (0..<services).map { ServiceKey(kind: .http, name: "fleet-\($0)") }
        resolver = NameResolver(loop: loop)
    }

    func run(count: Int, ramp: Duration, seconds: Int) throws {
        var failure: (any Error)?
        for number in 0..<count {
            loop.schedule(after: ramp * (Double(number) / Double(count))) { [self] in
                do { try start() } catch { failure = error }
            }
        }
        print("second requests failures connected lists")
        var (requests, failures) = (UInt64(0), UInt64(0))
        for second in 1...seconds {
            _ = loop.run(for: .seconds(1)) { failure != nil }
            if let failure { throw failure }
            let statuses = sidecars.map(\.status)
            let sent = statuses.reduce(0) { $0 + $1.exchanges }
            let failed = statuses.reduce(0) { $0 + $1.failures }
            let connected = statuses.count { $0.state == .connected }
            print("\(second) \(sent - requests) \(failed - failures) \(connected) \(lists)")
            (requests, failures, lists) = (sent, failed, 0)
        }
    }

    private func start() throws {
        let context = DiscoveryContext(
            loop: loop, http: try Discovery.HTTPClient(loop: loop), resolver: resolver, logger: logger)
        let sidecar = try registry.makeRegistry(
            context, reports: RegistryReports(instances: { [unowned self] _, _ in lists += 1 }))
        sidecars.append(sidecar)
        for service in services { sidecar.subscribe(service) }
    }
}
