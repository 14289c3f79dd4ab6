import Runtime

/// The groups that a Dubbo call may go to: one, a list with commas, or all (`*`).
///
/// As in Dubbo `*` is every group and none, and an empty place in a list is none. Groups that no host of the service has are left out;
/// of more than `most` others the first count.
public struct CallGroups {
    /// How many groups of a list count.
    public static let most = 8
    /// Stands for several groups where the label of one is expected; no text has it.
    public static let label = -2

    private var labels = InlineArray<8, Int32>(repeating: 0)
    private var count = 0
    /// Every group, and none.
    private let isAny: Bool
    /// It was a list, or all.
    public private(set) var areSeveral: Bool

    /// No group at all.
    public init() { self.init(isAny: false) }

    /// Every group, and none.
    public static var all: CallGroups { CallGroups(isAny: true) }

    private init(isAny: Bool) {
        self.isAny = isAny
        areSeveral = isAny
    }

    /// Reads what a call says.
    public init(_ text: ByteString, in table: borrowing LabelTable) {
        isAny = text.count == 1 && text.base[0] == 0x2a
        areSeveral = isAny
        var start = 0
        for end in 0...text.count where end == text.count || text.base[end] == 0x2c {
            if end < text.count { areSeveral = true }
            let part = Self.trimmed(ByteString(base: text.base + start, count: end - start))
            start = end + 1
            let label = table.find(part)
            if label == LabelTable.unknown || count == Self.most || contains(Int32(truncatingIfNeeded: label)) {
                continue
            }
            labels[count] = Int32(truncatingIfNeeded: label)
            count += 1
        }
    }

    /// Whether a group is among them.
    func contains(_ label: Int32) -> Bool {
        if isAny { return true }
        for index in 0..<count where labels[index] == label { return true }
        return false
    }

    private static func trimmed(_ text: ByteString) -> ByteString {
        var (start, end) = (0, text.count)
        while start < end && text.base[start] <= 0x20 { start += 1 }
        while start < end && text.base[end - 1] <= 0x20 { end -= 1 }
        return ByteString(base: text.base + start, count: end - start)
    }
}
