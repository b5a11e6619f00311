import OCI
import Testing

@testable import Readiness

/// The fault table of the gate: whatever is not proved blocks, with its own reason.
@Suite struct CompareTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// What is expected of site-1; empty for ready. site-2 is always ready.
        let reasons: [Reason.Code]
        /// A part of the first reason's sentence.
        let words: String
        let report: @Sendable (ImageList) throws -> SiteReport?
    }

    static let cases: [Case] = [
        Case(testDescription: "ready", reasons: [], words: "") {
            try Fixture.report(Fixture.manifest(Fixture.holding($0)))
        },
        Case(testDescription: "ready beside other lists and generations", reasons: [], words: "") {
            try Fixture.report(
                Fixture.manifest(
                    Fixture.holding(Fixture.list("other")), Fixture.holding($0), Fixture.holding(Fixture.list(tag: "0"))
                ))
        },
        Case(testDescription: "silent", reasons: [.silent], words: "rollcall-agent sync") { _ in nil },
        Case(testDescription: "unreadable", reasons: [.unreadable], words: "(bad JSON)") { _ in
            SiteReport(.unreadable("bad JSON"), digest: Fixture.digest("bad"))
        },
        Case(testDescription: "another site's", reasons: [.misplaced], words: "of site 'site-2' in 'lab'") {
            try Fixture.report(Fixture.manifest(of: "site-2", Fixture.holding($0)))
        },
        Case(testDescription: "another environment's", reasons: [.misplaced], words: "in 'production'") {
            try Fixture.report(Fixture.manifest(in: "production", Fixture.holding($0)))
        },
        Case(testDescription: "expired", reasons: [.expired], words: "expired 10 s ago") {
            try Fixture.report(Fixture.manifest(expires: .seconds(-10), Fixture.holding($0)))
        },
        Case(testDescription: "expiring now", reasons: [.expired], words: "expired 0 s ago") {
            try Fixture.report(Fixture.manifest(expires: .seconds(0), Fixture.holding($0)))
        },
        Case(testDescription: "as old as allowed", reasons: [], words: "") {
            try Fixture.report(Fixture.manifest(Fixture.holding($0, verified: .seconds(-3600))))
        },
        Case(testDescription: "stale", reasons: [.stale], words: "60 min ago, and 'lab' allows 60 min") {
            try Fixture.report(Fixture.manifest(Fixture.holding($0, verified: .seconds(-3601))))
        },
        Case(testDescription: "a clock within tolerance", reasons: [], words: "") {
            try Fixture.report(
                Fixture.manifest(issued: clockSkewTolerance, Fixture.holding($0, verified: clockSkewTolerance)))
        },
        Case(testDescription: "a clock an hour ahead", reasons: [.clockSkew], words: "60 min from now") {
            try Fixture.report(Fixture.manifest(issued: .seconds(3600), expires: .seconds(9999), Fixture.holding($0)))
        },
        Case(testDescription: "no list", reasons: [.unknownList], words: "not looked at 'platform'") { _ in
            try Fixture.report(Fixture.manifest())
        },
        Case(testDescription: "another list", reasons: [.unknownList], words: "not looked at 'platform'") { _ in
            try Fixture.report(Fixture.manifest(Fixture.holding(Fixture.list("other"))))
        },
        Case(testDescription: "another generation", reasons: [.otherGeneration], words: "is asked for") { _ in
            try Fixture.report(Fixture.manifest(Fixture.holding(Fixture.list(tag: "0"))))
        },
        Case(testDescription: "incomplete", reasons: [.incomplete], words: "misses 1 of 3 entries, 500 bytes") { list in
            try Fixture.report(Fixture.manifest(Fixture.holding(list, missing: [try manifestEntry(of: list)])))
        },
        Case(testDescription: "missing everything", reasons: [.incomplete], words: "misses 3 of 3") {
            try Fixture.report(Fixture.manifest(Fixture.holding($0, missing: $0.closure.entries)))
        },
        Case(testDescription: "incomplete, stale and expired", reasons: [.expired, .stale, .incomplete], words: "") {
            try Fixture.report(
                Fixture.manifest(
                    issued: .seconds(-7000), expires: .seconds(-1),
                    Fixture.holding($0, missing: $0.closure.entries, verified: .seconds(-7200))))
        },
        Case(testDescription: "a right root with missing entries", reasons: [.contradictory], words: "equals") { list in
            try Fixture.report(
                tampered(Fixture.manifest(Fixture.holding(list, missing: list.closure.entries))) {
                    $0.replacing("\(Closure([]).root)", with: "\(list.closure.root)")
                })
        },
        Case(testDescription: "a wrong root without missing entries", reasons: [.contradictory], words: "differs") {
            list in
            try Fixture.report(
                tampered(Fixture.manifest(Fixture.holding(list))) {
                    $0.replacing("\(list.closure.root)", with: "\(Closure([]).root)")
                })
        },
    ]

    static func evidence(_ reports: [SiteName: SiteReport]) throws -> Evidence {
        Evidence(reports: reports, memory: GateMemory(environment: try EnvironmentName("lab")))
    }

    static func manifestEntry(of list: ImageList) throws -> ClosureEntry {
        try #require(list.closure.entries.first { $0.kind == .manifest })
    }

    /// A manifest with its document changed, as a site that lies or is broken may publish it.
    static func tampered(_ manifest: CacheManifest, _ change: (String) -> String) throws -> CacheManifest {
        let document = change(String(decoding: try manifest.documentBytes(), as: UTF8.self))
        return try CacheManifest(parsing: Array(document.utf8))
    }

    @Test(arguments: cases)
    func siteIsJudged(_ testCase: Case) throws {
        let list = try Fixture.list()
        var reports: [SiteName: SiteReport] = [
            try SiteName("site-2"): try Fixture.report(
                Fixture.manifest(of: "site-2", Fixture.holding(list)), signedBy: "site-2", at: "site-2")
        ]
        reports[try SiteName("site-1")] = try testCase.report(list)
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now),
            environment: try Fixture.environment(), evidence: try Self.evidence(reports), now: Fixture.now)
        try #require(verdict.sites.map(\.name.text) == ["site-1", "site-2"])
        #expect(verdict.sites[0].reasons.map(\.code) == testCase.reasons)
        #expect(verdict.sites[0].reasons.first.map { $0.message.contains(testCase.words) } ?? true)
        #expect(verdict.sites[1].isReady)
        #expect(verdict.isReady == testCase.reasons.isEmpty)
    }

    @Test func missingEntriesAreNamed() throws {
        let list = try Fixture.list()
        let missing = try Self.manifestEntry(of: list)
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now),
            environment: try Fixture.environment(sites: ["site-1"]),
            evidence: try Self.evidence([
                try SiteName("site-1"): try Fixture.report(Fixture.manifest(Fixture.holding(list, missing: [missing])))
            ]),
            now: Fixture.now)
        #expect(verdict.sites.first?.reasons.first?.missing == [missing])
    }

    @Test func nothingStagedBlocks() throws {
        let verdict = compare(
            list: try ListName("platform"), staged: nil, environment: try Fixture.environment(),
            evidence: try Self.evidence([:]),
            now: Fixture.now)
        #expect(!verdict.isReady)
        #expect(verdict.reasons.map(\.code) == [.nothingStaged])
        #expect(verdict.sites.isEmpty)
    }

    @Test func withoutSitesNothingIsProved() throws {
        let list = try Fixture.list()
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now),
            environment: try Fixture.environment(sites: []), evidence: try Self.evidence([:]), now: Fixture.now)
        #expect(!verdict.isReady)
        #expect(verdict.reasons.map(\.code) == [.noSites])
    }

    @Test func sitesThatTheFleetDoesNotNameBlock() throws {
        let list = try Fixture.list()
        var reports: [SiteName: SiteReport] = [:]
        for site in ["site-1", "site-9"] {
            reports[try SiteName(site)] = try Fixture.report(
                Fixture.manifest(of: site, Fixture.holding(list)), signedBy: site, at: site)
        }
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now),
            environment: try Fixture.environment(sites: ["site-1"]), evidence: try Self.evidence(reports),
            now: Fixture.now)
        #expect(!verdict.isReady)
        try #require(verdict.sites.map(\.name.text) == ["site-1", "site-9"])
        #expect(verdict.sites[1].reasons.map(\.code) == [.unknownSite])
        #expect(verdict.sites[1].reasons[0].message.contains("rollcall site forget site-9 --environment lab"))
    }

    @Test func laddersAreClimbedRungByRung() throws {
        let list = try Fixture.list()
        let (lab, production) = (try EnvironmentName("lab"), try EnvironmentName("production"))
        var record = EnvironmentRecord(environment: lab)
        #expect(refusalToStage(list, to: lab, after: nil) == nil)
        #expect(refusalToStage(list, to: production, after: record)?.code == .notPromotedBefore)
        record.stage(.init(to: list, by: "a@b", at: Fixture.now), as: list.name)
        #expect(refusalToStage(list, to: production, after: record)?.code == .notPromotedBefore)
        record.promote(.init(to: list, by: "a@b", at: Fixture.now), as: list.name)
        #expect(refusalToStage(list, to: production, after: record) == nil)
        // The same content under another name, and another generation under the same name, are other lists.
        #expect(refusalToStage(try Fixture.list("other"), to: production, after: record)?.code == .notPromotedBefore)
        #expect(refusalToStage(try Fixture.list(tag: "2"), to: production, after: record)?.code == .notPromotedBefore)
        // What was promoted and was replaced still was promoted.
        record.promote(.init(to: try Fixture.list(tag: "2"), by: "a@b", at: Fixture.now), as: list.name)
        #expect(refusalToStage(list, to: production, after: record) == nil)
    }
}
