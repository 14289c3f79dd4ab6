extension Bolt {
    /// One pair of a header map; places in the frame.
    struct HeaderPair {
        var key: ByteRange
        var value: ByteRange
        /// Key or value is null: Java drops the pair.
        var isNull: Bool
    }

    /// What `nextPair` found.
    enum HeaderStep {
        /// A pair; the place has moved past it.
        case pair(HeaderPair)
        /// The end of the map.
        case end
        /// A length that runs over the end, as in headers that are no map at all.
        case unreadable
    }

    /// Reads a pair of a header map that ends at `end`: two times a length of four bytes and as many bytes of text. A negative
    /// length means null.
    @inline(__always)
    static func nextPair(_ frame: UnsafePointer<UInt8>, _ at: inout Int, _ end: Int) -> HeaderStep {
        if at == end { return .end }
        if end &- at < 8 { return .unreadable }
        let keyLength = BigEndian.loadInt32(frame, at)
        let key = ByteRange(start: at &+ 4, count: Swift.max(keyLength, 0))
        if Int(key.count) > end &- at &- 8 { return .unreadable }
        let valueLength = BigEndian.loadInt32(frame, key.end)
        let value = ByteRange(start: key.end &+ 4, count: Swift.max(valueLength, 0))
        if Int(value.count) > end &- Int(value.start) { return .unreadable }
        at = value.end
        return .pair(HeaderPair(key: key, value: value, isNull: keyLength < 0 || valueLength < 0))
    }

    /// The value of a key in the header map of a frame, without having read it before.
    ///
    /// - Parameters:
    ///   - name: The key, compared byte for byte as Java does.
    ///   - frame: A frame of which at least the header is there.
    ///   - head: Its head.
    /// - Returns: Place of the last value of that key, which is the one Java keeps; nil when there is none, or when the
    ///   header is not a map.
    public static func headerValue(
        named name: StaticString, in frame: UnsafePointer<UInt8>, _ head: FrameHead
    ) -> ByteRange? {
        var found: ByteRange?
        var at = Int(head.headerRange.start)
        let end = head.headerRange.end
        while true {
            switch nextPair(frame, &at, end) {
            case .end: return found
            case .unreadable: return nil
            case .pair(let pair):
                if !pair.isNull && equals(frame, pair.key, name) { found = pair.value }
            }
        }
    }
}
