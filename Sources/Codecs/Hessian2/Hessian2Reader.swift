extension Hessian2 {
    /// Reads one value with all that it holds, strictly, and a piece at a time so that large ones hold nothing up.
    ///
    /// Skipping (`skipValue`) is for what passes through; this is for what is used. Whatever the bytes are, it takes time and
    /// memory in proportion to them, both within `Limits`.
    public struct Reader {
        /// What is refused.
        public struct Limits: Sendable {
            /// Bytes of the message, below 2^31.
            public var bytes = 8 << 20
            /// Values, and names of fields, all together.
            public var values = 1_000_000
            /// How deep values may nest.
            public var depth = 128
            /// Bytes of one text.
            public var text = 1 << 20

            /// Enough for what a Java program sends about itself.
            public init() {}
        }

        /// Why a value cannot be read.
        public enum Failure: Error, Equatable, Sendable {
            /// No Hessian, or cut off, at this place or soon after it.
            case malformed(at: Int)
            /// Values nest too deep.
            case tooDeep
            /// It holds too many values or bytes.
            case tooMuch
        }

        private struct Level {
            /// The container; -1 around everything.
            var node: Int
            /// Values still to come, or one of the negative ones below.
            var pending: Int
        }

        private static let untilEnd = -1
        private static let mapKey = -2
        private static let mapValue = -3

        private let bytes: [UInt8]
        private let limits: Limits
        private var at: Int
        private var stack: [Level] = [Level(node: -1, pending: 1)]
        private var nodes: [Document.Node] = []
        private var classes: [Document.Class] = []
        /// What back-references count.
        private var containers: [UInt32] = []
        private var types = 0
        private var fields = 0
        /// A class was just defined: its first instance must follow.
        private var isDefined = false

        /// - Parameter start: where in the message the value begins.
        public init(_ bytes: [UInt8], at start: Int, limits: Limits = Limits()) {
            self.bytes = bytes
            self.limits = limits
            at = start
        }

        /// Reads at most about `limit` values more.
        ///
        /// - Returns: all that was read, when it is complete; call it no more then.
        public mutating func advance(limit: Int = .max) throws(Failure) -> Document? {
            guard bytes.count <= Swift.min(limits.bytes, Int(Int32.max)) else { throw .tooMuch }
            guard at >= 0, at <= bytes.count, !bytes.isEmpty else { throw .malformed(at: 0) }
            let bytes = bytes
            let result: Result<Bool, Failure> = bytes.withUnsafeBufferPointer { buffer in
                var left = limit
                do throws(Failure) {
                    while left > 0 {
                        left -= 1
                        if try step(buffer.baseAddress!, buffer.count) { return .success(true) }
                    }
                    return .success(false)
                } catch {
                    return .failure(error)
                }
            }
            return try result.get() ? Document(bytes: bytes, nodes: nodes, classes: classes) : nil
        }

        /// Where what was read ends.
        public var end: Int { at }

        /// Reads a value's beginning, or leaves a container. True when nothing is left.
        private mutating func step(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Failure) -> Bool {
            guard let level = stack.last else { return true }
            if level.pending == 0 { return close() }
            guard at < end else { throw .malformed(at: at) }
            let byte = bytes[at]
            if byte == endMark {
                guard level.pending < 0, level.pending != Self.mapValue, !isDefined else { throw .malformed(at: at) }
                at += 1
                return close()
            }
            let code = Code(byte)
            if code.kind == .classDefinition {
                try defineClass(bytes, end)
                return false
            }
            isDefined = false
            stack[stack.count - 1].pending =
                switch level.pending {
                case Self.untilEnd: Self.untilEnd
                case Self.mapKey: Self.mapValue
                case Self.mapValue: Self.mapKey
                default: level.pending - 1
                }
            guard nodes.count + fields < limits.values else { throw .tooMuch }
            try read(code, Document.Kind(byte), bytes, end)
            return false
        }

        private mutating func close() -> Bool {
            let level = stack.removeLast()
            if level.node >= 0 {
                nodes[level.node].end = UInt32(at)
                nodes[level.node].next = UInt32(nodes.count)
            }
            return stack.isEmpty
        }

        private mutating func read(
            _ code: Code, _ kind: Document.Kind, _ bytes: UnsafePointer<UInt8>, _ end: Int
        ) throws(Failure) {
            let start = at
            at += 1
            switch code.kind {
            case .fixed, .text, .textMedium, .textFinal, .textChunk, .bytesMedium, .bytesFinal, .bytesChunk:
                try readLeaf(code, kind, bytes, start, end)
            case .reference:
                let number = try count(bytes, end)
                guard number < containers.count else { throw .malformed(at: start) }
                add(.reference, UInt32(containers[number]))
            case .object: try open(.object, start, fields: Int(code.operand))
            case .objectLong: try open(.object, start, fields: count(bytes, end))
            case .map: try open(.map, start, Self.mapKey, end)
            case .openList: try open(.list, start, Self.untilEnd, end)
            case .list: try open(.list, start, Int(code.operand), end)
            case .listLong: try open(.list, start, count(bytes, end), end)
            case .typedMap:
                try type(bytes, end)
                try open(.map, start, Self.mapKey, end)
            case .openTypedList:
                try type(bytes, end)
                try open(.list, start, Self.untilEnd, end)
            case .typedList:
                try type(bytes, end)
                try open(.list, start, Int(code.operand), end)
            case .typedListLong:
                try type(bytes, end)
                try open(.list, start, count(bytes, end), end)
            case .classDefinition, .invalid: throw .malformed(at: start)
            }
        }

        private mutating func readLeaf(
            _ code: Code, _ kind: Document.Kind, _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int
        ) throws(Failure) {
            switch code.kind {
            case .fixed:
                at += Int(code.operand)
                guard at <= end else { throw .malformed(at: start) }
            case .bytesMedium, .bytesFinal, .bytesChunk:
                at = skipLongBinary(code, bytes, at, end)
                guard at >= 0 else { throw .malformed(at: start) }
            default:
                at = try textEnd(bytes, start, end)
            }
            add(kind, UInt32(start))
        }

        private mutating func add(_ kind: Document.Kind, _ start: UInt32, detail: UInt16 = 0) {
            nodes.append(
                Document.Node(
                    kind: kind, detail: detail, start: start, end: UInt32(at), next: UInt32(nodes.count + 1)))
        }

        private mutating func open(_ kind: Document.Kind, _ start: Int, fields index: Int) throws(Failure) {
            guard index < classes.count else { throw .malformed(at: start) }
            try open(kind, start, classes[index].fields.count, bytes.count, detail: UInt16(index))
        }

        private mutating func open(
            _ kind: Document.Kind, _ start: Int, _ pending: Int, _ end: Int, detail: UInt16 = 0
        ) throws(Failure) {
            // Each value takes a byte at least.
            guard pending <= end - at else { throw .malformed(at: start) }
            guard stack.count <= limits.depth else { throw .tooDeep }
            containers.append(UInt32(nodes.count))
            stack.append(Level(node: nodes.count, pending: pending))
            add(kind, UInt32(start), detail: detail)
        }

        // MARK: Parts of values

        private mutating func count(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Failure) -> Int {
            let start = at
            let count = readCount(bytes, &at, end)
            guard count >= 0 else { throw .malformed(at: start) }
            return count
        }

        /// The type of a list or map, which is of no use here: a name, or the number of one met before.
        private mutating func type(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Failure) {
            guard at < end else { throw .malformed(at: at) }
            switch Code(bytes[at]).kind {
            case .text, .textMedium, .textFinal, .textChunk:
                _ = try name(bytes, end)
                types += 1
            default:
                let start = at
                guard try count(bytes, end) < types else { throw .malformed(at: start) }
            }
        }

        private mutating func name(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Failure) -> String {
            let start = at
            at = try textEnd(bytes, start, end)
            return text(self.bytes, start)
        }

        /// Where the text that begins at `start` ends.
        private func textEnd(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(Failure) -> Int {
            var plain = start
            let next = skipString(bytes, start, end, &plain)
            guard next - start <= limits.text else { throw .tooMuch }
            guard next >= 0, isText(self.bytes, start, next) else { throw .malformed(at: start) }
            return next
        }

        private mutating func defineClass(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Failure) {
            let start = at
            at += 1
            let name = try name(bytes, end)
            let count = try count(bytes, end)
            guard count <= end - at else { throw .malformed(at: start) }
            guard classes.count < Scratch.maximumClasses, count + 1 <= limits.values - nodes.count - fields else {
                throw .tooMuch
            }
            fields += count + 1
            var names: [String] = []
            for _ in 0..<count { names.append(try self.name(bytes, end)) }
            classes.append(Document.Class(name: name, fields: names))
            isDefined = true
        }
    }
}

extension Hessian2.Document.Kind {
    /// The kind of value that begins with a byte.
    fileprivate init(_ byte: UInt8) {
        self =
            switch byte {
            case 0x4e: .null
            case 0x46, 0x54: .boolean
            case 0x44, 0x5b...0x5f: .double
            case 0x4a, 0x4b: .date
            case 0x00...0x1f, 0x30...0x33, 0x52, 0x53: .text
            case 0x20...0x2f, 0x34...0x37, 0x41, 0x42: .binary
            case 0x48, 0x4d: .map
            case 0x4f, 0x60...0x6f: .object
            case 0x51: .reference
            case 0x55...0x58, 0x70...0x7f: .list
            default: .integer
            }
    }
}
