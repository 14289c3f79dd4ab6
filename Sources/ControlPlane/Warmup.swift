import Model
import Runtime

/// Gives hosts that have just started a growing part of their weight, as Dubbo's own consumers do.
///
/// A Dubbo provider says when it started (`timestamp`) and for how long it warms up (`warmup`, 10 minutes by default), one of SOFA
/// RPC only when it started (`startTime`). Of other hosts, with `warmup` in the policy, the age counts from when they were first
/// seen, unless they were there from the beginning. The part grows in steps of a twentieth, so that a service changes seldom.
struct Warmup {
    private struct Service {
        /// When hosts without a start time were first seen, in milliseconds since 1970; 0 for those of the first list.
        var seen: [SocketAddress: Int64] = [:]
        /// When the next host reaches its next step, in milliseconds since 1970.
        var nextStep = Int64.max
    }

    static let steps: Int64 = 20
    private static let usual: Int64 = 600_000
    private var services: [ServiceKey: Service] = [:]

    /// The hosts of a service with the weights that they have at `now`, in milliseconds since 1970.
    mutating func weigh(_ key: ServiceKey, _ instances: [Instance], _ policy: ServicePolicy, now: Int64) -> [Instance] {
        let total = policy.warmup.map { $0.nanoseconds / 1_000_000 }
        if total == 0 || key.kind != .dubbo && total == nil {
            services[key] = nil
            return instances
        }
        let startTime = key.kind == .bolt ? "startTime" : "timestamp"
        let before = services[key]
        var service = Service()
        var weighed = instances
        for index in weighed.indices {
            let instance = instances[index]
            let started: Int64
            if let told = Int64(instance.metadata[startTime] ?? ""), told > 0 {
                started = told
            } else {
                started = before.map { $0.seen[instance.address] ?? now } ?? 0
                service.seen[instance.address] = started
                // What a Dubbo provider does not say is not made up.
                if total == nil { continue }
            }
            let time = total ?? Int64(instance.metadata["warmup"] ?? "") ?? Self.usual
            guard time > 0, let (step, next) = Self.step(age: now &- started, of: time) else { continue }
            weighed[index].weight *= Double(step) / Double(Self.steps)
            service.nextStep = min(service.nextStep, now + next)
        }
        services[key] = service
        return weighed
    }

    /// A service is not watched any more.
    mutating func forget(_ key: ServiceKey) { services[key] = nil }

    /// Services of which a host has reached its next step.
    func due(now: Int64) -> [ServiceKey] { services.filter { $0.value.nextStep <= now }.map(\.key) }

    /// Which of the steps a host of this age is on, and how long until the next; nil when it is warm. All in milliseconds.
    /// A host whose clock is ahead is on the first one, as Dubbo has it.
    static func step(age: Int64, of time: Int64) -> (step: Int64, next: Int64)? {
        if age >= time { return nil }
        let length = max(1, time / steps)
        let step = max(0, age) / length + 1
        return (min(step, steps), max(1, step * length - max(0, age)))
    }
}
