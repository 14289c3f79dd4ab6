import Configuration
import Discovery
import Model
import Runtime
import Synchronization
import TestSupport

@testable import ControlPlane

/// A registry that does what the test says.
final class StubRegistrar: Registrar {
    enum Manner {
        case confirms
        case refuses(String)
        case isSilent
    }

    let url: String
    var status = RegistryStatus()
    var manner = Manner.confirms
    var report: (Registration.Identity, String?) -> Void = { _, _ in }
    /// What was asked for, oldest first: `+ order-service 127.0.0.1:80 1.0`, `- order-service 127.0.0.1:80`.
    private(set) var calls: [String] = []
    private(set) var listed: [Registration.Identity: Registration] = [:]
    /// Ends of deregistrations that the test still owes.
    private(set) var owed: [(String?) -> Void] = []
    private let loop: EventLoop

    init(_ url: String, loop: EventLoop) {
        self.url = url
        self.loop = loop
    }

    func register(_ registration: Registration) {
        calls.append(
            "+ \(registration.service.name) \(registration.host):\(registration.port) \(registration.weight)")
        listed[registration.identity] = registration
        let identity = registration.identity
        switch manner {
        case .confirms: loop.schedule(after: .zero) { [weak self] in self?.report(identity, nil) }
        case .refuses(let reason): report(identity, reason)
        case .isSilent: break
        }
    }

    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        calls.append("- \(identity.service.name) \(identity.host):\(identity.port)")
        listed[identity] = nil
        switch manner {
        case .confirms: loop.schedule(after: .zero) { completion(nil) }
        case .refuses(let reason): completion(reason)
        case .isSilent: owed.append(completion)
        }
    }

    func leaveRegistrations() { calls.append("left") }

    func settleDebts() {
        for completion in owed { completion(nil) }
        owed.removeAll()
    }

    func subscribe(_ service: ServiceKey) {}
    func unsubscribe(_ service: ServiceKey) {}
    func refresh(_ service: ServiceKey) {}
    func stop() {}
}

/// An application's port: open or closed.
final class StubApplication {
    let port: UInt16
    private var listener: Int32?

    init(isOpen: Bool) throws {
        port = try FreePort.next()
        if isOpen { try open() }
    }

    deinit { close() }

    func open() throws {
        listener = try Socket.listen(on: SocketAddress(ipv4: 0x7f00_0001, port: port), shared: false)
    }

    func close() {
        if let listener { Socket.close(listener) }
        listener = nil
    }
}

/// Registrations over stub registries.
final class RegistrationWorld {
    let loop: EventLoop
    var configuration = Configuration()
    let stubs: [StubRegistrar]
    let registrations: Registrations
    private let context: DiscoveryContext
    private let lines: Lines

    final class Lines: Sendable {
        let text = Mutex("")
    }

    /// - Parameter listeners: with the ports that they have.
    init(
        registries: [String] = ["nacos://127.0.0.1:1"], listeners: [ListenerConfiguration] = [],
        _ wanted: [RegistrationConfiguration], names: [String: String] = [:], state: String? = nil,
        patience: Duration = .milliseconds(300), prepare: ([StubRegistrar]) -> Void = { _ in }
    ) throws {
        let loop = try EventLoop()
        let lines = Lines()
        (self.loop, self.lines) = (loop, lines)
        let resolver = NameResolver(loop: loop) { name in
            names[name].flatMap { SocketAddress(ip: $0, port: 0) }.map { .addresses([$0]) } ?? .failed("unknown name")
        }
        context = DiscoveryContext(
            loop: loop, http: try HTTPClient(loop: loop), resolver: resolver,
            logger: Logger(minimum: .debug) { line in lines.text.withLock { $0 += line } })
        configuration.registries = registries.map { RegistryConfiguration(url: $0) }
        configuration.listeners = listeners
        configuration.registrations = wanted
        stubs = registries.map { StubRegistrar($0, loop: loop) }
        prepare(stubs)
        registrations = Registrations(
            configuration, registries: stubs, listeners: listeners.map(\.address), context: context,
            saved: try state.map { [context] in
                try SavedPublications(folder: $0, loop: loop, logger: context.logger)
            }, patience: patience, mostPublications: 5)
        for (index, stub) in stubs.enumerated() {
            stub.report = { [weak registrations] in registrations?.take($0, from: index, $1) }
        }
        registrations.restore()
        registrations.adopt(configuration)
    }

    func stop() {
        registrations.stop()
        context.http.close()
        context.resolver.stop()
    }

    var log: String { lines.text.withLock { $0 } }

    /// How often a text stands in the log.
    func logged(_ text: String) -> Int { log.split(separator: "\n").count { $0.contains(text) } }

    func wait(_ limit: Duration = .seconds(15), until condition: () -> Bool) -> Bool {
        loop.run(for: limit, until: condition)
    }

    /// Lets some time pass in which nothing of a kind may happen.
    func pass(_ time: Duration) { _ = loop.run(for: time) { false } }

    func reload(_ wanted: [RegistrationConfiguration]) {
        configuration.registrations = wanted
        registrations.adopt(configuration)
    }

    /// `waiting`, `registered`, … of one registration in one registry.
    func state(_ index: Int = 0, in registry: Int = 0) -> RegistrationStatus.Entry? {
        let statuses = registrations.statuses
        guard statuses.indices.contains(index), statuses[index].registries.indices.contains(registry) else {
            return nil
        }
        return statuses[index].registries[registry]
    }

    func isRegistered(_ index: Int = 0, in registry: Int = 0) -> Bool {
        state(index, in: registry)?.state == .registered
    }
}

extension RegistrationConfiguration {
    /// A registration at 127.0.0.1 that is checked often.
    static func quick(
        _ service: String, _ port: PublishedPort, failures: Int = 2, _ change: (inout Self) -> Void = { _ in }
    ) -> Self {
        var registration = RegistrationConfiguration(service: service, port: port)
        registration.address = .named("127.0.0.1")
        registration.health?.interval = .milliseconds(20)
        registration.health?.failures = failures
        change(&registration)
        return registration
    }

    /// One whose application is not checked.
    static func unchecked(_ service: String, _ port: UInt16, _ change: (inout Self) -> Void = { _ in }) -> Self {
        quick(service, .application(port)) {
            $0.health = nil
            change(&$0)
        }
    }
}
