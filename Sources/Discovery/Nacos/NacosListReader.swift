/// Reads an instance list in pieces: one of 5,000 hosts is 2 MB of text, and others on the loop want their turn.
///
/// It takes all forms in which lists come: `{"hosts":[…]}` of the v1 API, `{"code":0,"data":[…]}` of the v3 API, and
/// `{"serviceInfo":{"hosts":[…]}}` over gRPC.
struct NacosListReader {
    private enum Place { case start, top, info, done }

    /// Where the hosts are in the text.
    private(set) var ranges: [Range<Int>] = []
    /// A hash of each host's text.
    private(set) var hashes: [UInt64] = []
    /// The service and its group, where the list names them.
    private(set) var name: String?
    private(set) var group: String?
    /// The hosts are not as they are: so many are unhealthy that the server says that all are healthy.
    private(set) var isProtected = false

    let text: [UInt8]
    private var cursor: JSONCursor
    private var place = Place.start
    private var isFirst = true
    private var isInHosts = false
    private var hasHosts = false
    private var code: Range<Int>?

    init(_ text: [UInt8]) {
        self.text = text
        cursor = JSONCursor(text, 0..<text.count)
    }

    /// Reads on. True at the end.
    ///
    /// - Parameter limit: how many values to read at most.
    mutating func advance(limit: Int = .max) throws(NacosAnswer.Unreadable) -> Bool {
        var count = 0
        while count < limit {
            switch place {
            case .start:
                guard cursor.take(UInt8(ascii: "{")) else { throw malformed }
                (place, isFirst) = (.top, true)
            case .top where isInHosts, .info where isInHosts: try readHost()
            case .top, .info: try readMember()
            case .done: return true
            }
            count += 1
        }
        return place == .done
    }

    private mutating func readHost() throws(NacosAnswer.Unreadable) {
        guard try hasNext(UInt8(ascii: "]")) else {
            isInHosts = false
            return
        }
        guard let range = cursor.value() else { throw malformed }
        ranges.append(range)
        hashes.append(JSONText.hash(text, in: range))
    }

    private mutating func readMember() throws(NacosAnswer.Unreadable) {
        guard try hasNext(UInt8(ascii: "}")) else { return try leave() }
        guard let key = cursor.key() else { throw malformed }
        if place == .top, JSONText.equals("serviceInfo", text, key), cursor.take(UInt8(ascii: "{")) {
            (place, isFirst) = (.info, true)
        } else if isList(key) {
            guard cursor.take(UInt8(ascii: "[")) else {
                // `"data":null` goes with the reason why there is none.
                guard cursor.value() != nil else { throw malformed }
                return
            }
            (isInHosts, isFirst, hasHosts) = (true, true, true)
        } else {
            guard let value = cursor.value() else { throw malformed }
            note(key, value)
        }
    }

    private func isList(_ key: Range<Int>) -> Bool {
        JSONText.equals("hosts", text, key) || place == .top && JSONText.equals("data", text, key)
    }

    /// Whether there is another element in front of the closing bracket.
    private mutating func hasNext(_ end: UInt8) throws(NacosAnswer.Unreadable) -> Bool {
        defer { isFirst = false }
        if cursor.take(end) { return false }
        guard isFirst || cursor.take(UInt8(ascii: ",")) else { throw malformed }
        return true
    }

    private mutating func leave() throws(NacosAnswer.Unreadable) {
        if place == .info {
            place = .top
            return
        }
        guard cursor.isAtEnd else { throw malformed }
        place = .done
        if let code, !text[code].elementsEqual("0".utf8) {
            throw NacosAnswer.Unreadable(description: Excerpt.words(text))
        }
        guard hasHosts else { throw NacosAnswer.Unreadable(description: "no instance list in the answer") }
    }

    private mutating func note(_ key: Range<Int>, _ value: Range<Int>) {
        if JSONText.equals("name", text, key) {
            name = JSONText.string(text, value)
        } else if JSONText.equals("groupName", text, key) {
            group = JSONText.string(text, value)
        } else if JSONText.equals("reachProtectionThreshold", text, key) {
            isProtected = text[value].elementsEqual("true".utf8)
        } else if place == .top && JSONText.equals("code", text, key) {
            code = value
        }
    }

    private var malformed: NacosAnswer.Unreadable {
        NacosAnswer.Unreadable(description: "the answer is not a JSON object: \(Excerpt.words(text))")
    }
}

extension NacosAnswer {
    /// What is remembered of an instance list, so that the next one costs little.
    struct HostList {
        /// The hosts that could be read, by a hash of their text; nil for an entry that could not.
        fileprivate(set) var byHash: [UInt64: NacosHost?] = [:]
        fileprivate var fingerprint: UInt64 = 0
        fileprivate var entries = -1
        /// Entries that could be read.
        fileprivate(set) var readable = 0
        /// Entries that could not.
        var unreadable: Int { byHash.count - readable }
        /// The hosts that could be read.
        var hosts: [NacosHost] { byHash.values.compactMap { $0 } }
    }

    /// Makes a list of what was read, in pieces too. Only hosts that are new are decoded.
    struct HostListMaker {
        private let reader: NacosListReader
        private let before: HostList
        private(set) var list = HostList()
        private var next = 0

        init(_ reader: NacosListReader, before: HostList) {
            self.reader = reader
            self.before = before
            list.entries = reader.ranges.count
            list.byHash.reserveCapacity(reader.ranges.count)
            // A sum does not depend on order, and unlike exclusive or it counts doubles.
            list.fingerprint = reader.hashes.reduce(0, &+)
        }

        /// Whether the list is another than before. The order of the hosts and the time stamps around them do not count.
        var isNew: Bool { list.entries != before.entries || list.fingerprint != before.fingerprint }

        /// Goes on; true at the end.
        mutating func advance(limit: Int = .max) -> Bool {
            let end = reader.ranges.count - next > limit ? next + limit : reader.ranges.count
            for index in next..<end {
                let hash = reader.hashes[index]
                let host = before.byHash[hash] ?? NacosHost(reader.text, in: reader.ranges[index])
                if list.byHash.updateValue(host, forKey: hash) == nil, host != nil { list.readable += 1 }
            }
            next = end
            return next == reader.ranges.count
        }
    }

    /// Reads an instance list into `list`; false when nothing has changed in it.
    static func read(_ body: [UInt8], into list: inout HostList) throws(Unreadable) -> Bool {
        var reader = NacosListReader(body)
        _ = try reader.advance()
        var maker = HostListMaker(reader, before: list)
        guard maker.isNew else { return false }
        _ = maker.advance()
        list = maker.list
        return true
    }
}
