extension HTTP1 {
    /// Whether an answer's Upgrade names a protocol that the request's Upgrade has asked for, whatever their case
    /// (RFC 9110, section 7.8).
    ///
    /// - Parameters:
    ///   - response: the bytes of the answer's head.
    ///   - responseFields: its fields.
    ///   - request: the bytes of the request's head.
    ///   - requestFields: its fields.
    public static func upgradeWasAskedFor(
        _ response: UnsafePointer<UInt8>, _ responseFields: borrowing FieldTable, _ request: UnsafePointer<UInt8>,
        _ requestFields: borrowing FieldTable
    ) -> Bool {
        for index in 0..<responseFields.count where responseFields.fields[index].kind == .upgrade {
            var list = ListReader(response, responseFields.fields[index].value)
            while let range = list.next() {
                if listsUpgrade(request, requestFields, response + Int(range.start), Int(range.count)) { return true }
            }
        }
        return false
    }

    private static func listsUpgrade(
        _ bytes: UnsafePointer<UInt8>, _ fields: borrowing FieldTable, _ name: UnsafePointer<UInt8>, _ count: Int
    ) -> Bool {
        for index in 0..<fields.count where fields.fields[index].kind == .upgrade {
            var list = ListReader(bytes, fields.fields[index].value)
            while let range = list.next() {
                let isSame = Int(range.count) == count
                if isSame && equalIgnoringCase(bytes + Int(range.start), name, count: count) { return true }
            }
        }
        return false
    }
}
