/// Writes what a ZooKeeper reads; the counterpart of `JuteReader`. Bytes are kept until they have been sent.
struct JuteWriter {
    private var bytes: [UInt8] = []
    private var sentCount = 0

    /// Nothing waits to be sent.
    var isEmpty: Bool { sentCount == bytes.count }

    /// What waits to be sent.
    var waiting: ArraySlice<UInt8> { bytes[sentCount...] }

    /// Forgets what has been sent.
    mutating func sent(_ count: Int) {
        sentCount = min(sentCount + count, bytes.count)
        if isEmpty {
            bytes.removeAll(keepingCapacity: bytes.capacity <= Self.keptCapacity)
            sentCount = 0
        } else if sentCount > bytes.count / 2 {
            bytes.removeFirst(sentCount)
            sentCount = 0
        }
    }

    private static let keptCapacity = 64 << 10

    /// Appends a message, its length in front.
    mutating func frame(_ content: (inout JuteWriter) -> Void) {
        let start = bytes.count
        put(Int32(0))
        content(&self)
        let length = Int32(clamping: bytes.count - start - 4)
        for index in 0..<4 { bytes[start + index] = UInt8(truncatingIfNeeded: length >> (24 - 8 * index)) }
    }

    mutating func put(_ number: Int32) { putNumber(number) }

    mutating func put(_ number: Int64) { putNumber(number) }

    mutating func put(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

    mutating func put(_ buffer: [UInt8]) {
        put(Int32(clamping: buffer.count))
        bytes += buffer
    }

    mutating func put(_ text: String) {
        put(Int32(clamping: text.utf8.count))
        bytes += text.utf8
    }

    private mutating func putNumber(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
}
