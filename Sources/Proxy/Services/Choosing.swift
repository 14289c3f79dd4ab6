import Balancing
import Configuration
import Routing
import Runtime

/// A host for a request.
struct Choice {
    let member: UnsafeMutablePointer<Member>
    /// The version cluster that the host belongs to.
    let cluster: UnsafeMutablePointer<Cluster>
    /// The cluster that it was picked from, which may be a union.
    let origin: UnsafeMutablePointer<Cluster>

    /// The path that the host has.
    var path: CallPath { origin.pointee.path(of: member) }
}

extension Worker {
    /// Reads a version that a request names. `0.0.0` is how Dubbo says "none".
    @inline(__always)
    func requestedVersion(_ text: ByteString, of service: UnsafeMutablePointer<Service>) -> RequestedVersion {
        if text.count == 0 || text.equals(settings.noVersion) { return .none }
        return .version(service.pointee.labels.find(text))
    }

    /// Makes up the random part of the decision, or takes it from the sticky key when the request has one.
    @inline(__always)
    mutating func drawChance(_ asked: inout Asked, stickyKey: ByteString, of service: UnsafeMutablePointer<Service>) {
        asked.isSticky = stickyKey.count > 0
        asked.chance = asked.isSticky ? stickyKey.hash(salt: service.pointee.salt) : random.next()
    }

    /// Notes the group and interface version that a request of a multiplexed protocol is for.
    @inline(__always)
    func identify<Codec: FramedCodec & ~Copyable>(
        _ asked: inout Asked, as codec: Codec.Type, group: ByteString, interfaceVersion: ByteString,
        of service: UnsafeMutablePointer<Service>
    ) {
        asked.isInterface = true
        asked.group = group.count == 0 ? 0 : service.pointee.labels.find(group)
        let none = ByteString(base: Codec.noVersion.utf8Start, count: Codec.noVersion.utf8CodeUnitCount)
        if interfaceVersion.equals(none) {
            asked.interfaceVersion = 0
        } else if InterfaceName.isAnyVersion(interfaceVersion) {
            asked.interfaceVersion = CallView.anyInterfaceVersion
        } else {
            asked.interfaceVersion = service.pointee.labels.find(interfaceVersion)
            if !Codec.knowsNoVersion && !service.pointee.clusters.has(asked.group, asked.interfaceVersion) {
                asked.interfaceVersion = 0
            }
        }
    }

    /// Whether a request may ask for several groups, which no host's label is, or for any interface version: then `widen` finds out.
    @inline(__always)
    func mayBeWide(_ asked: Asked) -> Bool {
        asked.group < 0 || asked.interfaceVersion == CallView.anyInterfaceVersion
    }

    /// Dubbo's consumers may take any interface version, and several groups.
    func widen(
        _ asked: inout Asked, _ groups: inout CallGroups, _ group: ByteString, of service: UnsafeMutablePointer<Service>
    ) {
        groups = CallGroups(group, in: service.pointee.labels)
        if groups.areSeveral { asked.group = CallGroups.label }
        asked.isWide = groups.areSeveral || asked.interfaceVersion == CallView.anyInterfaceVersion
    }

    /// A request that names no service stays with hosts without a group where there are such; else any group will do.
    @inline(never)
    func widenUnnamed(_ asked: inout Asked, _ groups: inout CallGroups, of service: UnsafeMutablePointer<Service>) {
        let view = CallView(
            service.pointee.clusters, group: 0, interfaceVersion: asked.interfaceVersion, isInterface: true, now: now)
        if view.hasHosts(.any) { return }
        groups = .all
        asked.group = CallGroups.label
        asked.isWide = true
    }

    /// What a request wants, for telling people.
    func wantedTarget(_ service: UnsafeMutablePointer<Service>, _ asked: Asked) -> Target {
        wanted(
            requested: asked.requested, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky
        ).wanted
    }

