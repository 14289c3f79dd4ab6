import Model
import Runtime

/// What holds for requests of a service, or of one version of it, as plain values for one worker.
struct TrafficRules: ~Copyable {
    /// Longest time for a request, in nanoseconds.
    let timeout: Int64
    let retries: RetryRules
    /// Dubbo and Bolt: methods that may be repeated once something was sent.
    let repeatableMethods: RepeatableMethods

    init(_ policy: TrafficPolicy, for kind: ServiceKey.Kind) {
        timeout = policy.timeout.nanoseconds
        retries = RetryRules(policy.retries, for: kind)
        repeatableMethods = RepeatableMethods(kind == .http ? [] : policy.retries.methods ?? [])
    }
}

/// The rules of a service, and of those of its versions that have their own.
struct TrafficTable: ~Copyable {
    /// The service's own, then those of versions.
    private let rules: UnsafeMutablePointer<TrafficRules>
    /// The versions, in the same order.
    private let labels: UnsafeMutablePointer<Int32>
    /// Versions that have rules of their own.
    let versionCount: Int

    /// - Parameter versions: labels with what holds for them.
    init(
        _ policy: TrafficPolicy = TrafficPolicy(), versions: [(label: Int32, policy: TrafficPolicy)] = [],
        for kind: ServiceKey.Kind
    ) {
        versionCount = versions.count
        rules = .allocate(capacity: 1 + versions.count)
        rules.initialize(to: TrafficRules(policy, for: kind))
        labels = .allocate(capacity: max(1, versions.count))
        for (index, version) in versions.enumerated() {
            (rules + 1 + index).initialize(to: TrafficRules(version.policy, for: kind))
            (labels + index).initialize(to: version.label)
        }
    }

    deinit {
        rules.deinitialize(count: 1 + versionCount)
        rules.deallocate()
        labels.deallocate()
    }

    /// What holds for a request.
    ///
    /// - Parameter version: label of the version that serves it; `ServiceMetrics.nobody` as long as none does.
    @inline(__always)
    func find(_ version: Int32) -> UnsafePointer<TrafficRules> {
        if versionCount == 0 { return UnsafePointer(rules) }
        return search(version)
    }

    @inline(never)
    private func search(_ version: Int32) -> UnsafePointer<TrafficRules> {
        for index in 0..<versionCount where labels[index] == version { return UnsafePointer(rules + 1 + index) }
        return UnsafePointer(rules)
    }
}
