import Configuration
import Model
import Runtime

extension AdminServer {
    /// The settings in force, under the names of the configuration file. Without passwords.
    func configuration() -> JSON {
        let settings = control.configuration
        return .object([
            "admin": .object(["listen": .text("\(settings.admin)")]),
            "workers": .count(control.workerCount),
            "registries": .array(settings.registries.map(JSON.registry)),
            "state": .optional(settings.state),
            "listeners": .array(zip(settings.listeners, control.listenerAddresses).map(JSON.listener)),
            "trusted_proxies": .texts(settings.trustedProxies.map(\.description)),
            "version": .object([
                "request": .texts(settings.version.request), "instance": .texts(settings.version.instance),
                "tell": .bool(settings.version.tell),
            ]),
            "services": .object(
                [JSON.Member(name: "*", value: .policy(settings.defaultPolicy))]
                    + settings.services.sorted { $0.key < $1.key }.map {
                        JSON.Member(name: $0.key, value: .service($0.value))
                    }),
            "access_log": settings.accessLog.map { .object(["path": .text($0.path)]) } ?? .null,
            "limits": .limits(settings.limits),
            "register": .array(settings.registrations.map { .registration($0, settings) }),
            "withdraw_wait": .duration(settings.withdrawWait),
            "drain_timeout": .duration(settings.drainTimeout),
            "log": .object(["level": .text("\(settings.logLevel)")]),
        ])
    }
}

extension JSON {
    /// How requests for a service are sent on.
    static func policy(_ policy: ServicePolicy) -> JSON { .object(members(policy)) }

    fileprivate static func service(_ service: ServiceConfiguration) -> JSON {
        .object(
            members(service.policy) + [
                Member(name: "hosts", value: .texts(service.hosts)),
                Member(name: "paths", value: .texts(service.paths)),
            ])
    }

    private static func members(_ policy: ServicePolicy) -> [Member] {
        return [
            Member(name: "mode", value: .text(policy.mode.rawValue)),
            Member(name: "stable", value: .optional(policy.stable)),
            Member(
                name: "split",
                value: .object(policy.split.map { Member(name: $0.version, value: .integer(Int64($0.weight))) })),
            Member(name: "sticky", value: .optional(policy.sticky?.text)),
            Member(name: "balancer", value: .text(policy.balancer.rawValue)),
            Member(name: "merge", value: .text(policy.merge.rawValue)),
            Member(name: "warmup", value: policy.warmup.map { .duration($0) } ?? .null),
        ] + members(policy.traffic) + [
            Member(
                name: "versions",
                value: .object(
                    policy.versions.sorted { $0.key < $1.key }.map {
                        Member(name: $0.key, value: .object(members($0.value)))
                    }))
        ]
    }

    private static func members(_ policy: TrafficPolicy) -> [Member] {
        [
            Member(name: "timeout", value: .duration(policy.timeout)),
            Member(name: "retries", value: retries(policy.retries)),
            Member(name: "circuit_breaker", value: circuitBreaker(policy.circuitBreaker)),
            Member(name: "concurrency", value: policy.adaptsConcurrency ? .text("adaptive") : .null),
            Member(name: "rate_limit", value: rateLimit(policy.rateLimit)),
            Member(name: "stream_idle", value: policy.streamIdle.map { .duration($0) } ?? .null),
            Member(name: "fault", value: fault(policy.fault)),
            Member(name: "mirror", value: mirror(policy.mirror)),
            Member(name: "access", value: access(policy.access)),
            Member(name: "health_check", value: healthCheck(policy.healthCheck)),
            Member(name: "outlier_detection", value: outlierDetection(policy.outlierDetection)),
        ]
    }

    private static func circuitBreaker(_ policy: CircuitBreakerPolicy) -> JSON {
        func most(_ number: Int?) -> JSON { number.map { .count($0) } ?? .null }
        if policy.isOff { return .null }
        return .object([
            "requests": most(policy.requests), "pending": most(policy.pending),
            "connections": most(policy.connections),
        ])
    }

    private static func rateLimit(_ policy: RateLimitPolicy) -> JSON {
        guard let rate = policy.rate else { return .null }
        return .object([
            "rate": .text("\(rate)"), "burst": .count(policy.effectiveBurst), "key": .optional(policy.key?.text),
        ])
    }

    private static func fault(_ policy: FaultPolicy) -> JSON {
        if policy.isOff { return .null }
        return .object([
            "delay": policy.delay.map { .duration($0) } ?? .null, "abort": policy.abort.map { .count($0) } ?? .null,
            "share": .text(SettingValue.text(share: policy.share)),
        ])
    }

    private static func mirror(_ policy: MirrorPolicy) -> JSON {
        guard let version = policy.version else { return .null }
        return .object(["version": .text(version), "share": .text(SettingValue.text(share: policy.share))])
    }

