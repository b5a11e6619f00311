import Board
import OCI
import Readiness
import Testing

@testable import Coordinator

/// What is expected of sites, verdict by verdict.
@Suite struct OutlookTests {
    private let start = Timestamp(seconds: 1_800_000_000)

    /// A verdict on one site, so many seconds later.
    private func verdict(
        after seconds: Int64 = 0, missing: Int? = nil, progress: CacheManifest.Progress? = nil, tag: String = "1"
    ) throws -> Verdict {
        let list = try Workplace.list(tag: tag, layers: 10)
        let now = start.advanced(by: .seconds(seconds))
        let place = try Fleet.Environment(
            name: EnvironmentName("lab"), sites: [.init(name: SiteName("lab-1"), registry: "https://r.example")],
            acceptsUnsigned: true)
        var evidence = Evidence(reports: [:], memory: GateMemory(environment: place.name))
        if let missing {
            let blobs = list.closure.entries.filter { $0.kind == .blob }
            let manifest = try CacheManifest(
                environment: place.name, site: place.sites[0].name, sequence: 1, issuedAt: now,
                expiresAt: now.advanced(by: .seconds(60)), agentVersion: "test",
                holdings: [.init(of: list, missing: blobs.prefix(missing), verifiedAt: now, depth: .presence)],
                progress: progress)
            evidence.reports[manifest.site] = SiteReport(reading: try manifest.objectBytes(signedBy: nil), keys: [])
        }
        return compare(
            list: list.name, staged: .init(to: list, by: "a@b", at: start), environment: place, evidence: evidence,
            now: now)
    }

    @Test func theSitesOwnEstimateCounts() throws {
        var outlook = Outlook()
        let readyAt = start.advanced(by: .seconds(90))
        let progress = CacheManifest.Progress(
            bytesDone: 1000, bytesTotal: 4000, bytesPerSecond: 100, estimatedReadyAt: readyAt)
        let verdict = try verdict(missing: 3, progress: progress)
        #expect(outlook.see(verdict) == [.at(readyAt)])
        #expect(
            outlook.lines(verdict) == [
                "waiting: 0 of 1 sites ready, all of them in about 1 min 30 s",
                "  lab-1: incomplete, 25 % of 3.9 KiB, 100 B/s: ready in about 1 min 30 s",
            ])
        // What should have been over long ago was an error.
        #expect(outlook.see(try self.verdict(after: 151, missing: 3, progress: progress)) == [.unknown])
    }

    @Test func pausesAreTold() throws {
        var outlook = Outlook()
        let until = start.advanced(by: .seconds(3600))
        let progress = CacheManifest.Progress(bytesDone: 0, bytesTotal: 10, pausedUntil: until)
        let verdict = try verdict(missing: 3, progress: progress)
        #expect(outlook.see(verdict) == [.pausedUntil(until)])
        #expect(outlook.lines(verdict).last?.hasSuffix("transfers are paused until \(until)") == true)
    }

    /// Without the site's own word: six of the ten layers are left after ten seconds that brought four.
    @Test func otherwiseTheMissingBytesTell() throws {
        var outlook = Outlook()
        #expect(outlook.see(try verdict(missing: 10)) == [.unknown])
        #expect(outlook.see(try verdict(after: 5, missing: 10)) == [.unknown])
        #expect(outlook.see(try verdict(after: 10, missing: 6)) == [.at(start.advanced(by: .seconds(25)))])
        // More is missing than before: it begins anew; and so does another generation.
        #expect(outlook.see(try verdict(after: 20, missing: 8)) == [.unknown])
        #expect(outlook.see(try verdict(after: 30, missing: 4)) == [.at(start.advanced(by: .seconds(40)))])
        #expect(outlook.see(try verdict(after: 40, missing: 2, tag: "2")) == [.unknown])
        #expect(outlook.see(try verdict(after: 50, missing: 0, tag: "2")) == [.ready])
    }

    @Test func whatIsSilentHasNoEstimate() throws {
        var outlook = Outlook()
        #expect(outlook.see(try verdict()) == [.unknown])
    }
}
