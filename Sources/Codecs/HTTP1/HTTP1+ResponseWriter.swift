import CLinux

extension HTTP1 {
    /// What the Connection field of a response says.
    public enum ConnectionWord: UInt8, Sendable {
        /// No Connection field: the default of HTTP/1.1.
        case omitted
        /// `close`
        case close
        /// `keep-alive`, for clients of version 1.0.
        case keepAlive
    }

    /// What becomes of the Transfer-Encoding of a response.
    public enum TransferEncodingRewrite: UInt8, Sendable {
        /// The body is passed on as it is.
        case kept
        /// The chunks are undone on the way, for clients of version 1.0.
        case removed
        /// A body that reaches until the connection ends is put into chunks on the way.
        case added
    }

    /// What changes in a response head on its way to the client.
    public struct ResponseRewrite {
        /// The Connection field. A 101 has its own.
        public var connection: ConnectionWord
        /// Transfer-Encoding.
        public var transferEncoding: TransferEncodingRewrite
        /// Value of X-Greymesh-Version, which replaces one that is there. That field stays as it is when this is empty, and when it
        /// is not fit for a field: it comes from a registry.
        public var servedVersion: UnsafeBufferPointer<UInt8>
        /// X-Greymesh-Error and X-Greymesh-Attempts that are there are left out: only this process says such a thing.
        public var ownsNotes = false
        /// Value of X-Greymesh-Attempts; 0 and 1 are not told.
        public var attempts: UInt8 = 0
        /// Field lines to add, each with its line end; may be empty.
        public var extraLines: UnsafeBufferPointer<UInt8>

        /// A rewrite; all bytes must live until the head is written.
        @inline(__always)
        public init(
            connection: ConnectionWord = .omitted, transferEncoding: TransferEncodingRewrite = .kept,
            servedVersion: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0),
            extraLines: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0)
        ) {
            self.connection = connection
            self.transferEncoding = transferEncoding
            self.servedVersion = servedVersion
            self.extraLines = extraLines
        }
    }

    /// Most bytes that `writeResponseHead` can need for this head.
    @inline(__always)
    public static func responseHeadBound(_ head: ResponseHead, _ rewrite: ResponseRewrite) -> Int {
        Int(head.length) &+ 192 &+ rewrite.servedVersion.count &+ rewrite.extraLines.count
    }

    /// Writes a response head for the client, always as HTTP/1.1.
    ///
    /// All fields but the hop-by-hop ones keep their order and their bytes; Via is added.
    ///
    /// - Parameters:
    ///   - bytes: those the head was parsed from.
    ///   - head: the head.
    ///   - fields: the fields of this head.
    ///   - rewrite: what changes.
    ///   - output: where to write.
    ///   - capacity: room there, at least `responseHeadBound`.
    /// - Returns: bytes written; 0 if `capacity` is too small.
    public static func writeResponseHead(
        _ bytes: UnsafePointer<UInt8>, _ head: ResponseHead, _ fields: borrowing FieldTable,
        _ rewrite: ResponseRewrite, into output: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard capacity >= responseHeadBound(head, rewrite) else { return 0 }
        var out = Output(output)
        let tellsVersion = isFieldValue(rewrite.servedVersion)
        let dropped = droppedFromResponse(head, rewrite, tellsVersion: tellsVersion)
        let fieldsEnd = Int(head.length) &- 2
        // Everything behind the version number is copied along with the fields.
        out.put("HTTP/1.1")
        var start = 8
        if bytes[12] == .carriageReturn {
            // Without a reason the blank behind the status may be missing; RFC 9112, section 4, wants it all the same.
            out.put(bytes, from: 8, to: 12)
            out.put(.space)
            start = 12
        }
        if head.kinds.isDisjoint(with: dropped) && !fields.marked {
            out.put(bytes, from: start, to: fieldsEnd)
        } else {
            copyFields(bytes, from: start, to: fieldsEnd, fields, dropping: dropped, to: &out)
        }
        if tellsVersion {
            out.put("X-Greymesh-Version: ")
            out.put(rewrite.servedVersion)
            out.put("\r\n")
        }
        if rewrite.attempts > 1 { putAttempts(Int(rewrite.attempts), &out) }
        if rewrite.transferEncoding == .added { out.put("Transfer-Encoding: chunked\r\n") }
        putConnection(head, rewrite, &out)
        out.put(rewrite.extraLines)
        if head.minorVersion > 0 {
            out.put("Via: 1.1 greymesh\r\n\r\n")
        } else {
            out.put("Via: 1.0 greymesh\r\n\r\n")
        }
        return out.count
    }

    /// Longest version that an answer tells.
    static let longestServedVersion = 256

    /// Whether a version can be told: there is one, it is not too long, and no control character in it ends its line.
    @inline(__always)
    private static func isFieldValue(_ version: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = version.baseAddress, version.count > 0, version.count <= longestServedVersion else {
            return false
        }
        return clinux_scan_value(base, 0, version.count) == version.count
    }

    @inline(never)
    static func putAttempts(_ attempts: Int, _ out: inout Output) {
        out.put("X-Greymesh-Attempts: ")
        out.put(decimal: UInt64(attempts))
        out.put("\r\n")
    }

    @inline(__always)
    private static func putConnection(_ head: ResponseHead, _ rewrite: ResponseRewrite, _ out: inout Output) {
        if head.flags.contains(.upgrade) {
            out.put(
                head.status != 101 && rewrite.connection == .close
                    ? "Connection: close, upgrade\r\n" : "Connection: upgrade\r\n")
            return
        }
        switch rewrite.connection {
        case .omitted: break
        case .close: out.put("Connection: close\r\n")
        case .keepAlive: out.put("Connection: keep-alive\r\n")
        }
    }

    /// Fields of this response that are not for the client.
    @inline(__always)
    private static func droppedFromResponse(
        _ head: ResponseHead, _ rewrite: ResponseRewrite, tellsVersion: Bool
    ) -> KindSet {
        var dropped: KindSet = [
            FieldKind.connection.bit, FieldKind.keepAlive.bit, FieldKind.proxyConnection.bit, FieldKind.te.bit,
            FieldKind.hopByHop.bit,
        ]
        if !head.flags.contains(.upgrade) { dropped.insert(FieldKind.upgrade.bit) }
        if tellsVersion { dropped.insert(FieldKind.servedVersion.bit) }
        if rewrite.ownsNotes { dropped.insert(FieldKind.note.bit) }
        if rewrite.transferEncoding == .removed {
            dropped.formUnion([FieldKind.transferEncoding.bit, FieldKind.trailer.bit])
        }
        // RFC 9110, section 8.6, and RFC 9112, section 6.1: these must not have them, and some clients believe them.
        if head.status < 200 || head.status == 204 {
            dropped.formUnion([FieldKind.contentLength.bit, FieldKind.transferEncoding.bit])
        }
        return dropped
    }
}
