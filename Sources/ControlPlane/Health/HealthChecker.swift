import Balancing
import Model
import Runtime

/// Checks hosts again and again, each once for the whole process however many services, versions and workers use it.
///
/// The cost is bounded: so many checks at a time, however many hosts there are and however many of them hang; the others wait for
/// their turn, so that intervals grow rather than the load.
final class HealthChecker {
    /// What is checked, and how.
    struct Subject: Hashable {
        let address: SocketAddress
        let policy: HealthCheckPolicy
    }

    /// Whose host it is.
    struct User: Hashable {
        let key: ServiceKey
        let identity: VersionCluster.Identity
    }

    /// What is known of a host.
    final class Entry {
        fileprivate(set) var gate = CheckGate()
        fileprivate(set) var users: Set<User> = []
        /// Why the last check has failed; nil after a good one.
        fileprivate(set) var why: String?
        fileprivate(set) var good: UInt64 = 0
        fileprivate(set) var failed: UInt64 = 0
        fileprivate var check: HostCheck?
        fileprivate var timer: EventLoop.Timer?
    }

    /// A host is another than before: every service that uses it.
    var onChange: (Subject, Entry) -> Void = { _, _ in }

    private let loop: EventLoop
    private(set) var entries: [Subject: Entry] = [:]
    private var subjects: [ServiceKey: Set<Subject>] = [:]
    private var waiting: [Subject] = []
    private var next = 0
    /// Checks that are being made.
    private(set) var running = 0

    /// Checks that are made at a time.
    static let mostRunning = 128

    init(loop: EventLoop) { self.loop = loop }

    /// Whether hosts of a service are checked.
    func checks(_ key: ServiceKey) -> Bool { subjects[key] != nil }

    /// A host as it is checked for a version.
    func entry(_ address: SocketAddress, _ policy: HealthCheckPolicy) -> Entry? {
        entries[Subject(address: address, policy: policy)]
    }

    // MARK: Services

    /// The hosts of a service are these; empty: it is not in use. A host that goes on being checked keeps what is known of it, also
    /// when it is checked in another way from now on.
    func adopt(_ key: ServiceKey, _ hosts: [(subject: Subject, identity: VersionCluster.Identity)]) {
        let old = subjects[key] ?? []
        if old.isEmpty && hosts.isEmpty { return }
        var new: Set<Subject> = []
        var gates: [SocketAddress: CheckGate] = [:]
        let isNew = Set(hosts.map(\.subject)) != old
        if isNew { for subject in old { gates[subject.address] = entries[subject]?.gate } }
        for subject in old {
            guard let entry = entries[subject] else { continue }
            entry.users = entry.users.filter { $0.key != key }
        }
        for (subject, identity) in hosts {
            new.insert(subject)
            let entry = entries[subject] ?? add(subject, gates[subject.address], of: hosts.count)
            entry.users.insert(User(key: key, identity: identity))
        }
        subjects[key] = new.isEmpty ? nil : new
        for subject in old.subtracting(new) { removeIfUnused(subject) }
    }

    /// The first checks of many hosts are spread over the interval, those of few begin at once.
    private func add(_ subject: Subject, _ gate: CheckGate?, of count: Int) -> Entry {
        let entry = Entry()
        if let gate { entry.gate = gate }
        entries[subject] = entry
        let longest = min(subject.policy.interval, .milliseconds(count))
        schedule(subject, entry, after: longest * Double.random(in: 0...1))
        return entry
    }

    private func removeIfUnused(_ subject: Subject) {
        guard let entry = entries[subject], entry.users.isEmpty else { return }
        entries[subject] = nil
        loop.cancel(entry.timer)
        guard let check = entry.check else { return }
        check.cancel()
        entry.check = nil
        ended()
    }

    func stop() {
        waiting = []
        for entry in entries.values {
            loop.cancel(entry.timer)
            entry.check?.cancel()
        }
        entries = [:]
        subjects = [:]
    }

    // MARK: Checks

    private func schedule(_ subject: Subject, _ entry: Entry, after delay: Duration) {
        entry.timer = loop.schedule(after: delay) { [weak self, weak entry] in
            guard let self, let entry else { return }
            entry.timer = nil
            begin(subject, entry)
        }
    }

    private func begin(_ subject: Subject, _ entry: Entry) {
        guard entries[subject] === entry, entry.check == nil else { return }
        if running >= Self.mostRunning { return waiting.append(subject) }
        guard let question = CheckQuestion(subject.policy) else { return }
        running += 1
        entry.check = HostCheck(question, at: subject.address, timeout: subject.policy.timeout, loop: loop) {
            [weak self, weak entry] outcome in
            guard let self, let entry else { return }
            take(outcome, subject, entry)
        }
    }

    private func take(_ outcome: HostCheck.Outcome, _ subject: Subject, _ entry: Entry) {
        entry.check = nil
        var hasChanged = false
        if outcome.isOfHost {
            entry.why = outcome.why
            if outcome == .good { entry.good &+= 1 } else { entry.failed &+= 1 }
            hasChanged = entry.gate.note(isGood: outcome == .good, subject.policy)
        }
        schedule(subject, entry, after: subject.policy.interval * Double.random(in: 1...1.1))
        ended()
        if hasChanged { onChange(subject, entry) }
    }

    /// There is room for another one.
    private func ended() {
        running -= 1
        while running < Self.mostRunning && next < waiting.count {
            let subject = waiting[next]
            next += 1
            // One that has a timer has come anew meanwhile.
            if let entry = entries[subject], entry.timer == nil { begin(subject, entry) }
        }
        if next == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            next = 0
        } else if next > 1024 && next * 2 > waiting.count {
            waiting.removeFirst(next)
            next = 0
        }
    }
}
