import Balancing
import Configuration
import Model
import Proxy
import Runtime

/// What an operator wants explained.
public struct ExplainQuestion: Sendable {
    /// A service's name, or a host name that means one; nil: the path alone decides.
    public var service: String?
    /// Which kind of request it is; nil: whichever kind of service is known by that name.
    public var kind: ServiceKey.Kind?
    /// HTTP: the request's path.
    public var path: String?
    /// Headers or attachments.
    public var headers: [(name: String, value: String)] = []
    /// Dubbo and Bolt: the call's interface version; empty for none.
    public var interfaceVersion = ""
    /// Dubbo: the call's group, Bolt: its unique id; empty for none.
    public var group = ""
    /// The IP address that the request comes from; nil: not known.
    public var client: String?

    /// A question about a service.
    public init(service: String? = nil) { self.service = service }
}

/// What would happen to a request.
public struct ExplainAnswer: Sendable {
    /// The service that it means; nil: none.
    public let service: ServiceKey?
    /// The decision; its first steps tell how the service was found.
    public let explanation: Explanation
}

extension ControlPlane {
    /// What is known about each service that is watched and was told to the workers.
    public var snapshots: [ServiceKey: ServiceSnapshot] { publisher.snapshots }

    /// How a host of a version is, as far as health checks and outlier detection know.
    public func status(
        of address: SocketAddress, _ identity: VersionCluster.Identity, _ key: ServiceKey
    ) -> HostStatus {
        health.status(key, identity, address, snapshots[key]?.policy)
    }

    /// Versions with health checks or outlier detection, in a fixed order.
    public var watchedVersions: [VersionHealth] { health.versions(of: publisher.snapshots) }

    /// Hosts that are checked, in a fixed order.
    public var checkedHosts: [CheckedHost] { health.checkedHosts }

    /// Collects the counters of all workers; a worker that is slow is represented by its last report.
    public func collectTraffic(_ completion: @escaping (Traffic) -> Void) {
        collector.collect { completion(Traffic($0)) }
    }

    /// Has a worker decide a request. A service that nobody has asked for yet is asked for now, and waited for.
    public func explain(_ question: ExplainQuestion, completion: @escaping (ExplainAnswer) -> Void) {
        let question = understood(question)
        guard let (key, step) = service(meantBy: question) else {
            var explanation = Explanation()
            explanation.steps = ["no service is known by this host name or path: the request is refused"]
            return completion(ExplainAnswer(service: nil, explanation: explanation))
        }
        explain(question, as: key, [step], completion)
    }

    private func explain(
        _ question: ExplainQuestion, as key: ServiceKey, _ steps: [String],
        _ completion: @escaping (ExplainAnswer) -> Void
    ) {
        guard touch(key) else {
            var explanation = Explanation()
            explanation.steps = steps + ["too many services are watched: the request is refused"]
            return completion(ExplainAnswer(service: key, explanation: explanation))
        }
        let request = ExplainRequest(
            key: key, headers: question.headers, interfaceVersion: question.interfaceVersion, group: question.group,
            client: question.client)
        let isKnown = snapshots[key] != nil
        explainer.explain(request, waiting: isKnown ? nil : configuration.limits.discoveryTimeout) {
            [weak self] explanation in
            if let self, let lowered = lowerCase(of: key) {
                let step = "no registry lists \(key.name) as it is written, so the service is \(lowered.name)"
                return explain(question, as: lowered, steps + [step], completion)
            }
            var answer = explanation ?? Explanation()
            if explanation == nil { answer.steps = ["the worker has not answered in time"] }
            answer.steps = steps + answer.steps
            if let self, let snapshot = snapshots[key] { answer.steps += health.steps(snapshot) }
            completion(ExplainAnswer(service: key, explanation: answer))
        }
    }

    /// What is meant by a host name with capitals that no registry lists like that.
    private func lowerCase(of key: ServiceKey) -> ServiceKey? {
        let lowered = ServiceKey(kind: .http, name: key.name.lowercased())
        guard key.kind == .http, lowered != key, !plan.requires(key), snapshots[key]?.hostCount == 0 else { return nil }
        return lowered
    }

