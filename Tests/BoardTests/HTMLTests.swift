import Testing

@testable import Board

@Suite(.timeLimit(.minutes(5))) struct HTMLTests {
    /// What data may contain, and what the page then says. As text and as an attribute's value.
    @Test(arguments: [
        ("plain", "plain"), ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("\" onload=\"x", "&quot; onload=&quot;x"), ("' x='", "&#39; x=&#39;"), ("&lt;", "&amp;lt;"),
        ("a\u{0}b\u{1B}[31m", "a\u{FFFD}b\u{FFFD}[31m"), ("\u{202E}gpj", "\u{FFFD}gpj"), ("</title>", "&lt;/title&gt;"),
        ("<!--", "&lt;!--"), ("]]>", "]]&gt;"), ("a\nb\tc", "a\nb\tc"), ("é 漢 🚀", "é 漢 🚀"),
        ("\u{85}\u{9B}", "\u{FFFD}\u{FFFD}"),
    ])
    func dataIsText(_ data: String, _ written: String) {
        #expect(HTML.text(data).markup == written)
        #expect(HTML("p", [], "\(data)").markup == "<p>\(written)</p>")
        #expect(HTML("p", [.init("title", data)]).markup == "<p title=\"\(written)\"></p>")
        #expect(
            HTML("p", [.class(data), .id(data), .label(data)]).markup
                == "<p class=\"\(written)\" id=\"\(written)\" aria-label=\"\(written)\"></p>")
    }

    @Test func elementsAreWrittenInTheirOrder() {
        let piece: HTML = [
            HTML("ul", [], each: ["a", "b"].map { HTML("li", [], .text($0)) }), .nothing, "&",
            HTML("meta", [.init("charset", "utf-8")]), HTML("p", [.init("hidden")]), .literal("<b>"),
        ]
        #expect(
            piece.markup == "<ul><li>a</li><li>b</li></ul>&amp;<meta charset=\"utf-8\"><p hidden></p><b>")
    }
}
