import Console
public import Readiness

/// One page of the board as HTML: a function of values.
///
/// It is whole without a script, without any other request, and without the network beyond its server. The script only
/// asks for the same page again, and puts what has changed in its place.
public struct BoardPage: Sendable {
    /// Seconds after which a page asks for itself again: with the script, and without it.
    static let interval = (script: 5, without: 30)

    /// What a page shows.
    public enum Content: Sendable {
        /// How the fleet stands.
        case board(Board)
        /// Records of the audit chain.
        case audit(CentralStore.AuditPage)
        /// Why there is nothing else to show: a heading and a sentence with the next step.
        case failure(title: String, message: String)
    }

    /// What the page is.
    public let title: String
    /// What the page says in a sentence, also to a screen reader whenever it changes.
    let summary: String
    /// What is replaced when the page is looked at again.
    let live: HTML
    /// What stays, above it: a form whose user may be typing.
    let form: HTML
    /// When what it shows was true; `nil` where it shows nothing that changes.
    let asOf: Timestamp?
    let route: BoardRoute?

    init(
        _ title: String, summary: String, at asOf: Timestamp? = nil, route: BoardRoute?, form: HTML = .nothing,
        live: HTML
    ) {
        self.title = title
        self.summary = summary
        self.asOf = asOf
        self.route = route
        self.form = form
        self.live = live
    }

    /// - Parameters:
    ///   - route: which page
    ///   - content: what it shows
    /// - Returns: `nil` where the content has nothing of that name: no such environment, list or site
    public init?(_ route: BoardRoute, _ content: Content) {
        switch (route, content) {
        case (_, .failure(let title, let message)):
            self.init(failure: title, message, route: route)
        case (.audit(let filter, let before), .audit(let page)):
            self.init(audit: page, filter, before: before)
        case (.overview, .board(let board)):
            self.init(overviewOf: board)
        case (.waivers, .board(let board)):
            self.init(waiversOf: board)
        case (.environment(let name, let selection), .board(let board)):
            guard let environment = board.environment(name) else { return nil }
            self.init(environment, selection, at: board.decidedAt)
        case (.list(let name, let list, let selection), .board(let board)):
            guard let environment = board.environment(name),
                let list = environment.lists.first(where: { $0.name == list })
            else { return nil }
            self.init(list, of: environment, selection, at: board.decidedAt)
        case (.site(let name, let site), .board(let board)):
            guard let environment = board.environment(name),
                let site = environment.sites.first(where: { $0.name == site })
            else { return nil }
            self.init(site, of: environment, at: board.decidedAt)
        default: return nil
        }
    }

    /// A page that says why there is nothing else to show.
    public init(failure title: String, _ message: String, route: BoardRoute? = nil) {
        self.init(
            title, summary: message, route: route,
            live: HTML(
                "p", [.class("failure")], HTML("span", [Self.hidden], "✕ "),
                HTML("span", [.id("cause")], .text(message))))
    }

    /// What a browser may do with the page (CSP level 3): nothing but what is in it, and asking its own server.
    ///
    /// - Parameter nonce: as given to `text`
    public static func contentSecurityPolicy(nonce: String) -> String {
        "default-src 'none'; style-src 'nonce-\(nonce)'; script-src 'nonce-\(nonce)'; connect-src 'self'; img-src data:;"
            + " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    }

    /// A nonce: 128 bits that nobody can guess, new for each answer.
    public static func nonce(from generator: inout some RandomNumberGenerator) -> String {
        [generator.next() as UInt64, generator.next()].map { String($0, radix: 36) }.joined()
    }

    /// The page as a document.
    ///
    /// - Parameters:
    ///   - nonce: what tells its style and script from any that came in otherwise: new for each answer
    ///   - version: the product's version
    public func text(nonce: String, version: String) -> String {
        "<!DOCTYPE html>\n" + document(HTML.Attribute("nonce", nonce), version).markup + "\n"
    }

    private func document(_ nonce: HTML.Attribute, _ version: String) -> HTML {
        HTML(
            "html", [.init("lang", "en")],
            HTML(
                "head", [],
                HTML("meta", [.init("charset", "utf-8")]),
                HTML("meta", [.init("name", "viewport"), .init("content", "width=device-width, initial-scale=1")]),
                HTML("meta", [.init("name", "color-scheme"), .init("content", "light dark")]),
                HTML("title", [], .text("\(title) · Rollcall")),
                HTML("link", [.init("rel", "icon"), .init("href", "data:,")]),
                HTML("style", [nonce], Self.style),
                route == nil
                    ? .nothing
                    : HTML(
                        "noscript", [],
                        HTML(
                            "meta",
                            [.init("http-equiv", "refresh"), .init("content", "\(Self.interval.without)")]))),
            HTML(
                "body", [],
                HTML("a", [.class("skip"), .init("href", "#content")], "Skip to the content"),
                header,
                HTML(
                    "main", [.id("content"), .init("tabindex", "-1")],
                    HTML("h1", [.id("title")], .text(title)),
                    HTML("p", [.id("summary"), .role("status"), .init("aria-live", "polite")], .text(summary)),
                    HTML("p", [.id("notice"), .role("alert"), .init("hidden")]),
                    form,
                    HTML("div", [.id("live")], live)),
                HTML(
                    "footer", [],
                    HTML("p", [.id("as-of")], each: asOf.map { ["As of ", Self.time($0)] } ?? []),
                    HTML("p", [], .text("Rollcall \(version)"))),
                route == nil ? .nothing : HTML("script", [nonce], Self.script)))
    }

    private var header: HTML {
        let pages: [(String, BoardRoute)] = [
            ("Fleet", .overview), ("Waivers", .waivers), ("Audit log", .audit(.init(), before: nil)),
        ]
        return HTML(
            "header", [],
            HTML("p", [.class("brand")], HTML("span", [Self.hidden], "▣ "), "Rollcall"),
            HTML(
                "nav", [.label("Pages")],
                HTML(
                    "ul", [],
                    each: pages.map { name, page in
                        HTML("li", [], HTML("a", [.href(page)] + (isBelow(page) ? [Self.current] : []), .text(name)))
                    })))
    }

    /// Whether this page belongs to one of the header's.
    private func isBelow(_ page: BoardRoute) -> Bool {
        switch (route, page) {
        case (.overview, .overview), (.environment, .overview), (.list, .overview), (.site, .overview): true
        case (.waivers, .waivers), (.audit, .audit): true
        default: false
        }
    }

    static let current = HTML.Attribute("aria-current", "page")
    /// For what a screen reader should not say.
    static let hidden = HTML.Attribute("aria-hidden", "true")
}
