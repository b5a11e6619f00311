import Console

/// Rows in aligned columns, for people: two spaces between columns.
struct Table {
    private var rows: [[StyledText]]

    /// - Parameter header: the columns' names
    init(_ header: String...) { rows = [header.map { StyledText($0, .strong) }] }

    /// Adds a row. An empty cell is shown as it is.
    mutating func add(_ cells: StyledText...) { rows.append(cells) }

    /// Adds a row of plain text.
    mutating func add(_ cells: String...) { rows.append(cells.map { StyledText($0) }) }

    /// Whether there is a row beside the header.
    var hasRows: Bool { rows.count > 1 }

    /// The lines, without spaces at their ends.
    var lines: [StyledText] {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].columns : 0 }.max() ?? 0
        }
        return rows.map { row in
            let last = row.lastIndex { $0.columns > 0 } ?? 0
            return zip(row, widths).enumerated().reduce(into: StyledText("")) { line, cell in
                guard cell.offset <= last else { return }
                line += cell.offset == last ? cell.element.0 : cell.element.0.padded(to: cell.element.1 + 2)
            }
        }
    }
}

extension [StyledText] {
    /// The lines as one text.
    func text(colours: Bool) -> String { map { $0.rendered(colours: colours) }.joined(separator: "\n") }
}

extension StyledText {
    /// A gate's or a site's state, in its colour.
    static func state(_ word: String) -> StyledText {
        switch word.prefix(while: \.isLetter) {
        case "ready", "READY", "valid": StyledText(word, .good)
        case "blocked", "BLOCKED", "invalid": StyledText(word, .bad)
        case "waived", "expired", "revoked": StyledText(word, .warning)
        default: StyledText(word)
        }
    }
}
