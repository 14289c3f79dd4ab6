import Balancing
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
    /// Dubbo: the call's interface version; empty for none.
    public var interfaceVersion = ""
    /// Dubbo: the call's group; empty for none.
    public var group = ""

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

    /// Collects the counters of all workers; a worker that is slow is represented by its last report.
    public func collectTraffic(_ completion: @escaping (Traffic) -> Void) {
        collector.collect { completion(Traffic($0)) }
    }

    /// Has a worker decide a request. A service that nobody has asked for yet is asked for now, and waited for.
    public func explain(_ question: ExplainQuestion, completion: @escaping (ExplainAnswer) -> Void) {
        var question = question
        question.splitDubboName()
        guard let (key, step) = service(meantBy: question) else {
            var explanation = Explanation()
            explanation.steps = ["no service is known by this host name or path: the request is refused"]
            return completion(ExplainAnswer(service: nil, explanation: explanation))
        }
        let request = ExplainRequest(
            key: key, headers: question.headers, interfaceVersion: question.interfaceVersion, group: question.group)
        guard touch(key) else {
            var explanation = Explanation()
            explanation.steps = [step, "too many services are watched: the request is refused"]
            return completion(ExplainAnswer(service: key, explanation: explanation))
        }
        let isKnown = snapshots[key] != nil
        explainer.explain(request, waiting: isKnown ? nil : configuration.limits.discoveryTimeout) { explanation in
            var answer = explanation ?? Explanation()
            if explanation == nil { answer.steps = ["the worker has not answered in time"] }
            answer.steps.insert(step, at: 0)
            completion(ExplainAnswer(service: key, explanation: answer))
        }
    }

    /// The same order as for requests: a service's own name, a further host name, a path; then a name that is new.
    private func service(meantBy question: ExplainQuestion) -> (ServiceKey, String)? {
        if let name = question.service {
            if let kind = question.kind ?? knownKind(of: name), kind == .dubbo || isKnown(.http, name) {
                return (ServiceKey(kind: kind, name: name), "the service is \(name) by its own name")
            }
            let lowered = name.lowercased()
            if let route = plan.routes.hosts.first(where: { $0.name == lowered }) {
                return (route.service, "the host name \(name) means the service \(route.service.name)")
            }
        }
        if question.kind != .dubbo, let path = question.path, let route = plan.route(path: path) {
            let prefix = route.prefix.isEmpty ? "/" : route.prefix
            return (route.service, "the path prefix \(prefix) means the service \(route.service.name)")
        }
        guard let name = question.service, !name.isEmpty else { return nil }
        return (
            ServiceKey(kind: question.kind ?? ServicePlan.likelyKind(name), name: name),
            "the service is \(name) by its own name, which nobody has asked for before"
        )
    }

    private func knownKind(of name: String) -> ServiceKey.Kind? {
        let known = [ServiceKey.Kind.http, .dubbo].filter { isKnown($0, name) }
        // Both are watched when the configuration names the service: then hosts tell which it is.
        return known.first { snapshots[ServiceKey(kind: $0, name: name)].map { $0.hostCount > 0 } ?? false }
            ?? known.first
    }

    private func isKnown(_ kind: ServiceKey.Kind, _ name: String) -> Bool {
        let key = ServiceKey(kind: kind, name: name)
        return snapshots[key] != nil || plan.requires(key)
    }
}

extension ExplainQuestion {
    /// `interface:version:group` is how file registries and Dubbo's tools write a service.
    fileprivate mutating func splitDubboName() {
        guard kind != .http, let name = service else { return }
        let parts = name.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard (2...3).contains(parts.count), SocketAddress(name) == nil else { return }
        kind = .dubbo
        service = parts[0]
        if interfaceVersion.isEmpty { interfaceVersion = parts[1] }
        if group.isEmpty, parts.count > 2 { group = parts[2] }
    }
}

extension ServicePlan {
    /// The longest path prefix that ends where a segment of the path ends.
    func route(path: String) -> (prefix: String, service: ServiceKey)? {
        let path = path.prefix { $0 != "?" }
        return routes.paths.filter { path == $0.prefix || path.hasPrefix($0.prefix + "/") }
            .max { $0.prefix.utf8.count < $1.prefix.utf8.count }
    }
}
