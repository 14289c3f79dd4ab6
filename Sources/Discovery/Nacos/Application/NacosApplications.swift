import Runtime

/// Dubbo's application level: which applications offer an interface, and what each of their revisions offers.
///
/// Their instances are Nacos services like all others; the rest stands in configurations: `INTERFACE` of group `mapping` lists
/// applications, `APPLICATION` of the group that is a revision's name holds that revision's `DubboMetadata`.
final class NacosApplications {
    private struct Interface {
        let mapping: NacosConfig
        var applications: Set<String> = []
    }

    private struct Revision {
        let config: NacosConfig
        var metadata: DubboMetadata?
    }

    /// An interface's applications have changed, or are known now.
    var onChange: (_ interface: String) -> Void = { _ in }
    /// What an application offers has changed, or is known now.
    var onMetadata: (_ application: String) -> Void = { _ in }

    private let configs: NacosConfigs
    private var interfaces: [String: Interface] = [:]
    /// By application, then by revision.
    private var revisions: [String: [String: Revision]] = [:]

    private static let mappingGroup = "mapping"
    /// Applications that are looked at for one interface.
    private static let mostApplications = 1000

    init(_ configs: NacosConfigs) {
        self.configs = configs
        configs.onChange = { [weak self] in self?.changed($0) }
    }

    /// Starts to look for applications that offer an interface.
    func watch(_ interface: String) {
        guard interfaces[interface] == nil, NacosConfigs.isValid(interface) else { return }
        interfaces[interface] = Interface(
            mapping: configs.retain(interface, group: Self.mappingGroup, isFixed: false))
    }

    /// Ends that.
    func unwatch(_ interface: String) {
        if let known = interfaces.removeValue(forKey: interface) { configs.release(known.mapping) }
    }

    /// The applications that offer an interface; nil while that is not known.
    func names(of interface: String) -> Set<String>? {
        guard let known = interfaces[interface] else { return [] }
        return known.mapping.content == .waiting ? nil : known.applications
    }

    /// Keeps what these revisions of an application offer known, and forgets others.
    func setRevisions(_ wanted: Set<String>, of application: String) {
        var known = revisions[application] ?? [:]
        for (name, revision) in known where !wanted.contains(name) {
            configs.release(revision.config)
            known[name] = nil
        }
        for name in wanted where known[name] == nil && NacosConfigs.isValid(name) && NacosConfigs.isValid(application) {
            known[name] = Revision(config: configs.retain(application, group: name, isFixed: true))
        }
        revisions[application] = known.isEmpty ? nil : known
    }

    /// What a revision offers; nil while that is not known, or where it stands nowhere.
    func metadata(of application: String, revision: String) -> DubboMetadata? {
        revisions[application]?[revision]?.metadata
    }

    /// What all revisions of an application offer has been read, or cannot be.
    func isKnown(_ application: String) -> Bool {
        revisions[application]?.values.allSatisfy { $0.config.content != .waiting } ?? true
    }

    /// Ends all work.
    func stop() {
        interfaces.removeAll()
        revisions.removeAll()
        configs.stop()
    }

    private func changed(_ config: NacosConfig) {
        var text: [UInt8] = []
        if case .text(let bytes) = config.content { text = bytes }
        if config.name.group == Self.mappingGroup, interfaces[config.name.dataID] != nil {
            let names = text.split(separator: UInt8(ascii: ",")).lazy
                .map { String(decoding: $0, as: UTF8.self).filter { !$0.isWhitespace } }
                .filter { !$0.isEmpty }.prefix(Self.mostApplications)
            interfaces[config.name.dataID]?.applications = Set(names)
            onChange(config.name.dataID)
        } else if revisions[config.name.dataID]?[config.name.group] != nil {
            revisions[config.name.dataID]?[config.name.group]?.metadata = DubboMetadata(text)
            onMetadata(config.name.dataID)
        }
    }
}

extension NacosConfigs {
    /// Whether a configuration can have such a name or group.
    static func isValid(_ name: String) -> Bool {
        (1...256).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: ":"),
                    UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }
}
