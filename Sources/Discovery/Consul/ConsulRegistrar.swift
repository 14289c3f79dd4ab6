import Runtime

/// Registers applications at a Consul agent with a check that must be renewed.
///
/// A registration belongs to its agent, so renewals go there. When it is away, another agent takes the registration; the
/// first one's ends by itself.
final class ConsulRegistrar {
    private let settings: ConsulSettings
    private let url: String
    private let logger: Logger
    private let loop: EventLoop
    private let reports: RegistryReports
    private let calls: RegistrationCalls
    private let startedAt = Clock.wallNanoseconds / 1_000_000
    /// At which agents a registration may be: all that it was sent to.
    private var places: [Registration.Identity: Set<Int>] = [:]
    /// Which of them has confirmed it last.
    private var homes: [Registration.Identity: Int] = [:]
    private var keeper: LeaseKeeper?

    init(_ settings: ConsulSettings, url: String, context: DiscoveryContext, reports: RegistryReports) {
        self.settings = settings
        self.url = url
        logger = context.logger
        loop = context.loop
        self.reports = reports
        calls = RegistrationCalls(
            servers: settings.agents, headers: ConsulClient.headers(settings), timeout: settings.timeout,
            backoff: settings.agentBackoff, context: context)
        let period = settings.timeToLive / 3
        keeper = LeaseKeeper(
            loop: context.loop, period: period, lifetime: settings.timeToLive,
            backoff: Backoff(first: min(.milliseconds(500), period), cap: period),
            calls: LeaseKeeper.Calls(
                publish: { [weak self] in self?.publish($0, $1) }, renew: { [weak self] in self?.renew($0, $1) },
                withdraw: { [weak self] in self?.withdraw($0, $1) }),
            report: reports.registration)
    }

    func register(_ registration: Registration) {
        guard let form = ConsulForm(registration, startedAt: startedAt) else {
            let identity = registration.identity
            loop.schedule(after: .zero) { [weak self] in
                self?.reports.registration(identity, "SOFA RPC's interfaces are not registered in Consul")
            }
            return
        }
        for remark in form.remarks {
            logger.log(
                .warning, "registry.registration_changed",
                ["url": url, "registration": "\(registration.identity)", "reason": remark])
        }
        keeper?.register(registration)
    }

    func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        keeper?.deregister(identity, completion: completion)
    }

    func describe(_ status: inout RegistryStatus) { keeper?.describe(&status) }

    func stop() {
        keeper?.stop()
        calls.stop()
    }

    private func publish(_ registration: Registration, _ completion: @escaping (String?) -> Void) {
        guard let form = ConsulForm(registration, startedAt: startedAt) else { return completion("not for Consul") }
        let path = "/v1/agent/service/register?replace-existing-checks=true"
        let identity = registration.identity
        calls.send(
            "PUT", path, json: form.json(settings),
            onSend: { [weak self] in self?.places[identity, default: []].insert($0) }
        ) { [weak self] result in
            guard let self else { return }
            switch result {
            case .failure(let error): completion(error.reason)
            case .success((let response, let agent)):
                guard response.status == 200 else { return completion(words(response)) }
                homes[identity] = agent
                completion(nil)
            }
        }
    }

    private func renew(_ registration: Registration, _ completion: @escaping (LeaseKeeper.Renewal) -> Void) {
        guard let agent = homes[registration.identity],
            let form = ConsulForm(registration, startedAt: startedAt)
        else { return completion(.forgotten) }
        let check = PercentEncoding.encode(form.checkID)
        calls.send("PUT", "/v1/agent/check/pass/" + check, only: agent) { [weak self] result in
            guard let self else { return }
            switch result {
            case .failure(let error):
                // Another agent takes it at once; alone, this one may still have it when it is back.
                completion(settings.agents.count > 1 ? .forgotten : .failed(error.reason))
            case .success((let response, _)):
                if response.status == 200 { return completion(.alive) }
                completion(Self.isForgotten(response) ? .forgotten : .failed(words(response)))
            }
        }
    }

    /// Takes it out wherever it may be. An agent that is not the last one and cannot be reached has lost it.
    private func withdraw(_ registration: Registration, _ completion: @escaping (String?) -> Void) {
        let identity = registration.identity
        let agents = places[identity] ?? []
        guard !agents.isEmpty, let form = ConsulForm(registration, startedAt: startedAt) else { return completion(nil) }
        let path = "/v1/agent/service/deregister/" + PercentEncoding.encode(form.id)
        var left = agents.count
        var problem: String?
        for agent in agents {
            calls.send("PUT", path, only: agent) { [weak self] result in
                guard let self else { return }
                let reason = reason(result, isHome: homes[identity] == agent)
                if reason == nil { places[identity]?.remove(agent) }
                problem = problem ?? reason
                left -= 1
                guard left == 0 else { return }
                if places[identity]?.isEmpty == true { (places[identity], homes[identity]) = (nil, nil) }
                completion(problem)
            }
        }
    }

    /// Why an agent may still list what it was told to take out.
    private func reason(
        _ result: Result<(response: HTTPResponse, server: Int), RegistrationCalls.Unanswered>, isHome: Bool
    ) -> String? {
        switch result {
        case .failure(let error): error.isUnreachable && !isHome ? nil : error.reason
        case .success((let response, _)):
            response.status == 200 || Self.isForgotten(response) ? nil : words(response)
        }
    }

    /// New versions say 404, old ones 500 with words.
    private static func isForgotten(_ response: HTTPResponse) -> Bool {
        if response.status == 404 { return true }
        return response.status == 500
            && ["does not have associated TTL", "Unknown check", "Unknown service"].contains {
                response.text.contains($0)
            }
    }

    private func words(_ response: HTTPResponse) -> String {
        let words = Excerpt.words(response, hiding: settings.token)
        return [401, 403].contains(response.status) ? "the ACL token may not register: \(words)" : words
    }
}

extension ConsulRegistry: Registrar {
    /// Registers an application at an agent and keeps it registered.
    public func register(_ registration: Registration) { registrar.register(registration) }

    /// Takes an application out.
    public func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        registrar.deregister(identity, completion: completion)
    }

    /// Leaves what is registered to another process.
    public func leaveRegistrations() { registrar.stop() }
}
