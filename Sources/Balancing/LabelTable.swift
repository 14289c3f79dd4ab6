import Runtime

/// Texts that requests and clusters name (versions, groups) as small numbers.
///
/// A number never means another text: counters and requests in flight may refer to it for as long as they like. A text that the
/// service does not need any more stays until `spare` others have gone after it; then its number means the empty text. So the
/// table holds what is in use and `spare` more, whatever comes and goes.
public struct LabelTable: ~Copyable {
    /// The number of a text that is not in the table.
    public static let unknown = -1
    /// Texts that are kept though they are not in use.
    public static let spare = 64

    private struct Label {
        let text: ByteString
        let number: Int32
        /// Which build of the service has needed it last.
        var build: UInt32
    }

    /// Those in use, by number, then the others, those that were needed last first.
    private var labels: UnsafeMutablePointer<Label>
    private var room: Int
    private var next: Int32 = 1
    private var build: UInt32 = 0
    /// How many there are; number 0 is the empty text and comes first.
    public private(set) var count: Int

    /// A table with the empty text only.
    public init() {
        room = 4
        labels = .allocate(capacity: room)
        labels[0] = Label(text: ByteString(copying: ""), number: 0, build: 0)
        count = 1
    }

    deinit {
        for index in 0..<count { labels[index].text.free() }
        labels.deallocate()
    }

    /// The text of a number; empty when it has gone.
    @inline(__always)
    public subscript(number: Int) -> ByteString { labels[place(of: number) ?? 0].text }

    /// Whether a number still means its text.
    public func contains(_ number: Int) -> Bool { place(of: number) != nil }

    /// The number of a text, `unknown` when it is not there. Linear: services have few versions.
    @inline(__always)
    public func find(_ text: ByteString) -> Int {
        for index in 0..<count where labels[index].text.equals(text) { return Int(labels[index].number) }
        return Self.unknown
    }

    /// The number of a text that the service needs, which is added when it is not there.
    public mutating func intern(_ text: String) -> Int {
        let label = ByteString(copying: text)
        for index in 0..<count where labels[index].text.equals(label) {
            label.free()
            labels[index].build = build
            return Int(labels[index].number)
        }
        if count == room { grow() }
        labels[count] = Label(text: label, number: next, build: build)
        count += 1
        next += 1
        return Int(next) - 1
    }

    /// A build of the service is done: what was not interned for it is not in use any more.
    ///
    /// - Returns: whether some have gone.
    public mutating func settle() -> Bool {
        labels[0].build = build
        let isStale = (0..<count).contains { labels[$0].build != build }
        build &+= 1
        if !isStale { return false }
        let current = build &- 1
        var all = UnsafeMutableBufferPointer(start: labels, count: count)
        all.sort {
            (current &- $0.build, $0.number) < (current &- $1.build, $1.number)
        }
        var used = 0
        while used < count && labels[used].build == current { used += 1 }
        let kept = min(count, used + Self.spare)
        defer { count = kept }
        for index in kept..<count { labels[index].text.free() }
        return kept < count
    }

    /// Where a number stands. As long as nothing has gone that is its own place.
    @inline(__always)
    private func place(of number: Int) -> Int? {
        if number >= 0 && number < count && Int(labels[number].number) == number { return number }
        return search(number)
    }

    private func search(_ number: Int) -> Int? {
        for index in 0..<count where Int(labels[index].number) == number { return index }
        return nil
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<Label>.allocate(capacity: room * 2)
        larger.update(from: labels, count: count)
        labels.deallocate()
        labels = larger
        room *= 2
    }
}
