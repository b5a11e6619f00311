import FoundationEssentials
import OCI
import ObjectStore
import Readiness
import Registry
import TestSupport
import Testing
import Trust

@testable import Agent
@testable import Transfer

@Suite struct SitePassTests {
    private let fixture: SiteFixture

    init() throws { fixture = try SiteFixture() }

    @Test func nothingStagedIsComplete() async throws {
        defer { fixture.directory.remove() }
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(report.summary == "nothing is staged or promoted")
        #expect(try await fixture.manifest()?.holdings.isEmpty == true)
    }

    @Test func syncBringsWhatIsStagedAndOpensTheGate() async throws {
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", "1", "api"), ("web/db", nil, "db")))
        #expect(try await !fixture.verdict("web").isReady)
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(report.delivered.count == 4)
        #expect(report.complaints.isEmpty)
        #expect(report.summary == "1 list, 4 entries, 34 B: brought 4 (34 B): complete")
        #expect(try await fixture.verdict("web").isReady)
        // Nothing is left to do: one look, and nothing moves.
        fixture.registry.with { $0.inventories = 0 }
        let second = try await fixture.run(.sync)
        #expect(second.summary == "1 list, 4 entries, 34 B: complete")
        #expect(fixture.registry.with { $0.inventories } == 1)
    }

