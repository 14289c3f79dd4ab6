/// Protocol buffers, as far as small messages without a schema compiler need them.
enum Protobuf {
    /// Not such a message.
    struct Malformed: Error, Equatable {}

    /// A field's value.
    enum Value: Equatable {
        /// Of type varint.
        case number(UInt64)
        /// Of a text, of bytes or of a message: where it stands.
        case bytes(Range<Int>)
        /// Of 4 or 8 bytes.
        case fixed
    }

    /// Puts a message together.
    struct Writer {
        private(set) var bytes: [UInt8] = []

        /// A field of bytes; its number is below 16, so that its key is one byte.
        mutating func field(_ number: UInt8, _ value: some Collection<UInt8>) {
            bytes.append(number << 3 | 2)
            append(UInt64(value.count))
            bytes += value
        }

        /// A field with a number as its value.
        mutating func field(_ number: UInt8, _ value: UInt64) {
            bytes.append(number << 3)
            append(value)
        }

        private mutating func append(_ number: UInt64) {
            var rest = number
            while rest >= 0x80 {
                bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
                rest >>= 7
            }
            bytes.append(UInt8(truncatingIfNeeded: rest))
        }
    }

    /// Reads the fields of a message one by one.
    struct Reader {
        private let bytes: [UInt8]
        private let end: Int
        private var position: Int

        /// - Parameter range: where the message stands.
        init(_ bytes: [UInt8], _ range: Range<Int>) {
            self.bytes = bytes
            position = range.lowerBound
            end = range.upperBound
        }

        /// The next field; nil at the end.
        mutating func next() throws(Malformed) -> (field: UInt64, value: Value)? {
            guard position < end else { return nil }
            let key = try number()
            let field = key >> 3
            guard field > 0 else { throw Malformed() }
            switch key & 7 {
            case 0: return (field, .number(try number()))
            case 1: try skip(8)
            case 2:
                guard let length = Int(exactly: try number()) else { throw Malformed() }
                let start = position
                try skip(length)
                return (field, .bytes(start..<position))
            case 5: try skip(4)
            default: throw Malformed()
            }
            return (field, .fixed)
        }

        /// A field's text.
        func text(_ range: Range<Int>) throws(Malformed) -> String {
            guard let text = String(validating: bytes[range], as: UTF8.self) else { throw Malformed() }
            return text
        }

        private mutating func skip(_ count: Int) throws(Malformed) {
            guard count <= end - position else { throw Malformed() }
            position += count
        }

        private mutating func number() throws(Malformed) -> UInt64 {
            var value: UInt64 = 0
            for shift in stride(from: UInt64(0), through: 63, by: 7) {
                guard position < end else { throw Malformed() }
                let byte = bytes[position]
                position += 1
                value |= UInt64(byte & 0x7f) << shift
                if byte < 0x80 { return value }
            }
            throw Malformed()
        }
    }
}
