import Glibc

/// Names and values of a host, in one piece of memory: there are very many hosts, and a dictionary takes four times as much.
///
/// A value is found by looking at all names: there are few of them.
public struct Labels: Hashable, Sendable {
    /// In the order of the names: how long a name and its value are, then both.
    private var bytes: [UInt8] = []

    /// Where a label stands in `bytes`; the next one begins where the value ends.
    private struct Place {
        let name: Range<Int>
        let value: Range<Int>
    }

    /// The labels of a dictionary.
    public init(_ dictionary: [String: String]) {
        if dictionary.isEmpty { return }
        // Most lengths take a byte.
        bytes.reserveCapacity(dictionary.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count + 2 })
        for (name, value) in dictionary.sorted(by: { $0.key < $1.key }) {
            append(length: name.utf8.count)
            append(length: value.utf8.count)
            bytes += name.utf8
            bytes += value.utf8
        }
    }

    /// None at all.
    public var isEmpty: Bool { bytes.isEmpty }

    /// How many there are.
    public var count: Int { reduce(0) { count, _ in count + 1 } }

    /// The labels as a dictionary.
    public var dictionary: [String: String] { Dictionary(map { ($0.name, $0.value) }) { $1 } }

    /// The value of a name; nil where there is none.
    public subscript(name: String) -> String? {
        get {
            var name = name
            return name.withUTF8 { name in bytes.withUnsafeBufferPointer { Self.value(of: name, in: $0) } }
        }
        set {
            var dictionary = dictionary
            dictionary[name] = newValue
            self = Labels(dictionary)
        }
    }

    private static func value(of name: UnsafeBufferPointer<UInt8>, in bytes: UnsafeBufferPointer<UInt8>) -> String? {
        var start = 0
        while start < bytes.count {
            let place = place(at: start, in: bytes)
            if place.name.count == name.count,
                name.isEmpty || memcmp(bytes.baseAddress! + place.name.lowerBound, name.baseAddress!, name.count) == 0
            {
                return String(decoding: bytes[place.value], as: UTF8.self)
            }
            start = place.value.upperBound
        }
        return nil
    }

    private static func place(at start: Int, in bytes: UnsafeBufferPointer<UInt8>) -> Place {
        var position = start
        let (name, value) = (length(at: &position, in: bytes), length(at: &position, in: bytes))
        return Place(name: position..<position + name, value: position + name..<position + name + value)
    }

    // MARK: Lengths: seven bits a byte, the lowest first; the highest bit says that more follow.

    private mutating func append(length: Int) {
        var rest = length
        while rest > 0x7f {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private static func length(at position: inout Int, in bytes: UnsafeBufferPointer<UInt8>) -> Int {
        var (length, shift) = (0, 0)
        while true {
            let byte = bytes[position]
            position += 1
            length |= Int(byte & 0x7f) << shift
            if byte < 0x80 { return length }
            shift += 7
        }
    }
}

extension Labels: Sequence {
    /// Goes through labels in the order of their names.
    public struct Iterator: IteratorProtocol {
        fileprivate let labels: Labels
        fileprivate var start = 0

        /// The next label.
        public mutating func next() -> (name: String, value: String)? {
            guard start < labels.bytes.count else { return nil }
            let place = labels.bytes.withUnsafeBufferPointer { Labels.place(at: start, in: $0) }
            start = place.value.upperBound
            return (labels.text(place.name), labels.text(place.value))
        }
    }

    /// By name.
    public func makeIterator() -> Iterator { Iterator(labels: self) }

    private func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
}

extension Labels: ExpressibleByDictionaryLiteral {
    /// Of several values for a name the last counts.
    public init(dictionaryLiteral elements: (String, String)...) { self.init(Dictionary(elements) { $1 }) }
}
