/// Lines of cells in columns that are as wide as their widest cell.
struct TextTable {
    private var rows: [[String]]
    private let rightAligned: Set<Int>

    /// A table with its headings.
    ///
    /// - Parameter numbers: columns that are aligned to the right.
    init(_ headings: [String], numbers: Set<Int> = []) {
        rows = [headings]
        rightAligned = numbers
    }

    /// Adds a row; it has as many cells as the headings.
    mutating func add(_ cells: [String]) { rows.append(cells.map { $0.isEmpty ? "-" : $0 }) }

    /// All rows, without blanks at their ends.
    var text: String {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                if column > 0 { line += "  " }
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += rightAligned.contains(column) ? padding + cell : cell + padding
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}
