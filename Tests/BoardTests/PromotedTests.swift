import Console
import OCI
import TestSupport
import Testing
import Trust

@testable import Board
@testable import Readiness

/// What the board says of what is promoted, while the next generation is staged.
@Suite(.timeLimit(.minutes(5))) struct PromotedTests {
    /// A lab whose two sites hold what is staged; so does the second what is promoted, and the first lost an entry of it.
    private static func board(lost: Int = 1) throws -> Board {
        let (one, two) = (try DemoFleet.list("web", tag: "1"), try DemoFleet.list("web", tag: "2"))
        let now = DemoFleet.now
        let place = try Fleet.Environment(
            name: EnvironmentName("lab"),
            sites: ["a", "b"].map { site in
                .init(
                    name: try SiteName(site), registry: "https://registry.\(site).example",
                    keys: [.init(try DemoFleet.key(of: site).publicKey)])
            })
        var evidence = Evidence(reports: [:], memory: GateMemory(environment: place.name))
        for (site, missing) in [("a", lost), ("b", 0)] {
            let manifest = try CacheManifest(
                environment: place.name, site: SiteName(site), sequence: 1, issuedAt: now,
                expiresAt: now.advanced(by: .seconds(3600)), agentVersion: "0.1.0",
                holdings: [
                    .init(of: one, missing: one.closure.entries.prefix(missing), verifiedAt: now, depth: .presence),
                    .init(of: two, missing: [], verifiedAt: now, depth: .presence),
                ])
            evidence.reports[manifest.site] = SiteReport(
                reading: try manifest.objectBytes(signedBy: DemoFleet.key(of: site)),
                keys: [try DemoFleet.key(of: site).publicKey])
        }
        var record = EnvironmentRecord(environment: place.name)
        record.promote(.init(to: one, by: "ann@build-7", at: now), as: one.name)
        record.stage(.init(to: two, by: "ann@build-7", at: now), as: two.name)
        let state = record.lists[one.name]
        func decide(about subject: Verdict.Subject) -> Verdict {
            compare(list: one.name, about: subject, in: state, environment: place, evidence: evidence, now: now)
        }
        return Board(
            FleetStanding(
                environments: [
                    .init(
                        environment: place,
                        lists: [
                            .init(
                                promoted: state?.promoted, verdict: decide(about: .staged),
                                promotedVerdict: decide(about: .promoted))
                        ], evidence: evidence)
                ], decidedAt: now))
    }

    private static func short(_ tag: String) throws -> String { try DemoFleet.list("web", tag: tag).generation.short }

    @Test func whatIsNotHeldAnyMoreIsInTheSummary() throws {
        #expect(
            try Self.board().summary == "The gate is ready. Promoted, and not held everywhere: web in lab.")
        #expect(try Self.board(lost: 0).summary == "The gate is ready.")
        let lab = try #require(try Self.board().environment(EnvironmentName("lab")))
        #expect(lab.sites.map(\.state) == [.blocked, .ready])
        #expect(lab.sites[0].causes.map(\.lists) == [["web as promoted"]])
        #expect(lab.sites[0].causes.map(\.reason.code) == [.incomplete])
    }

    @Test func theTerminalHasALineForEach() throws {
        let text = BoardText(
            try Self.board(), width: 100, showsAllSites: false, showsReasons: true, isUnicode: true
        ).lines.map(\.plain)
        #expect(text.contains { $0.hasPrefix("  ✓ web") && $0.hasSuffix("2/2     not promoted") })
        #expect(text.contains("    ✕ promoted \(try Self.short("1")) held by 1/2"))
        #expect(text.contains { $0.hasPrefix("        incomplete (web as promoted): it misses 1 of 15 entries") })
        #expect(
            try Self.board().plainLines == [
                "web in lab: ready, 2 of 2 sites ready",
                "web in lab, promoted: blocked, 1 of 2 sites ready; incomplete at a",
            ])
        #expect(try Self.board().only("web")?.plainLines.count == 2)
    }

    @Test(arguments: [
        ("/", ["Fleet: 1 blocked", "1 of 2 sites holds it", "of what is promoted:", "for web as promoted"]),
        ("/environments/lab", ["1 of 2 sites holds it", "blocked (1)"]),
        (
            "/environments/lab/lists/web",
            [
                "Ready: 2 of 2 sites ready. What is promoted: 1 of 2 sites holds it.",
                "Sites that do not prove what is promoted", "it misses 1 of 15 entries",
            ]
        ),
        ("/environments/lab/sites/a", ["id=\"list-web\"", "id=\"promoted-web\"", "web as promoted", "Blocked"]),
    ])
    func thePagesShowBoth(_ path: String, _ words: [String]) throws {
        let route = try BoardRoute(path: path, query: [])
        let text = try #require(BoardPage(route, .board(try Self.board()))).text(nonce: "n", version: "1")
        let markup = try Markup(text)
        #expect(markup.faults == [])
        let ids = markup.tags.compactMap { $0.attributes["id"] }
        #expect(Set(ids).count == ids.count)
        for words in words { #expect(text.contains(words), "\(words)") }
    }

    @Test func whatIsHeldEverywhereIsShownAsThat() throws {
        let route = try BoardRoute(path: "/environments/lab/lists/web", query: [])
        let text = try #require(BoardPage(route, .board(try Self.board(lost: 0)))).text(nonce: "n", version: "1")
        #expect(text.contains("What is promoted: 2 of 2 sites hold it."))
        #expect(!text.contains("Sites that do not prove"))
    }
}
