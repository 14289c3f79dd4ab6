import Runtime

/// Who answered one call.
struct Answer: Hashable {
    var version: String
    var host: String
}

/// What the calls of a run came to.
struct Tally {
    private(set) var answers: [Answer: Int] = [:]
    private(set) var failures: [String: Int] = [:]
    private var microseconds: [UInt32] = []

    /// Calls that were answered as they should be.
    var answered: Int { microseconds.count }
    /// Calls that were not.
    var failed: Int { failures.values.reduce(0, +) }

    mutating func add(_ result: Result<Answer, CallFailure>, nanoseconds: Int64) {
        switch result {
        case .success(let answer):
            answers[answer, default: 0] += 1
            microseconds.append(UInt32(clamping: nanoseconds / 1000))
        case .failure(let failure): failures[failure.description, default: 0] += 1
        }
    }

    /// How many calls each version answered.
    var versions: [String: Int] {
        answers.reduce(into: [:]) { $0[$1.key.version, default: 0] += $1.value }
    }

    /// Percent of the answered calls that a version answered.
    func share(of version: String) -> Double {
        answered == 0 ? 0 : 100 * Double(versions[version] ?? 0) / Double(answered)
    }

    /// Microseconds that this part of the answered calls stayed below; 0 when there are none.
    func percentile(_ part: Double) -> Int {
        guard !microseconds.isEmpty else { return 0 }
        let sorted = microseconds.sorted()
        return Int(sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))])
    }

    /// A table for people.
    var table: String {
        var lines: [[String]] = [["VERSION", "HOST", "ANSWERS", "SHARE"]]
        for (answer, count) in rows {
            lines.append([
                answer.version, answer.host, "\(count)", Self.decimal(100 * Double(count) / Double(answered)) + "%",
            ])
        }
        let widths = (0..<4).map { column in lines.map { $0[column].count }.max() ?? 0 }
        var text = ""
        for line in lines {
            let cells = zip(line, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            var row = cells.joined(separator: "  ")
            while row.last == " " { row.removeLast() }
            text += row + "\n"
        }
        text += "\(answered) answered, \(failed) failed; latency p50 \(Self.milliseconds(percentile(0.5))) ms, "
        text += "p99 \(Self.milliseconds(percentile(0.99))) ms, longest \(Self.milliseconds(percentile(1))) ms\n"
        for (failure, count) in failures.sorted(by: { $0.value > $1.value }) {
            text += "FAILED \(count) x \(failure)\n"
        }
        return text
    }

    /// The same for programs, in one line.
    var json: String {
        let answers = rows.map {
            "{\"version\":\(JSONString.quoted($0.0.version)),\"host\":\(JSONString.quoted($0.0.host)),\"count\":\($0.1)}"
        }
        let failures = self.failures.sorted { $0.key < $1.key }.map { "\(JSONString.quoted($0.key)):\($0.value)" }
        return "{\"answered\":\(answered),\"failed\":\(failed),\"p50_us\":\(percentile(0.5)),"
            + "\"p99_us\":\(percentile(0.99)),\"max_us\":\(percentile(1)),"
            + "\"answers\":[\(answers.joined(separator: ","))],\"failures\":{\(failures.joined(separator: ","))}}\n"
    }

    private var rows: [(Answer, Int)] {
        answers.sorted { ($0.key.version, $0.key.host) < ($1.key.version, $1.key.host) }.map { ($0.key, $0.value) }
    }

    private static func milliseconds(_ microseconds: Int) -> String { decimal(Double(microseconds) / 1000) }

    /// With one digit behind the point.
    static func decimal(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
