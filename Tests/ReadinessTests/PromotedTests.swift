import OCI
import ObjectStore
import Testing
import Trust

@testable import Readiness

/// What is promoted is judged too, beside what is staged and whatever that is.
@Suite(.timeLimit(.minutes(5))) struct PromotedTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private let lab: EnvironmentName
    /// What is promoted.
    private let one: ImageList
    /// What is staged.
    private let two: ImageList
    /// What is neither.
    private let three: ImageList

    init() throws {
        lab = try EnvironmentName("lab")
        one = try Fixture.list(tag: "1")
        two = try Fixture.list(tag: "2")
        three = try Fixture.list(tag: "3")
    }

    // MARK: The decision, pure

    struct Case: CustomTestStringConvertible, Sendable {
        let testDescription: String
        /// How many entries site-1 misses of what is promoted, and of what is staged; `nil` where it has not looked.
        let promoted: Int?
        let staged: Int?
        /// What is expected of site-1 for each of them; empty for ready. site-2 holds both.
        let promotedReasons: [Reason.Code]
        let stagedReasons: [Reason.Code]
    }

    static let cases = [
        Case(testDescription: "both", promoted: 0, staged: 0, promotedReasons: [], stagedReasons: []),
        Case(
            testDescription: "the next one is on its way", promoted: 0, staged: 2, promotedReasons: [],
            stagedReasons: [.incomplete]),
        Case(
            testDescription: "the next one is not looked at yet", promoted: 0, staged: nil, promotedReasons: [],
            stagedReasons: [.otherGeneration]),
        Case(
            testDescription: "what runs has lost an entry", promoted: 1, staged: 0, promotedReasons: [.incomplete],
            stagedReasons: []),
        Case(
            testDescription: "what runs is not looked at any more", promoted: nil, staged: 0,
            promotedReasons: [.otherGeneration], stagedReasons: []),
        Case(
            testDescription: "neither", promoted: nil, staged: nil, promotedReasons: [.unknownList],
            stagedReasons: [.unknownList]),
    ]

    private static func state(staged: ImageList?, promoted: ImageList?) throws -> EnvironmentRecord.ListState? {
        let name = try ListName("platform")
        var record = EnvironmentRecord(environment: try EnvironmentName("lab"))
        if let promoted { record.promote(.init(to: promoted, by: "a@b", at: Fixture.now), as: name) }
        if let staged { record.stage(.init(to: staged, by: "a@b", at: Fixture.now), as: name) }
        return record.lists[name]
    }

    @Test(arguments: cases) func eachGenerationIsJudgedByItself(_ testCase: Case) throws {
        func report(of site: String, promoted: Int?, staged: Int?) throws -> SiteReport {
            var holdings: [CacheManifest.Holding] = []
            for (list, missing) in [(one, promoted), (two, staged)] {
                guard let missing else { continue }
                holdings.append(Fixture.holding(list, missing: Array(list.closure.entries.prefix(missing))))
            }
            let manifest = try CacheManifest(
                environment: lab, site: SiteName(site), sequence: 1, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(3600)), agentVersion: "0.1.0", holdings: holdings)
            return try Fixture.report(manifest, signedBy: site, at: site)
        }
        let reports = [
            try SiteName("site-1"): try report(
                of: "site-1", promoted: testCase.promoted, staged: testCase.staged),
            try SiteName("site-2"): try report(of: "site-2", promoted: 0, staged: 0),
        ]
        let state = try Self.state(staged: two, promoted: one)
        for (subject, list, reasons) in [
            (.staged, two, testCase.stagedReasons), (.promoted, one, testCase.promotedReasons),
        ] as [(Verdict.Subject, ImageList, [Reason.Code])] {
            let verdict = compare(
                list: list.name, about: subject, in: state, environment: try Fixture.environment(),
                evidence: try CompareTests.evidence(reports), now: Fixture.now)
            #expect(verdict.subject == subject)
            #expect(verdict.judged?.generation == list.generation)
            #expect(verdict.sites.map { $0.reasons.map(\.code) } == [reasons, []])
            #expect(verdict.isReady == reasons.isEmpty)
        }
    }

    @Test func whatIsNotPromotedBlocks() throws {
        let (environment, evidence) = (try Fixture.environment(), try CompareTests.evidence([:]))
        for state in [nil, try Self.state(staged: two, promoted: nil)] {
            let verdict = compare(
                list: two.name, about: .promoted, in: state, environment: environment, evidence: evidence,
                now: Fixture.now)
            #expect(!verdict.isReady)
            #expect(verdict.reasons.map(\.code) == [.notPromoted])
            #expect(
                verdict.reasons.first?.message.contains("run 'rollcall promote platform --environment lab'") == true)
            #expect(verdict.sites.isEmpty)
            #expect(verdict.bound(to: two.generation) == verdict)
        }
        let verdict = compare(
            list: one.name, about: .promoted, in: try Self.state(staged: two, promoted: one),
            environment: environment, evidence: evidence, now: Fixture.now)
        #expect(verdict.bound(to: one.generation) == verdict)
        #expect(verdict.bound(to: two.generation).reasons.map(\.code) == [.notPromoted])
    }

    /// What is promoted has climbed the ladder: taking it back below does not take it from those who run it.
    @Test func theLadderIsForWhatIsStaged() throws {
        let production = try Fixture.fleet().environment(EnvironmentName("production"))
        let evidence = Evidence(reports: [:], memory: GateMemory(environment: production.name))
        let state = try Self.state(staged: two, promoted: one)
        for (subject, reasons) in [(.staged, [.notPromotedBefore]), (.promoted, [])]
            as [(Verdict.Subject, [Reason.Code])]
        {
            let verdict = compare(
                list: one.name, about: subject, in: state, environment: production, evidence: evidence,
                now: Fixture.now)
            #expect(verdict.reasons.map(\.code) == reasons)
        }
    }

    @Test func aGenerationIsWhatTheRecordHasItAs() throws {
        let different = try #require(try Self.state(staged: two, promoted: one))
        #expect(different.subject(of: two.generation) == .staged)
        #expect(different.subject(of: one.generation) == .promoted)
        #expect(different.subject(of: three.generation) == nil)
        let same = try #require(try Self.state(staged: one, promoted: one))
        #expect(same.subject(of: one.generation) == .staged)
    }

    // MARK: In the store

    /// As the sites' agents publish.
    private func prove(
        _ holdings: CacheManifest.Holding..., sequence: Int64, at sites: [String] = ["site-1", "site-2"]
    ) async throws {
        for site in sites {
            let manifest = try CacheManifest(
                environment: lab, site: SiteName(site), sequence: sequence, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(3600)), agentVersion: "0.1.0", holdings: holdings)
            try await store.publish(manifest, signedBy: Fixture.key(of: site))
        }
    }

    /// The first generation is promoted, the second is staged, and every site holds both.
    private func promoteAndStageTheNext(_ fleet: Fleet) async throws {
        _ = try await store.stage(one, to: lab, of: fleet, act: Fixture.act)
        try await prove(Fixture.holding(one), sequence: 1)
        guard case .promoted = try await store.promote(one.name, in: lab, of: fleet, act: Fixture.act) else {
            Issue.record("what every site proved is promoted")
            return
        }
        _ = try await store.stage(two, to: lab, of: fleet, act: Fixture.act)
        try await prove(Fixture.holding(one), Fixture.holding(two), sequence: 2)
    }

    private func check(
        _ fleet: Fleet, about subject: Verdict.Subject? = nil, generation: Digest? = nil
    ) async throws -> Verdict {
        try await store.check(
            one.name, in: lab, of: fleet, act: Fixture.act, about: subject, generation: generation)
    }

    @Test func aSiteThatLostWhatRunsBlocksWhatRunsAndNothingElse() async throws {
        let fleet = try Fixture.fleet()
        try await promoteAndStageTheNext(fleet)
        #expect(try await check(fleet, about: .promoted).isReady)
        let lost = one.closure.entries[0]
        try await prove(
            Fixture.holding(one, missing: [lost]), Fixture.holding(two), sequence: 3, at: ["site-1"])
        let verdict = try await check(fleet, about: .promoted)
        #expect(!verdict.isReady)
        #expect(verdict.judged?.generation == one.generation)
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.incomplete], []])
        #expect(verdict.sites.first?.reasons.first?.missing == [lost])

        // What is staged is another question, and so is its promotion.
        #expect(try await check(fleet).isReady)
        guard case .possible = try await store.promote(two.name, in: lab, of: fleet, act: Fixture.act, isDryRun: true)
        else {
            Issue.record("every site holds what is staged")
            return
        }
    }

    @Test func theGenerationDecidesWhatIsAsked() async throws {
        let fleet = try Fixture.fleet()
        try await promoteAndStageTheNext(fleet)
        for (subject, list, isAbout, reasons) in [
            (nil, two, .staged, []), (nil, one, .promoted, []), (nil, three, .staged, [.anotherStaged]),
            (.staged, two, .staged, []), (.staged, one, .staged, [.anotherStaged]),
            (.promoted, one, .promoted, []), (.promoted, two, .promoted, [.notPromoted]),
        ] as [(Verdict.Subject?, ImageList, Verdict.Subject, [Reason.Code])] {
            let verdict = try await check(fleet, about: subject, generation: list.generation)
            #expect(verdict.subject == isAbout)
            #expect(verdict.reasons.map(\.code) == reasons)
            #expect(verdict.isReady == reasons.isEmpty)
        }
    }

    @Test func entriesThatAreMissedOfWhatRunsAreNamed() async throws {
        let fleet = try Fixture.fleet()
        let large = try Fixture.list(tag: "4", layers: 200)
        _ = try await store.stage(large, to: lab, of: fleet, act: Fixture.act)
        try await prove(Fixture.holding(large), sequence: 1)
        _ = try await store.promote(large.name, in: lab, of: fleet, act: Fixture.act)
        _ = try await store.stage(two, to: lab, of: fleet, act: Fixture.act)
        let missing = Array(large.closure.entries.prefix(150))
        try await store.publish(
            inventory: try #require(CacheManifest.Holding.inventory(of: large, missing: missing)))
        try await prove(
            Fixture.holding(large, missing: missing), Fixture.holding(two), sequence: 2, at: ["site-1"])
        let verdict = try await check(fleet, about: .promoted)
        let named = try await store.missing(of: verdict)
        #expect(named[try SiteName("site-1")]?.map(\.digest) == missing.map(\.digest))
    }

    @Test func aWaiverIsForTheGenerationThatItNames() async throws {
        let jane = Fleet.Approver(
            name: try ApproverName("jane"), keys: [.init(try Fixture.key(of: "jane").publicKey)])
        let fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [Fixture.environment("lab"), Fixture.environment("production")], approvers: [jane])
        try await promoteAndStageTheNext(fleet)
        try await prove(
            Fixture.holding(one, missing: [one.closure.entries[0]]),
            Fixture.holding(two, missing: [two.closure.entries[0]]), sequence: 3, at: ["site-1"])
        let waiver = try Waiver(
            environment: lab, site: SiteName("site-1"), list: one.name, generation: one.generation,
            reason: "the link is down", approver: jane.name, issuedAt: Fixture.now,
            expiresAt: Fixture.now.advanced(by: .seconds(3600)))
        try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet, act: Fixture.act)
        let promoted = try await check(fleet, about: .promoted)
        #expect(promoted.isReady)
        #expect(promoted.waivers == [waiver])
        let staged = try await check(fleet)
        #expect(staged.sites.first?.reasons.map(\.code) == [.incomplete, .waiverMismatched])
    }

    // MARK: What is remembered

    /// Who asks about the one does not make the answer about the other a new one.
    @Test func answersAboutBothAreRecordedOnce() async throws {
        let fleet = try Fixture.fleet()
        try await promoteAndStageTheNext(fleet)
        func checks() async throws -> [AuditEvent] {
            try await store.auditRecords(limit: 1000).map(\.event).filter { $0.action == .checked }
        }
        for _ in 0..<3 {
            _ = try await check(fleet)
            _ = try await check(fleet, about: .promoted)
            _ = try await check(fleet, generation: one.generation)
            _ = try await check(fleet, about: .promoted, generation: three.generation)
        }
        var events = try await checks()
        #expect(events.map(\.generation) == [two.generation, one.generation])
        #expect(events.map { $0.details["of"] } == [nil, "promoted"])
        #expect(events.map(\.ready) == [true, true])

        let missing = Fixture.holding(one, missing: [one.closure.entries[0]])
        try await prove(missing, Fixture.holding(two), sequence: 3, at: ["site-1"])
        for _ in 0..<3 {
            _ = try await check(fleet)
            _ = try await check(fleet, about: .promoted)
        }
        events = try await checks()
        #expect(events.count == 3)
        #expect(events.last?.generation == one.generation)
        #expect(events.last?.ready == false)
        #expect(events.last?.sites.map(\.reasons) == [["incomplete"], []])
        #expect(try await store.verifyAudit().fault == nil)
    }

    /// What a version remembered that knew of one answer alone is the one about what is staged.
    @Test func anOlderMemoryIsOfWhatIsStaged() async throws {
        let fleet = try Fixture.fleet()
        try await promoteAndStageTheNext(fleet)
        _ = try await check(fleet)
        let key = try CentralStore.memoryKey(of: lab)
        let bytes = try #require(try await memory.get(key)).bytes
        #expect(!String(decoding: bytes, as: UTF8.self).contains("promotedAnswers"))
        let end = try await store.auditEnd()
        _ = try await check(fleet)
        #expect(try await store.auditEnd() == end)
        _ = try await check(fleet, about: .promoted)
        #expect(try await store.auditEnd().sequence == end.sequence + 1)
        #expect(try await store.memory(of: lab).memory.promotedAnswers.keys.map(\.text) == ["platform"])

        // Nobody makes the memory grow by asking about what there is not.
        let name = try ListName("anything")
        let answer = try #require(try await store.memory(of: lab).memory.promotedAnswers[one.name])
        try await store.changeMemory(of: lab) { $0.promotedAnswers[name] = answer }
        _ = try await store.check(name, in: lab, of: fleet, act: Fixture.act, about: .promoted)
        #expect(try await store.memory(of: lab).memory.promotedAnswers.keys.map(\.text) == ["platform"])
    }

    // MARK: Looking

    @Test func aStandingHasBothDecisionsWhereTheyAreTwo() async throws {
        let fleet = try Fixture.fleet()
        _ = try await store.stage(one, to: lab, of: fleet, act: Fixture.act)
        try await prove(Fixture.holding(one), sequence: 1)
        func list() async throws -> FleetStanding.List {
            let standing = try await FleetStanding(of: fleet, in: store, at: Fixture.now)
            return try #require(standing.environments.first?.lists.first)
        }
        var standing = try await list()
        #expect(standing.promotedVerdict == nil)
        #expect(standing.decision(about: .staged) == standing.verdict)
        #expect(standing.decision(about: .promoted) == nil)

        _ = try await store.promote(one.name, in: lab, of: fleet, act: Fixture.act)
        standing = try await list()
        #expect(standing.promotedVerdict == nil)
        #expect(standing.decision(about: .promoted) == standing.verdict)

        _ = try await store.stage(two, to: lab, of: fleet, act: Fixture.act)
        standing = try await list()
        #expect(standing.verdict.judged?.generation == two.generation)
        #expect(!standing.verdict.isReady)
        #expect(standing.promotedVerdict?.subject == .promoted)
        #expect(standing.promotedVerdict?.judged?.generation == one.generation)
        #expect(standing.promotedVerdict?.isReady == true)
        #expect(standing.decision(about: .promoted) == standing.promotedVerdict)
    }
}
