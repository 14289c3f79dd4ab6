/// Steps through a JSON text from value to value, so that a long one can be read a piece at a time.
struct JSONCursor {
    /// Deeper nesting is not read.
    private static let deepest = 128

    private let text: [UInt8]
    private let end: Int
    private var position: Int
    /// No element of the innermost open bracket was read yet.
    private var isFirst = false
    /// `nextKey` has met something that is no JSON.
    private(set) var isBroken = false

    init(_ text: [UInt8], _ range: Range<Int>) {
        self.text = text
        position = range.lowerBound
        end = range.upperBound
    }

    /// Only blanks are left.
    var isAtEnd: Bool {
        // An escape at the end leaves the position behind it.
        guard position < end else { return true }
        for index in position..<end where !Self.isBlank(text[index]) { return false }
        return true
    }

    /// Steps over blanks and, when it is the next one, over `byte`.
    mutating func take(_ byte: UInt8) -> Bool {
        while position < end, Self.isBlank(text[position]) { position += 1 }
        guard position < end, text[position] == byte else { return false }
        position += 1
        return true
    }

    /// Enters the object or array that comes next; its first byte is `open`.
    mutating func enter(_ open: UInt8) -> Bool {
        guard take(open) else { return false }
        isFirst = true
        return true
    }

    /// What `next` finds.
    enum Step: Equatable {
        /// There is an element; the cursor stands before it.
        case element
        /// The bracket was closed; the cursor stands behind it.
        case end
        /// Neither comes.
        case broken
    }

    /// Steps to the next element of an array, or out of it behind `close`.
    mutating func next(_ close: UInt8) -> Step {
        if take(close) {
            isFirst = false
            return .end
        }
        if !isFirst, !take(UInt8(ascii: ",")) { return .broken }
        isFirst = false
        return position < end ? .element : .broken
    }

    /// Steps to the value of the next member of an object and tells its raw key; nil behind the last one, or where the text
    /// is broken: then `isBroken`.
    mutating func nextKey() -> Range<Int>? {
        switch next(UInt8(ascii: "}")) {
        case .end: return nil
        case .element:
            if let key = key() { return key }
            isBroken = true
            return nil
        case .broken:
            isBroken = true
            return nil
        }
    }

    /// The first byte of what comes next; nil at the end.
    mutating func peek() -> UInt8? {
        while position < end, Self.isBlank(text[position]) { position += 1 }
        return position < end ? text[position] : nil
    }

    /// Steps over a member's name and colon; returns what is between the quotes.
    mutating func key() -> Range<Int>? {
        guard let key = value(), text[key.lowerBound] == UInt8(ascii: "\""), take(UInt8(ascii: ":")) else { return nil }
        return key.lowerBound + 1..<key.upperBound - 1
    }

    /// Steps over one value; nil when there is none or it does not end.
    mutating func value() -> Range<Int>? {
        while position < end, Self.isBlank(text[position]) { position += 1 }
        guard position < end else { return nil }
        let start = position
        let isComplete =
            switch text[position] {
            case UInt8(ascii: "\""): string()
            case UInt8(ascii: "{"), UInt8(ascii: "["): container()
            default: word()
            }
        return isComplete ? start..<position : nil
    }

    private mutating func string() -> Bool {
        position += 1
        while position < end {
            switch text[position] {
            case UInt8(ascii: "\""):
                position += 1
                return true
            case UInt8(ascii: "\\"): position += 2
            default: position += 1
            }
        }
        return false
    }

    /// Brackets must match; what is between them is looked at when an element is decoded.
    private mutating func container() -> Bool {
        var open: [UInt8] = []
        while position < end {
            switch text[position] {
            case UInt8(ascii: "\""):
                guard string() else { return false }
                continue
            case UInt8(ascii: "{"): open.append(UInt8(ascii: "}"))
            case UInt8(ascii: "["): open.append(UInt8(ascii: "]"))
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard open.popLast() == text[position] else { return false }
            default: break
            }
            position += 1
            if open.isEmpty { return true }
            if open.count > Self.deepest { return false }
        }
        return false
    }

    private mutating func word() -> Bool {
        let start = position
        while position < end {
            switch text[position] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "E"),
                UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."):
                position += 1
            default: return position > start
            }
        }
        return position > start
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
    }
}
