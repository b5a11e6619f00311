import OCI
import ObjectStore
import Testing

@testable import Readiness

@Suite struct CentralStoreTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory) }
    private let lab = try? EnvironmentName("lab")
    private var labName: EnvironmentName { get throws { try #require(lab) } }

    /// Stages a list to the lab and lets every site prove it.
    private func stageAndProve(_ list: ImageList) async throws {
        _ = try await store.stage(list, to: labName, of: Fixture.fleet(), act: Fixture.act)
        for site in ["site-1", "site-2"] {
            try await publish(Fixture.manifest(of: site, Fixture.holding(list)))
        }
    }

    /// Publishes a manifest as its site's agent does.
    private func publish(_ manifest: CacheManifest) async throws {
        try await store.publish(manifest, signedBy: Fixture.key(of: manifest.site.text))
    }

    @Test func aListClimbsTheLadder() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        let (lab, production) = (try labName, try EnvironmentName("production"))
        guard case .refused(let reason) = try await store.stage(list, to: production, of: fleet, act: Fixture.act)
        else {
            Issue.record("production must not be staged first")
            return
        }
        #expect(reason.code == .notPromotedBefore)
        #expect(try await store.list(list.generation) == nil)

        guard case .staged = try await store.stage(list, to: lab, of: fleet, act: Fixture.act) else {
            Issue.record("the first rung takes any list")
            return
        }
        #expect(try await store.list(list.generation) == list)
        guard case .refused(let verdict) = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        else {
            Issue.record("silent sites must block")
            return
        }
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.silent], [.silent]])

        try await stageAndProve(list)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: Fixture.act).isReady)
        guard case .promoted(let pointer, _) = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        else {
            Issue.record("what every site proved must be promoted")
            return
        }
        #expect(pointer.generation == list.generation)
        #expect(try await store.record(of: lab).record.lists[list.name]?.promoted == pointer)
        guard case .alreadyPromoted = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act) else {
            Issue.record("promoting again changes nothing")
            return
        }
        guard case .staged = try await store.stage(list, to: production, of: fleet, act: Fixture.act) else {
            Issue.record("what was promoted climbs on")
            return
        }
        // A lease, not a latch: what was promoted is blocked again once a site misses something.
        try await publish(
            Fixture.manifest(of: "site-2", sequence: 2, Fixture.holding(list, missing: list.closure.entries)))
        guard case .refused = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act) else {
            Issue.record("a site that lost content must block")
            return
        }
    }

    @Test func stagingAgainChangesNothingAndRestagingCloses() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        try await stageAndProve(list)
        let before = try await store.record(of: labName)
        let later = Act(by: "other@host", at: Fixture.now.advanced(by: .seconds(60)))
        guard case .alreadyStaged(let pointer) = try await store.stage(list, to: labName, of: fleet, act: later) else {
            Issue.record("the same generation is staged already")
            return
        }
        #expect(pointer.by == "operator@host")
        #expect(try await store.record(of: labName).etag == before.etag)
        _ = try await store.stage(Fixture.list(tag: "2"), to: labName, of: fleet, act: later)
        let verdict = try await store.check(list.name, in: labName, of: fleet, act: Fixture.act)
        #expect(verdict.sites.allSatisfy { $0.reasons.map(\.code) == [.otherGeneration] })
    }

    @Test func listsOfOneEnvironmentLiveSideBySide() async throws {
        let fleet = try Fixture.fleet()
        let (one, two) = (try Fixture.list("one"), try Fixture.list("two"))
        for list in [one, two] { _ = try await store.stage(list, to: labName, of: fleet, act: Fixture.act) }
        let record = try await store.record(of: labName).record
        #expect(Set(record.lists.keys) == [one.name, two.name])
    }

    @Test func aRaceOverTheSameListIsRefused() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try labName)
        let other = try Fixture.list(tag: "2")
        try await stageAndProve(list)
        memory.beforeNextPut { [store] _ in
            _ = try? await store.stage(other, to: lab, of: fleet, act: Fixture.act)
        }
        guard case .refused(let verdict) = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act)
        else {
            Issue.record("a list that was staged anew meanwhile must not be promoted")
            return
        }
        #expect(verdict.reasons.map(\.code) == [.changedMeanwhile])
        let state = try await store.record(of: lab).record.lists[list.name]
        #expect(state?.promoted == nil)
        #expect(state?.staged?.generation == other.generation)
    }

    @Test func aRaceOverAnotherListIsRetried() async throws {
        let (list, fleet, lab) = (try Fixture.list(), try Fixture.fleet(), try labName)
        let other = try Fixture.list("other")
        try await stageAndProve(list)
        memory.beforeNextPut { [store] _ in
            _ = try? await store.stage(other, to: lab, of: fleet, act: Fixture.act)
        }
        guard case .promoted = try await store.promote(list.name, in: lab, of: fleet, act: Fixture.act) else {
            Issue.record("another list's change is no reason to refuse")
            return
        }
        let record = try await store.record(of: lab).record
        #expect(record.lists[list.name]?.promoted != nil)
        #expect(record.lists[other.name]?.staged != nil)
    }

    @Test func oneOfTwentyConcurrentPromotionsWins() async throws {
        let (list, fleet, lab, store) = (try Fixture.list(), try Fixture.fleet(), try labName, store)
        try await stageAndProve(list)
        let outcomes = try await withThrowingTaskGroup(of: PromotionOutcome.self) { group in
            for promoter in 0..<20 {
                group.addTask {
                    try await store.promote(
                        list.name, in: lab, of: fleet, act: Act(by: "promoter-\(promoter)@host", at: Fixture.now))
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let winners = outcomes.filter { if case .promoted = $0 { true } else { false } }
        #expect(winners.count == 1)
        #expect(try await store.record(of: lab).record.lists[list.name]?.history == [])
    }

    @Test func concurrentStagingsOfTwentyListsAllArrive() async throws {
        let (fleet, lab, store) = (try Fixture.fleet(), try labName, store)
        try await withThrowingTaskGroup { group in
            for index in 0..<20 {
                group.addTask {
                    _ = try await store.stage(Fixture.list("list-\(index)"), to: lab, of: fleet, act: Fixture.act)
                }
            }
            try await group.waitForAll()
        }
        #expect(try await store.record(of: lab).record.lists.count == 20)
    }

    @Test func historyIsBounded() throws {
        var record = EnvironmentRecord(environment: try labName)
        let name = try ListName("platform")
        for tag in 0..<40 {
            record.promote(.init(to: try Fixture.list(tag: "\(tag)"), by: "a@b", at: Fixture.now), as: name)
        }
        let state = try #require(record.lists[name])
        #expect(state.history.count == EnvironmentRecord.maximumHistory)
        #expect(state.history.first?.generation == (try Fixture.list(tag: "38")).generation)
    }

    @Test func anUnreachableStoreThrowsAndIsNeverReady() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        try await stageAndProve(list)
        memory.fail(with: ObjectStoreError(.unavailable, "down", at: "memory"))
        await #expect(throws: ObjectStoreError.self) {
            try await store.check(list.name, in: labName, of: fleet, act: Fixture.act)
        }
        await #expect(throws: ObjectStoreError.self) {
            try await store.promote(list.name, in: labName, of: fleet, act: Fixture.act)
        }
        memory.fail(with: nil)
        #expect(try await store.record(of: labName).record.lists[list.name]?.promoted == nil)
    }

    @Test func damagedReportsAreReportsAndStrayObjectsAreErrors() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        try await stageAndProve(list)
        for damage in ["", "{", #"{"schema":"rollcall.cache-manifest/v2"}"#] {
            _ = try await memory.put(
                Array(damage.utf8), at: ObjectKey("environments/lab/sites/site-1.json"), condition: .none)
            let verdict = try await store.check(list.name, in: labName, of: fleet, act: Fixture.act)
            #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.unreadable], []])
        }
        _ = try await memory.put([], at: ObjectKey("environments/lab/sites/site-1.json.bak"), condition: .none)
        await #expect {
            try await store.check(list.name, in: labName, of: fleet, act: Fixture.act)
        } throws: {
            "\($0)".contains("site-1.json.bak")
        }
    }

    @Test func damagedRecordsAndListsAreErrors() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let key = try ObjectKey("lists/\(list.generation.hex).json")
        _ = try await memory.put(try Fixture.list(tag: "2").documentBytes, at: key, condition: .none)
        await #expect { try await store.list(list.generation) } throws: { "\($0)".contains(key.path) }
        await #expect { try await store.publish(list) } throws: { "\($0)".contains(key.path) }
        for damage in [
            "{", #"{"schema":"rollcall.environment-record/v9","environment":"lab","lists":{}}"#,
            #"{"schema":"rollcall.environment-record/v1","environment":"other","lists":{}}"#,
            #"{"schema":"rollcall.environment-record/v1","environment":"lab","lists":{"..":{}}}"#,
        ] {
            _ = try await memory.put(
                Array(damage.utf8), at: ObjectKey("environments/lab/record.json"), condition: .none)
            await #expect(throws: ReadinessError.self) { try await store.record(of: labName) }
        }
    }

    @Test func pollingReadsARecordOnce() async throws {
        let list = try Fixture.list()
        try await stageAndProve(list)
        let first = try await store.record(of: labName)
        #expect(try await store.record(of: labName, changedSince: first.etag) == nil)
        _ = try await store.stage(Fixture.list(tag: "2"), to: labName, of: Fixture.fleet(), act: Fixture.act)
        #expect(try await store.record(of: labName, changedSince: first.etag) != nil)
    }

    @Test func manySitesAreReadAcrossPages() async throws {
        let list = try Fixture.list()
        for site in 0..<50 { try await publish(Fixture.manifest(of: "site-\(site)", Fixture.holding(list))) }
        #expect(try await store.reports(of: Fixture.environment()).count == 50)
        #expect(try await store.reports(of: Fixture.environment("la")).isEmpty)
    }

    @Test func forgottenSitesAreGone() async throws {
        let site = try SiteName("site-1")
        try await publish(Fixture.manifest(Fixture.holding(Fixture.list())))
        #expect(try await store.forget(site, in: labName, act: Fixture.act))
        #expect(try await store.report(of: site, in: labName) == nil)
        #expect(try await !store.forget(site, in: labName, act: Fixture.act))
    }
}
