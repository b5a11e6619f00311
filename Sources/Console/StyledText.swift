/// What a piece of text is, as a terminal may show it. Never the only thing that says so.
public enum TextStyle: Sendable, Hashable {
    /// Nothing particular.
    case plain
    /// A heading.
    case strong
    /// What matters less.
    case quiet
    /// As it should be.
    case good
    /// In the way.
    case bad
    /// To be looked at.
    case warning
    /// A bar across the screen.
    case inverse

    /// The parameters of SGR (ECMA-48 section 8.3.117). Only the eight colours that every terminal has, which its user
    /// has chosen.
    fileprivate var parameters: String? {
        switch self {
        case .plain: nil
        case .strong: "1"
        case .quiet: "2"
        case .good: "32"
        case .bad: "1;31"
        case .warning: "33"
        case .inverse: "7"
        }
    }
}

/// Text for a terminal, in pieces of a style each. Without control characters, whatever it was made of.
public struct StyledText: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation {
    private struct Span: Sendable, Hashable {
        var text: String
        var style: TextStyle
    }

    private var spans: [Span] = []

    /// - Parameters:
    ///   - text: the text; each control character becomes a `?`
    ///   - style: what it is
    public init(_ text: String, _ style: TextStyle = .plain) {
        if !text.isEmpty { spans = [Span(text: text.printable, style: style)] }
    }

    public init(stringLiteral value: String) { self.init(value) }

    /// One after the other.
    public static func + (left: StyledText, right: StyledText) -> StyledText {
        var sum = left
        sum.spans += right.spans
        return sum
    }

    /// One after the other.
    public static func += (left: inout StyledText, right: StyledText) { left.spans += right.spans }

    /// The text alone.
    public var plain: String { spans.map(\.text).joined() }

    /// How many columns a terminal takes for it.
    public var columns: Int { spans.reduce(0) { $0 + $1.text.columns } }

    /// The text as it is sent to a terminal.
    ///
    /// - Parameter colours: whether styles are shown
    public func rendered(colours: Bool) -> String {
        guard colours else { return plain }
        return spans.map { span in
            span.style.parameters.map { "\u{1B}[\($0)m\(span.text)\u{1B}[0m" } ?? span.text
        }.joined()
    }

    /// The beginning that fits into so many columns, with a mark at its end where something is cut off.
    ///
    /// - Parameters:
    ///   - columns: the most columns
    ///   - mark: one character
    public func cut(to columns: Int, mark: Character = "…") -> StyledText {
        guard self.columns > columns else { return self }
        var (cut, room) = (StyledText(""), max(0, columns - 1))
        for span in spans {
            let text = span.text.prefix(columns: room)
            room -= text.columns
            if !text.isEmpty { cut.spans.append(Span(text: text, style: span.style)) }
            if text.count < span.text.count { break }
        }
        if columns > 0 { cut.spans.append(Span(text: String(mark), style: spans.last?.style ?? .plain)) }
        return cut
    }

    /// The text with spaces behind it, so that it takes at least so many columns.
    public func padded(to columns: Int, _ style: TextStyle = .plain) -> StyledText {
        self + StyledText(String(repeating: " ", count: max(0, columns - self.columns)), style)
    }
}

extension String {
    /// How many columns a terminal takes for the text.
    var columns: Int { reduce(0) { $0 + $1.columns } }

    fileprivate func prefix(columns limit: Int) -> String {
        var (text, room) = ("", limit)
        for character in self {
            room -= character.columns
            guard room >= 0 else { break }
            text.append(character)
        }
        return text
    }
}

extension Character {
    /// Two for what East Asian scripts and pictures take (Unicode Standard Annex 11, roughly), and one for all else.
    fileprivate var columns: Int {
        guard let scalar = unicodeScalars.first else { return 0 }
        return switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F,
            0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F680...0x1F6FF, 0x1F900...0x1F9FF,
            0x20000...0x3FFFD:
            2
        default: scalar.properties.generalCategory == .nonspacingMark ? 0 : 1
        }
    }
}