    @Test func verifyMovesNothingAndNamesWhatIsMissing() async throws {
        defer { fixture.directory.remove() }
        let list = try await fixture.stage(list("web", ("web/api", "1", "api"), ("web/db", nil, "db")))
        _ = try await fixture.run(.sync)
        let lost = try #require(list.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { state in
            state.present.remove(lost.identity)
            state.brought = []
            state.tags = []
        }
        let report = try await fixture.run(.verify)
        #expect(report.missing == [lost])
        #expect(!report.isComplete)
        #expect(report.complaints == ["missing: \(lost.repository)@\(lost.digest) (blob, \(lost.size) B)"])
        #expect(fixture.registry.with { $0.brought.isEmpty && $0.tags.isEmpty })
        #expect(try await fixture.manifest()?.holdings.first?.missing == [lost])
        #expect(try await !fixture.verdict("web").isReady)
    }

    @Test func aFailingBlobDoesNotStopTheRest() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", nil, "api")))
        try await fixture.stage(list("tools", ("tools/cli", nil, "cli")))
        let bad = try #require(web.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { $0.failing[bad.digest] = "central.example: HTTP 500" }
        let report = try await fixture.run(.sync)
        #expect(report.missing == [bad])
        #expect(report.complaints == ["\(bad.repository)@\(bad.digest): central.example: HTTP 500"])
        #expect(try await !fixture.verdict("web").isReady)
        #expect(try await fixture.verdict("tools").isReady)
    }

    /// The registry's answer to a push is not the proof: what it serves afterwards is.
    @Test func whatTheRegistryLosesIsMissing() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", nil, "api")))
        let lost = try #require(web.closure.entries.first)
        fixture.registry.with { $0.losing = [lost.digest] }
        let report = try await fixture.run(.sync)
        #expect(report.missing == [lost])
        #expect(!report.delivered.contains(lost))
        #expect(try await !fixture.verdict("web").isReady)
    }

    @Test func anUnreachableRegistryLeavesNoManifest() async throws {
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        fixture.registry.with { $0.isUnreachable = true }
        await #expect(throws: FakeRegistry.Unreachable.self) { try await fixture.run(.sync) }
        #expect(try await fixture.manifest() == nil)
    }

    @Test func anUnreadableListDoesNotStopTheOthers() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", nil, "api")))
        let tools = try await fixture.stage(list("tools", ("tools/cli", nil, "cli")))
        try await fixture.stage(list("docs", ("docs/site", nil, "site")))
        let objects = try fixture.fleet.objectStore.open()
        try await objects.delete(ObjectKey("lists/\(web.generation.hex).json"))
        _ = try await objects.put(
            Array("{}".utf8), at: ObjectKey("lists/\(tools.generation.hex).json"), condition: .none)
        let report = try await fixture.run(.sync)
        #expect(!report.isComplete)
        #expect(report.unreadableLists == 2)
        #expect(report.missing.isEmpty)
        #expect(report.failures.count == 2)
        #expect(report.failures.contains { $0.contains("\(web.generation)") && $0.contains("stage it again") })
        #expect(report.failures.contains { $0.contains("lists/\(tools.generation.hex).json") })
        #expect(try await fixture.verdict("docs").isReady)
        #expect(try await !fixture.verdict("web").isReady)
    }

    /// A staged generation must not move a tag that clusters may use; once promoted, it does.
    @Test func onlyPromotedListsMoveTags() async throws {
        defer { fixture.directory.remove() }
        let first = try await fixture.stage(list("web", ("web/api", "1", "old"), ("web/db", nil, "db")))
        _ = try await fixture.run(.sync)
        #expect(fixture.registry.with { $0.tags.map(\.moves) } == [false])
        try await fixture.promote("web")
        let second = try await fixture.stage(list("web", ("web/api", "1", "new")))
        _ = try await fixture.run(.sync)
        #expect(try fixture.registry.with { $0.tags } == [assignment(first, moves: true)])
        try await fixture.promote("web")
        _ = try await fixture.run(.sync)
        #expect(try fixture.registry.with { $0.tags } == [assignment(second, moves: true)])
    }

    @Test func missingImagesGetNoTags() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", "1", "api"), ("web/db", "1", "db")))
        let bad = try #require(web.images.first { $0.repository.name == "web/api" })
        fixture.registry.with { $0.failing[bad.digest] = "HTTP 500" }
        _ = try await fixture.run(.sync)
        #expect(fixture.registry.with { $0.tags.map(\.repository.name) } == ["web/db"])
    }

    @Test func theSequenceNeverGoesBack() async throws {
        defer { fixture.directory.remove() }
        _ = try await fixture.run(.verify)
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.sequence == 2)
        // An agent whose state is lost goes on from what the site has published.
        _ = try await fixture.run(.verify, state: "new")
        #expect(try await fixture.manifest()?.sequence == 3)
        // And one whose manifest is lost goes on from its state.
        _ = try await fixture.central.forget(
            fixture.site, in: fixture.environment, act: Act(by: "test@host", at: fixture.clock.now))
        _ = try await fixture.run(.verify, state: "new")
        #expect(try await fixture.manifest()?.sequence == 4)
    }

    /// What a pass came to is recorded when it is another outcome than before, and the manifest names the chain's end.
    @Test func passesAreRecordedWhenTheirOutcomeChanges() async throws {
        defer { fixture.directory.remove() }
        _ = try await fixture.run(.sync)
        let web = try await fixture.stage(list("web", ("web/api", "1", "api")))
        _ = try await fixture.run(.verify)
        for _ in 0..<3 { _ = try await fixture.run(.sync) }
        fixture.registry.with { $0.present = [] }
        for _ in 0..<2 { _ = try await fixture.run(.verify) }
        let records = try await fixture.central.auditRecords(limit: 100)
        #expect(records.map(\.event.action) == [.staged, .siteIncomplete, .siteComplete, .siteIncomplete])
        #expect(records.dropFirst().allSatisfy { $0.event.site == fixture.site })
        #expect(records[1].event.details == ["web@\(web.generation.short)": "2 missing"])
        #expect(records[2].event.details == ["web@\(web.generation.short)": "complete"])
        #expect(records[1].event.by.key == fixture.key.publicKey)
        #expect(try await fixture.manifest()?.auditHead?.sequence == 4)
        #expect(try await fixture.central.verifyAudit().fault == nil)
    }

    /// Where the chain lacks what the site has seen of it, the pass is not recorded in its place, and says so; the manifest is
    /// published all the same. Without what was remembered, everything goes on.
    @Test func nothingTakesThePlaceOfWhatTheSiteHasSeen() async throws {
        defer { fixture.directory.remove() }
        let objects = try fixture.fleet.objectStore.open()
        func pass(_ mode: SitePass.Mode) async throws -> PassReport {
            try await fixture.pass(central: CentralStore(objects)).run(
                mode, record: try await fixture.central.record(of: fixture.environment).record)
        }
        try await fixture.stage(list("web", ("web/api", "1", "api")))
        for _ in 0..<2 { #expect(try await pass(.sync).failures.isEmpty) }
        #expect(try await fixture.manifest()?.auditHead?.sequence == 2)
        let last = try ObjectKey("audit/000000000002.json")
        try await objects.delete(last)
        try await objects.delete(ObjectKey("audit/head.json"))
        fixture.registry.with { $0.present = [] }

        let report = try await pass(.verify)
        #expect(report.failures.contains { $0.contains("has seen record 2 of the audit chain, and it is not there") })
        #expect(try await fixture.manifest()?.holdings.first?.missingEntries == 2)
        #expect(try await fixture.manifest()?.auditHead?.sequence == 2)
        #expect(try await objects.get(last) == nil)

        for name in ["audit-head", "recorded"] {
            try FileManager.default.removeItem(atPath: fixture.directory.file("state/\(name)"))
        }
        #expect(try await pass(.verify).failures.isEmpty)
        #expect(try await objects.get(last) != nil)
    }

    @Test func aClockThatIsSetBackMakesNoContradiction() async throws {
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let registry = SlowRegistry(fixture.registry) { fixture.clock.advance(by: -10) }
        let pass = try fixture.pass()
        let report = try await SitePass(
            site: pass.site, environment: pass.environment, validity: pass.validity, version: pass.version,
            owner: pass.owner, central: pass.central, registry: registry, state: pass.state, journal: pass.journal,
            signingKey: pass.signingKey,
            now: pass.now
        ).run(.verify, record: fixture.central.record(of: fixture.environment).record)
        #expect(report.missing.count == 2)
        let manifest = try #require(try await fixture.manifest())
        #expect(manifest.holdings.allSatisfy { $0.verifiedAt <= manifest.issuedAt })
    }

    /// The registry's answers are as old as they are: the manifest must not claim otherwise.
    @Test func theTimeOfTheProofIsThatOfTheOldestAnswer() async throws {
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        fixture.registry.with { $0.answerAge = .milliseconds(41_500) }
        _ = try await fixture.run(.sync)
        let manifest = try #require(try await fixture.manifest())
        #expect(manifest.issuedAt == fixture.clock.now)
        // Whole seconds, never later than it was.
        #expect(manifest.holdings.first?.verifiedAt == manifest.issuedAt.advanced(by: .seconds(-42)))
        #expect(manifest.expiresAt == manifest.issuedAt.advanced(by: .seconds(3600)))
    }

    /// So must the look that damage makes necessary: it covers nothing that is lost while it lasts.
    @Test func theTimeOfALookIsThatOfItsBeginning() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", nil, "api")))
        #expect(try await fixture.run(.sync).isComplete)
        let entry = try #require(web.closure.entries.first)
        try fixture.journal().recordFault(fixture.registry.place(of: entry.identity), reason: "wrong bytes")
        let start = fixture.clock.now
        let registry = SlowRegistry(fixture.registry) { fixture.clock.advance(by: 600) }
        let pass = try fixture.pass()
        let report = try await SitePass(
            site: pass.site, environment: pass.environment, validity: pass.validity, version: pass.version,
            owner: pass.owner, central: pass.central, registry: registry, state: pass.state, journal: pass.journal,
            signingKey: pass.signingKey, now: pass.now
        ).run(.sync, record: fixture.central.record(of: fixture.environment).record)
        #expect(report.isComplete)
        let manifest = try #require(try await fixture.manifest())
        #expect(manifest.issuedAt == start.advanced(by: .seconds(600)))
        #expect(manifest.holdings.first?.verifiedAt == start)
    }

    /// Outside the windows a site proves what it has, says why it has no more, and fails nothing.
    @Test func aPauseIsNoFailure() async throws {
        defer { fixture.directory.remove() }
        let web = try await fixture.stage(list("web", ("web/api", "1", "api")))
        fixture.registry.with {
            $0.pause = TransferPause(.window, "no transfer window is open", until: 1_800_000_000, in: .utc)
        }
        var report = try await fixture.run(.sync)
        #expect(!report.isComplete)
        #expect(report.failures.isEmpty)
        #expect(
            report.complaints == [
                "transfers are paused, 2 entries wait: no transfer window is open until 2027-01-15 08:00 UTC"
            ])
        #expect(Set(try await fixture.manifest()?.holdings.first?.missing ?? []) == Set(web.closure.entries))
        fixture.registry.with { $0.pause = nil }
        report = try await fixture.run(.sync)
        #expect(report.isComplete)
    }

    /// A source that went wrong is named although another made up for it.
    @Test func faultySourcesAreNamed() async throws {
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        fixture.registry.with { $0.sourceFaults = ["b.example": "HTTP 503", "a.example": "wrong bytes"] }
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(report.complaints == ["source a.example: wrong bytes", "source b.example: HTTP 503"])
    }

    private func assignment(_ list: ImageList, moves: Bool) throws -> TagAssignment {
        let image = try #require(list.images.first { $0.tag != nil })
        return TagAssignment(
            repository: image.repository, tag: try #require(image.tag), digest: image.digest, moves: moves)
    }
}

