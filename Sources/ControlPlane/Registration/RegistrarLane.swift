import Discovery
import Runtime

/// What is listed in one registry, and what has become of it.
final class RegistrarLane {
    /// An application that the registry was told of.
    struct Listing {
        enum State {
            /// The registry has not said anything yet.
            case pending
            case registered
            case failed
        }

        var registration: Registration
        var state = State.pending
        /// Why it is not listed; nil while all is well.
        var reason: String?
        /// Monotonic nanoseconds since when it is in this state.
        var since: Int64
    }

    let registrar: any Registrar
    /// Where the registry is; for finding the address from which it is reached.
    let servers: [HostPort]
    /// Called when the state of a listing has changed, or one has been taken out.
    var onChange: () -> Void = {}
    /// Called before that when one has been taken out, with the reason where the registry may still list it.
    var onLeft: (Registration.Identity, String?) -> Void = { _, _ in }
    private(set) var listings: [Registration.Identity: Listing] = [:]

    /// Those that are being taken out, with the end of patience.
    private var leaving: [Registration.Identity: EventLoop.Timer] = [:]
    private let loop: EventLoop
    private let logger: Logger

    /// Longest time that the registry may take to answer.
    private let patience: Duration

    init(
        _ registrar: any Registrar, servers: [HostPort], patience: Duration, loop: EventLoop, logger: Logger
    ) {
        self.patience = patience
        self.registrar = registrar
        self.servers = servers
        self.loop = loop
        self.logger = logger
    }

    /// True when nothing is being taken out.
    var isQuiet: Bool { leaving.isEmpty }

    /// Whether something with this key is being taken out.
    func isLeaving(_ key: RegistrationPlan.Key) -> Bool { leaving.keys.contains { $0.belongs(to: key) } }

    func stop() {
        for timer in leaving.values { loop.cancel(timer) }
        leaving.removeAll()
        onChange = {}
        onLeft = { _, _ in }
    }

    /// Lists these and nothing else.
    func apply(_ wanted: [Registration.Identity: Registration]) {
        for identity in Array(listings.keys) where wanted[identity] == nil { withdraw(identity) }
        for (identity, registration) in wanted {
            // One that is being taken out comes back when that has ended: a registry could take both in the wrong order.
            guard leaving[identity] == nil, listings[identity]?.registration != registration else { continue }
            listings[identity] = Listing(registration: registration, since: Clock.nanoseconds)
            registrar.register(registration)
        }
    }

    /// Says what has waited too long for an answer.
    func sweep() {
        let now = Clock.nanoseconds
        for (identity, listing) in listings where listing.state == .pending && listing.reason == nil {
            guard now - listing.since >= patience.nanoseconds else { continue }
            listings[identity]?.reason = "the registry has not answered yet"
            log(.warning, "registration.awaited", identity, listings[identity]?.reason)
            onChange()
        }
    }

    /// What the registry says of a registration.
    func take(_ identity: Registration.Identity, _ reason: String?) {
        guard var listing = listings[identity] else { return }
        let state: Listing.State = reason == nil ? .registered : .failed
        if listing.state == state && listing.reason == reason { return }
        if listing.state != state { listing.since = Clock.nanoseconds }
        listing.state = state
        listing.reason = reason
        listings[identity] = listing
        if reason == nil {
            log(.info, "registration.registered", identity, nil)
        } else {
            log(.warning, "registration.failed", identity, reason)
        }
        onChange()
    }

    private func withdraw(_ identity: Registration.Identity) {
        listings[identity] = nil
        leaving[identity] = loop.schedule(after: patience) { [weak self] in
            self?.left(identity, "the registry has not answered in time")
        }
        registrar.deregister(identity) { [weak self] reason in self?.left(identity, reason) }
    }

    private func left(_ identity: Registration.Identity, _ reason: String?) {
        guard let timer = leaving.removeValue(forKey: identity) else { return }
        loop.cancel(timer)
        if reason == nil {
            log(.info, "registration.withdrawn", identity, nil)
        } else {
            log(.warning, "registration.withdraw_failed", identity, reason)
        }
        onLeft(identity, reason)
        onChange()
    }

    private func log(_ level: LogLevel, _ event: String, _ identity: Registration.Identity, _ reason: String?) {
        let key = "\(registrar.url) \(identity)"
        if let reason {
            logger.log(
                level, event, ["service": "\(identity)", "registry": registrar.url, "reason": reason], limit: 6,
                limitKey: key)
        } else {
            logger.log(level, event, ["service": "\(identity)", "registry": registrar.url], limit: 6, limitKey: key)
        }
    }
}

extension Registration.Identity {
    /// Whether it is what is listed for this key, at some host.
    func belongs(to key: RegistrationPlan.Key) -> Bool {
        service == key.service && interfaceVersion == key.interfaceVersion && group == key.group && port == key.port
    }
}
