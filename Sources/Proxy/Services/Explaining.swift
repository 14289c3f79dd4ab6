import Balancing
import Model
import Routing
import Runtime

/// A request to be explained.
public struct ExplainRequest: Sendable {
    /// The service.
    public var key: ServiceKey
    /// Headers or attachments.
    public var headers: [(name: String, value: String)]
    /// Dubbo: the call's interface version; empty for none.
    public var interfaceVersion: String
    /// Dubbo: the call's group; empty for none.
    public var group: String
    /// The IP address that it comes from; nil: not known.
    public var client: String?

    /// A request.
    public init(
        key: ServiceKey, headers: [(name: String, value: String)] = [], interfaceVersion: String = "",
        group: String = "", client: String? = nil
    ) {
        self.client = client
        self.key = key
        self.headers = headers
        self.interfaceVersion = interfaceVersion
        self.group = group
    }
}

/// Which version, cluster and hosts a request would get, and why.
public struct Explanation: Sendable {
    /// What was looked at, in order, each with its outcome.
    public var steps: [String] = []
    /// The cluster that would serve; nil: the request would be refused.
    public var cluster: String?
    /// Its version.
    public var version: String?
    /// Its usable hosts.
    public var hosts: [String] = []
    /// What the question does not tell and the decision depends on; nil: nothing.
    public var dependsOn: String?

    /// Nothing looked at yet.
    public init() {}
}

extension ExplainRequest {
    /// The value that counts of those with a name in lower case: of HTTP headers the first, of attachments the last.
    fileprivate func value(of name: String) -> String? {
        let isFirst = key.kind == .http
        return
            (isFirst ? headers.first { $0.name.lowercased() == name } : headers.last { $0.name.lowercased() == name })?
            .value
    }
}

extension Worker {
    /// Decides as for a real request, and tells the steps.
    mutating func explain(_ request: ExplainRequest) -> Explanation {
        var explanation = Explanation()
        guard let service = findService(request.key), makeReady(service) else {
            explanation.steps.append("service \(request.key.name) is not known: no request has asked for it yet")
            return explanation
        }
        var asked = Asked()
        var groups = CallGroups()
        explainInterface(request, service, &asked, &groups, &explanation)
        explainRequestedVersion(request, service, &asked, &explanation)
        if asked.requested == .none && service.pointee.rules.shareCount > 0 {
            if service.pointee.sticky == .clientAddress && request.client == nil {
                explanation.dependsOn = "client"
                explanation.steps.append("the split decides by the client's address, which the question does not tell")
                return explanation
            }
            let key = ByteString(copying: stickyValue(request, service))
            defer { key.free() }
            drawChance(&asked, stickyKey: key, of: service)
        }
        explainDecision(request, service, asked, groups, &explanation)
        return explanation
    }

    private func explainInterface(
        _ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>, _ asked: inout Asked,
        _ groups: inout CallGroups, _ explanation: inout Explanation
    ) {
        switch request.key.kind {
        case .http: break
        case .dubbo: explainInterface(as: DubboCodec.self, request, service, &asked, &groups, &explanation)
        case .bolt: explainInterface(as: BoltCodec.self, request, service, &asked, &groups, &explanation)
        }
    }

    private func explainInterface<Codec: FramedCodec & ~Copyable>(
        as codec: Codec.Type, _ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>,
        _ asked: inout Asked, _ groups: inout CallGroups, _ explanation: inout Explanation
    ) {
        let group = ByteString(copying: request.group)
        let version = ByteString(copying: request.interfaceVersion)
        defer {
            group.free()
            version.free()
        }
        identify(&asked, as: codec, group: group, interfaceVersion: version, of: service)
        if Codec.takesSeveral && mayBeWide(asked) { widen(&asked, &groups, group, of: service) }
        let versionText = request.interfaceVersion.isEmpty ? "\(Codec.noVersion)" : request.interfaceVersion
        let groupText = request.group.isEmpty ? "none" : groups.areSeveral ? "any of \(request.group)" : request.group
        explanation.steps.append("call of interface version \(versionText), \(Codec.groupName) \(groupText)")
        if versionText != "\(Codec.noVersion)" && asked.interfaceVersion == 0 {
            explanation.steps.append(
                "no host is listed with that interface version: those listed without one may have it")
        }
    }

    private func explainRequestedVersion(
        _ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>, _ asked: inout Asked,
        _ explanation: inout Explanation
    ) {
        for index in 0..<settings.versionNameCount where asked.requested == .none {
            let wanted = settings.versionNames[index].text
            guard let text = request.value(of: wanted) else { continue }
            let value = ByteString(copying: text)
            defer { value.free() }
            if asked.isInterface && InterfaceName.isAnyVersion(value) { continue }
            asked.requested = requestedVersion(value, of: service)
            if asked.requested != .none { explanation.steps.append("\(wanted) asks for version \(text)") }
        }
        if asked.requested == .none {
            let names = (0..<settings.versionNameCount).map { settings.versionNames[$0].text }.joined(separator: ", ")
            explanation.steps.append("no version is asked for by \(names)")
        }
    }

