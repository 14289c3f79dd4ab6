import Model
import Runtime

/// A Dubbo interface: its provider nodes, the instances of applications that offer it, and the rules that change both.
final class ZooKeeperDubboService: ZooKeeperService {
    private struct Rule {
        var node: ZooKeeperNode
        var overrides: [DubboOverride] = []
    }

    private let key: ServiceKey
    private let sources: ZooKeeperSources
    private let onChange: () -> Void
    private let log: (_ event: String, _ reason: String) -> Void
    private let providers: ZooKeeperProviders
    private var configurators: ZooKeeperNode?
    private var configured: [DubboOverride] = []
    private var mapping: ZooKeeperNode?
    private var applications: [String: ZooKeeperApplication] = [:]
    private var rules: [String: Rule] = [:]
    /// Of both kinds, in the order in which they are applied.
    private var overrides: [DubboOverride] = []
    private var unreadableRules = 0

    /// - Parameter log: writes a line about the service.
    init(
        _ key: ServiceKey, _ sources: ZooKeeperSources, onChange: @escaping () -> Void,
        log: @escaping (_ event: String, _ reason: String) -> Void
    ) {
        self.key = key
        self.sources = sources
        self.onChange = onChange
        self.log = log
        let interface = key.name
        let folder = "\(sources.settings.root)/\(PercentEncoding.encode(interface))"
        providers = ZooKeeperProviders(
            folder + "/providers", tree: sources.tree, loop: sources.loop,
            parse: { Self.parse($0, interface) }, onChange: onChange)
        configurators = sources.tree.watch(folder + "/configurators", .children) { [weak self] _, content in
            if case .children(let names) = content {
                self?.takeConfigurators(names)
            } else {
                self?.takeConfigurators([])
            }
        } onFailure: { [weak self] _, _ in
            self?.onChange()
        }
        namesChanged()
    }

    var lists: [ZooKeeperNode] {
        [providers.list] + (mapping.map { [$0] } ?? []) + applications.values.compactMap(\.list)
    }

    func ask() {
        // What was asked for stays meanwhile.
        guard isKnown else { return }
        let known = known
        var wishes = DubboWishes()
        for application in applications.values { application.addWishes(&wishes, except: known) }
        sources.offers.update(key, wishes)
    }

    var outcome: ZooKeeperOutcome {
        guard isKnown else { return .waiting }
        var found = DubboApplication.Providers()
        for entry in providers.entries.values {
            found.add(entry.flatMap { DubboOverride.apply(overrides, to: $0) })
        }
        let known = known
        for application in applications.values {
            let more = application.providers(of: key.name, sources.offers, except: known)
            found.unused.merge(more.unused, uniquingKeysWith: +)
            found.awaited.formUnion(more.awaited)
            for host in more.hosts { found.add(DubboOverride.apply(overrides, to: host)) }
        }
        if case .failed(let reason) = providers.list.state, found.isEmpty { return .failed(reason) }
        return .listed(found)
    }

    func namesChanged() {
        updateMapping()
        updateRules()
    }

    func stop() {
        let tree = sources.tree
        tree.forget(providers.list)
        for node in [configurators, mapping].compactMap({ $0 }) { tree.forget(node) }
        for rule in rules.values { tree.forget(rule.node) }
        for name in applications.keys { sources.applications.release(name, for: key) }
        (configurators, mapping) = (nil, nil)
        rules.removeAll()
        applications.removeAll()
        sources.offers.forget(key)
    }

    /// Where the providers listen that stand at the interface's own level. Applications' instances are not needed there.
    private var known: Set<HostPort> {
        guard !applications.isEmpty else { return [] }
        var known: Set<HostPort> = []
        for case .success(let host) in providers.entries.values { known.insert(host.hostPort) }
        return known
    }

    private var isKnown: Bool {
        guard providers.isKnown, configurators?.state != .waiting, sources.mappings.byService != nil,
            sources.rules.byService != nil, mapping?.state != .waiting
        else { return false }
        return applications.values.allSatisfy(\.isKnown) && rules.values.allSatisfy { $0.node.state != .waiting }
    }

    private static func parse(_ name: String, _ interface: String) -> ZooKeeperProviders.Entry {
        guard let url = DubboURL(encoded: name), url.interface == interface else { return .failure(.unreadable) }
        return url.candidate
    }

    private func takeConfigurators(_ names: JuteNames) {
        var found: [DubboOverride] = []
        for name in names {
            switch DubboOverride.read(name, interface: key.name) {
            case .override(let override): found.append(override)
            case .clear:
                setConfigured([])
                return
            case .ignored: continue
            case nil: log("registry.rule_unreadable", "a configurator of \(key.name) is no override")
            }
        }
        setConfigured(found)
    }

    private func setConfigured(_ overrides: [DubboOverride]) {
        configured = overrides
        updateOverrides()
    }

    private func updateOverrides() {
        let all = DubboOverride.ordered(configured) + rules.sorted { $0.key < $1.key }.flatMap(\.value.overrides)
        overrides = all
        onChange()
    }

    private func updateMapping() {
        guard let mappings = sources.mappings.byService else { return }
        let isMapped = mappings[key.name] != nil
        if isMapped, mapping == nil {
            mapping = sources.tree.watch("\(sources.settings.root)/mapping/\(key.name)", .data) {
                [weak self] _, content in
                if case .data(let bytes) = content { self?.takeMapping(bytes) } else { self?.takeMapping([]) }
            } onFailure: { [weak self] _, _ in
                self?.onChange()
            }
        } else if !isMapped, let node = mapping {
            sources.tree.forget(node)
            mapping = nil
            setApplications([])
        }
        onChange()
    }

    private func takeMapping(_ bytes: [UInt8]) {
        let text = String(decoding: bytes.prefix(1 << 20), as: UTF8.self)
        let names = text.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
        setApplications(Set(names.map { String($0) }))
        onChange()
    }

    private func setApplications(_ names: Set<String>) {
        for name in applications.keys where !names.contains(name) {
            applications[name] = nil
            sources.applications.release(name, for: key)
        }
        for name in names where applications[name] == nil {
            applications[name] = sources.applications.retain(name, for: key)
        }
    }

    private func updateRules() {
        guard let known = sources.rules.byService else { return }
        let wanted = known[key.name] ?? []
        for (name, rule) in rules where !wanted.contains(name) {
            sources.tree.forget(rule.node)
            rules[name] = nil
        }
        for name in wanted where rules[name] == nil {
            let node = sources.tree.watch("\(sources.settings.root)/config/dubbo/\(name)", .data) {
                [weak self] _, content in
                if case .data(let bytes) = content { self?.takeRule(name, bytes) } else { self?.takeRule(name, []) }
            } onFailure: { [weak self] _, _ in
                self?.onChange()
            }
            rules[name] = Rule(node: node)
        }
        updateOverrides()
    }

    private func takeRule(_ name: String, _ bytes: [UInt8]) {
        let reading = DubboOverrideRule.read(bytes, key: name)
        // What cannot be read leaves the last good rule in force, as everywhere.
        if let reading { rules[name]?.overrides = reading.overrides }
        if reading == nil || reading?.unused != 0 {
            log("registry.rule_unreadable", "\(name) is not understood, or only in part")
        }
        updateOverrides()
    }
}
