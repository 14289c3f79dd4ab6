import Balancing
import Configuration
import Routing
import Runtime

/// A host for a request.
struct Choice {
    let member: UnsafeMutablePointer<Member>
    /// The version cluster that the host belongs to.
    let cluster: UnsafeMutablePointer<Cluster>
}

extension Worker {
    /// Reads a version that a request names. `0.0.0` is how Dubbo says "none".
    @inline(__always)
    func wish(_ text: ByteString, of service: UnsafeMutablePointer<Service>) -> Wish {
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
        _ framed: Framed<Codec>, _ asked: inout Asked, group: ByteString, interfaceVersion: ByteString,
        of service: UnsafeMutablePointer<Service>
    ) {
        asked.isDubbo = true
        asked.group = service.pointee.labels.find(group)
        let none = ByteString(base: Codec.noVersion.utf8Start, count: Codec.noVersion.utf8CodeUnitCount)
        if interfaceVersion.equals(none) {
            asked.interfaceVersion = 0
        } else if interfaceVersion.count == 1 && interfaceVersion.base[0] == 0x2a {
            asked.interfaceVersion = CallView.anyInterfaceVersion
        } else {
            asked.interfaceVersion = service.pointee.labels.find(interfaceVersion)
            let isListed =
                Codec.knowsNoVersion
                || service.pointee.clusters.has(group: asked.group, interfaceVersion: asked.interfaceVersion)
            if !isListed { asked.interfaceVersion = 0 }
        }
    }

    /// What a request wants, for telling people.
    func wantedTarget(_ service: UnsafeMutablePointer<Service>, _ asked: Asked) -> Target {
        wanted(
            wish: asked.wish, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky
        ).wanted
    }

    /// Decides version and host. Nil: no host may or can serve.
    @inline(__always)
    mutating func choose(
        _ service: UnsafeMutablePointer<Service>, _ asked: Asked, tried: TriedEndpoints
    ) -> Choice? {
        let view = CallView(
            service.pointee.clusters, group: asked.group, interfaceVersion: asked.interfaceVersion,
            isDubbo: asked.isDubbo, now: now)
        let decision = decide(
            wish: asked.wish, rules: service.pointee.rules, chance: asked.chance, isSticky: asked.isSticky, view: view)
        return pick(decision, view, service, tried: tried)
    }

    @inline(__always)
    private mutating func pick(
        _ decision: Decision, _ view: CallView, _ service: UnsafeMutablePointer<Service>, tried: TriedEndpoints
    ) -> Choice? {
        var member: UnsafeMutablePointer<Member>?
        if let cluster = view.cluster(for: decision.target) {
            member = cluster.pointee.pick(random: &random, now: now, tried: tried)
        }
        if member == nil, let cluster = view.clusterRegardless(for: decision.target) {
            member = cluster.pointee.pickRegardless(random: &random, tried: tried)
        }
        guard let member else { return nil }
        return Choice(
            member: member, cluster: service.pointee.clusters.clusters + Int(member.pointee.home))
    }
}
