import OCI
import Testing

@testable import Readiness

/// How deep the proof must be.
@Suite struct DepthTests {
    private let list: ImageList

    init() throws { list = try Fixture.list() }

    private func reasons(within: Duration?, readAgo: Int64?) throws -> [Reason.Code] {
        let place = try Fixture.environment(sites: ["site-1"])
        let environment = try Fleet.Environment(
            name: place.name, sites: place.sites, freshness: place.freshness, contentWithin: within)
        let holding = CacheManifest.Holding(
            of: list, missing: [], verifiedAt: Fixture.now.advanced(by: .seconds(-60)),
            depth: readAgo == nil ? .presence : .content,
            contentVerifiedAt: readAgo.map { Fixture.now.advanced(by: .seconds(-$0)) })
        let verdict = compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now), environment: environment,
            evidence: try CompareTests.evidence([
                try SiteName("site-1"): try Fixture.report(Fixture.manifest(holding))
            ]), now: Fixture.now)
        return verdict.sites[0].reasons.map(\.code)
    }

    @Test func presenceIsEnoughWhereNothingElseIsAsked() throws {
        #expect(try reasons(within: nil, readAgo: nil) == [])
        #expect(try reasons(within: nil, readAgo: 100_000) == [])
    }

    @Test func contentMustHaveBeenReadInTime() throws {
        #expect(try reasons(within: .seconds(3600), readAgo: nil) == [.contentUnread])
        #expect(try reasons(within: .seconds(3600), readAgo: 3600) == [])
        #expect(try reasons(within: .seconds(3600), readAgo: 3601) == [.contentStale])
    }

    @Test func aPeriodOfNothingIsRefused() throws {
        #expect(throws: ReadinessError.self) {
            try Fleet.Environment(name: EnvironmentName("lab"), sites: [], contentWithin: .zero)
        }
    }

    /// What was read cannot have been read later than it was said.
    @Test func aReadingOfTheFutureIsNoManifest() throws {
        let holding = CacheManifest.Holding(
            of: list, missing: [], verifiedAt: Fixture.now.advanced(by: .seconds(-60)), depth: .content,
            contentVerifiedAt: Fixture.now.advanced(by: .seconds(60)))
        #expect(throws: ReadinessError.self) { try Fixture.manifest(holding) }
    }
}
