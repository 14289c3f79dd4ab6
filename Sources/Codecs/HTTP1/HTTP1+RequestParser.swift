import CLinux

extension HTTP1 {
    /// Parses the head of a request.
    ///
    /// - Parameters:
    ///   - bytes: what was received and not consumed, always from the same first byte until the head is complete.
    ///   - count: number of bytes.
    ///   - limit: longest head, in bytes, with the empty line.
    ///   - state: a new one for each head.
    ///   - head: filled in when the result is `complete`.
    ///   - fields: holds the field lines afterwards, valid with `complete`.
    public static func parseRequestHead(
        _ bytes: UnsafePointer<UInt8>, count: Int, limit: Int, state: inout ScanState, head: inout RequestHead,
        fields: inout FieldTable
    ) -> HeadResult {
        let end = bounded(count, limit)
        if mayBeWhole(bytes, end, &state) {
            do throws(Stop) {
                head = RequestHead()
                try parseRequestLine(bytes, end, &head)
                let summary = try parseFields(bytes, from: Int(head.fieldsStart), to: end, into: &fields)
                head.length = Int32(truncatingIfNeeded: summary.end)
                head.kinds = summary.kinds
                try setHost(bytes, summary, fields, &head)
                try setRequestFraming(bytes, summary, fields, &head)
                try setRequestFlags(bytes, &fields, &head)
                return .complete
            } catch {
                if case .invalid(let reason) = error { return .invalid(reason) }
            }
            state.scanned = Int32(truncatingIfNeeded: end)
        }
        guard end < count || count >= limit else { return .incomplete }
        return .invalid(firstLineEnds(bytes, end) ? .headTooLarge : .targetTooLong)
    }

    /// Parses everything up to the first field line. The target is not looked into before the version is known.
    @inline(__always)
    private static func parseRequestLine(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ head: inout RequestHead
    ) throws(Stop) {
        let start = try skipEmptyLines(bytes, end)
        let methodEnd = try parseMethod(bytes, start, end, &head)
        let target = methodEnd &+ 1
        let pathEnd = clinux_scan_target(bytes, target, end)
        var targetEnd = pathEnd
        while targetEnd < end && bytes[targetEnd] == 0x3F { targetEnd = clinux_scan_target(bytes, targetEnd &+ 1, end) }
        guard targetEnd < end else { throw .incomplete }
        guard bytes[targetEnd] == .space else { throw .invalid(targetFault(bytes[targetEnd])) }
        guard targetEnd > target else { throw .invalid(.badTarget) }
        let (minor, next) = try parseVersion(bytes, targetEnd &+ 1, end)
        head.start = Int32(truncatingIfNeeded: start)
        head.fieldsStart = Int32(truncatingIfNeeded: next)
        head.minorVersion = minor
        head.target = ByteRange(start: target, count: targetEnd &- target)
        if bytes[target] == 0x2F && head.method != .connect {
            head.path = ByteRange(start: target, count: pathEnd &- target)
            head.pathAndQuery = head.target
        } else {
            try parseRareTarget(bytes, &head)
        }
    }

    /// The fault of a target that `byte` ends. A fragment is not part of a target, and servers disagree on what it means.
    private static func targetFault(_ byte: UInt8) -> HeadError {
        switch byte {
        case .lineFeed: .bareLineFeed
        case .carriageReturn: .badRequestLine
        default: .badTarget
        }
    }

    /// Skips a few empty lines, which old clients send after a body.
    @inline(__always)
    private static func skipEmptyLines(_ bytes: UnsafePointer<UInt8>, _ end: Int) throws(Stop) -> Int {
        var position = 0
        while position < end && bytes[position] == .carriageReturn {
            guard position < 2 * maximumEmptyLines else { throw .invalid(.tooManyEmptyLines) }
            try expectLineFeed(bytes, position &+ 1, end)
            position &+= 2
        }
        guard position < end else { throw .incomplete }
        return position
    }