    /// Decides version and host. Nil: no host may or can serve.
    ///
    /// - Parameter isUsable: no host that is left alone after failures, though there be no other.
    @inline(__always)
    mutating func choose(
        _ service: UnsafeMutablePointer<Service>, _ asked: Asked, tried: TriedEndpoints, isUsable: Bool = false
    ) -> Choice? {
        let view = CallView(
            service.pointee.clusters, group: asked.group, interfaceVersion: asked.interfaceVersion,
            isInterface: asked.isInterface, now: now)
        let wanted = wanted(
            requested: asked.requested, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky)
        // What nearly all requests get needs no second look at the clusters.
        if let choice = pick(wanted.target, view, service, tried: tried) { return choice }
        return chooseAnother(service, asked, view, tried: tried, isUsable: isUsable)
    }

    /// The wanted version cannot serve, or has no usable host that was not tried.
    @inline(never)
    private mutating func chooseAnother(
        _ service: UnsafeMutablePointer<Service>, _ asked: Asked, _ view: CallView, tried: TriedEndpoints,
        isUsable: Bool
    ) -> Choice? {
        let target = decide(
            requested: asked.requested, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky,
            view: view
        ).target
        if let choice = pick(target, view, service, tried: tried) { return choice }
        guard !isUsable, let cluster = view.clusterRegardless(for: target),
            let member = cluster.pointee.pickRegardless(random: &random, tried: tried)
        else { return nil }
        service.pointee.regardless &+= 1
        return choice(member, of: cluster, service)
    }

    /// Decides version and host for a request that may go to several groups or to any interface version.
    mutating func choose(
        _ service: UnsafeMutablePointer<Service>, _ asked: Asked, among groups: CallGroups, tried: TriedEndpoints,
        isUsable: Bool
    ) -> Choice? {
        let view = WideView(
            service.pointee.clusters, groups: groups, interfaceVersion: asked.interfaceVersion, now: now)
        let decision = decide(
            requested: asked.requested, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky,
            view: view)
        guard let picked = view.pick(decision.target, random: &random, tried: tried, isUsable: isUsable) else {
            return nil
        }
        if !picked.member.pointee.isUsable(now: now) { service.pointee.regardless &+= 1 }
        return choice(picked.member, of: picked.cluster, service)
    }

    /// A usable host of a version for the copy of a request. Nil: that version has none, and no other takes its place.
    mutating func chooseForCopy(
        _ service: UnsafeMutablePointer<Service>, _ asked: Asked, among groups: CallGroups, version: Int32
    ) -> Choice? {
        let target = Target.version(Int(version))
        if !asked.isWide {
            let view = CallView(
                service.pointee.clusters, group: asked.group, interfaceVersion: asked.interfaceVersion,
                isInterface: asked.isInterface, now: now)
            return pick(target, view, service, tried: TriedEndpoints())
        }
        let view = WideView(
            service.pointee.clusters, groups: groups, interfaceVersion: asked.interfaceVersion, now: now)
        let picked = view.pick(target, random: &random, tried: TriedEndpoints(), isUsable: true)
        return picked.map { choice($0.member, of: $0.cluster, service) }
    }

    @inline(__always)
    private func choice(
        _ member: UnsafeMutablePointer<Member>, of cluster: UnsafeMutablePointer<Cluster>,
        _ service: UnsafeMutablePointer<Service>
    ) -> Choice {
        Choice(
            member: member, cluster: service.pointee.clusters.clusters + member.pointee.home,
            origin: cluster)
    }

    @inline(__always)
    private mutating func pick(
        _ target: Target, _ view: CallView, _ service: UnsafeMutablePointer<Service>, tried: TriedEndpoints
    ) -> Choice? {
        guard let cluster = view.cluster(for: target),
            let member = cluster.pointee.pick(random: &random, now: now, tried: tried)
        else { return nil }
        return choice(member, of: cluster, service)
    }
}
