import Runtime

/// Reads an answer of `/apps`, `/apps/delta` or `/apps/NAME` an instance at a time.
///
/// Servers differ: where old ones have a single application or instance they write it without the array around it, and
/// leave empty arrays out.
struct EurekaReader {
    /// The text is no such answer.
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    /// What a step has found.
    enum Event {
        /// An instance in this range of the text, of an application of this name.
        case instance(Range<Int>, application: String)
        /// Nothing that counts.
        case other
        /// Everything was read.
        case end
    }

    private enum Place {
        case root, applications, applicationList, application(isListed: Bool), instances(isListed: Bool)
    }

    let body: [UInt8]
    /// The checksum over all instances' status, once it was read; nil where there is none.
    private(set) var checksum: String?
    private var cursor: JSONCursor
    private var place = Place.root
    private var name = ""
    private var hasContent = false
    /// There is one application, without a list of applications around it.
    private var isAlone = false

    init(_ body: [UInt8]) throws(Unreadable) {
        self.body = body
        cursor = JSONCursor(body, 0..<body.count)
        guard cursor.enter(UInt8(ascii: "{")) else {
            let isXML = body.first { $0 > 0x20 } == UInt8(ascii: "<")
            if isXML && String(decoding: body.prefix(400), as: UTF8.self).contains("<application") {
                throw Unreadable(description: "the server answers XML although it was asked for JSON")
            }
            throw Unreadable(description: "the answer is not Eureka's: \(Excerpt.words(body))")
        }
    }

    /// Reads on.
    mutating func step() throws(Unreadable) -> Event {
        switch place {
        case .root: try stepRoot()
        case .applications: try stepApplications()
        case .applicationList: try stepApplicationList()
        case .application(let isListed): try stepApplication(isListed)
        case .instances(let isListed): try stepInstances(isListed)
        }
    }

    private mutating func stepRoot() throws(Unreadable) -> Event {
        guard let key = cursor.nextKey() else {
            guard !cursor.isBroken, cursor.isAtEnd, hasContent else { throw broken }
            return .end
        }
        switch text(key) {
        case "applications" where cursor.enter(UInt8(ascii: "{")):
            hasContent = true
            place = .applications
        case "application" where cursor.enter(UInt8(ascii: "{")):
            hasContent = true
            place = .application(isListed: false)
            isAlone = true
        default: try skip()
        }
        return .other
    }

    private mutating func stepApplications() throws(Unreadable) -> Event {
        guard let key = cursor.nextKey() else {
            if cursor.isBroken { throw broken }
            place = .root
            return .other
        }
        switch text(key) {
        case "application" where cursor.enter(UInt8(ascii: "[")): place = .applicationList
        case "application" where cursor.enter(UInt8(ascii: "{")):
            place = .application(isListed: false)
            name = ""
        case "apps__hashcode": checksum = JSONText.label(body, try value())
        default: try skip()
        }
        return .other
    }

    private mutating func stepApplicationList() throws(Unreadable) -> Event {
        switch cursor.next(UInt8(ascii: "]")) {
        case .end: place = .applications
        case .broken: throw broken
        case .element:
            guard cursor.enter(UInt8(ascii: "{")) else { throw broken }
            place = .application(isListed: true)
            name = ""
        }
        return .other
    }

    private mutating func stepApplication(_ isListed: Bool) throws(Unreadable) -> Event {
        guard let key = cursor.nextKey() else {
            if cursor.isBroken { throw broken }
            place = isListed ? .applicationList : isAlone ? .root : .applications
            return .other
        }
        switch text(key) {
        case "name": name = JSONText.label(body, try value()) ?? ""
        case "instance" where cursor.enter(UInt8(ascii: "[")): place = .instances(isListed: isListed)
        case "instance":
            let range = try value()
            if body[range.lowerBound] == UInt8(ascii: "{") { return .instance(range, application: name) }
        default: try skip()
        }
        return .other
    }

    private mutating func stepInstances(_ isListed: Bool) throws(Unreadable) -> Event {
        switch cursor.next(UInt8(ascii: "]")) {
        case .end:
            place = .application(isListed: isListed)
            return .other
        case .broken: throw broken
        case .element: return .instance(try value(), application: name)
        }
    }

    private mutating func value() throws(Unreadable) -> Range<Int> {
        guard let range = cursor.value() else { throw broken }
        return range
    }

    private mutating func skip() throws(Unreadable) { _ = try value() }

    private func text(_ key: Range<Int>) -> String { String(decoding: body[key], as: UTF8.self) }

    private var broken: Unreadable {
        Unreadable(description: "the answer is not Eureka's JSON: \(Excerpt.words(body))")
    }
}
