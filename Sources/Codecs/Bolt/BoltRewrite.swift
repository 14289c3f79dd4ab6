extension Bolt {
    /// A header to be set in a frame.
    public struct HeaderChange {
        /// The key, compared byte for byte as Java does.
        public var name: UnsafePointer<UInt8>
        /// Bytes of the key.
        public var nameCount: Int
        /// The new value, UTF-8.
        public var value: UnsafePointer<UInt8>
        /// Bytes of the value.
        public var valueCount: Int
        /// Whether a frame without that key gets it. Otherwise it stays without.
        public var isAdded: Bool

        /// A change of a name known when this is compiled.
        @inlinable
        public init(_ name: StaticString, value: UnsafePointer<UInt8>, valueCount: Int, isAdded: Bool) {
            self.init(
                name: name.utf8Start, nameCount: name.utf8CodeUnitCount, value: value, valueCount: valueCount,
                isAdded: isAdded)
        }

        /// A change.
        @inlinable
        public init(
            name: UnsafePointer<UInt8>, nameCount: Int, value: UnsafePointer<UInt8>, valueCount: Int, isAdded: Bool
        ) {
            self.name = name
            self.nameCount = nameCount
            self.value = value
            self.valueCount = valueCount
            self.isAdded = isAdded
        }

        /// Bytes of the pair in a header map.
        @inlinable public var pairSize: Int { 8 &+ nameCount &+ valueCount }
    }

    /// Most changes that `rewriteHeader` makes at once.
    public static let maximumChanges = 32

    /// Bytes that `rewriteHeader` may need for a frame of `frameCount` bytes.
    public static func rewrittenBound(
        frameCount: Int, changes: UnsafePointer<HeaderChange>, changeCount: Int
    ) -> Int {
        var bound = frameCount
        for index in 0..<changeCount { bound &+= changes[index].pairSize }
        return bound
    }

    /// Writes a frame anew with other headers.
    ///
    /// The first pair of a changed key gets the new value and others of that key are left out, because Java reads the last of
    /// them and other proxies the first. Everything else stays as it was, byte for byte, but for the length of the header and
    /// the checksum.
    ///
    /// - Parameters:
    ///   - frame: A whole frame.
    ///   - head: Its head.
    ///   - changes: At most `maximumChanges`, of different names.
    ///   - out: `rewrittenBound` bytes that do not overlap `frame`.
    /// - Returns: Size of the new frame; 0 when the header is not a map, or would be longer than `maximumHeaderLength`.
    public static func rewriteHeader(
        frame: UnsafePointer<UInt8>, _ head: FrameHead, changes: UnsafePointer<HeaderChange>, changeCount: Int,
        into out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        precondition(changeCount <= maximumChanges)
        let start = Int(head.headerRange.start)
        var size = start
        out.update(from: frame, count: start)
        if !writePairs(frame, head, changes, changeCount, out, &size) { return 0 }
        var newHead = head
        newHead.headerLength = size &- start
        if newHead.headerLength > maximumHeaderLength { return 0 }
        BigEndian.store(UInt16(truncatingIfNeeded: newHead.headerLength), out, head.headLength &- 6)
        (out + size).update(from: frame + Int(head.contentRange.start), count: head.contentLength)
        if head.hasChecksum { writeChecksum(out, newHead) }
        return newHead.frameLength
    }

    /// Writes the changed map at `size`; false when the old one cannot be read.
    private static func writePairs(
        _ frame: UnsafePointer<UInt8>, _ head: FrameHead, _ changes: UnsafePointer<HeaderChange>, _ changeCount: Int,
        _ out: UnsafeMutablePointer<UInt8>, _ size: inout Int
    ) -> Bool {
        var at = Int(head.headerRange.start)
        let end = head.headerRange.end
        var written: UInt32 = 0
        while true {
            let pairStart = at
            switch nextPair(frame, &at, end) {
            case .unreadable: return false
            case .end:
                for index in 0..<changeCount where written & 1 << index == 0 && changes[index].isAdded {
                    writePair(changes[index], out, &size)
                }
                return true
            case .pair(let pair):
                let index = indexOfChange(frame, pair.key, changes, changeCount)
                if index == changeCount {
                    (out + size).update(from: frame + pairStart, count: at &- pairStart)
                    size &+= at &- pairStart
                } else if written & 1 << index == 0 {
                    written |= 1 << index
                    writePair(changes[index], out, &size)
                }
            }
        }
    }

    /// Which change is for that key; `changeCount` when none is.
    private static func indexOfChange(
        _ frame: UnsafePointer<UInt8>, _ key: ByteRange, _ changes: UnsafePointer<HeaderChange>, _ changeCount: Int
    ) -> Int {
        for index in 0..<changeCount where changes[index].nameCount == Int(key.count) {
            if equals(frame + Int(key.start), changes[index].name, Int(key.count)) { return index }
        }
        return changeCount
    }

    private static func writePair(
        _ change: HeaderChange, _ out: UnsafeMutablePointer<UInt8>, _ size: inout Int
    ) {
        for (bytes, count) in [(change.name, change.nameCount), (change.value, change.valueCount)] {
            BigEndian.store(UInt32(truncatingIfNeeded: count), out, size)
            (out + size + 4).update(from: bytes, count: count)
            size &+= 4 &+ count
        }
    }
}
