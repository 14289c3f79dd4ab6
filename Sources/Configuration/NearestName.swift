/// Finds what somebody probably meant.
public enum NearestName {
    /// The candidate that is closest to a misspelt name, nil where none is close.
    ///
    /// Close is an edit distance (insert, delete, replace, swap of neighbours; case does not count) of up to a third of
    /// the name's length, at least 1; or one name being the beginning of the other from three letters on.
    public static func to(_ name: String, among candidates: some Sequence<String>) -> String? {
        let written = normalised(name)
        guard !written.isEmpty, written.count <= 64 else { return nil }
        var best: (distance: Int, candidate: String)?
        for candidate in candidates {
            let other = normalised(candidate)
            let distance = distance(written, other)
            let prefix =
                min(written.count, other.count) >= 3 && (written.starts(with: other) || other.starts(with: written))
            guard prefix || distance <= max(1, max(written.count, other.count) / 3) else { continue }
            if best.map({ distance < $0.distance }) ?? true { best = (distance, candidate) }
        }
        return best?.candidate
    }

    /// `; did you mean "balancer"?`, or nothing where no candidate is close.
    public static func hint(for name: String, among candidates: some Sequence<String>) -> String {
        to(name, among: candidates).map { "; did you mean \"\($0)\"?" } ?? ""
    }

    /// `-` and `_` are confused all the time, and so is case.
    private static func normalised(_ name: String) -> [UInt8] {
        name.lowercased().utf8.map { $0 == UInt8(ascii: "-") ? UInt8(ascii: "_") : $0 }
    }

    /// Optimal string alignment distance.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        var beforePrevious = [Int](repeating: 0, count: right.count + 1)
        var previous = Array(0...right.count)
        for i in 0..<left.count {
            var current = [i + 1]
            for j in 0..<right.count {
                var cost = min(previous[j + 1], current[j]) + 1
                cost = min(cost, previous[j] + (left[i] == right[j] ? 0 : 1))
                if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] {
                    cost = min(cost, beforePrevious[j - 1] + 1)
                }
                current.append(cost)
            }
            beforePrevious = previous
            previous = current
        }
        return previous[right.count]
    }
}