    private func stickyValue(_ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>) -> String {
        switch service.pointee.sticky {
        case .header(let name): request.value(of: name) ?? ""
        case .clientAddress: request.client ?? ""
        case nil: ""
        }
    }

    private mutating func explainDecision(
        _ request: ExplainRequest, _ service: UnsafeMutablePointer<Service>, _ asked: Asked, _ groups: CallGroups,
        _ explanation: inout Explanation
    ) {
        let decision: Decision
        let clusters: [UnsafeMutablePointer<Cluster>]
        if asked.isWide {
            let view = WideView(
                service.pointee.clusters, groups: groups, interfaceVersion: asked.interfaceVersion, now: now)
            decision = decide(asked, of: service, view)
            clusters = view.clusters(for: decision.target)
        } else {
            let view = CallView(
                service.pointee.clusters, group: asked.group, interfaceVersion: asked.interfaceVersion,
                isInterface: asked.isInterface, now: now)
            decision = decide(asked, of: service, view)
            let cluster = view.cluster(for: decision.target) ?? view.clusterRegardless(for: decision.target)
            clusters = cluster.map { [$0] } ?? []
        }
        explanation.steps.append(reasonText(decision, service))
        if decision.target != decision.wanted || decision.fallback != .none {
            explanation.steps.append("\(targetText(decision.wanted, service)) cannot serve: no usable host")
            explanation.steps.append(fallbackText(decision, service))
        }
        guard let first = clusters.first else { return }
        let isOne = clusters.allSatisfy { !$0.pointee.isUnion && $0.pointee.version == first.pointee.version }
        explanation.cluster = isOne ? service.pointee.labels[Int(first.pointee.version)].text : "any"
        explanation.version = explanation.cluster
        var paths: [String] = []
        for cluster in clusters {
            explainHosts(of: cluster, service, isUnusable: decision.fallback == .unusable, &explanation, &paths)
        }
        let count = clusters.reduce(0) { $0 + $1.pointee.count }
        explanation.steps.append(
            "\(targetText(decision.target, service)) serves with \(explanation.hosts.count) of \(count) hosts")
        explanation.steps += paths
        explainRules(of: isOne ? first.pointee.version : nil, request, service, &explanation)
    }

    private func decide<View: ClusterView>(
        _ asked: Asked, of service: UnsafeMutablePointer<Service>, _ view: View
    ) -> Decision {
        Routing.decide(
            requested: asked.requested, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky,
            view: view)
    }

    private func explainHosts(
        of cluster: UnsafeMutablePointer<Cluster>, _ service: UnsafeMutablePointer<Service>, isUnusable: Bool,
        _ explanation: inout Explanation, _ paths: inout [String]
    ) {
        for index in 0..<cluster.pointee.count {
            let member = cluster.pointee.members + index
            let endpoint = member.pointee.endpoint
            if !member.pointee.isUsable(now: now) && !isUnusable { continue }
            let address = endpoint.pointee.address.description
            explanation.hosts.append(address)
            let path = cluster.pointee.path(of: member).label
            if path != 0 { paths.append("\(address) is called by its path \(service.pointee.labels[path].text)") }
        }
    }

    private func reasonText(_ decision: Decision, _ service: UnsafeMutablePointer<Service>) -> String {
        let wanted = targetText(decision.wanted, service)
        switch decision.reason {
        case .request: return "the request names it: \(wanted)"
        case .split: return "the split draws by chance (this time): \(wanted)"
        case .sticky: return "the split decides by the request's sticky key: \(wanted)"
        case .stable: return "no split is configured, the stable version decides: \(wanted)"
        case .none: return "neither split nor stable version is configured: \(wanted)"
        }
    }

    private func fallbackText(_ decision: Decision, _ service: UnsafeMutablePointer<Service>) -> String {
        switch decision.fallback {
        case .stable: return "fallback to the stable version"
        case .split: return "fallback to another version of the split"
        case .own: return "fallback to untagged hosts of the call's own interface version"
        case .any: return "fallback to any usable host"
        case .unusable: return "all hosts are out or being left alone after failures: one is tried all the same"
        case .none:
            return service.pointee.rules.isStrict
                ? "mode strict: the request is refused" : "no fallback has a host either: the request is refused"
        }
    }

    private func targetText(_ target: Target, _ service: UnsafeMutablePointer<Service>) -> String {
        switch target {
        case .version(let label):
            label < 0 ? "a version that no host has" : "version \(service.pointee.labels[label].text)"
        case .own: service.pointee.key.kind == .http ? "any host" : "the call's own interface version"
        case .any: "any host"
        case .nothing: "nothing"
        }
    }
}
