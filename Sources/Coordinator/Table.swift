import Console

/// Rows in aligned columns, for people: plain text, two spaces between columns, no colour.
struct Table {
    private var rows: [[String]]

    /// - Parameter header: the columns' names
    init(_ header: String...) { rows = [header] }

    /// Adds a row. An empty cell is shown as it is.
    mutating func add(_ cells: String...) { rows.append(cells.map(\.printable)) }

    /// The lines, without spaces at their ends.
    var lines: [String] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while line.hasSuffix(" ") { line.removeLast() }
            return line
        }
    }
}
