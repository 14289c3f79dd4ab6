import Model

/// A service's health list as it was read last, so that the next one costs little.
struct ConsulList {
    /// What was made of each entry, by a hash of its text.
    fileprivate(set) var byHash: [UInt64: ConsulEntry] = [:]
    fileprivate var fingerprint: UInt64?

    /// The hosts for a kind of service, and how many entries are not used, by reason.
    func hosts(_ kind: ServiceKey.Kind) -> (hosts: [ListedHost], unused: [DropReason: Int]) {
        var hosts: [ListedHost] = []
        var unused: [DropReason: Int] = [:]
        for entry in byHash.values {
            switch entry.host(kind) {
            case .success(let host): hosts.append(host)
            case .failure(let reason): unused[reason, default: 0] += 1
            }
        }
        return (hosts, unused)
    }
}

/// Reads a health list an entry at a time. Only entries that are new are decoded; order does not count.
///
/// Node and service id together name an entry, and both are part of its text: the same id on two nodes is two entries.
struct ConsulListReader {
    /// The text is not a list.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    private let body: [UInt8]
    private let settings: ConsulSettings
    private let before: ConsulList
    private var cursor: JSONCursor
    private var next = ConsulList()
    private var sum: UInt64 = 0
    private var count = 0
    private var isComplete = false

    init(_ body: [UInt8], after before: ConsulList, _ settings: ConsulSettings) throws(Unreadable) {
        self.body = body
        self.before = before
        self.settings = settings
        cursor = JSONCursor(body, 0..<body.count)
        guard cursor.enter(UInt8(ascii: "[")) else { throw Self.unreadable(body) }
    }

    /// Reads one entry; false when there are no more.
    mutating func step() throws(Unreadable) -> Bool {
        switch cursor.next(UInt8(ascii: "]")) {
        case .end:
            guard cursor.isAtEnd else { throw Self.unreadable(body) }
            isComplete = true
            return false
        case .broken: throw Self.unreadable(body)
        case .element:
            guard let range = cursor.value() else { throw Self.unreadable(body) }
            // What is no object is no entry, and so this is no health list.
            guard body[range.lowerBound] == UInt8(ascii: "{") else { throw Self.unreadable(body) }
            let hash = JSONText.hash(body, in: range)
            sum &+= hash
            count += 1
            next.byHash[hash] = before.byHash[hash] ?? ConsulEntry(body, range, settings)
            return true
        }
    }

    /// The list that was read; nil when it is as the one before.
    func result() -> ConsulList? {
        // A sum does not depend on the order.
        let fingerprint = sum &+ UInt64(count)
        guard isComplete, before.fingerprint != fingerprint else { return nil }
        var list = next
        list.fingerprint = fingerprint
        return list
    }

    private static func unreadable(_ body: [UInt8]) -> Unreadable {
        Unreadable(description: "no health list in the answer: \(Excerpt.words(body))")
    }
}
