import FoundationEssentials
import OCI
import TestSupport
import Testing

@testable import Board
@testable import Readiness

@Suite(.timeLimit(.minutes(5))) struct PageTests {
    private static func page(_ path: String, _ content: BoardPage.Content) throws -> BoardPage? {
        let parts = path.split(separator: "?", maxSplits: 1).map(String.init)
        let query = parts.dropFirst().first?.split(separator: "&").map { pair in
            let pair = pair.split(separator: "=", maxSplits: 1).map(String.init)
            return (pair[0], pair[1])
        }
        return BoardPage(try BoardRoute(path: parts[0], query: query ?? []), content)
    }

    private static func text(_ path: String) throws -> String {
        let content: BoardPage.Content =
            path.hasPrefix("/audit") ? .audit(try DemoFleet.audit()) : .board(Board(try DemoFleet.standing()))
        return try #require(try page(path, content)).text(nonce: "n0nce", version: "1.2.3")
    }

    static let paths = [
        "/", "/waivers", "/audit", "/audit?environment=lab&before=300", "/environments/production",
        "/environments/production?state=ready", "/environments/lab?state=waived", "/environments/archive",
        "/environments/production/lists/platform-4.17.3",
        "/environments/production/lists/platform-4.17.3?state=blocked",
        "/environments/production/sites/dallas-1", "/environments/production/sites/lagos-1",
        "/environments/production/sites/perth-1",
    ]

    /// Whole, and without anything from elsewhere.
    @Test(arguments: paths) func pagesAreWellFormed(_ path: String) throws {
        let markup = try Markup(Self.text(path))
        #expect(markup.faults == [])
        let names = markup.tags.map(\.name)
        for name in ["h1", "main", "header", "footer", "title"] {
            #expect(names.count { $0 == name } == 1, "\(name)")
        }
        #expect(markup.tags.first?.attributes["lang"] == "en")
        let ids = markup.tags.compactMap { $0.attributes["id"] }
        #expect(Set(ids).count == ids.count)
        for tag in markup.tags {
            #expect(!["img", "iframe", "object", "embed", "base"].contains(tag.name))
            #expect(tag.attributes["src"] == nil && tag.attributes["style"] == nil)
            #expect(!tag.attributes.keys.contains { $0.hasPrefix("on") })
            if tag.name == "a" {
                let link = tag.attributes["href"] ?? ""
                #expect(link == "#content" || link.hasPrefix("/"), "\(link)")
            }
            if let target = tag.attributes["aria-labelledby"] { #expect(ids.contains(target), "\(target)") }
            if ["script", "style"].contains(tag.name) { #expect(tag.attributes["nonce"] == "n0nce") }
        }
        // Every link of a page leads to one.
        for tag in markup.tags where tag.name == "a" && tag.attributes["href"] != "#content" {
            _ = try Self.text((tag.attributes["href"] ?? "").replacing("&amp;", with: "&"))
        }
    }

    @Test(arguments: paths) func tablesSayWhatIsWhat(_ path: String) throws {
        let tags = try Markup(Self.text(path)).tags
        #expect(tags.count { $0.name == "table" } == tags.count { $0.name == "caption" })
        for tag in tags where tag.name == "th" { #expect(["row", "col"].contains(tag.attributes["scope"])) }
        for tag in tags where tag.name == "td" { #expect(tag.attributes["data-label"] != nil) }
        #expect(tags.count { $0.attributes["aria-live"] == "polite" } == 1)
        #expect(tags.contains { $0.attributes["role"] == "alert" && $0.attributes["id"] == "notice" })
        #expect(tags.contains { $0.attributes["class"] == "skip" })
    }

    @Test(arguments: [
        ("/", ["2 of 5 gates ready. Blocked: platform-4.17.3 in qa, edge-agents-12 in production"]),
        ("/", ["all in about 2 min 5 s", "44 % of 1.3 GiB, 24.0 MiB/s", "from registry.central.example 16.0 MiB/s"]),
        ("/", ["<strong>silent</strong>: lagos-1", "waived: perth-1", "paused until 2026-03-01T20:00:00Z"]),
        ("/environments/production", ["silent", "all (10)", "blocked (5)", "ready (4)", "waived (1)"]),
        ("/environments/production", ["Sites: 5 blocked, 1 waived, 4 ready, 0 idle."]),
        ("/environments/archive", ["0 of 0 gates ready", "Nothing is staged here.", "vault-1"]),
        ("/environments/lab?state=waived", ["No site of this state."]),
        (
            "/environments/production/lists/platform-4.17.3",
            ["5 of 10 sites ready", "run &#39;rollcall-agent sync&#39;"]
        ),
        (
            "/environments/production/sites/dallas-1",
            ["Blocked, 44 % of 1.3 GiB, 24.0 MiB/s, ready in about 2 min 5 s."]
        ),
        ("/environments/production/sites/dallas-1", ["mirror.emea.example:5000", "190 MiB", "platform/component-2"]),
        ("/environments/production/sites/lagos-1", ["never", "it has no cache manifest"]),
        ("/waivers", ["2 waivers valid now.", "change 48113", "jane.doe"]),
        ("/audit", ["promotion-refused", "&lt;b&gt;blocked&lt;/b&gt; &amp; refused", "Older records", "signed"]),
        ("/audit?environment=lab&before=300", ["value=\"lab\"", "/audit?environment=lab&amp;before=211"]),
    ])
    func whatIsAskedIsShown(_ path: String, _ words: [String]) throws {
        let text = try Self.text(path)
        for words in words { #expect(text.contains(words), "\(words)") }
    }

    @Test(arguments: [
        "/environments/moon", "/environments/lab/lists/moon", "/environments/lab/sites/moon",
        "/environments/moon/lists/platform-4.17.3", "/environments/moon/sites/lab-1",
    ])
    func whatIsNotThereHasNoPage(_ path: String) throws {
        #expect(try Self.page(path, .board(Board(DemoFleet.standing()))) == nil)
    }

    @Test func aFailureSaysWhy() throws {
        let page = BoardPage(failure: "Not known", "s3://bucket: <away>", route: .overview)
        let text = page.text(nonce: "n", version: "1")
        #expect(try Markup(text).faults == [])
        #expect(text.contains("<span id=\"cause\">s3://bucket: &lt;away&gt;</span>"))
        // Without a page to ask for again there is nothing to run.
        #expect(text.contains("<script"))
        #expect(!BoardPage(failure: "Sign in", "").text(nonce: "n", version: "1").contains("<script"))
    }

    /// Whatever agents, approvers and operators write is text.
    @Test func hostileWordsAreText() throws {
        let hostile = "\"><script>alert(1)</script><img src=x onerror='y'>"
        let list = try DemoFleet.list("web")
        let transfer = CacheManifest.Progress(
            bytesDone: 1, bytesTotal: 2, sources: [.init(name: hostile, bytes: 1)])
        let environment = try DemoFleet.environment(
            "lab", [("a", .bringing(missing: 2, transfer)), ("b", .silent)], lists: [list], waived: ["b": hostile])
        let record = EnvironmentRecord.Pointer(to: list, by: hostile, at: DemoFleet.now)
        let lists = environment.lists.map { standing in
            FleetStanding.List(
                promoted: record,
                verdict: compare(
                    list: list.name, staged: record, environment: environment.environment,
                    evidence: environment.evidence,
                    now: DemoFleet.now))
        }
        let board = Board(
            FleetStanding(
                environments: [
                    .init(environment: environment.environment, lists: lists, evidence: environment.evidence)
                ], decidedAt: DemoFleet.now))
        for path in [
            "/", "/waivers", "/environments/lab", "/environments/lab/lists/web", "/environments/lab/sites/a",
            "/environments/lab/sites/b",
        ] {
            let text = try #require(try Self.page(path, .board(board))).text(nonce: "n", version: "1")
            let markup = try Markup(text)
            #expect(markup.faults == [], "\(path)")
            #expect(text.contains("&lt;script&gt;alert(1)"), "\(path)")
            #expect(markup.tags.count { $0.name == "script" } == 1, "\(path)")
            #expect(!markup.tags.contains { $0.name == "img" }, "\(path)")
        }
        var filter = CentralStore.AuditFilter()
        filter.person = hostile
        let audit = try #require(BoardPage(.audit(filter, before: nil), .audit(.init(records: [], older: 7))))
        #expect(try !Markup(audit.text(nonce: "n", version: "1")).tags.contains { $0.name == "img" })
    }

    /// Twenty environments of many sites, of which a seventh blocks.
    @Test func aLargeFleetHasBoundedPages() throws {
        let board = Board(try DemoFleet.large(environments: 20, sites: 150))
        func rows(_ path: String) throws -> Int {
            let text = try #require(try Self.page(path, .board(board))).text(nonce: "n", version: "1")
            #expect(text.utf8.count < 400_000, "\(path)")
            return try Markup(text).tags.count { $0.name == "tr" }
        }
        // One list and ten sites of each environment, and two headers.
        #expect(try rows("/") == 20 * (1 + BoardPage.maximumTroubles + 2))
        #expect(try rows("/environments/environment-3") == 1 + 100 + 2)
        #expect(try rows("/environments/environment-3?page=2") == 1 + 50 + 2)
        #expect(try rows("/environments/environment-3?page=99") == 1 + 50 + 2)
        #expect(try rows("/environments/environment-3?state=blocked") == 1 + 21 + 2)
        #expect(try rows("/environments/environment-3/lists/platform-4.17.3?page=2") == 50 + 1)
    }

    /// Text on its background has a contrast of 4.5:1 in both schemes (WCAG 2.2, 1.4.3), by the formula there.
    @Test func coloursCanBeRead() throws {
        let css = BoardPage.style.markup
        let schemes = css.components(before: "@media(prefers-color-scheme:dark)")
        for scheme in [schemes.0, schemes.1] {
            func colour(_ name: String) throws -> String {
                let range = try #require(scheme.firstRange(of: "--\(name):#"), "\(name)")
                return String(scheme[range.upperBound...].prefix(6))
            }
            var pairs = ["ready", "blocked", "waived", "idle"].map { ($0, "\($0)-back") }
            for text in ["text", "quiet", "link"] { pairs += [(text, "page"), (text, "panel")] }
            pairs.append(("text", "idle-back"))
            for (text, back) in pairs {
                let contrast = Self.contrast(try colour(text), try colour(back))
                #expect(contrast >= 4.5, "\(text) on \(back): \(contrast)")
            }
            #expect(Self.contrast(try colour("bar"), try colour("idle-back")) >= 3)
        }
        #expect(Self.contrast("000000", "ffffff") == 21)
    }

    private static func contrast(_ left: String, _ right: String) -> Double {
        let (one, other) = (luminance(left), luminance(right))
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)
    }

    private static func luminance(_ colour: String) -> Double {
        let value = Int(colour, radix: 16) ?? 0
        let parts = [16, 8, 0].map { shift -> Double in
            let part = Double(value >> shift & 255) / 255
            return part <= 0.03928 ? part / 12.92 : Self.power((part + 0.055) / 1.055)
        }
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    }

    /// To the power of 2.4 = 12/5: the fifth root by Newton's method, then twelve times.
    private static func power(_ base: Double) -> Double {
        var root = 1.0
        for _ in 0..<60 { root -= (root * root * root * root * root - base) / (5 * root * root * root * root) }
        return (0..<12).reduce(1) { product, _ in product * root }
    }

    @Test func noncesAreNotGuessed() {
        var generator = SystemRandomNumberGenerator()
        let nonces = (0..<100).map { _ in BoardPage.nonce(from: &generator) }
        #expect(Set(nonces).count == 100)
        #expect(nonces.allSatisfy { $0.count > 12 && $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) } })
        #expect(BoardPage.contentSecurityPolicy(nonce: "x").contains("script-src 'nonce-x'"))
    }
}

extension String {
    /// What is before a text that is in it, and what is from there on.
    fileprivate func components(before text: String) -> (String, String) {
        let start = firstRange(of: text)?.lowerBound ?? endIndex
        return (String(self[..<start]), String(self[start...]))
    }
}
