/// Hessian 2.0 serialization as Java Dubbo writes it (hessian-lite): skipping values without building them.
///
/// One byte decides what a value is and how long it is; see `Code`. Skipping needs one piece of state per message, the
/// number of fields of each class defined so far, and a stack for nesting; both live in `Scratch`.
public enum Hessian2 {
    /// End marker of open lists and maps.
    static let endMark: UInt8 = 0x5a
    static let null: UInt8 = 0x4e
    /// A string in several pieces begins with it.
    static let firstPiece: UInt8 = 0x52

    /// Memory for skipping, allocated once and used for message after message.
    public struct Scratch: ~Copyable {
        /// Classes that one message may define.
        public static let maximumClasses = 4096
        /// How deep values may nest. A Java decoder recurses and overflows its default stack before this.
        public static let maximumDepth = 4096

        let codes: UnsafeMutablePointer<Code>
        let classes: UnsafeMutablePointer<Int32>
        let stack: UnsafeMutablePointer<Int32>
        var classCount = 0

        /// Allocates about 33 KiB.
        public init() {
            codes = .allocate(capacity: 256)
            for byte in 0...255 { (codes + byte).initialize(to: Code(UInt8(byte))) }
            classes = .allocate(capacity: Self.maximumClasses)
            classes.initialize(repeating: 0, count: Self.maximumClasses)
            stack = .allocate(capacity: Self.maximumDepth)
            stack.initialize(repeating: 0, count: Self.maximumDepth)
        }

        deinit {
            codes.deallocate()
            classes.deallocate()
            stack.deallocate()
        }

        /// Forgets the classes of the message before. Call it before the first value of each message.
        public mutating func beginMessage() { classCount = 0 }
    }

    /// What the first byte of a value says: the kind, and a small number whose meaning depends on the kind.
    struct Code {
        enum Kind: UInt8 {
            /// `operand` bytes follow.
            case fixed
            /// Text of `operand` UTF-16 units.
            case text
            /// Text whose length is `operand` * 256 + the next byte.
            case textMedium
            /// 'S' or 'R': a 16-bit length; after 'R' more text follows.
            case textFinal, textChunk
            /// Binary with `operand` * 256 + the next byte bytes; short binary is `fixed`.
            case bytesMedium
            case bytesFinal, bytesChunk
            case classDefinition
            /// Instance of class number `operand`; `objectLong` has the number as an int.
            case object, objectLong
            case map, typedMap
            case openList, openTypedList
            /// `operand` values follow.
            case list, typedList
            /// The count follows as an int.
            case listLong, typedListLong
            case reference
            /// Reserved codes, and the end mark where a value must stand.
            case invalid
        }

        var kind: Kind
        var operand: UInt8

        init(_ byte: UInt8) {
            (kind, operand) =
                switch byte {
                case 0x00...0x1f: (.text, byte)
                case 0x20...0x2f: (.fixed, byte - 0x20)
                case 0x30...0x33: (.textMedium, byte - 0x30)
                case 0x34...0x37: (.bytesMedium, byte - 0x34)
                case 0x38...0x3f: (.fixed, 2)  // long
                case 0x41: (.bytesChunk, 0)
                case 0x42: (.bytesFinal, 0)
                case 0x43: (.classDefinition, 0)
                case 0x44, 0x4a, 0x4c: (.fixed, 8)  // double, date in ms, long
                case 0x46, 0x4e, 0x54, 0x5b, 0x5c: (.fixed, 0)  // false, null, true, 0.0, 1.0
                case 0x48: (.map, 0)
                case 0x49, 0x4b, 0x59, 0x5f: (.fixed, 4)  // int, date in minutes, long, double / 1000
                case 0x4d: (.typedMap, 0)
                case 0x4f: (.objectLong, 0)
                case 0x51: (.reference, 0)
                case 0x52: (.textChunk, 0)
                case 0x53: (.textFinal, 0)
                case 0x55: (.openTypedList, 0)
                case 0x56: (.typedListLong, 0)
                case 0x57: (.openList, 0)
                case 0x58: (.listLong, 0)
                case 0x5d: (.fixed, 1)  // double
                case 0x5e: (.fixed, 2)  // double
                case 0x60...0x6f: (.object, byte - 0x60)
                case 0x70...0x77: (.typedList, byte - 0x70)
                case 0x78...0x7f: (.list, byte - 0x78)
                case 0x80...0xbf, 0xd8...0xef: (.fixed, 0)  // int, long
                case 0xc0...0xcf, 0xf0...0xff: (.fixed, 1)
                case 0xd0...0xd7: (.fixed, 2)
                default: (.invalid, 0)  // 40, 45, 47, 50, 5a
                }
        }
    }
}
