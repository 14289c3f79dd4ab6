/// What an epoll token points at: the record's address with its kind in the lowest four bits.
enum TokenKind: UInt64 {
    case mailbox
    case listener
    case downstream
    case upstream
    case consumer
    case provider
}

struct Token {
    let rawValue: UInt64

    @inline(__always)
    init(_ kind: TokenKind, _ record: UnsafeMutableRawPointer?) {
        rawValue = UInt64(UInt(bitPattern: record)) | kind.rawValue
    }

    @inline(__always)
    init(rawValue: UInt64) { self.rawValue = rawValue }

    @inline(__always)
    var kind: TokenKind { TokenKind(rawValue: rawValue & 15).unsafelyUnwrapped }

    @inline(__always)
    var record: UnsafeMutableRawPointer {
        UnsafeMutableRawPointer(bitPattern: UInt(rawValue & ~15)).unsafelyUnwrapped
    }
}

/// What a timer belongs to and means. The timer is the first field of its record, so that both have the same address.
enum TimerKind {
    static let downstream: UInt8 = 0
    static let upstream: UInt8 = 1
    static let call: UInt8 = 2
    static let provider: UInt8 = 3
    static let consumer: UInt8 = 4
}
