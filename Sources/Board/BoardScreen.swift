public import Console
import Readiness

/// The board on a terminal: what has been looked at, where in it the screen is, and what the keys do. Pure.
public struct BoardScreen: Sendable, Hashable {
    /// What somebody did at the terminal.
    public enum Key: Sendable, Hashable {
        case up, down, pageUp, pageDown, home, end
        /// The environment before, or after, the one at the top.
        case previous, next
        /// All sites, or only those that are not ready.
        case sites
        /// Reasons as sentences, or as codes.
        case reasons
        case help
        /// The screen is drawn anew.
        case redraw
        case suspend
        case quit
    }

    /// The terminal's size in characters.
    public struct Size: Sendable, Hashable {
        /// The columns.
        public let columns: Int
        /// The rows.
        public let rows: Int

        /// A terminal says nothing of its size, or nonsense: then 80 by 24. What is larger than 1000 by 1000 is cut.
        public init(columns: Int, rows: Int) {
            self.columns = columns > 0 ? min(columns, 1000) : 80
            self.rows = rows > 0 ? min(rows, 1000) : 24
        }
    }

    /// The terminal's size.
    public var size: Size
    /// What is shown beside the product's name.
    let scope: String
    /// Whether signs beyond ASCII can be shown.
    let isUnicode: Bool

    private var board: Board?
    private var failure: String?
    private var showsAllSites = false
    private var showsReasons = true
    private var showsHelp = false
    /// The document's line that is at the top of the screen.
    private var top = 0

    /// - Parameters:
    ///   - scope: what is looked at, in a word or two
    ///   - size: the terminal's size
    ///   - isUnicode: whether the terminal shows signs beyond ASCII
    public init(scope: String, size: Size, isUnicode: Bool) {
        self.scope = scope
        self.size = size
        self.isUnicode = isUnicode
    }

    // MARK: What happens

    /// Takes what was just read.
    public mutating func show(_ board: Board) {
        self.board = board
        failure = nil
        top = min(top, maximumTop)
    }

    /// Takes that nothing could be read. What was read before stays, and is said to be old.
    public mutating func fail(_ message: String) { failure = message }

    /// Takes a key that does something to what is shown.
    public mutating func press(_ key: Key) {
        let page = max(1, bodyRows - 1)
        switch key {
        case .up: top -= 1
        case .down: top += 1
        case .pageUp: top -= page
        case .pageDown: top += page
        case .home: top = 0
        case .end: top = .max
        case .next: top = document.headings.first { $0 > top } ?? top
        case .previous: top = document.headings.last { $0 < top } ?? 0
        case .sites: showsAllSites.toggle()
        case .reasons: showsReasons.toggle()
        case .help: showsHelp.toggle()
        case .redraw, .suspend, .quit: break
        }
        top = min(max(0, top), maximumTop)
    }

    // MARK: What is shown

    /// The whole screen: as many lines as it has rows, none wider than it is.
    public var lines: [StyledText] {
        let body = document.lines.dropFirst(min(top, maximumTop)).prefix(bodyRows)
        let empty = [StyledText](repeating: "", count: max(0, bodyRows - body.count))
        return ([bar(title)] + notice + body + empty + [bar(keys)]).prefix(size.rows).map {
            $0.cut(to: size.columns, mark: mark)
        }
    }

    private func bar(_ text: String) -> StyledText {
        StyledText(text, .inverse).cut(to: size.columns, mark: mark).padded(to: size.columns, .inverse)
    }

    private var mark: Character { isUnicode ? "…" : "~" }

    private var title: String {
        guard let board else { return " Rollcall \(scope)  reading" }
        return " Rollcall \(scope)  \(board.decidedAt)  \(board.summary)"
    }

    private var keys: String {
        let lines = document.lines.count
        let place = lines > bodyRows ? "  \(min(lines, top + bodyRows))/\(lines)" : ""
        return
            " q quit  \(isUnicode ? "↑↓" : "jk") scroll  n/p environment  a \(showsAllSites ? "troubles" : "all sites")"
            + "  d \(showsReasons ? "fewer" : "more") details  ? help\(place)"
    }

    private var notice: [StyledText] {
        guard let failure else { return [] }
        let since = board.map { "Out of date since \($0.decidedAt): " } ?? "Nothing is known: "
        return [StyledText(since + failure, .bad)]
    }

    private var bodyRows: Int { max(0, size.rows - 2 - notice.count) }
    private var maximumTop: Int { max(0, document.lines.count - bodyRows) }

    private var document: BoardText {
        if showsHelp { return .help }
        guard let board else { return BoardText() }
        return BoardText(
            board, width: size.columns, showsAllSites: showsAllSites, showsReasons: showsReasons, isUnicode: isUnicode)
    }
}
