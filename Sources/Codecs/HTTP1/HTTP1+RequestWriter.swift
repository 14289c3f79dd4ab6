extension HTTP1 {
    /// What changes in a request head on its way to the next hop.
    public struct RequestRewrite {
        /// The client's address as text, for X-Forwarded-For. Empty: that field stays as it is.
        public var clientAddress: UnsafeBufferPointer<UInt8>
        /// Whether the client came over TLS, for X-Forwarded-Proto.
        public var isSecure: Bool
        /// Host for a request of version 1.0 that has none.
        public var defaultHost: UnsafeBufferPointer<UInt8>
        /// Whether a wish to upgrade is passed on (if `HeadFlags.upgrade` is set).
        public var allowsUpgrade: Bool
        /// Field lines to add, each with its line end; may be empty.
        public var extraLines: UnsafeBufferPointer<UInt8>

        /// A rewrite; all bytes must live until the head is written.
        @inline(__always)
        public init(
            clientAddress: UnsafeBufferPointer<UInt8>, isSecure: Bool = false,
            defaultHost: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0),
            allowsUpgrade: Bool = true,
            extraLines: UnsafeBufferPointer<UInt8> = UnsafeBufferPointer(start: nil, count: 0)
        ) {
            self.clientAddress = clientAddress
            self.isSecure = isSecure
            self.defaultHost = defaultHost
            self.allowsUpgrade = allowsUpgrade
            self.extraLines = extraLines
        }
    }

    /// Most bytes that `writeRequestHead` can need for this head.
    @inline(__always)
    public static func requestHeadBound(_ head: RequestHead, _ rewrite: RequestRewrite) -> Int {
        // The names, separators and constant values of all lines that can be added come to less than 256.
        Int(head.length) &+ 256 &+ 2 &* Int(head.host.count) &+ 2 &* rewrite.defaultHost.count
            &+ rewrite.clientAddress.count &+ rewrite.extraLines.count
    }

    /// Writes a request head for the next hop, always as HTTP/1.1 and with a target in origin form.
    ///
    /// All fields but the hop-by-hop ones (RFC 9110, section 7.6.1) keep their order and their bytes. Transfer-Encoding
    /// stays, because the body is passed on as it is. Added are X-Forwarded-For (the address is appended to a list that
    /// is there), X-Forwarded-Proto and X-Forwarded-Host where they are missing, and Via.
    ///
    /// - Parameters:
    ///   - bytes: those the head was parsed from.
    ///   - head: the head; not of a CONNECT request.
    ///   - fields: the fields of this head.
    ///   - rewrite: what changes.
    ///   - output: where to write.
    ///   - capacity: room there, at least `requestHeadBound`.
    /// - Returns: bytes written; 0 if `capacity` is too small.
    public static func writeRequestHead(
        _ bytes: UnsafePointer<UInt8>, _ head: RequestHead, _ fields: borrowing FieldTable, _ rewrite: RequestRewrite,
        into output: UnsafeMutablePointer<UInt8>, capacity: Int
    ) -> Int {
        guard capacity >= requestHeadBound(head, rewrite) else { return 0 }
        var out = Output(output)
        let fieldsEnd = Int(head.length) &- 2
        // A version like 1.2 is read as 1.1 and must not leave under its own name.
        let isPlain =
            head.kinds.isDisjoint(with: rewrittenInRequest) && head.targetForm == .origin && head.minorVersion > 0
            && !fields.marked && bytes[Int(head.fieldsStart) &- 3] == 0x31
        if isPlain {
            out.put(bytes, from: Int(head.start), to: fieldsEnd)
        } else {
            putRequestLine(bytes, head, &out)
            putRequestFields(bytes, head, fields, rewrite, &out)
        }
        putForwarding(bytes, head, rewrite, &out)
        out.put(rewrite.extraLines)
        if head.minorVersion > 0 {
            out.put("Via: 1.1 greymesh\r\n\r\n")
        } else {
            out.put("Via: 1.0 greymesh\r\n\r\n")
        }
        return out.count
    }

    /// Fields that keep a head from being copied in one piece.
    private static var rewrittenInRequest: KindSet {
        [
            FieldKind.connection.bit, FieldKind.keepAlive.bit, FieldKind.proxyConnection.bit, FieldKind.te.bit,
            FieldKind.upgrade.bit, FieldKind.xForwardedFor.bit,
        ]
    }

    /// Writes the request line, with the target as the origin form of what was asked for.
    @inline(never)
    private static func putRequestLine(_ bytes: UnsafePointer<UInt8>, _ head: RequestHead, _ out: inout Output) {
        out.put(bytes, head.methodName)
        out.put(.space)
        if head.path.isEmpty {
            // RFC 9112, sections 3.2.1 and 3.2.4: an absolute target without a path.
            out.put(head.method == .options && head.pathAndQuery.isEmpty ? "*" : "/")
        }
        out.put(bytes, head.pathAndQuery)
        out.put(" HTTP/1.1\r\n")
    }

    /// Writes the fields of the request that stay, and those that are hop-by-hop but asked for anew.
    @inline(never)
    private static func putRequestFields(
        _ bytes: UnsafePointer<UInt8>, _ head: RequestHead, _ fields: borrowing FieldTable, _ rewrite: RequestRewrite,
        _ out: inout Output
    ) {
        let upgrades = rewrite.allowsUpgrade && head.flags.contains(.upgrade)
        var dropped: KindSet = [
            FieldKind.connection.bit, FieldKind.keepAlive.bit, FieldKind.proxyConnection.bit, FieldKind.te.bit,
            FieldKind.hopByHop.bit,
        ]
        if !upgrades { dropped.insert(FieldKind.upgrade.bit) }
        // In version 1.0 it means nothing (RFC 9110, section 10.1.1), but as 1.1 the next hop would wait for an answer.
        if head.minorVersion == 0 { dropped.insert(FieldKind.expect.bit) }
        if head.targetForm == .absolute {
            dropped.insert(FieldKind.host.bit)
            out.putLine("Host: ", UnsafeBufferPointer(start: bytes + Int(head.host.start), count: Int(head.host.count)))
        } else if !head.kinds.contains(FieldKind.host.bit) {
            out.putLine("Host: ", rewrite.defaultHost)
        }
        let extended = rewrite.clientAddress.isEmpty ? -1 : lastIndex(.xForwardedFor, in: fields, of: head.kinds)
        copyFields(
            bytes, from: Int(head.fieldsStart), to: Int(head.length) &- 2, fields, dropping: dropped,
            extending: extended, with: rewrite.clientAddress, to: &out)
        switch (upgrades, head.flags.contains(.trailersWelcome)) {
        case (true, true): out.put("TE: trailers\r\nConnection: upgrade, TE\r\n")
        case (true, false): out.put("Connection: upgrade\r\n")
        case (false, true): out.put("TE: trailers\r\nConnection: TE\r\n")
        case (false, false): break
        }
    }

    /// Place of the last field of a kind, or -1.
    private static func lastIndex(_ kind: FieldKind, in fields: borrowing FieldTable, of kinds: KindSet) -> Int {
        guard kinds.contains(kind.bit) else { return -1 }
        var index = fields.count - 1
        while index >= 0 && fields.fields[index].kind != kind { index -= 1 }
        return index
    }

    /// Writes the X-Forwarded fields that are missing.
    @inline(__always)
    private static func putForwarding(
        _ bytes: UnsafePointer<UInt8>, _ head: RequestHead, _ rewrite: RequestRewrite, _ out: inout Output
    ) {
        if !head.kinds.contains(FieldKind.xForwardedFor.bit), !rewrite.clientAddress.isEmpty {
            out.put("X-Forwarded-For: ")
            out.put(rewrite.clientAddress)
            out.put("\r\n")
        }
        if !head.kinds.contains(FieldKind.xForwardedProto.bit) {
            if rewrite.isSecure {
                out.put("X-Forwarded-Proto: https\r\n")
            } else {
                out.put("X-Forwarded-Proto: http\r\n")
            }
        }
        if !head.kinds.contains(FieldKind.xForwardedHost.bit), !head.host.isEmpty {
            out.put("X-Forwarded-Host: ")
            out.put(bytes, head.host)
            out.put("\r\n")
        }
    }
}
