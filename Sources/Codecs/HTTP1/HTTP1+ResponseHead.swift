import CLinux

extension HTTP1 {
    /// The head of a response. All places are in the bytes it was parsed from.
    public struct ResponseHead: Sendable {
        /// One past the empty line: the body begins here.
        public var length: Int32 = 0
        /// The first field line begins here.
        public var fieldsStart: Int32 = 0
        /// From 100 to 999.
        public var status: UInt16 = 0
        /// 0 for HTTP/1.0, 1 for HTTP/1.1 and later.
        public var minorVersion: UInt8 = 1
        /// Facts; `keepAlive` says that the connection may be used again after the body.
        public var flags: HeadFlags = []
        /// Which special fields there are.
        public var kinds: KindSet = []
        /// The reason phrase; may be empty.
        public var reason = ByteRange.none
        /// How the end of the body is found.
        public var framing = BodyFraming.none

        /// A head that nothing was parsed into.
        public init() {}

        /// Whether another head follows for the same request: 1xx, but not 101.
        @inline(__always)
        public var isInterim: Bool { status < 200 && status != 101 }
    }

    /// Parses the head of a response. Parameters are those of `parseRequestHead`.
    ///
    /// - Parameter requestMethod: the method that is answered; it decides whether there is a body.
    public static func parseResponseHead(
        _ bytes: UnsafePointer<UInt8>, count: Int, requestMethod: Method, limit: Int, state: inout ScanState,
        head: inout ResponseHead, fields: inout FieldTable
    ) -> HeadResult {
        let end = bounded(count, limit)
        if mayBeWhole(bytes, end, &state) {
            do throws(Stop) {
                head = ResponseHead()
                try parseStatusLine(bytes, end, &head)
                let summary = try parseFields(bytes, from: Int(head.fieldsStart), to: end, into: &fields)
                head.length = Int32(truncatingIfNeeded: summary.end)
                head.kinds = summary.kinds
                try setResponseFraming(bytes, summary, requestMethod, &fields, &head)
                try setResponseFlags(bytes, &fields, &head)
                return .complete
            } catch {
                if case .invalid(let reason) = error { return .invalid(reason) }
            }
            state.scanned = Int32(truncatingIfNeeded: end)
        }
        return end < count || count >= limit ? .invalid(.headTooLarge) : .incomplete
    }

    /// Parses `HTTP/1.1 200 OK`; the reason and the space before it may be missing.
    @inline(__always)
    private static func parseStatusLine(
        _ bytes: UnsafePointer<UInt8>, _ end: Int, _ head: inout ResponseHead
    ) throws(Stop) {
        // "HTTP/1.1 200" and a line end.
        guard end >= 14 else { throw incompleteStatusLine(bytes, end) }
        head.minorVersion = try parseVersionNumber(bytes, or: .badStatusLine)
        let hundreds = bytes[9] &- 0x30
        guard bytes[8] == .space, hundreds > 0, hundreds < 10, bytes[10].isDigit, bytes[11].isDigit else {
            throw .invalid(.badStatusLine)
        }
        head.status = UInt16(hundreds) &* 100 &+ UInt16(bytes[10] &- 0x30) &* 10 &+ UInt16(bytes[11] &- 0x30)
        var stop = 12
        if bytes[stop] == .space {
            stop = try scanLineEnd(bytes, from: 13, to: end)
            head.reason = ByteRange(start: 13, count: stop &- 13)
        }
        guard bytes[stop] == .carriageReturn else {
            throw .invalid(bytes[stop] == .lineFeed ? .bareLineFeed : .badStatusLine)
        }
        try expectLineFeed(bytes, stop &+ 1, end)
        head.fieldsStart = Int32(truncatingIfNeeded: stop &+ 2)
    }

