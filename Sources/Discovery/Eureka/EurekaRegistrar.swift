import Runtime

/// Registers applications in Eureka as Spring Cloud's client does: posted once, then kept by heartbeats.
final class EurekaRegistrar {
    private let settings: EurekaSettings
    private let calls: RegistrationCalls
    private let reports: RegistryReports
    private let loop: EventLoop
    private var keeper: LeaseKeeper?
    /// The time stamp of each registration's last post. A server ignores a post with an older one than it has.
    private var stamps: [Registration.Identity: Int64] = [:]
    /// What is known to be down and is being deleted: a further post would put back what a lost answer has deleted.
    private var down: Set<Registration.Identity> = []

    /// Longest time for an exchange: who stops does not wait for longer.
    private static let timeout = Duration.seconds(5)

    init(_ settings: EurekaSettings, context: DiscoveryContext, reports: RegistryReports) {
        self.settings = settings
        self.reports = reports
        loop = context.loop
        calls = RegistrationCalls(
            servers: settings.servers, headers: settings.headers, timeout: min(settings.timeout, Self.timeout),
            backoff: settings.serverBackoff, context: context)
        keeper = LeaseKeeper(
            loop: context.loop, period: settings.heartbeat, lifetime: settings.heartbeat * 3,
            backoff: Backoff(first: min(.seconds(1), settings.heartbeat), cap: settings.heartbeat),
            calls: LeaseKeeper.Calls(
                publish: { [weak self] in self?.publish($0, $1) },
                renew: { [weak self] in self?.renew($0, $1) },
                withdraw: { [weak self] in self?.withdraw($0, $1) }),
            report: reports.registration)
    }

    func register(_ registration: Registration) {
        guard registration.service.kind == .http else {
            let identity = registration.identity
            loop.schedule(after: .zero) { [weak self] in
                self?.reports.registration(identity, "Eureka lists applications, not interfaces")
            }
            return
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
        down.remove(registration.identity)
        post(registration, status: "UP", completion)
    }

    private func post(_ registration: Registration, status: String, _ completion: @escaping (String?) -> Void) {
        let stamp = max(Clock.wallNanoseconds / 1_000_000, (stamps[registration.identity] ?? 0) + 1)
        stamps[registration.identity] = stamp
        let body = Self.body(registration, status: status, stamp: stamp, settings)
        calls.send("POST", Self.path(registration), json: body) { result in
            switch result {
            case .failure(let error): completion(error.reason)
            case .success((let response, _)):
                completion((200...204).contains(response.status) ? nil : Self.words(response))
            }
        }
    }

    private func renew(_ registration: Registration, _ completion: @escaping (LeaseKeeper.Renewal) -> Void) {
        let stamp = stamps[registration.identity] ?? 0
        let path = "\(Self.path(registration))/\(PercentEncoding.encode(Self.id(registration)))"
        calls.send("PUT", "\(path)?status=UP&lastDirtyTimestamp=\(stamp)") { result in
            switch result {
            case .failure(let error): completion(.failed(error.reason))
            case .success((let response, _)):
                switch response.status {
                case 200...204: completion(.alive)
                case 404: completion(.forgotten)
                default: completion(.failed(Self.words(response)))
                }
            }
        }
    }

    /// Down first: whoever reads a list between the two must not send requests any more.
    private func withdraw(_ registration: Registration, _ completion: @escaping (String?) -> Void) {
        guard !down.contains(registration.identity) else { return delete(registration, completion) }
        post(registration, status: "DOWN") { [weak self] reason in
            if reason == nil { self?.down.insert(registration.identity) }
            self?.delete(registration, completion)
        }
    }

    private func delete(_ registration: Registration, _ completion: @escaping (String?) -> Void) {
        let path = "\(Self.path(registration))/\(PercentEncoding.encode(Self.id(registration)))"
        calls.send("DELETE", path) { [weak self] result in
            switch result {
            case .failure(let error): return completion(error.reason)
            case .success((let response, _)):
                guard [200, 204, 404].contains(response.status) else { return completion(Self.words(response)) }
            }
            self?.stamps[registration.identity] = nil
            self?.down.remove(registration.identity)
            completion(nil)
        }
    }

    private static func path(_ registration: Registration) -> String {
        "/apps/" + PercentEncoding.encode(registration.service.name.uppercased())
    }

    /// In Spring's form.
    private static func id(_ registration: Registration) -> String {
        "\(registration.host):\(registration.service.name.lowercased()):\(registration.port)"
    }

    /// What Spring Cloud's client sends, as far as anybody reads it.
    static func body(_ registration: Registration, status: String, stamp: Int64, _ settings: EurekaSettings) -> String {
        let (name, quote) = (registration.service.name, JSONWriter.quote)
        var labels = registration.metadata
        if registration.weight != 1, registration.weight > 0 {
            // Spring's load balancer reads whole numbers from 1.
            labels["weight"] = String(Int(min(max(registration.weight, 1), 1_000_000).rounded()))
        }
        labels["management.port"] = labels["management.port"] ?? "\(registration.port)"
        let host = registration.host.contains(":") ? "[\(registration.host)]" : registration.host
        let seconds = max(1, settings.heartbeat.nanoseconds / 1_000_000_000)
        let instance = JSONWriter.object([
            ("instanceId", quote(id(registration))), ("app", quote(name.uppercased())),
            ("hostName", quote(registration.host)), ("ipAddr", quote(registration.host)), ("status", quote(status)),
            ("overriddenStatus", quote("UNKNOWN")), ("port", #"{"$":\#(registration.port),"@enabled":"true"}"#),
            ("securePort", #"{"$":443,"@enabled":"false"}"#), ("countryId", "1"),
            (
                "dataCenterInfo",
                #"{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"}"#
            ),
            ("leaseInfo", #"{"renewalIntervalInSecs":\#(seconds),"durationInSecs":\#(3 * seconds)}"#),
            ("metadata", JSONWriter.object(labels)), ("homePageUrl", quote("http://\(host):\(registration.port)/")),
            // Spring's clients look services up by these.
            ("vipAddress", quote(name.lowercased())), ("secureVipAddress", quote(name.lowercased())),
            ("isCoordinatingDiscoveryServer", quote("false")), ("lastUpdatedTimestamp", quote("\(stamp)")),
            ("lastDirtyTimestamp", quote("\(stamp)")),
        ])
        return JSONWriter.object([("instance", instance)])
    }

    private static func words(_ response: HTTPResponse) -> String {
        [401, 403].contains(response.status)
            ? "status \(response.status): the server wants other credentials" : Excerpt.words(response)
    }
}

extension EurekaRegistry: Registrar {
    /// Registers an application and keeps it registered by heartbeats.
    public func register(_ registration: Registration) { registrar.register(registration) }

    /// Takes an application out.
    public func deregister(_ identity: Registration.Identity, completion: @escaping (String?) -> Void) {
        registrar.deregister(identity, completion: completion)
    }

    /// Leaves what is registered to another process.
    public func leaveRegistrations() { registrar.stop() }
}
