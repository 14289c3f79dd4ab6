import CLinux

extension HTTP1 {
    /// Looks into a target that is not a path (RFC 9112, section 3.2).
    @inline(never)
    static func parseRareTarget(_ bytes: UnsafePointer<UInt8>, _ head: inout RequestHead) throws(Stop) {
        let start = Int(head.target.start)
        if head.method == .connect {
            head.targetForm = .authority
            head.host = head.target
            do throws(Stop) {
                head.hostName = try parseHost(bytes, head.target)
            } catch {
                throw .invalid(.badTarget)
            }
            // CONNECT needs a port: "host:1" at least.
            guard head.hostName.count > 0, head.hostName.count &+ 1 < head.target.count else {
                throw .invalid(.badTarget)
            }
        } else if bytes[start] == 0x2A {
            guard head.target.count == 1, head.method == .options else { throw .invalid(.badTarget) }
            head.targetForm = .asterisk
            head.path = head.target
            head.pathAndQuery = head.target
        } else {
            try parseAbsoluteTarget(bytes, &head)
        }
    }

    private static func parseAbsoluteTarget(
        _ bytes: UnsafePointer<UInt8>, _ head: inout RequestHead
    ) throws(Stop) {
        let start = Int(head.target.start)
        let end = head.target.end
        var authority = start
        if end &- start > 7 && isLiteral(bytes + start, 7, "http://") {
            authority = start &+ 7
        } else if end &- start > 8 && isLiteral(bytes + start, 8, "https://") {
            authority = start &+ 8
        } else {
            throw .invalid(.badTarget)
        }
        var stop = authority
        while stop < end && bytes[stop] != 0x2F && bytes[stop] != 0x3F { stop &+= 1 }
        guard stop > authority else { throw .invalid(.badTarget) }
        head.targetForm = .absolute
        head.host = ByteRange(start: authority, count: stop &- authority)
        do throws(Stop) {
            head.hostName = try parseHost(bytes, head.host)
        } catch {
            throw .invalid(.badTarget)
        }
        guard !head.hostName.isEmpty else { throw .invalid(.badTarget) }
        var pathEnd = stop
        while pathEnd < end && bytes[pathEnd] != 0x3F { pathEnd &+= 1 }
        head.path = ByteRange(start: stop, count: pathEnd &- stop)
        head.pathAndQuery = ByteRange(start: stop, count: end &- stop)
    }

    /// Finds the host of a request; a version 1.1 must carry exactly one Host (RFC 9112, section 3.2).
    @inline(__always)
    static func setHost(
        _ bytes: UnsafePointer<UInt8>, _ summary: FieldSummary, _ fields: borrowing FieldTable,
        _ head: inout RequestHead
    ) throws(Stop) {
        guard summary.kinds.contains(FieldKind.host.bit), let field = fields.first(.host) else {
            guard head.minorVersion == 0 else { throw .invalid(.missingHost) }
            return
        }
        guard !summary.repeated.contains(FieldKind.host.bit) else { throw .invalid(.duplicateHost) }
        let name = try parseHost(bytes, field.value)
        // An authority in the target wins (RFC 9112, section 3.2.2).
        guard head.targetForm == .origin || head.targetForm == .asterisk else { return }
        head.host = field.value
        head.hostName = name
    }

    /// Checks `host[:port]` and returns the host. Nothing at all is a valid host; a port without a host is not.
    @inline(__always)
    static func parseHost(_ bytes: UnsafePointer<UInt8>, _ range: ByteRange) throws(Stop) -> ByteRange {
        let start = Int(range.start)
        let end = range.end
        var stop = clinux_scan_name(bytes, start, end)
        if stop < end {
            if bytes[stop] != .colon || stop == start { stop = try scanRareHost(bytes, start, end) }
            try checkPort(bytes, from: stop, to: end)
        }
        return ByteRange(start: start, count: stop &- start)
    }

    /// Checks a colon and a port, or that there is nothing.
    @inline(__always)
    private static func checkPort(_ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int) throws(Stop) {
        guard start < end else { return }
        guard bytes[start] == .colon, end &- start <= 6 else { throw .invalid(.badHost) }
        var position = start &+ 1
        while position < end {
            guard bytes[position].isDigit else { throw .invalid(.badHost) }
            position &+= 1
        }
        // Only five digits can be too much.
        guard end &- start < 6 || memcmp(bytes + start, ":65535", 6) <= 0 else { throw .invalid(.badHost) }
    }

    /// Finds the end of a host that is an address in brackets or a name with unusual characters (RFC 3986, 3.2.2).
    @inline(never)
    private static func scanRareHost(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int
    ) throws(Stop) -> Int {
        var position = start
        if bytes[start] == 0x5B {
            position &+= 1
            while position < end && isAddress(bytes[position]) { position &+= 1 }
            guard position < end, bytes[position] == 0x5D, position > start &+ 2 else { throw .invalid(.badHost) }
            return position &+ 1
        }
        while position < end && isRegisteredName(bytes[position]) { position &+= 1 }
        guard position > start else { throw .invalid(.badHost) }
        return position
    }

    /// What stands between brackets: letters, digits, ':', '.', and '%' of a zone.
    private static func isAddress(_ byte: UInt8) -> Bool {
        byte.isDigit || byte.isLetter || byte == .colon || byte == 0x2E || byte == 0x25
    }

    /// unreserved / '%' / sub-delims
    private static func isRegisteredName(_ byte: UInt8) -> Bool {
        if byte.isLetter || byte.isDigit { return true }
        switch byte {
        case 0x21, 0x24...0x2C, 0x2D, 0x2E, 0x3B, 0x3D, 0x5F, 0x7E: return true
        default: return false
        }
    }
}
