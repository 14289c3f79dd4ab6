/// Finds the parts of a JSON text without building values.
///
/// Registries answer the same long list again and again, in changing order. Cutting the list into its elements is cheap, and
/// only elements that were not there before need to be decoded.
enum JSONText {
    private static let deepest = 128

    /// The members of an object that is the whole text: raw key (between its quotes, escapes untouched) and
    /// value. Nil when it is not one object.
    static func members(_ text: [UInt8]) -> [(key: Range<Int>, value: Range<Int>)]? {
        var cursor = Cursor(text, 0..<text.count)
        var members: [(key: Range<Int>, value: Range<Int>)] = []
        guard cursor.take(UInt8(ascii: "{")) else { return nil }
        if cursor.take(UInt8(ascii: "}")) { return cursor.isAtEnd ? members : nil }
        repeat {
            guard let key = cursor.value(), text[key.lowerBound] == UInt8(ascii: "\""), cursor.take(UInt8(ascii: ":")),
                let value = cursor.value()
            else { return nil }
            members.append((key.lowerBound + 1..<key.upperBound - 1, value))
        } while cursor.take(UInt8(ascii: ","))
        return cursor.take(UInt8(ascii: "}")) && cursor.isAtEnd ? members : nil
    }

    /// The elements of an array that fills `range`. Nil when it is not one array.
    static func elements(_ text: [UInt8], in range: Range<Int>) -> [Range<Int>]? {
        var cursor = Cursor(text, range)
        var elements: [Range<Int>] = []
        guard cursor.take(UInt8(ascii: "[")) else { return nil }
        if cursor.take(UInt8(ascii: "]")) { return cursor.isAtEnd ? elements : nil }
        repeat {
            guard let element = cursor.value() else { return nil }
            elements.append(element)
        } while cursor.take(UInt8(ascii: ","))
        return cursor.take(UInt8(ascii: "]")) && cursor.isAtEnd ? elements : nil
    }

    /// The members of an object that is the whole text.
    struct Object {
        fileprivate let text: [UInt8]
        fileprivate let members: [(key: Range<Int>, value: Range<Int>)]

        /// The value of a member; nil when there is none.
        subscript(_ name: StaticString) -> Range<Int>? { members.first { equals(name, text, $0.key) }?.value }
    }

    /// Nil when the text is not one object.
    static func object(_ text: [UInt8]) -> Object? {
        members(text).map { Object(text: text, members: $0) }
    }

    /// A hash of some bytes; differs from process to process.
    static func hash(_ text: [UInt8], in range: Range<Int>) -> UInt64 {
        var hasher = Hasher()
        text[range].withUnsafeBytes { hasher.combine(bytes: $0) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    fileprivate static func equals(_ name: StaticString, _ text: [UInt8], _ range: Range<Int>) -> Bool {
        guard name.utf8CodeUnitCount == range.count else { return false }
        for index in 0..<range.count where name.utf8Start[index] != text[range.lowerBound + index] { return false }
        return true
    }

    private struct Cursor {
        private let text: [UInt8]
        private let end: Int
        private var position: Int

        init(_ text: [UInt8], _ range: Range<Int>) {
            self.text = text
            position = range.lowerBound
            end = range.upperBound
        }

        /// Only blanks are left.
        var isAtEnd: Bool {
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
                if open.count > JSONText.deepest { return false }
            }
            return false
        }

        private mutating func word() -> Bool {
            let start = position
            while position < end {
                switch text[position] {
                case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "E"),
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
}
