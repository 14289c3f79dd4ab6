import Runtime

/// What an event or a timer belongs to.
enum RecordKind: UInt8 {
    case mailbox
    case listener
    case exclusiveDownstream
    case exclusiveUpstream
    case dubboDownstream
    case dubboUpstream
    case dubboRequest
    case boltDownstream
    case boltUpstream
    case boltRequest

    /// The kind in a token or a timer, where nothing else can be.
    @inline(__always)
    init(code: UInt8) { self = unsafeBitCast(code, to: RecordKind.self) }
}

/// What an event carries: a record's address, with its kind in the lowest four bits; of listeners the number.
struct Token {
    let rawValue: UInt64

    static let mailbox = Token(rawValue: UInt64(RecordKind.mailbox.rawValue))

    @inline(__always)
    init(rawValue: UInt64) { self.rawValue = rawValue }

    @inline(__always)
    init(listener number: Int) { rawValue = UInt64(number) << 4 | UInt64(RecordKind.listener.rawValue) }

    @inline(__always)
    init(_ link: UnsafeMutablePointer<Link>) {
        rawValue = UInt64(UInt(bitPattern: link)) | UInt64(link.pointee.timer.kind)
    }

    @inline(__always)
    var kind: RecordKind { RecordKind(code: UInt8(truncatingIfNeeded: rawValue & 15)) }

    @inline(__always)
    var listener: Int { Int(rawValue >> 4) }

    @inline(__always)
    var record: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: UInt(rawValue & ~15)).unsafelyUnwrapped
    }
}
