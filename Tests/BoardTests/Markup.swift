import TestSupport

/// A document's tags, read as strictly as the board writes them, and what is wrong with their nesting.
struct Markup {
    struct Tag {
        let name: String
        var attributes: [String: String] = [:]
    }

    private(set) var tags: [Tag] = []
    private(set) var faults: [String] = []

    private static let void: Set<String> = ["br", "hr", "input", "link", "meta"]
    /// What may not be in a paragraph: a parser would end the paragraph before it.
    private static let blocks: Set<String> = [
        "p", "div", "table", "ul", "dl", "section", "details", "form", "h1", "h2",
    ]
    /// What is only where its parent says.
    private static let parents: [String: Set<String>] = [
        "li": ["ul"], "dt": ["div"], "dd": ["div"], "tr": ["thead", "tbody"], "td": ["tr"], "th": ["tr"],
        "thead": ["table"], "tbody": ["table"], "caption": ["table"], "summary": ["details"], "title": ["head"],
    ]

    init(_ document: String) throws {
        guard document.hasPrefix("<!DOCTYPE html>\n") else { throw TestSupportError("no document type") }
        var rest = document.dropFirst("<!DOCTYPE html>\n".count)
        var open: [String] = []
        while let start = rest.firstIndex(of: "<") {
            if rest[..<start].contains(">") { faults.append("a > in text: \(rest[..<start].suffix(40))") }
            rest = rest[rest.index(after: start)...]
            guard let end = rest.firstIndex(of: ">") else { throw TestSupportError("a tag without an end") }
            let inside = rest[..<end]
            rest = rest[rest.index(after: end)...]
            if inside.hasPrefix("/") {
                let name = String(inside.dropFirst())
                if open.popLast() != name { faults.append("</\(name)> out of place") }
                continue
            }
            let tag = try Self.tag(inside)
            tags.append(tag)
            if let parents = Self.parents[tag.name], !parents.contains(open.last ?? "") {
                faults.append("<\(tag.name)> in <\(open.last ?? "")>")
            }
            if Self.blocks.contains(tag.name),
                let outer = open.first(where: { ["p", "span", "a", "h1", "h2"].contains($0) })
            {
                faults.append("<\(tag.name)> in <\(outer)>")
            }
            if Self.void.contains(tag.name) { continue }
            // What these contain is no markup.
            if ["script", "style"].contains(tag.name) {
                guard let close = rest.firstRange(of: "</\(tag.name)>") else { throw TestSupportError("no end") }
                rest = rest[close.upperBound...]
                continue
            }
            open.append(tag.name)
        }
        if !open.isEmpty { faults.append("not closed: \(open)") }
    }

    private static func tag(_ text: Substring) throws -> Tag {
        let name = text.prefix { $0 != " " }
        var tag = Tag(name: String(name))
        var rest = text.dropFirst(name.count)
        while let start = rest.firstIndex(where: { $0 != " " }) {
            rest = rest[start...]
            let key = String(rest.prefix { $0 != "=" && $0 != " " })
            rest = rest.dropFirst(key.count)
            guard rest.hasPrefix("=\"") else {
                tag.attributes[key] = ""
                continue
            }
            rest = rest.dropFirst(2)
            guard let end = rest.firstIndex(of: "\"") else {
                throw TestSupportError("an attribute without an end: \(text)")
            }
            guard tag.attributes.updateValue(String(rest[..<end]), forKey: key) == nil else {
                throw TestSupportError("twice the same attribute: \(text)")
            }
            rest = rest[rest.index(after: end)...]
        }
        return tag
    }
}
