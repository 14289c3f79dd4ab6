import Runtime

/// Texts that requests and clusters name (versions, groups) as small numbers. Grows only, so that a number stays valid as
/// long as the service: counters and requests in flight refer to it.
public struct LabelTable: ~Copyable {
    /// The number of a text that is not in the table.
    public static let unknown = -1
    /// Labels beyond this many share the number of the last one; a service with more versions than this has lost meaning.
    public static let capacity = 1024

    private var labels: UnsafeMutablePointer<ByteString>
    private var room: Int
    /// How many there are; number 0 is the empty text.
    public private(set) var count: Int

    /// A table with the empty text only.
    public init() {
        room = 4
        labels = .allocate(capacity: room)
        labels[0] = ByteString(copying: "")
        count = 1
    }

    deinit {
        for index in 0..<count { labels[index].free() }
        labels.deallocate()
    }

    /// The text of a number.
    @inline(__always)
    public subscript(index: Int) -> ByteString { labels[index] }

    /// The number of a text, `unknown` when it is not there. Linear: services have few versions.
    @inline(__always)
    public func find(_ text: ByteString) -> Int {
        for index in 0..<count where labels[index].equals(text) { return index }
        return Self.unknown
    }

    /// The number of a text, which is added when it is not there.
    public mutating func intern(_ text: String) -> Int {
        let label = ByteString(copying: text)
        let known = find(label)
        if known != Self.unknown || count >= Self.capacity {
            label.free()
            return known != Self.unknown ? known : count - 1
        }
        if count == room { grow() }
        labels[count] = label
        count += 1
        return count - 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<ByteString>.allocate(capacity: room * 2)
        larger.update(from: labels, count: count)
        labels.deallocate()
        labels = larger
        room *= 2
    }
}
