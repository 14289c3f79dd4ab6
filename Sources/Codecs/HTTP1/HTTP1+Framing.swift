extension HTTP1 {
    /// Decides how long the body of a request is (RFC 9112, section 6.3). Whatever two programs could read differently is
    /// refused: that is what request smuggling lives on.
    @inline(__always)
    static func setRequestFraming(
        _ bytes: UnsafePointer<UInt8>, _ summary: FieldSummary, _ fields: borrowing FieldTable,
        _ head: inout RequestHead
    ) throws(Stop) {
        let both: KindSet = [FieldKind.contentLength.bit, FieldKind.transferEncoding.bit]
        guard !summary.kinds.isDisjoint(with: both) else { return }
        guard !summary.kinds.isSuperset(of: both) else { throw .invalid(.lengthAndTransferEncoding) }
        if let field = fields.first(.transferEncoding) {
            guard head.minorVersion > 0 else { throw .invalid(.transferEncodingInOldVersion) }
            guard !summary.repeated.contains(FieldKind.transferEncoding.bit) else {
                throw .invalid(.badTransferEncoding)
            }
            try checkTransferEncoding(bytes, field.value)
            head.framing = .chunked
        } else if let field = fields.first(.contentLength) {
            guard !summary.repeated.contains(FieldKind.contentLength.bit) else {
                throw .invalid(.duplicateContentLength)
            }
            head.framing = .length(try parseLength(bytes, field.value))
        }
    }

    /// Accepts `chunked` and nothing else. Other codings before one `chunked` are valid but not supported.
    @inline(__always)
    static func checkTransferEncoding(_ bytes: UnsafePointer<UInt8>, _ value: ByteRange) throws(Stop) {
        if isLiteral(bytes + Int(value.start), Int(value.count), "chunked") { return }
        throw .invalid(transferEncodingFault(bytes, value))
    }

    @inline(never)
    private static func transferEncodingFault(_ bytes: UnsafePointer<UInt8>, _ value: ByteRange) -> HeadError {
        var list = ListReader(bytes, value)
        var others = 0
        while let element = list.next() {
            if isLiteral(bytes + Int(element.start), Int(element.count), "chunked") {
                return list.next() == nil && others > 0 ? .unsupportedTransferEncoding : .badTransferEncoding
            }
            others += 1
        }
        return .badTransferEncoding
    }

    /// Reads the value of Content-Length: digits only.
    @inline(__always)
    static func parseLength(_ bytes: UnsafePointer<UInt8>, _ value: ByteRange) throws(Stop) -> UInt64 {
        guard value.count > 0 else { throw .invalid(.badContentLength) }
        var length: UInt64 = 0
        var position = Int(value.start)
        while position < value.end {
            let digit = bytes[position] &- 0x30
            // Staying under a tenth of the limit before each step keeps the sum from overflowing.
            guard digit < 10, length <= (UInt64(Int64.max) - 9) / 10 else { throw .invalid(.badContentLength) }
            length = length &* 10 &+ UInt64(digit)
            position &+= 1
        }
        return length
    }

    /// Sets the flags of a request and marks the fields that Connection names.
    @inline(__always)
    static func setRequestFlags(
        _ bytes: UnsafePointer<UInt8>, _ fields: inout FieldTable, _ head: inout RequestHead
    ) throws(Stop) {
        head.flags = head.minorVersion > 0 ? .keepAlive : []
        let special: KindSet = [FieldKind.connection.bit, FieldKind.expect.bit, FieldKind.te.bit]
        if !head.kinds.isDisjoint(with: special) { try setRareRequestFlags(bytes, &fields, &head) }
    }

    @inline(never)
    private static func setRareRequestFlags(
        _ bytes: UnsafePointer<UInt8>, _ fields: inout FieldTable, _ head: inout RequestHead
    ) throws(Stop) {
        if head.kinds.contains(FieldKind.expect.bit), head.minorVersion > 0, let expect = fields.first(.expect),
            isLiteral(bytes + Int(expect.valueStart), Int(expect.valueLength), "100-continue")
        {
            head.flags.insert(.expectContinue)
        }
        if head.kinds.contains(FieldKind.te.bit), listContains(bytes, fields, .te, "trailers") {
            head.flags.insert(.trailersWelcome)
        }
        guard head.kinds.contains(FieldKind.connection.bit) else { return }
        let options = try readConnection(bytes, &fields)
        if options.contains(.close) {
            head.flags.remove(.keepAlive)
        } else if options.contains(.keepAlive) {
            head.flags.insert(.keepAlive)
        }
        // A tunnel begins behind the head, so a body cannot be in between. HTTP/2 in a tunnel would go past routing.
        if options.contains(.upgrade), head.kinds.contains(FieldKind.upgrade.bit), head.minorVersion > 0,
            head.framing == .none || head.framing == .length(0), !listContains(bytes, fields, .upgrade, "h2c")
        {
            head.flags.insert(.upgrade)
        }
    }

    /// Whether the lists in all fields of a kind have an element; `element` in lower case.
    static func listContains(
        _ bytes: UnsafePointer<UInt8>, _ fields: borrowing FieldTable, _ kind: FieldKind, _ element: StaticString
    ) -> Bool {
        for index in 0..<fields.count where fields.fields[index].kind == kind {
            var list = ListReader(bytes, fields.fields[index].value)
            while let range = list.next() {
                if isLiteral(bytes + Int(range.start), Int(range.count), element) { return true }
            }
        }
        return false
    }
}