/// A registry whose every look takes time.
private struct SlowRegistry: SiteRegistry {
    private let registry: FakeRegistry
    private let afterLook: @Sendable () -> Void

    init(_ registry: FakeRegistry, afterLook: @escaping @Sendable () -> Void) {
        self.registry = registry
        self.afterLook = afterLook
    }

    func inventory(of entries: [ClosureEntry]) async throws -> Inventory {
        defer { afterLook() }
        return try await registry.inventory(of: entries)
    }

    func bring(_ entries: [ClosureEntry], tags: [TagAssignment], events: PassEvents) async throws -> Delivery {
        defer { afterLook() }
        return try await registry.bring(entries, tags: tags, events: events)
    }

    func bringMissing(
        _ inventory: Inventory, pushed: @escaping @Sendable (ClosureEntry) -> Void
    ) async throws -> Delivery { try await registry.bringMissing(inventory, pushed: pushed) }
    func mend(_ manifests: [ClosureEntry]) async throws -> [String] { try await registry.mend(manifests) }
    func readBack(_ entry: ClosureEntry, isBudgeted: Bool) async throws -> ContentProof {
        try await registry.readBack(entry, isBudgeted: isBudgeted)
    }
    func assignTags(
        _ tags: [TagAssignment], assigned: @escaping @Sendable (TagAssignment) -> Void
    ) async throws -> [String] { try await registry.assignTags(tags, assigned: assigned) }
    func place(of entry: ClosureEntry.Identity) throws -> ProofJournal.Place { try registry.place(of: entry) }
}
