/// All instances that a Eureka server knows: with their hosts where somebody wants them, else as little as the checksum needs.
struct EurekaTable {
    /// What is kept of an instance.
    struct Entry: Equatable {
        let status: EurekaInstance.Status
        let updated: Int64
        /// Nil where nobody wanted to know.
        var host: Result<ListedHost, DropReason>?
    }

    private var applications: [String: [String: Entry]] = [:]
    private var counts: [EurekaInstance.Status: Int] = [:]

    /// How many instances there are.
    var count: Int { counts.values.reduce(0, +) }

    /// Names of all applications that have instances, in small letters.
    var names: some Collection<String> { applications.keys }

    /// What servers tell to compare lists by: `DOWN_1_UP_4_`.
    var checksum: String {
        EurekaInstance.Status.allCases.map { status in
            counts[status].map { $0 > 0 ? "\(status.rawValue)_\($0)_" : "" } ?? ""
        }.joined()
    }

    /// The instances of an application by id; empty where there are none.
    subscript(_ application: String) -> [String: Entry] { applications[application] ?? [:] }

    /// Takes an instance's state.
    mutating func put(_ instance: EurekaInstance) {
        let entry = Entry(status: instance.status, updated: instance.updated, host: instance.host)
        let old = applications[instance.application, default: [:]].updateValue(entry, forKey: instance.id)
        if let old { counts[old.status, default: 0] -= 1 }
        counts[entry.status, default: 0] += 1
    }

    /// Takes a change. One that is older than what is known is left: lists and changes come from different caches.
    mutating func apply(_ change: EurekaInstance) {
        if let known = applications[change.application]?[change.id], known.updated > change.updated { return }
        if change.isDeleted { remove(change.application, change.id) } else { put(change) }
    }

    /// Makes an application consist of these instances.
    mutating func replace(_ application: String, with instances: [EurekaInstance]) {
        for entry in self[application].values { counts[entry.status, default: 0] -= 1 }
        applications[application] = nil
        for instance in instances where instance.application == application { put(instance) }
    }

    /// Lets the hosts of an application go.
    mutating func forgetHosts(_ application: String) {
        for id in self[application].keys { applications[application]?[id]?.host = nil }
    }

    private mutating func remove(_ application: String, _ id: String) {
        guard let old = applications[application]?.removeValue(forKey: id) else { return }
        counts[old.status, default: 0] -= 1
        if applications[application]?.isEmpty == true { applications[application] = nil }
    }
}
