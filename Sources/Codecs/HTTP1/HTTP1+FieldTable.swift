extension HTTP1 {
    /// The fields that a proxy has to know. All others are `other`.
    public enum FieldKind: UInt8, Sendable {
        /// A field that is passed on unread.
        case other
        /// Host
        case host
        /// Connection
        case connection
        /// Content-Length
        case contentLength
        /// Transfer-Encoding
        case transferEncoding
        /// Keep-Alive
        case keepAlive
        /// Proxy-Connection
        case proxyConnection
        /// TE
        case te
        /// Trailer
        case trailer
        /// Upgrade
        case upgrade
        /// Expect
        case expect
        /// Via
        case via
        /// X-Forwarded-For
        case xForwardedFor
        /// X-Forwarded-Proto
        case xForwardedProto
        /// X-Forwarded-Host
        case xForwardedHost
        /// X-Greymesh-Version
        case servedVersion
        /// X-Greymesh-Error and X-Greymesh-Attempts
        case note
        /// Named by a Connection field, or a repetition that may be left out: not for the next hop.
        case hopByHop

        /// The kind as a bit, for `KindSet`.
        @inline(__always)
        public var bit: KindSet { KindSet(rawValue: 1 &<< UInt32(rawValue)) }
    }

    /// A set of field kinds.
    public struct KindSet: OptionSet, Sendable {
        /// One bit for each raw value of `FieldKind`.
        public var rawValue: UInt32

        /// A set from its bits.
        @inline(__always)
        public init(rawValue: UInt32) { self.rawValue = rawValue }
    }

    /// One field line: where its name and its value are, without the white space around the value.
    public struct Field: Sendable {
        /// First byte of the name, which is the first byte of the line.
        public var nameStart: UInt32
        /// Bytes of the name, at least 1.
        public var nameLength: UInt32
        /// First byte of the value.
        public var valueStart: UInt32
        /// Bytes of the value; may be 0.
        public var valueLength: UInt32
        /// What it means to a proxy.
        public var kind: FieldKind

        /// Where the name is.
        @inline(__always)
        public var name: ByteRange { ByteRange(start: Int(nameStart), count: Int(nameLength)) }

        /// Where the value is.
        @inline(__always)
        public var value: ByteRange { ByteRange(start: Int(valueStart), count: Int(valueLength)) }
    }

    /// Room for the fields of one head. Each worker has one and uses it for every message; what it holds is valid until
    /// the next head is parsed into it.
    public struct FieldTable: ~Copyable {
        @usableFromInline let fields: UnsafeMutablePointer<Field>

        /// Number of fields of the last head.
        public internal(set) var count = 0

        /// Whether fields were marked `hopByHop`.
        var marked = false

        /// An empty table.
        public init() {
            fields = .allocate(capacity: HTTP1.maximumFields)
        }

        deinit { fields.deallocate() }

        /// A field; `index` is from 0 to `count` - 1.
        public subscript(index: Int) -> Field {
            @inline(__always)
            get {
                precondition(index >= 0 && index < count)
                return fields[index]
            }
        }

        /// First field of a kind.
        public func first(_ kind: FieldKind) -> Field? {
            var index = 0
            while index < count {
                if fields[index].kind == kind { return fields[index] }
                index &+= 1
            }
            return nil
        }

        /// Last field of a kind.
        public func last(_ kind: FieldKind) -> Field? {
            var index = count
            while index > 0 {
                index &-= 1
                if fields[index].kind == kind { return fields[index] }
            }
            return nil
        }

        /// Value of the first field with a name, whatever its case. `bytes` are those the head was parsed from.
        public func find(_ name: UnsafeBufferPointer<UInt8>, in bytes: UnsafePointer<UInt8>) -> ByteRange? {
            guard let wanted = name.baseAddress, name.count > 0 else { return nil }
            var index = 0
            while index < count {
                let field = fields[index]
                if Int(field.nameLength) == name.count
                    && HTTP1.equalIgnoringCase(bytes + Int(field.nameStart), wanted, count: name.count)
                {
                    return field.value
                }
                index &+= 1
            }
            return nil
        }
    }

    /// Whether two runs of bytes are the same but for the case of ASCII letters.
    static func equalIgnoringCase(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, count: Int) -> Bool {
        var index = 0
        while index < count {
            let one = left[index]
            let other = right[index]
            if one != other {
                // Setting the case bit makes more bytes equal than letters, so one of them must be a letter.
                guard one | 0x20 == other | 0x20, one.isLetter else { return false }
            }
            index &+= 1
        }
        return true
    }

    /// Whether bytes are a literal in lower case, whatever their own case.
    ///
    /// Setting the case bit of all bytes is exact here: no literal has a byte that only a control character could be
    /// turned into, and all bytes that come here were checked for those.
    @inline(__always)
    static func isLiteral(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ literal: StaticString) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        let name = UnsafeRawPointer(literal.utf8Start)
        let bytes = UnsafeRawPointer(bytes)
        // Whole words; the last one reaches back to end with the literal.
        if count >= 8 {
            var place = 0
            while place < count {
                let from = min(place, count &- 8)
                let word = bytes.loadUnaligned(fromByteOffset: from, as: UInt64.self) | 0x2020_2020_2020_2020
                guard word == name.loadUnaligned(fromByteOffset: from, as: UInt64.self) else { return false }
                place &+= 8
            }
            return true
        }
        if count >= 4 {
            let first = bytes.loadUnaligned(as: UInt32.self) | 0x2020_2020
            let last = bytes.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self) | 0x2020_2020
            return first == name.loadUnaligned(as: UInt32.self)
                && last == name.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self)
        }
        for index in 0..<count {
            guard bytes.load(fromByteOffset: index, as: UInt8.self) | 0x20 == literal.utf8Start[index] else {
                return false
            }
        }
        return true
    }

    /// The kind of a field by its name.
    @inline(__always)
    static func kind(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind {
        // Most names are told apart by length and first letter alone.
        let first = name[0] | 0x20
        switch count {
        case 2: return isLiteral(name, count, "te") ? .te : .other
        case 3: return isLiteral(name, count, "via") ? .via : .other
        case 4: return isLiteral(name, count, "host") ? .host : .other
        case 6: return isLiteral(name, count, "expect") ? .expect : .other
        case 7:
            if isLiteral(name, count, "upgrade") { return .upgrade }
            return isLiteral(name, count, "trailer") ? .trailer : .other
        case 10 where first == 0x63: return isLiteral(name, count, "connection") ? .connection : .other
        case 10 where first == 0x6B: return isLiteral(name, count, "keep-alive") ? .keepAlive : .other
        case 14: return isLiteral(name, count, "content-length") ? .contentLength : .other
        case 15: return isLiteral(name, count, "x-forwarded-for") ? .xForwardedFor : .other
        case 16 where first == 0x70: return isLiteral(name, count, "proxy-connection") ? .proxyConnection : .other
        case 16 where first == 0x78:
            if isLiteral(name, count, "x-forwarded-host") { return .xForwardedHost }
            return isLiteral(name, count, "x-greymesh-error") ? .note : .other
        case 17 where first == 0x74: return isLiteral(name, count, "transfer-encoding") ? .transferEncoding : .other
        case 17 where first == 0x78: return isLiteral(name, count, "x-forwarded-proto") ? .xForwardedProto : .other
        case 18: return isLiteral(name, count, "x-greymesh-version") ? .servedVersion : .other
        case 19: return isLiteral(name, count, "x-greymesh-attempts") ? .note : .other
        default: return .other
        }
    }
}