    private static func access(_ policy: AccessPolicy) -> JSON {
        func ranges(_ ranges: [AddressRange]) -> JSON { .texts(ranges.map(\.description)) }
        return policy.isOff ? .null : .object(["allow": ranges(policy.allow), "deny": ranges(policy.deny)])
    }

    private static func retries(_ policy: RetryPolicy) -> JSON {
        .object([
            "attempts": .count(policy.attempts), "on": .texts(policy.causes),
            "methods": policy.methods.map { .texts($0) } ?? .null,
            "per_try_timeout": policy.perTryTimeout.map { .duration($0) } ?? .null,
            "backoff": .duration(policy.backoff), "hedge": policy.hedge.map { .duration($0) } ?? .null,
            "budget": .count(policy.budget),
        ])
    }

    private static func healthCheck(_ policy: HealthCheckPolicy) -> JSON {
        guard let kind = policy.kind else { return "off" }
        return .object([
            "type": .text(kind.rawValue), "path": .optional(kind == .http ? policy.path : nil),
            "interval": .duration(policy.interval), "timeout": .duration(policy.timeout),
            "unhealthy": .count(policy.unhealthy), "healthy": .count(policy.healthy),
        ])
    }

    private static func outlierDetection(_ policy: OutlierDetectionPolicy) -> JSON {
        func number(_ value: Int?) -> JSON { value.map { .count($0) } ?? "off" }
        if !policy.isOn { return "off" }
        return .object([
            "consecutive": number(policy.consecutive), "error_rate": number(policy.errorRate),
            "requests": .count(policy.requests), "interval": .duration(policy.interval),
            "ejection": .duration(policy.ejection), "max_ejected": .count(policy.maxEjected),
            "latency": number(policy.latency),
        ])
    }

    fileprivate static func registry(_ registry: RegistryConfiguration) -> JSON {
        .object([
            "url": .text(registry.displayURL), "poll": .duration(registry.poll),
            "confirm": .duration(registry.confirm), "settle": .duration(registry.settle),
        ])
    }

    fileprivate static func listener(_ listener: ListenerConfiguration, _ address: SocketAddress) -> JSON {
        var members = [
            Member(name: "name", value: .text(listener.name)),
            Member(name: "protocol", value: .text(listener.protocol.rawValue)),
            Member(name: "listen", value: .text("\(address)")),
            Member(name: "forward", value: .optional(listener.forward.map { "\($0)" })),
        ]
        if listener.protocol == .bolt { members.append(Member(name: "bolt_goaway", value: .bool(listener.boltGoaway))) }
        return .object(members)
    }

    fileprivate static func registration(_ registration: RegistrationConfiguration, _ all: Configuration) -> JSON {
        let (listener, port): (JSON, JSON) =
            switch registration.port {
            case .listener(let name): (.text(name), .null)
            case .application(let port): (.null, .count(Int(port)))
            }
        let address =
            switch registration.address {
            case .detected: "auto"
            case .named(let name): name
            }
        let names = registration.registries.map { name in RegistryConfiguration(url: name).shownName }
        return .object([
            "service": .text(registration.service), "protocol": .text(all.kind(of: registration).rawValue),
            "listener": listener, "port": port, "address": .text(address), "version": .text(registration.version),
            "group": .text(registration.group), "weight": .count(registration.weight),
            "metadata": .object(
                registration.metadata.sorted { $0.key < $1.key }.map { Member(name: $0.key, value: .text($0.value)) }),
            "registries": .texts(names), "health": registration.health.map(health) ?? "off",
        ])
    }

    private static func health(_ health: HealthCheckConfiguration) -> JSON {
        .object([
            "path": .optional(health.path), "port": health.port.map { .count(Int($0)) } ?? .null,
            "interval": .duration(health.interval), "timeout": .duration(health.timeout),
            "failures": .count(health.failures),
        ])
    }

    fileprivate static func limits(_ limits: LimitConfiguration) -> JSON {
        .object([
            "http_head": .count(limits.httpHead), "dubbo_body": .count(limits.dubboBody),
            "bolt_body": .count(limits.boltBody),
            "head_timeout": .duration(limits.headTimeout), "idle_timeout": .duration(limits.idleTimeout),
            "connect_timeout": .duration(limits.connectTimeout),
            "discovery_timeout": .duration(limits.discoveryTimeout), "services": .count(limits.services),
            "service_idle": .duration(limits.serviceIdle),
        ])
    }

    /// As the configuration file writes it.
    fileprivate static func duration(_ duration: Duration) -> JSON {
        let milliseconds = duration.wholeMilliseconds
        return .text(milliseconds % 1000 == 0 ? "\(milliseconds / 1000)s" : "\(milliseconds)ms")
    }
}

extension RegistryConfiguration {
    /// A scheme, or a URL without credentials.
    fileprivate var shownName: String { url.contains(":") ? displayURL : url }
}
