import FoundationEssentials

/// Reads answers of the Nacos API.
enum NacosAnswer {
    /// Why an answer cannot be used.
    struct Unreadable: Error, Equatable, CustomStringConvertible {
        let description: String
    }

    /// What is remembered of an instance list, so that the next one costs little.
    struct HostList {
        /// The hosts that could be read, by a hash of their text; nil for an entry that could not.
        fileprivate(set) var byHash: [UInt64: NacosHost?] = [:]
        fileprivate var fingerprint: UInt64 = 0
        fileprivate var entries = -1
        /// Entries that could not be read.
        var unreadable: Int { byHash.values.count { $0 == nil } }
        /// The hosts that could be read.
        var hosts: [NacosHost] { byHash.values.compactMap { $0 } }
    }

    /// Reads the answer to an instance list of the v1 or v3 API into `list`; false when nothing has changed in it.
    ///
    /// The order of the hosts and the time stamps around them do not count. Only hosts that are new are decoded.
    static func read(_ body: [UInt8], into list: inout HostList) throws(Unreadable) -> Bool {
        guard let ranges = try hostRanges(body) else { throw Unreadable(description: "no instance list in the answer") }
        let hashes = ranges.map { JSONText.hash(body, in: $0) }
        // A sum does not depend on order, and unlike exclusive or it counts doubles.
        let fingerprint = hashes.reduce(0, &+)
        if list.entries == ranges.count && list.fingerprint == fingerprint { return false }
        var next = HostList()
        next.entries = ranges.count
        next.fingerprint = fingerprint
        let decoder = JSONDecoder()
        for (range, hash) in zip(ranges, hashes) {
            next.byHash[hash] = .some(list.byHash[hash] ?? decode(body, range, decoder))
        }
        list = next
        return true
    }

    /// Reads the names of the v1 service list.
    static func serviceNames(_ body: [UInt8]) throws(Unreadable) -> [String] {
        struct Page: Decodable { let doms: [String] }
        guard let page = try? JSONDecoder().decode(Page.self, from: Data(body)) else {
            throw Unreadable(description: "no service list in the answer: \(excerpt(body))")
        }
        return page.doms
    }

    /// Reads one page of the v3 admin service list: names of the group, and how many pages there are.
    static func adminServicePage(_ body: [UInt8], group: String) throws(Unreadable) -> (names: [String], pages: Int) {
        struct Page: Decodable {
            struct Item: Decodable {
                let name: String
                let groupName: String?
            }
            struct Items: Decodable {
                let pagesAvailable: Int?
                let pageItems: [Item]?
            }
            let code: Int
            let message: String?
            let data: Items?
        }
        guard let page = try? JSONDecoder().decode(Page.self, from: Data(body)) else {
            throw Unreadable(description: "no service list in the answer: \(excerpt(body))")
        }
        guard page.code == 0 else { throw Unreadable(description: "code \(page.code) \(page.message ?? "")") }
        let items = page.data?.pageItems ?? []
        return (items.filter { $0.groupName ?? group == group }.map(\.name), page.data?.pagesAvailable ?? 1)
    }

    /// Reads the answer to a login; nil when it holds no token.
    static func token(_ body: [UInt8]) -> (token: String, lifetime: Duration)? {
        struct Login: Decodable {
            let accessToken: String
            let tokenTtl: Int64?
        }
        guard let login = try? JSONDecoder().decode(Login.self, from: Data(body)), !login.accessToken.isEmpty,
            login.accessToken.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        return (login.accessToken, .seconds(min(max(login.tokenTtl ?? 18_000, 1), 10_000_000)))
    }

    /// The first words of an answer, for a log line.
    static func excerpt(_ body: [UInt8]) -> String {
        let text = String(decoding: body.prefix(120), as: UTF8.self)
        let words = text.split(whereSeparator: { $0.isWhitespace || $0 == "\u{0}" }).joined(separator: " ")
        return words.isEmpty ? "nothing" : words
    }

    private static func hostRanges(_ body: [UInt8]) throws(Unreadable) -> [Range<Int>]? {
        guard let object = JSONText.object(body) else {
            throw Unreadable(description: "the answer is not a JSON object: \(excerpt(body))")
        }
        if let hosts = object["hosts"] { return JSONText.elements(body, in: hosts) }
        guard let code = object["code"] else { return nil }
        guard body[code].elementsEqual("0".utf8) else { throw Unreadable(description: excerpt(body)) }
        return object["data"].flatMap { JSONText.elements(body, in: $0) }
    }

    private static func decode(_ body: [UInt8], _ range: Range<Int>, _ decoder: JSONDecoder) -> NacosHost? {
        try? decoder.decode(NacosHost.self, from: Data(body[range]))
    }
}
