extension Hessian2 {
    /// One value with all that it holds, as `Reader` has read it.
    ///
    /// Values are places in the message: texts and numbers are decoded when they are asked for.
    public struct Document: Sendable {
        /// What a value is.
        public enum Kind: UInt8, Sendable {
            /// Nothing.
            case null
            /// True or false.
            case boolean
            /// Java's int and long.
            case integer
            /// Java's double.
            case double
            /// A point in time.
            case date
            /// Text.
            case text
            /// Bytes.
            case binary
            /// Values in order.
            case list
            /// Keys, each followed by its value.
            case map
            /// An instance of a class: the values of its fields.
            case object
            /// A container that stands elsewhere, perhaps around this place.
            case reference
        }

        /// Names a value.
        public struct Value: Hashable, Sendable {
            let index: Int
        }

        /// A class as the message defines it.
        struct Class: Sendable {
            let name: String
            let fields: [String]
        }

        /// A value in the order of the message: what a container holds follows it.
        struct Node {
            let kind: Kind
            /// Of an object: the number of its class.
            var detail: UInt16 = 0
            /// Where its code stands; of a reference, the node that is meant.
            var start: UInt32
            /// Where it ends.
            var end: UInt32
            /// The node after it and all that it holds.
            var next: UInt32
        }

        let bytes: [UInt8]
        let nodes: [Node]
        let classes: [Class]

        /// The value that was read.
        public var root: Value { Value(index: 0) }

        /// What a value is; never `reference`: what is meant counts.
        public func kind(of value: Value) -> Kind { node(value).kind }

        /// True or false; nil for other values.
        public func boolean(_ value: Value) -> Bool? {
            let node = node(value)
            return node.kind == .boolean ? bytes[Int(node.start)] == 0x54 : nil
        }

        /// The number of an int or long; nil for other values.
        public func integer(_ value: Value) -> Int64? {
            let node = node(value)
            guard node.kind == .integer else { return nil }
            return bytes.withUnsafeBufferPointer { Hessian2.number($0.baseAddress!, Int(node.start), $0.count) }
        }

        /// The number of a double; nil for other values.
        public func double(_ value: Value) -> Double? {
            let node = node(value)
            guard node.kind == .double else { return nil }
            let at = Int(node.start) + 1
            return bytes.withUnsafeBufferPointer { buffer in
                let bytes = buffer.baseAddress!
                return switch bytes[at - 1] {
                case 0x5b: 0
                case 0x5c: 1
                case 0x5d: Double(Int8(bitPattern: bytes[at]))
                case 0x5e: Double(Int16(truncatingIfNeeded: BigEndian.load16(bytes, at)))
                case 0x5f: Double(BigEndian.loadInt32(bytes, at)) / 1000
                default: Double(bitPattern: UInt64(bitPattern: BigEndian.loadInt64(bytes, at)))
                }
            }
        }

        /// Milliseconds since 1970 of a date; nil for other values.
        public func date(_ value: Value) -> Int64? {
            let node = node(value)
            guard node.kind == .date else { return nil }
            let at = Int(node.start)
            return bytes.withUnsafeBufferPointer { buffer in
                let bytes = buffer.baseAddress!
                return bytes[at] == 0x4a
                    ? BigEndian.loadInt64(bytes, at + 1) : Int64(BigEndian.loadInt32(bytes, at + 1)) * 60_000
            }
        }

        /// A text; nil for other values. Half of a character, which Java can write, becomes U+FFFD.
        public func text(_ value: Value) -> String? {
            let node = node(value)
            guard node.kind == .text else { return nil }
            return Hessian2.text(bytes, Int(node.start))
        }

        /// The content of a binary value; nil for other values.
        public func binary(_ value: Value) -> [UInt8]? {
            let node = node(value)
            guard node.kind == .binary else { return nil }
            return Hessian2.binary(bytes, Int(node.start))
        }

        /// The name of an object's class; nil for other values.
        public func className(of value: Value) -> String? {
            let node = node(value)
            return node.kind == .object ? classes[Int(node.detail)].name : nil
        }

        /// What a list holds, a map's keys and values by turns, or the values of an object's fields in the class's order;
        /// empty for other values.
        public func contents(of value: Value) -> Contents {
            let index = resolved(value.index)
            let node = nodes[index]
            let isContainer = node.kind == .list || node.kind == .map || node.kind == .object
            return Contents(document: self, next: index + 1, end: isContainer ? Int(node.next) : index + 1)
        }

        /// Entries of a map that `member` looks at.
        public static let mostMembers = 100

        /// The value of an object's field, or of an entry of a map that stands for an object: one of its first `mostMembers`
        /// entries. Nil where there is none; of several the first counts.
        public func member(_ name: String, of value: Value) -> Value? {
            let node = node(value)
            switch node.kind {
            case .object:
                guard let position = classes[Int(node.detail)].fields.firstIndex(of: name) else { return nil }
                var contents = contents(of: value)
                for _ in 0..<position { _ = contents.next() }
                return contents.next()
            case .map:
                var contents = contents(of: value)
                for _ in 0..<Self.mostMembers {
                    guard let key = contents.next(), let entry = contents.next() else { break }
                    if text(key) == name { return entry }
                }
                return nil
            default: return nil
            }
        }

        /// Values in a row.
        public struct Contents: Sequence, IteratorProtocol, Sendable {
            private let document: Document
            private var index: Int
            private let end: Int

            init(document: Document, next: Int, end: Int) {
                self.document = document
                index = next
                self.end = end
            }

            /// The next value; nil after the last.
            public mutating func next() -> Value? {
                guard index < end else { return nil }
                defer { index = Int(document.nodes[index].next) }
                return Value(index: index)
            }
        }

        private func node(_ value: Value) -> Node { nodes[resolved(value.index)] }

        /// References mean containers, never other references.
        private func resolved(_ index: Int) -> Int {
            nodes[index].kind == .reference ? Int(nodes[index].start) : index
        }
    }
}