extension HTTP1 {
    /// What the Connection fields ask for.
    struct ConnectionOptions: OptionSet {
        var rawValue: UInt8
        static let close = ConnectionOptions(rawValue: 1)
        static let keepAlive = ConnectionOptions(rawValue: 2)
        static let upgrade = ConnectionOptions(rawValue: 4)
    }

    /// Reads all Connection fields and marks the fields that they name as `hopByHop`.
    static func readConnection(
        _ bytes: UnsafePointer<UInt8>, _ table: inout FieldTable
    ) throws(Stop) -> ConnectionOptions {
        var options: ConnectionOptions = []
        var names = 0
        for index in 0..<table.count where table.fields[index].kind == .connection {
            var list = ListReader(bytes, table.fields[index].value)
            while let range = list.next() {
                let name = bytes + Int(range.start)
                let count = Int(range.count)
                names += 1
                // Each name is compared with every field, so that their number must be bounded.
                guard names <= maximumConnectionOptions else { throw .invalid(.tooManyConnectionOptions) }
                if isLiteral(name, count, "close") {
                    options.insert(.close)
                } else if isLiteral(name, count, "keep-alive") {
                    options.insert(.keepAlive)
                } else if isLiteral(name, count, "upgrade") {
                    options.insert(.upgrade)
                } else {
                    markHopByHop(bytes, name, count, &table)
                }
            }
        }
        return options
    }

    /// Marks fields by name. Only fields that mean nothing to the proxy itself can be taken away like this: naming
    /// Content-Length, Host or X-Forwarded-For would change what the next hop believes.
    private static func markHopByHop(
        _ bytes: UnsafePointer<UInt8>, _ name: UnsafePointer<UInt8>, _ count: Int, _ table: inout FieldTable
    ) {
        for index in 0..<table.count where table.fields[index].kind == .other {
            let field = table.fields[index]
            if Int(field.nameLength) == count && equalIgnoringCase(bytes + Int(field.nameStart), name, count: count) {
                table.fields[index].kind = .hopByHop
                table.marked = true
            }
        }
    }

    /// Goes through a comma-separated list (RFC 9110, section 5.6.1); empty elements are skipped.
    struct ListReader {
        private let bytes: UnsafePointer<UInt8>
        private var position: Int
        private let end: Int

        init(_ bytes: UnsafePointer<UInt8>, _ value: ByteRange) {
            self.bytes = bytes
            position = Int(value.start)
            end = value.end
        }

        mutating func next() -> ByteRange? {
            while position < end {
                while position < end && (bytes[position].isBlank || bytes[position] == .comma) { position &+= 1 }
                let start = position
                while position < end && bytes[position] != .comma { position &+= 1 }
                var stop = position
                while stop > start && bytes[stop &- 1].isBlank { stop &-= 1 }
                if stop > start { return ByteRange(start: start, count: stop &- start) }
            }
            return nil
        }
    }
}
