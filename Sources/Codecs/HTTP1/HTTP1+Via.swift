extension HTTP1 {
    /// What this program calls itself in Via fields.
    private static let pseudonym: StaticString = "greymesh"

    /// How often the Via fields of a head name this program (RFC 9110, section 7.6.3): through so many processes of it the
    /// request has come, or so often through the same one.
    public static func rounds(_ bytes: UnsafePointer<UInt8>, _ fields: borrowing FieldTable) -> Int {
        var count = 0
        for index in 0..<fields.count where fields.fields[index].kind == .via {
            var list = ListReader(bytes, fields.fields[index].value)
            while let range = list.next() {
                if isOwn(bytes, range) { count += 1 }
            }
        }
        return count
    }

    /// Whether an entry, `[PROTOCOL/]VERSION NAME [COMMENT]`, has this program's name.
    private static func isOwn(_ bytes: UnsafePointer<UInt8>, _ entry: ByteRange) -> Bool {
        var start = Int(entry.start)
        while start < entry.end && !bytes[start].isBlank { start += 1 }
        while start < entry.end && bytes[start].isBlank { start += 1 }
        var end = start
        while end < entry.end && !bytes[end].isBlank { end += 1 }
        return isLiteral(bytes + start, end - start, pseudonym)
    }
}