    /// The same order as for requests: what the configuration names, by host name or by path; then a name that a registry may list.
    private func service(meantBy question: ExplainQuestion) -> (ServiceKey, String)? {
        let name = question.service.flatMap { $0.isEmpty ? nil : $0 }
        let host = name.map(ServicePlan.withoutPort)
        let route = host.flatMap(plan.route(host:))
        let kind =
            question.kind ?? name.flatMap(knownKind) ?? (route != nil ? .http : name.map(plan.likelyKind))
            ?? .http
        if kind == .http {
            if let route { return (route, Self.step(host: host ?? "", route)) }
            if let path = question.path, let route = plan.route(path: path) {
                let prefix = route.prefix.isEmpty ? "/" : route.prefix
                return (route.service, "the path prefix \(prefix) means the service \(route.service.name)")
            }
        }
        guard let name = kind == .http ? host.map(ServicePlan.withoutDot) : name else { return nil }
        let key = ServiceKey(kind: kind, name: name)
        guard key.canBeRequested else { return nil }
        return (
            key,
            "the service is \(name) by its own name"
                + (isKnown(kind, name) ? "" : ", which nobody has asked for before")
        )
    }

    private static func step(host: String, _ service: ServiceKey) -> String {
        host == service.name
            ? "the service is \(host) by its own name" : "the host name \(host) means the service \(service.name)"
    }

    private func knownKind(of name: String) -> ServiceKey.Kind? { known([.http, .dubbo, .bolt], name) }

    private func known(_ kinds: [ServiceKey.Kind], _ name: String) -> ServiceKey.Kind? {
        let known = kinds.filter { isKnown($0, name) }
        // All are watched when the configuration names the service: then hosts tell which it is.
        return known.first { snapshots[ServiceKey(kind: $0, name: name)].map { $0.hostCount > 0 } ?? false }
            ?? known.first
    }

    private func isKnown(_ kind: ServiceKey.Kind, _ name: String) -> Bool {
        let key = ServiceKey(kind: kind, name: name)
        return snapshots[key] != nil || plan.requires(key)
    }
}

extension ControlPlane {
    /// A question with the interface's name alone, its kind where it can only be a call, and no version that stands for none.
    private func understood(_ question: ExplainQuestion) -> ExplainQuestion {
        var question = question
        let isCall = question.splitInterfaceName() || !question.interfaceVersion.isEmpty || !question.group.isEmpty
        if question.kind == nil, isCall, let name = question.service {
            question.kind = known([.dubbo, .bolt], name) ?? plan.likelyKindOfInterface
        }
        if let kind = question.kind { question.interfaceVersion = kind.meaningful(question.interfaceVersion) }
        return question
    }
}

extension ExplainQuestion {
    /// `interface:version:group` is how file registries, Dubbo's tools and SOFA RPC write a service. False where the name is not
    /// written so.
    fileprivate mutating func splitInterfaceName() -> Bool {
        guard kind != .http, let name = service else { return false }
        let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), kind != nil || ServiceName.isJavaName(parts[0]) else { return false }
        service = parts[0]
        if interfaceVersion.isEmpty { interfaceVersion = parts[1] }
        if group.isEmpty, parts.count > 2 { group = parts[2] }
        return true
    }
}

extension ServicePlan {
    /// The service that the configuration names by a host name.
    func route(host: String) -> ServiceKey? {
        let key = ServiceKey(kind: .http, name: host)
        if requires(key) { return key }
        let plain = Self.plainHost(host)
        let own = ServiceKey(kind: .http, name: plain)
        return requires(own) ? own : routes.hosts.first { $0.name == plain }?.service
    }

    /// A Host header's name.
    static func withoutPort(_ host: String) -> String {
        guard let colon = host.lastIndex(of: ":"), !host[colon...].dropFirst().contains(where: { !$0.isNumber }),
            !host[..<colon].contains(":") || host[..<colon].hasSuffix("]")
        else { return host }
        return String(host[..<colon])
    }

    /// A host name without the dot that says that it is complete.
    static func withoutDot(_ host: String) -> String {
        host.count > 1 && host.hasSuffix(".") ? String(host.dropLast()) : host
    }

    /// The longest path prefix that ends where a segment of the path ends.
    func route(path: String) -> (prefix: String, service: ServiceKey)? {
        let path = path.prefix { $0 != "?" }
        return routes.paths.filter { path == $0.prefix || path.hasPrefix($0.prefix + "/") }
            .max { $0.prefix.utf8.count < $1.prefix.utf8.count }
    }
}
