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

/// Bytes as people read them: at most three digits and one after the point, with a binary unit.
func readable(bytes: Int64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"]
    guard bytes >= 1024 else { return "\(bytes) B" }
    // In tenths, so that rounding to the next unit shows: 1023.96 KiB is 1.0 MiB.
    var tenths = Double(bytes) / 1024 * 10
    var unit = 0
    while tenths.rounded() >= 10_240, unit < units.count - 1 {
        tenths /= 1024
        unit += 1
    }
    let rounded = Int64(tenths.rounded())
    return rounded < 1000 ? "\(rounded / 10).\(rounded % 10) \(units[unit])" : "\((rounded + 5) / 10) \(units[unit])"
}