    /// Parses the method; returns the place of the space behind it.
    @inline(__always)
    private static func parseMethod(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int, _ head: inout RequestHead
    ) throws(Stop) -> Int {
        // "GET " is worth a test of its own.
        if end &- start >= 4 && UnsafeRawPointer(bytes + start).loadUnaligned(as: UInt32.self) == get {
            head.methodName = ByteRange(start: start, count: 3)
            head.method = .get
            return start &+ 3
        }
        var stop = start
        while stop < end && bytes[stop].isToken { stop &+= 1 }
        guard stop < end else { throw .incomplete }
        guard bytes[stop] == .space, stop > start else { throw .invalid(lineFault(bytes[stop], .badMethod)) }
        head.methodName = ByteRange(start: start, count: stop &- start)
        head.method = method(bytes + start, stop &- start)
        return stop
    }

    /// `GET` and a space, as they lie in memory.
    @inline(__always)
    private static var get: UInt32 { UInt32(bigEndian: 0x4745_5420) }

    @inline(__always)
    private static func method(_ name: UnsafePointer<UInt8>, _ count: Int) -> Method {
        switch count {
        case 3:
            return isExactly(name, count, "PUT") ? .put : .other
        case 4:
            if isExactly(name, count, "POST") { return .post }
            return isExactly(name, count, "HEAD") ? .head : .other
        case 5:
            if isExactly(name, count, "PATCH") { return .patch }
            return isExactly(name, count, "TRACE") ? .trace : .other
        case 6: return isExactly(name, count, "DELETE") ? .delete : .other
        case 7:
            if isExactly(name, count, "OPTIONS") { return .options }
            return isExactly(name, count, "CONNECT") ? .connect : .other
        default: return .other
        }
    }

    /// Parses the version and the end of the first line of a request; returns the minor version and what comes behind.
    @inline(__always)
    private static func parseVersion(
        _ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int
    ) throws(Stop) -> (UInt8, Int) {
        guard end &- start >= 10 else { throw stopInVersion(bytes, start, end) }
        let minor = try parseVersionNumber(bytes + start, or: .badRequestLine)
        guard bytes[start &+ 8] == .carriageReturn else {
            throw .invalid(lineFault(bytes[start &+ 8], .badRequestLine))
        }
        try expectLineFeed(bytes, start &+ 9, end)
        return (minor, start &+ 10)
    }

    /// Why parsing ends when the bytes do so in the version or in its line end.
    @inline(never)
    private static func stopInVersion(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) -> Stop {
        let line = clinux_scan_line(bytes, start, end)
        guard line < end else { return .incomplete }
        guard line == start &+ 8 else { return .invalid(.badRequestLine) }
        do throws(Stop) {
            _ = try parseVersionNumber(bytes + start, or: .badRequestLine)
            return .invalid(.bareLineFeed)
        } catch {
            return error
        }
    }

    /// Reads the eight bytes of `HTTP/1.x`. A later minor version is treated as 1.1 (RFC 9110, section 2.5).
    @inline(__always)
    static func parseVersionNumber(_ bytes: UnsafePointer<UInt8>, or fault: HeadError) throws(Stop) -> UInt8 {
        let word = UInt64(littleEndian: UnsafeRawPointer(bytes).loadUnaligned(as: UInt64.self))
        if word == 0x312E_312F_5054_5448 { return 1 }
        if word == 0x302E_312F_5054_5448 { return 0 }
        guard isExactly(bytes, 5, "HTTP/"), bytes[5].isDigit, bytes[6] == 0x2E, bytes[7].isDigit else {
            throw .invalid(fault)
        }
        guard bytes[5] == 0x31 else { throw .invalid(.unsupportedVersion) }
        return 1
    }

    /// Whether bytes are a literal.
    @inline(__always)
    static func isExactly(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ literal: StaticString) -> Bool {
        guard count == literal.utf8CodeUnitCount else { return false }
        return memcmp(bytes, literal.utf8Start, count) == 0
    }

    /// The fault of a first line that is cut by `byte`.
    static func lineFault(_ byte: UInt8, _ otherwise: HeadError) -> HeadError {
        byte == .lineFeed ? .bareLineFeed : otherwise
    }

    /// Whether the first line is complete, empty lines before it aside.
    private static func firstLineEnds(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Bool {
        var position = 0
        while position < end && (bytes[position] == .carriageReturn || bytes[position] == .lineFeed) { position &+= 1 }
        return clinux_scan_line(bytes, position, end) < end
    }
}
