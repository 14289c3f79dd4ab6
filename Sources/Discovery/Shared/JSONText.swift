/// Finds the parts of a JSON text without building values.
///
/// Registries answer the same long list again and again, in changing order. Cutting the list into its elements is cheap, and
/// only elements that were not there before need to be decoded.
enum JSONText {
    /// The members of an object that is the whole text: raw key (between its quotes, escapes untouched) and
    /// value. Nil when it is not one object.
    static func members(_ text: [UInt8]) -> [(key: Range<Int>, value: Range<Int>)]? {
        members(text, in: 0..<text.count)
    }

    /// The members of an object that fills `range`. Nil when it is not one object.
    ///
    /// - Parameter upToContainers: stop in front of the first value that is a list or an object.
    static func members(
        _ text: [UInt8], in range: Range<Int>, upToContainers: Bool = false
    ) -> [(key: Range<Int>, value: Range<Int>)]? {
        var cursor = JSONCursor(text, range)
        var members: [(key: Range<Int>, value: Range<Int>)] = []
        guard cursor.take(UInt8(ascii: "{")) else { return nil }
        if cursor.take(UInt8(ascii: "}")) { return cursor.isAtEnd ? members : nil }
        repeat {
            guard let key = cursor.key() else { return nil }
            if upToContainers, let next = cursor.peek(), next == UInt8(ascii: "{") || next == UInt8(ascii: "[") {
                return members
            }
            guard let value = cursor.value() else { return nil }
            members.append((key, value))
        } while cursor.take(UInt8(ascii: ","))
        return cursor.take(UInt8(ascii: "}")) && cursor.isAtEnd ? members : nil
    }

    /// The elements of an array that fills `range`. Nil when it is not one array.
    static func elements(_ text: [UInt8], in range: Range<Int>) -> [Range<Int>]? {
        var cursor = JSONCursor(text, range)
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
        subscript(_ name: StaticString) -> Range<Int>? {
            members.first { equals(name, text, $0.key) }?.value
        }
    }

    /// Nil when the text is not one object.
    static func object(_ text: [UInt8]) -> Object? {
        members(text).map { Object(text: text, members: $0) }
    }

    /// Nil when `range` is not one object.
    static func object(_ text: [UInt8], in range: Range<Int>) -> Object? {
        members(text, in: range).map { Object(text: text, members: $0) }
    }

    /// A hash of some bytes; differs from process to process.
    static func hash(_ text: [UInt8], in range: Range<Int>) -> UInt64 {
        var hasher = Hasher()
        text[range].withUnsafeBytes { hasher.combine(bytes: $0) }
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    /// Whether a raw key is this name.
    static func equals(_ name: StaticString, _ text: [UInt8], _ range: Range<Int>) -> Bool {
        guard name.utf8CodeUnitCount == range.count else { return false }
        for index in 0..<range.count where name.utf8Start[index] != text[range.lowerBound + index] {
            return false
        }
        return true
    }
}
