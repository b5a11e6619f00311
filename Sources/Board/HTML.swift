/// A piece of a page, as a value.
///
/// Names of elements and attributes are literals of this source. Everything else is data, and is escaped where it is
/// written: there is no way to put text into a page as markup, except literals.
struct HTML: Sendable, Hashable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByArrayLiteral
{
    /// One attribute of an element.
    struct Attribute: Sendable, Hashable {
        fileprivate let name: String
        fileprivate let value: String?

        /// - Parameters:
        ///   - name: the attribute's name
        ///   - value: its value; `nil` for one that is there or not
        init(_ name: StaticString, _ value: String? = nil) {
            self.name = "\(name)"
            self.value = value
        }

        static func `class`(_ names: String) -> Attribute { Attribute("class", names) }
        static func id(_ id: String) -> Attribute { Attribute("id", id) }
        /// What a screen reader says in place of, or beside, what is shown.
        static func label(_ text: String) -> Attribute { Attribute("aria-label", text) }
        static func role(_ role: StaticString) -> Attribute { Attribute("role", "\(role)") }
        /// A link within the board; there are no others, so that no data can choose a scheme.
        static func href(_ route: BoardRoute) -> Attribute { Attribute("href", route.path) }
    }

    private indirect enum Node: Sendable, Hashable {
        case text(String)
        case literal(String)
        case element(String, [Attribute], [HTML])
        case group([HTML])
    }

    private let node: Node

    private init(node: Node) { self.node = node }

    /// An element with its children.
    init(_ name: StaticString, _ attributes: [Attribute] = [], _ children: HTML...) {
        node = .element("\(name)", attributes, children)
    }

    /// An element with as many children as there are.
    init(_ name: StaticString, _ attributes: [Attribute] = [], each children: [HTML]) {
        node = .element("\(name)", attributes, children)
    }

    /// Text, whatever is in it.
    init(stringLiteral value: String) { node = .text(value) }
    /// Pieces one after the other.
    init(arrayLiteral elements: HTML...) { node = .group(elements) }

    /// Text, whatever is in it.
    static func text(_ text: String) -> HTML { HTML(node: .text(text)) }
    /// Pieces one after the other.
    static func group(_ pieces: [HTML]) -> HTML { HTML(node: .group(pieces)) }
    /// What is written as it is: a style sheet or a script of this source.
    static func literal(_ text: StaticString) -> HTML { HTML(node: .literal("\(text)")) }
    /// Nothing.
    static let nothing = HTML(node: .group([]))

    /// Elements that have no end (HTML section 13.1.2).
    private static let void: Set<String> = ["br", "hr", "input", "link", "meta"]

    /// The piece as markup.
    var markup: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to markup: inout String) {
        switch node {
        case .text(let text): Self.escape(text, to: &markup)
        case .literal(let text): markup += text
        case .group(let pieces): for piece in pieces { piece.write(to: &markup) }
        case .element(let name, let attributes, let children):
            markup += "<\(name)"
            for attribute in attributes {
                markup += " \(attribute.name)"
                guard let value = attribute.value else { continue }
                markup += "=\""
                Self.escape(value, to: &markup)
                markup += "\""
            }
            markup += ">"
            guard !Self.void.contains(name) else { return }
            for child in children { child.write(to: &markup) }
            markup += "</\(name)>"
        }
    }

    /// Text in a form that is text in an element's content and in a quoted value alike. Control characters, which HTML
    /// does not have, and those that turn the direction of what follows, are shown as U+FFFD.
    private static func escape(_ text: String, to markup: inout String) {
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": markup += "&amp;"
            case "<": markup += "&lt;"
            case ">": markup += "&gt;"
            case "\"": markup += "&quot;"
            case "'": markup += "&#39;"
            case "\n", "\t": markup.unicodeScalars.append(scalar)
            case "\0"..<" ", "\u{7F}"..<"\u{A0}", "\u{200E}", "\u{200F}", "\u{202A}"..."\u{202E}",
                "\u{2066}"..."\u{2069}":
                markup.unicodeScalars.append("\u{FFFD}")
            default: markup.unicodeScalars.append(scalar)
            }
        }
    }
}
