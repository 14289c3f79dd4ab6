/// A key with what it holds.
struct EtcdRecord: Equatable {
    var key: [UInt8]
    var value: [UInt8] = []
    /// The cluster's revision that wrote it.
    var revision: Int64
    /// 0 for a key that stays until somebody deletes it.
    var lease: Int64 = 0
}

/// A change of a key.
struct EtcdEvent: Equatable {
    var record: EtcdRecord
    /// The key is gone; nothing but it and the revision is known then.
    var isDelete = false
}

/// What etcd's gateway writes: fields with a default value are left out, 64-bit numbers are texts, bytes are base64.
struct EtcdText {
    let text: [UInt8]
    private let object: JSONText.Object

    /// Nil when it is not one JSON object.
    init?(_ text: [UInt8], in range: Range<Int>? = nil) {
        guard let object = JSONText.object(text, in: range ?? 0..<text.count) else { return nil }
        self.text = text
        self.object = object
    }

    /// Lines of objects as one object with an array `lines`.
    static func wrap(lines: [UInt8]) -> [UInt8] {
        let objects = lines.split(separator: UInt8(ascii: "\n")).joined(separator: [UInt8(ascii: ",")])
        return Array("{\"lines\":[".utf8) + objects + Array("]}".utf8)
    }

    /// An object in it.
    func object(_ name: StaticString) -> EtcdText? { object[name].flatMap { EtcdText(text, in: $0) } }

    /// The elements of an array in it; none when it is left out, nil when it is something else.
    func elements(_ name: StaticString) -> [Range<Int>]? {
        guard let range = object[name] else { return [] }
        return JSONText.elements(text, in: range)
    }

    func flag(_ name: StaticString) -> Bool { object[name].map { text[$0].elementsEqual("true".utf8) } ?? false }

    func isFalse(_ name: StaticString) -> Bool { object[name].map { text[$0].elementsEqual("false".utf8) } ?? false }

    /// A number, bare or in quotes; 0 when it is left out, nil when it is something else.
    func number(_ name: StaticString) -> Int64? {
        guard let range = object[name] else { return 0 }
        return JSONText.integer(text, range)
    }

    /// A revision; 0 when it is left out, nil when it is no number that a revision can be: there is always a next one.
    func revision(_ name: StaticString) -> Int64? {
        guard let number = number(name), number >= 0, number < .max else { return nil }
        return number
    }

    /// A text; nil when it is left out or something else.
    func string(_ name: StaticString) -> String? { object[name].flatMap { JSONText.string(text, $0) } }

    /// The texts, numbers and flags of an object.
    func labels(_ name: StaticString) -> [String: String] {
        object[name].map { JSONText.labels(text, in: $0) } ?? [:]
    }

    /// Bytes; none when they are left out, nil when they are no base64.
    func bytes(_ name: StaticString) -> [UInt8]? {
        guard let range = object[name] else { return [] }
        return Self.unquoted(text, range).flatMap { Base64.decode(text[$0]) }
    }

    /// A key with what it holds; nil where that cannot be read.
    var record: EtcdRecord? {
        guard let key = bytes("key"), !key.isEmpty, let value = bytes("value"), let lease = number("lease"),
            let revision = revision("mod_revision"), revision > 0
        else { return nil }
        return EtcdRecord(key: key, value: value, revision: revision, lease: lease)
    }

    /// A change; nil where it cannot be read.
    var event: EtcdEvent? {
        guard let record = object("kv")?.record else { return nil }
        let type = string("type") ?? "PUT"
        guard type == "PUT" || type == "DELETE" else { return nil }
        return EtcdEvent(record: record, isDelete: type == "DELETE")
    }

    private static func unquoted(_ text: [UInt8], _ range: Range<Int>) -> Range<Int>? {
        guard range.count >= 2, text[range.lowerBound] == UInt8(ascii: "\"") else { return nil }
        return range.lowerBound + 1..<range.upperBound - 1
    }
}

/// The cluster and where its history stands.
struct EtcdHeader: Equatable {
    let cluster: String
    /// 0 where it is not said.
    let revision: Int64

    init?(_ answer: EtcdText) {
        guard let header = answer.object("header"), let revision = header.revision("revision") else { return nil }
        cluster = header.string("cluster_id") ?? ""
        self.revision = revision
    }
}

/// Some keys of a span.
struct EtcdPage {
    let text: [UInt8]
    /// The entries in the text, by key; they are read piece by piece.
    let entries: [Range<Int>]
    /// There are further keys.
    let more: Bool

    init?(_ answer: EtcdText) {
        guard let entries = answer.elements("kvs") else { return nil }
        text = answer.text
        self.entries = entries
        more = answer.flag("more")
    }

    /// The pages of a transaction's answer; nil where one of them cannot be read.
    static func list(_ answer: EtcdText) -> [EtcdPage]? {
        guard let responses = answer.elements("responses") else { return nil }
        var pages: [EtcdPage] = []
        for range in responses {
            guard let page = EtcdText(answer.text, in: range)?.object("response_range").flatMap(EtcdPage.init) else {
                return nil
            }
            pages.append(page)
        }
        return pages
    }
}

/// Why something was not done.
struct EtcdFailure: Error, Equatable, CustomStringConvertible {
    enum Kind {
        /// The member cannot be used now.
        case away
        /// The member answers and has no majority with it.
        case noQuorum
        /// That revision's history is not kept any more, or has not come yet.
        case noHistory
        /// What is meant is not there.
        case missing
        /// The user may not do this.
        case forbidden
        /// Login is needed and has failed.
        case unauthorized
        /// It is this request, not the member.
        case refused
    }

    let kind: Kind
    /// One line for the log.
    let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    init(_ error: HTTPError) {
        switch error {
        case .invalidRequest, .tooLarge, .overloaded: self.init(.refused, "\(error)")
        case .unresolved, .notConnected, .timedOut, .broken, .dropped: self.init(.away, "\(error)")
        }
    }

    /// An answer other than 200.
    init(_ response: HTTPResponse) {
        let words = Self.words(response.body)
        self.init(Self.kind(response.status, words), "status \(response.status): \(words)")
    }

    /// Words of an error, which is a text, or an object where a stream fails.
    static func words(_ body: [UInt8]) -> String {
        let answer = EtcdText(body)
        let words = answer?.string("message") ?? answer?.string("error") ?? answer?.object("error")?.string("message")
        return String((words ?? String(decoding: body.prefix(200), as: UTF8.self)).prefix(200))
    }

    /// Token errors that a new login cures.
    static func wantsLogin(_ status: Int, _ words: String) -> Bool {
        status == 401
            || status == 400
                && (words.contains("user name is empty") || words.contains("revision in header is old")
                    || words.contains("auth store is old"))
    }

    private static func kind(_ status: Int, _ words: String) -> Kind {
        switch status {
        case 400 where words.contains("required revision"): .noHistory
        case _ where wantsLogin(status, words): .unauthorized
        case 403: .forbidden
        case 404: .missing
        case 500 where words.contains("deadline exceeded"), 503 where words.contains("timed out"): .noQuorum
        case _ where words.contains("no leader"): .noQuorum
        case 500, 502, 503, 504: .away
        default: .refused
        }
    }
}