    /// What to think of a first line of fewer than 14 bytes.
    @inline(never)
    private static func incompleteStatusLine(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Stop {
        let prefix: StaticString = "HTTP/1."
        for index in 0..<min(end, prefix.utf8CodeUnitCount) where bytes[index] != prefix.utf8Start[index] {
            return .invalid(.badStatusLine)
        }
        for index in 0..<end where bytes[index] == .lineFeed { return .invalid(.badStatusLine) }
        return .incomplete
    }

    /// The place of the first control character but the tab.
    @inline(__always)
    private static func scanLineEnd(_ bytes: UnsafePointer<UInt8>, from start: Int, to end: Int) throws(Stop) -> Int {
        var stop = clinux_scan_value(bytes, start, end)
        while stop < end && bytes[stop] == .tab { stop = clinux_scan_value(bytes, stop &+ 1, end) }
        guard stop < end else { throw .incomplete }
        return stop
    }

    /// Decides how long the body of a response is (RFC 9112, section 6.3).
    @inline(__always)
    private static func setResponseFraming(
        _ bytes: UnsafePointer<UInt8>, _ summary: FieldSummary, _ method: Method, _ fields: inout FieldTable,
        _ head: inout ResponseHead
    ) throws(Stop) {
        let both: KindSet = [FieldKind.contentLength.bit, FieldKind.transferEncoding.bit]
        var framing = BodyFraming.untilClose
        if !summary.kinds.isDisjoint(with: both) {
            // Faulty framing is a fault even where there is no body: the next hop might see it otherwise.
            guard !summary.kinds.isSuperset(of: both) else { throw .invalid(.lengthAndTransferEncoding) }
            if let field = fields.first(.contentLength) {
                let length = try parseLength(bytes, field.value)
                if summary.repeated.contains(FieldKind.contentLength.bit) {
                    try dropRepeatedLengths(bytes, length, &fields)
                }
                framing = .length(length)
            } else if let field = fields.first(.transferEncoding) {
                guard head.minorVersion > 0 else { throw .invalid(.transferEncodingInOldVersion) }
                guard !summary.repeated.contains(FieldKind.transferEncoding.bit) else {
                    throw .invalid(.badTransferEncoding)
                }
                try checkTransferEncoding(bytes, field.value)
                framing = .chunked
            }
        }
        head.framing = hasBody(head.status, method) ? framing : .none
    }

    /// Whether a response with this status to this method has a body.
    @inline(__always)
    public static func hasBody(_ status: UInt16, _ method: Method) -> Bool {
        if status < 200 || status == 204 || status == 304 || method == .head { return false }
        return method != .connect || status >= 300
    }

    /// Marks repetitions of Content-Length, which must all say the same, as not for the next hop.
    @inline(never)
    private static func dropRepeatedLengths(
        _ bytes: UnsafePointer<UInt8>, _ length: UInt64, _ table: inout FieldTable
    ) throws(Stop) {
        var seen = false
        for index in 0..<table.count where table.fields[index].kind == .contentLength {
            guard try parseLength(bytes, table.fields[index].value) == length else {
                throw .invalid(.duplicateContentLength)
            }
            if seen {
                table.fields[index].kind = .hopByHop
                table.marked = true
            }
            seen = true
        }
    }

    @inline(__always)
    private static func setResponseFlags(
        _ bytes: UnsafePointer<UInt8>, _ fields: inout FieldTable, _ head: inout ResponseHead
    ) throws(Stop) {
        var keepAlive = head.minorVersion > 0
        if head.kinds.contains(FieldKind.connection.bit) {
            let options = try readConnection(bytes, &fields)
            keepAlive = !options.contains(.close) && (keepAlive || options.contains(.keepAlive))
        }
        if head.framing == .untilClose || head.status == 101 { keepAlive = false }
        head.flags = keepAlive ? .keepAlive : []
        // Besides 101, only 426 (Upgrade Required) has to say which protocols there are.
        if head.status == 101 || head.status == 426, head.kinds.contains(FieldKind.upgrade.bit) {
            head.flags.insert(.upgrade)
        }
    }
}
