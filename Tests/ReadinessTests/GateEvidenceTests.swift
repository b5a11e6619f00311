import OCI
import ObjectStore
import Synchronization
import Testing
import Trust

@testable import Readiness

/// What a decision rests on beside the sites' words: the policy, the ladder, the clocks; and that all of it is recorded.
@Suite(.timeLimit(.minutes(5))) struct GateEvidenceTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private let lab: EnvironmentName
    private let production: EnvironmentName

    init() throws {
        lab = try EnvironmentName("lab")
        production = try EnvironmentName("production")
    }

    private func act(_ after: Duration = .zero) -> Act {
        Act(by: "operator@host", at: Fixture.now.advanced(by: after))
    }

    private func prove(
        _ lists: [ImageList], in environment: EnvironmentName, sequence: Int64 = 1, issued: Duration = .seconds(-30),
        at sites: [String] = ["site-1", "site-2"]
    ) async throws {
        for site in sites {
            let manifest = try CacheManifest(
                environment: environment, site: SiteName(site), sequence: sequence,
                issuedAt: Fixture.now.advanced(by: issued),
                expiresAt: Fixture.now.advanced(by: issued + .seconds(3600)), agentVersion: "0.1.0",
                holdings: lists.map { Fixture.holding($0, verified: issued - .seconds(30)) })
            try await store.publish(manifest, signedBy: Fixture.key(of: site))
        }
    }

    private func events(_ actions: AuditEvent.Action...) async throws -> [AuditEvent] {
        try await store.auditRecords(limit: 1000).map(\.event).filter { actions.contains($0.action) }
    }

    // MARK: The policy

    @Test func theRecordSaysByWhatItWasDecided() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab)
        _ = try await store.check(list.name, in: lab, of: fleet, act: act())
        let strict = try #require(try await events(.checked).last?.policy)
        #expect(strict == GatePolicy(try fleet.environment(lab)))
        #expect(strict.freshness == 3600)
        #expect(strict.unsignedManifests == .refuse)
        #expect(strict.depth == .presence)
        #expect(strict.sites == 2)
        #expect(strict.predecessor == nil)
        #expect(GatePolicy(try fleet.environment(production)).predecessor == lab)
        #expect(try await events(.staged).last?.policy == strict)

        // The same answer by a laxer policy is another answer.
        let lax = try Fleet(
            objectStore: fleet.objectStore,
            environments: [
                Fixture.environment(freshness: .seconds(999_999), acceptsUnsigned: true),
                Fixture.environment("production"),
            ])
        #expect(try await store.check(list.name, in: lab, of: lax, act: act()).isReady)
        let last = try #require(try await events(.checked).last?.policy)
        #expect(last.digest != strict.digest)
        #expect(last.unsignedManifests == .accept)
        let change = try #require(try await events(.policyChanged).last)
        #expect(change.policy == last)
        #expect(change.details["freshness"] == "999999 s, was 3600 s")
        #expect(change.details["unsignedManifests"] == "accept, was refuse")
        guard case .promoted = try await store.promote(list.name, in: lab, of: lax, act: act()) else {
            Issue.record("it is ready")
            return
        }
        #expect(try await events(.promoted).last?.policy == last)
        // Nothing has changed since.
        let count = try await store.auditRecords(limit: 1000).count
        _ = try await store.check(list.name, in: lab, of: lax, act: act())
        #expect(try await store.auditRecords(limit: 1000).count == count)
    }

    /// Two coordinators with different fleet files, as while one is rolled out: what each of them asks for, and what it is
    /// answered, is recorded once, and not with every question.
    @Test func twoFleetFilesAtOnceAreRecordedOnce() async throws {
        let (list, strict) = (try Fixture.list(), try Fixture.fleet())
        let lax = try Fleet(
            objectStore: strict.objectStore,
            environments: [Fixture.environment(freshness: .seconds(7200)), Fixture.environment("production")])
        _ = try await store.stage(list, to: lab, of: strict, act: act())
        try await prove([list], in: lab)
        func ask(_ fleet: Fleet, at minutes: Int) async throws {
            _ = try await store.check(list.name, in: lab, of: fleet, act: act(.seconds(60 * minutes)))
        }
        func changes() async throws -> Int { try await events(.policyChanged, .keysChanged).count }
        for fleet in [strict, lax] { try await ask(fleet, at: 0) }
        #expect(try await changes() == 2)
        let (gate, end) = (try await memory.get(CentralStore.memoryKey(of: lab)), try await store.auditEnd())
        for _ in 0..<5 {
            for fleet in [strict, lax] { try await ask(fleet, at: 1) }
        }
        #expect(try await memory.get(CentralStore.memoryKey(of: lab)) == gate)
        #expect(try await store.auditEnd() == end)
        #expect(try await events(.checked).count == 2)
        // However long both are in use.
        for minutes in stride(from: 20, through: 180, by: 20) {
            for fleet in [strict, lax] { try await ask(fleet, at: minutes) }
        }
        #expect(try await changes() == 2)
        // Back to one of them after a while is a change, and so is the other after another while.
        try await ask(lax, at: 230)
        #expect(try await changes() == 2)
        try await ask(strict, at: 245)
        #expect(try await changes() == 3)
        try await ask(lax, at: 400)
        let last = try #require(try await events(.policyChanged).last)
        #expect(try await changes() == 4)
        #expect(last.details == ["freshness": "7200 s, was 3600 s"])
        // What is in use is bounded.
        for seconds in 1...20 {
            let other = try Fleet(
                objectStore: strict.objectStore,
                environments: [
                    Fixture.environment(freshness: .seconds(9000 + seconds)), Fixture.environment("production"),
                ])
            try await ask(other, at: 400)
        }
        #expect(
            try await store.memory(of: lab).memory.otherFiles.count == GateMemory.FileMemory.maximum - 1)
    }

    /// A file that is alone for hours is in use all the same when the next one comes: a coordinator that still has it changes
    /// nothing back.
    @Test func aFileThatWasAloneIsInUse() async throws {
        let (list, strict) = (try Fixture.list(), try Fixture.fleet())
        let lax = try Fleet(
            objectStore: strict.objectStore,
            environments: [Fixture.environment(freshness: .seconds(999_999)), Fixture.environment("production")])
        _ = try await store.stage(list, to: lab, of: strict, act: act())
        for (fleet, minutes) in [(strict, 0), (strict, 300), (lax, 301), (strict, 302), (lax, 303)] {
            _ = try await store.check(list.name, in: lab, of: fleet, act: act(.seconds(60 * minutes)))
        }
        #expect(try await events(.keysChanged, .policyChanged).map(\.policy?.freshness) == [3600, 999_999])
    }

    /// Whether a manifest is the latest rests on what the gate remembered: the record names that too.
    @Test func whatTheGateRememberedIsNamed() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        let key = try CentralStore.memoryKey(of: lab)
        func remembered() async throws -> AuditEvent.Object {
            .init(key.path, Digest(of: try #require(try await memory.get(key)).bytes))
        }
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        // Nothing was remembered before, and what is remembered now is what it was decided on.
        guard case .refused = try await store.promote(list.name, in: lab, of: fleet, act: act()) else {
            Issue.record("no site has reported")
            return
        }
        #expect(try await events(.promotionRefused).last?.evidence.contains(remembered()) == true)
        try await prove([list], in: lab)
        guard case .promoted = try await store.promote(list.name, in: lab, of: fleet, act: act()) else {
            Issue.record("it is ready")
            return
        }
        let promotion = try #require(try await events(.promoted).last)
        #expect(promotion.evidence.count { $0.object == key.path } == 1)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
        let before = try await remembered()
        // Another answer: the record names what was remembered before it.
        try await prove([], in: lab, sequence: 2)
        _ = try await store.check(list.name, in: lab, of: fleet, act: act())
        let named = try #require(try await events(.checked).last).evidence.filter { $0.object == key.path }
        #expect(named.count == 1 && named != [before])
    }

    @Test func theEndOfAKeyAndTheSitesAreRecordedToo() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        _ = try await store.check(list.name, in: lab, of: fleet, act: act())
        let end = Fixture.now.advanced(by: .seconds(86_400))
        func site(_ name: String, registry: String? = nil, end: Timestamp? = nil) throws -> Fleet.Site {
            Fleet.Site(
                name: try SiteName(name), registry: registry ?? "https://registry.\(name).example",
                keys: [.init(try Fixture.key(of: name).publicKey, notAfter: end)])
        }
        func check(_ sites: [Fleet.Site]) async throws {
            let other = try Fleet(
                objectStore: fleet.objectStore,
                environments: [
                    Fleet.Environment(name: lab, sites: sites, freshness: .seconds(3600)),
                    Fixture.environment("production"),
                ])
            _ = try await store.check(list.name, in: lab, of: other, act: act())
        }
        try await check([site("site-1", end: end), site("site-2")])
        let id = try Fixture.key(of: "site-1").publicKey.id
        #expect(try await events(.keysChanged).last?.details == ["site-1": "\(id) is valid until \(end)"])
        try await check([site("site-1"), site("site-2", registry: "https://other.example")])
        let last = try #require(try await events(.keysChanged).last)
        #expect(last.details["site-1"] == "\(id) is valid without an end")
        #expect(last.details["site site-2"] == "registry https://other.example, was https://registry.site-2.example")
        try await check([site("site-1")])
        #expect(try await events(.keysChanged).last?.details["site site-2"] == "removed")
    }

    // MARK: The ladder

    /// Two generations were promoted in the lab; the second is staged to production, whose sites hold it.
    private func climb() async throws -> (one: ImageList, two: ImageList, fleet: Fleet) {
        let (one, two, fleet) = (try Fixture.list(), try Fixture.list(tag: "2"), try Fixture.fleet())
        for (sequence, list) in [(1, one), (2, two)] as [(Int64, ImageList)] {
            _ = try await store.stage(list, to: lab, of: fleet, act: act())
            try await prove([one, two], in: lab, sequence: sequence)
            _ = try await store.promote(list.name, in: lab, of: fleet, act: act())
        }
        _ = try await store.stage(two, to: production, of: fleet, act: act())
        try await prove([two], in: production)
        return (one, two, fleet)
    }

    @Test func whatWasTakenBackBelowIsNotPromotedAbove() async throws {
        let (_, two, fleet) = try await climb()
        #expect(try await store.check(two.name, in: production, of: fleet, act: act()).isReady)
        _ = try await store.promote(two.name, in: lab, of: fleet, act: act(), move: .rollback)
        let verdict = try await store.check(two.name, in: production, of: fleet, act: act())
        #expect(verdict.reasons.map(\.code) == [.notPromotedBefore])
        for isDryRun in [true, false] {
            guard
                case .refused(let verdict) = try await store.promote(
                    two.name, in: production, of: fleet, act: act(), isDryRun: isDryRun)
            else {
                Issue.record("it was taken back in the lab")
                return
            }
            #expect(verdict.reasons.map(\.code) == [.notPromotedBefore])
        }
        let refusal = try #require(try await events(.promotionRefused).last)
        let record = try #require(try await memory.get(CentralStore.recordKey(of: lab)))
        #expect(refusal.evidence.contains(.init("environments/lab/record.json", Digest(of: record.bytes))))
        #expect(try await events(.staged).last?.evidence.map(\.object) == ["environments/lab/record.json"])

        // Promoted there again, it climbs; and what is promoted above stays ready whatever becomes of it below.
        _ = try await store.promote(two.name, in: lab, of: fleet, act: act())
        guard case .promoted = try await store.promote(two.name, in: production, of: fleet, act: act()) else {
            Issue.record("it is promoted in the lab")
            return
        }
        _ = try await store.promote(two.name, in: lab, of: fleet, act: act(), move: .rollback)
        #expect(try await store.check(two.name, in: production, of: fleet, act: act()).isReady)
    }

    @Test func whatIsTakenBackWhileItIsStagedIsNotStaged() async throws {
        let (one, two, fleet) = try await climb()
        _ = try await store.stage(one, to: production, of: fleet, act: act())
        // Somebody changes the record between reading and swapping it, and takes the list back below.
        let other = try Fixture.list("other", tag: "3")
        let (store, lab, production) = (store, lab, production)
        for key in ["lists", "record"] {
            memory.beforeNextPut { _ in
                _ = try? await store.promote(two.name, in: lab, of: fleet, act: Fixture.act, move: .rollback)
                guard key == "record" else { return }
                _ = try? await store.stage(other, to: production, of: fleet, act: Fixture.act)
            }
            guard case .refused(let reason) = try await store.stage(two, to: production, of: fleet, act: act()) else {
                Issue.record("it was taken back in the lab before the record was swapped")
                return
            }
            #expect(reason.code == .notPromotedBefore)
            _ = try await store.promote(two.name, in: lab, of: fleet, act: act())
        }
    }

    /// A generation that is taken back counts as promoted no more, although it was promoted twice.
    @Test func aGenerationThatIsTakenBackIsInNoHistory() async throws {
        let (one, two, fleet) = try await climb()
        for list in [one, two] {
            _ = try await store.stage(list, to: lab, of: fleet, act: act())
            _ = try await store.promote(list.name, in: lab, of: fleet, act: act())
        }
        _ = try await store.promote(two.name, in: lab, of: fleet, act: act(), move: .rollback)
        let state = try #require(try await store.record(of: lab).record.lists[two.name])
        #expect(state.hasPromoted(one.generation))
        #expect(!state.hasPromoted(two.generation))
    }

    // MARK: Clocks

    /// A manifest from a clock ahead blocks now, and does not become young proof when our clock gets there.
    @Test func aManifestThatWasSeenEarlierIsNotYounger() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        // Three hours ahead, for one hour; freshness is an hour.
        try await prove([list], in: lab, issued: .seconds(10_800))
        let skewed = try await store.check(list.name, in: lab, of: fleet, act: act())
        #expect(skewed.sites.allSatisfy { $0.reasons.map(\.code) == [.clockSkew] })
        let later = try await store.check(list.name, in: lab, of: fleet, act: act(.seconds(10_800)))
        #expect(later.sites.allSatisfy { $0.reasons.map(\.code) == [.expired, .stale] })
        // The next one, from a clock that was set, counts.
        try await prove([list], in: lab, sequence: 2, issued: .seconds(10_790))
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act(.seconds(10_800))).isReady)
    }

    /// Old proof looks young to a clock that is behind: what other coordinators did tells.
    @Test(arguments: ["staging", "a look", "a change below"]) func aClockThatIsBehindIsNoticed(_ by: String)
        async throws
    {
        let (_, two, fleet) = try await climb()
        #expect(try await store.check(two.name, in: production, of: fleet, act: act()).isReady)
        let other = try Fixture.list("other")
        switch by {
        case "staging": _ = try await store.stage(other, to: lab, of: fleet, act: act(.seconds(7200)))
        case "a look":
            // What is not answered differently leaves nothing but the sighting.
            let site = try SiteName("site-2")
            let manifest = try Fixture.manifest(of: "site-2", sequence: 3)
            let report = try Fixture.report(manifest, signedBy: "site-2", at: "site-2")
            let environment = try Fixture.environment()
            try await store.changeMemory(of: lab) { memory in
                memory.remember([site: report], of: environment, at: Fixture.now.advanced(by: .seconds(7200)))
            }
        default: _ = try await store.stage(other, to: lab, of: fleet, act: act(.seconds(7200)))
        }
        let place = by == "a change below" ? production : lab
        let verdict = try await store.check(two.name, in: place, of: fleet, act: act())
        #expect(verdict.reasons.map(\.code) == [.clockSkew])
    }

    /// The time is that of the end of the reading: a slow store must not make proof younger.
    @Test func theTimeIsTakenAfterTheEvidence() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab)
        let (memory, before) = (memory, memory.reads)
        // Each read takes ten minutes.
        let slow = CentralStore(
            memory, clock: { Fixture.now.advanced(by: .seconds(600 * (memory.reads - before))) }, backoff: { _ in })
        let verdict = try await slow.check(list.name, in: lab, of: fleet, act: act())
        #expect(verdict.decidedAt > Fixture.now)
        #expect(!verdict.isReady)
    }

    /// The store's clock is nobody's of those who decide: S3 tells it, and so do a file server's times.
    @Test func theStoresClockTells() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab)
        for (lead, codes) in [
            (nil, []), (300, []), (-300, []), (301, [.clockSkew]), (-301, [.clockSkew]),
        ] as [(Int?, [Reason.Code])] {
            memory.setClockLead(lead.map { .seconds($0) })
            let verdict = try await store.check(list.name, in: lab, of: fleet, act: act())
            #expect(verdict.reasons.map(\.code) == codes, "\(lead ?? 0)")
            #expect(verdict.isReady == codes.isEmpty)
            let other = try Fixture.list("other \(lead ?? 0)".replacing(" ", with: "."))
            guard case .refused(let reason) = try await store.stage(other, to: lab, of: fleet, act: act()) else {
                #expect(codes.isEmpty)
                continue
            }
            #expect(codes == [reason.code])
        }
    }

    // MARK: The chain

    /// A site that has seen the chain up to an end.
    private func bearWitness(
        _ end: AuditHead, holding list: ImageList, at site: String = "site-1", isSigned: Bool = true
    )
        async throws
    {
        let manifest = try CacheManifest(
            environment: lab, site: SiteName(site), sequence: 2, issuedAt: Fixture.now.advanced(by: .seconds(-20)),
            expiresAt: Fixture.now.advanced(by: .seconds(3600)), agentVersion: "0.1.0",
            holdings: [Fixture.holding(list)], auditHead: end)
        try await store.publish(manifest, signedBy: isSigned ? Fixture.key(of: site) : nil)
    }

    /// The chain ends before what a site has seen of it and signed, and its head with it; or goes on in another way.
    @Test(arguments: [false, true]) func aChainThatASiteSawLongerClosesTheGate(_ isWrittenAnew: Bool) async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
        let end = try await store.auditEnd()
        try await bearWitness(end, holding: list)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)

        let (key, headKey) = (try CentralStore.auditKey(end.sequence), try CentralStore.auditHeadKey())
        let (last, head) = (try #require(try await memory.get(key)), try #require(try await memory.get(headKey)))
        try await memory.delete(headKey)
        try await memory.delete(key)
        if isWrittenAnew { try await store.record(AuditEvent(.staged, act())) }
        let verdict = try await store.check(list.name, in: lab, of: fleet, act: act())
        #expect(verdict.reasons.map(\.code) == [.auditCutOff])
        let words = isWrittenAnew ? "another one is there" : "it is not there"
        let message = try #require(verdict.reasons.first).message
        #expect(
            message.contains("'site-1' has seen record \(end.sequence) of the audit chain") && message.contains(words))
        #expect(message.contains("the agent of 'site-1' was used with another store: remove its 'audit-head'"))
        #expect(verdict.sites.filter { !$0.isReady }.isEmpty)
        guard
            case .refused = try await store.promote(list.name, in: lab, of: fleet, act: act(), isDryRun: true)
        else {
            Issue.record("a chain that lacks records promotes nothing")
            return
        }
        let standing = try await FleetStanding(of: fleet, in: store, at: Fixture.now)
        #expect(standing.verdicts.map { $0.reasons.map(\.code) } == [[.auditCutOff]])
        // Nothing is recorded in the place of what is not there: no refusal, and not what another fleet file asks for.
        guard case .refused = try await store.promote(list.name, in: lab, of: fleet, act: act()) else {
            Issue.record("a chain that lacks records promotes nothing")
            return
        }
        let lax = try Fleet(
            objectStore: fleet.objectStore,
            environments: [Fixture.environment(freshness: .seconds(999_999)), Fixture.environment("production")])
        #expect(try await !store.check(list.name, in: lab, of: lax, act: act()).isReady)
        #expect(try await store.auditEnd().sequence == (isWrittenAnew ? end.sequence : end.sequence - 1))

        _ = try await memory.put(last.bytes, at: key, condition: .none)
        _ = try await memory.put(head.bytes, at: headKey, condition: .none)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
        #expect(try await store.verifyAudit(fleet: fleet).fault == nil)
    }

    /// One site closes its environment as long as its word counts, and no longer: not with a key that has ended, nor with a
    /// manifest that has expired.
    @Test func aWordThatNoLongerCountsIsNoWitness() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await bearWitness(AuditHead(sequence: 99, digest: Fixture.digest("nothing")), holding: list)
        func codes(_ fleet: Fleet, after: Duration = .zero) async throws -> [Reason.Code] {
            try await store.check(list.name, in: lab, of: fleet, act: act(after)).reasons.map(\.code)
        }
        #expect(try await codes(fleet) == [.auditCutOff])
        #expect(try await codes(fleet, after: .seconds(3601)) == [])
        let ended = try Fleet.Environment(
            name: lab,
            sites: ["site-1", "site-2"].map { name in
                Fleet.Site(
                    name: try SiteName(name), registry: "https://registry.\(name).example",
                    keys: [
                        .init(try Fixture.key(of: name).publicKey, notAfter: Fixture.now.advanced(by: .seconds(-1)))
                    ])
            }, freshness: .seconds(3600))
        #expect(try await codes(Fleet(objectStore: fleet.objectStore, environments: [ended])) == [])
    }

    /// Whoever can write to the store can write what nobody signed.
    @Test func whatNobodySignedIsNoWitness() async throws {
        let list = try Fixture.list()
        let fleet = try Fleet(
            objectStore: Fixture.fleet().objectStore,
            environments: [Fixture.environment(sites: ["site-1"], hasKeys: false, acceptsUnsigned: true)])
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await bearWitness(
            AuditHead(sequence: 99, digest: Fixture.digest("nothing")), holding: list, isSigned: false)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
    }

    // MARK: The registry

    @Test func aManifestAboutAnotherRegistryProvesNothing() throws {
        let list = try Fixture.list()
        func codes(_ url: String?, fleet registry: String = "https://registry.site-1.example") throws -> [Reason.Code] {
            let mapping = try RepositoryMapping([.init(source: "", destination: "mirror")])
            let manifest = try CacheManifest(
                environment: lab, site: SiteName("site-1"), sequence: 1, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0",
                holdings: [Fixture.holding(list)], registry: .init(url: url, mapping: mapping))
            #expect(try CacheManifest(parsing: manifest.documentBytes()) == manifest)
            let site = Fleet.Site(
                name: try SiteName("site-1"), registry: registry, keys: [.init(try Fixture.key(of: "site-1").publicKey)]
            )
            let verdict = compare(
                list: list.name, staged: .init(to: list, by: "a@b", at: Fixture.now),
                environment: try Fleet.Environment(name: lab, sites: [site]),
                evidence: Evidence(
                    reports: [site.name: try Fixture.report(manifest)], memory: GateMemory(environment: lab)),
                now: Fixture.now)
            #expect(verdict.sites[0].registry?.mapping == Digest(of: Array(" mirror\n".utf8)))
            return verdict.sites[0].reasons.map(\.code)
        }
        for same in [
            "https://registry.site-1.example", "https://REGISTRY.site-1.example:443", "registry.site-1.example",
            "http://registry.site-1.example:443/", nil,
        ] { #expect(try codes(same) == [], "\(same ?? "its own")") }
        for other in [
            "https://registry.site-2.example", "http://registry.site-1.example", "https://registry.site-1.example:5000",
            "https://registry.site-1.example.org",
        ] { #expect(try codes(other) == [.otherRegistry], "\(other)") }
        #expect(try codes("http://[::1]:5000", fleet: "http://[::1]:5000") == [])
        #expect(try codes("https://[::1]", fleet: "https://[::1]:443") == [])
    }

    // MARK: Bounds

    /// What is larger than its kind may be is not taken into memory, and is an answer where it concerns one site or waiver.
    @Test func whatIsTooLargeIsNotRead() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab, at: ["site-1"])
        let large = [UInt8](repeating: 0x20, count: CacheManifest.maximumSize + 1)
        _ = try await memory.put(large, at: CentralStore.key(of: SiteName("site-2"), in: lab), condition: .none)
        _ = try await memory.put(large, at: CentralStore.key(of: SiteName("site-9"), in: lab), condition: .none)
        _ = try await memory.put(
            Array(large.prefix(Waiver.maximumSize + 1)), at: CentralStore.key(ofWaiver: "0123456789ab", in: lab),
            condition: .none)
        let verdict = try await store.check(list.name, in: lab, of: fleet, act: act())
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.unreadable], [.unknownSite]])
        let waivers = try await store.waivers(of: fleet.environment(lab))
        #expect(waivers.map(\.defect).allSatisfy { $0?.contains("at most") == true })
        #expect(waivers.count == 1)
    }

    @Test func tooManyUnknownSitesAreAnError() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        for number in 0...CentralStore.maximumUnknownSites {
            _ = try await memory.put(
                [0x7B], at: CentralStore.key(of: SiteName("s\(number)"), in: lab), condition: .none)
        }
        await #expect {
            try await store.check(list.name, in: lab, of: fleet, act: act())
        } throws: {
            "\($0)".contains("more than 1000 sites")
        }
    }

    // MARK: Memory

    @Test func anotherFleetFileForgetsNothing() async throws {
        let (list, fleet) = (try Fixture.list(), try Fixture.fleet())
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list], in: lab, sequence: 2)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
        let smaller = try Fleet(
            objectStore: fleet.objectStore,
            environments: [Fixture.environment(sites: ["site-1"]), Fixture.environment("production")])
        _ = try await store.check(list.name, in: lab, of: smaller, act: act())
        try await prove([list], in: lab, sequence: 1, issued: .seconds(-40), at: ["site-2"])
        let verdict = try await store.check(list.name, in: lab, of: fleet, act: act())
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[], [.replayed]])
    }

    @Test func theMemoryIsBounded() throws {
        let environment = try Fixture.environment(sites: ["site-1"])
        var memory = GateMemory(environment: lab)
        for number in 0...GateMemory.maximumSightings {
            memory.sites[try SiteName("s\(number)")] = .init(
                sequence: 1, issuedAt: Fixture.now.advanced(by: .seconds(number)), digest: Fixture.digest("x"),
                firstSeenAt: nil)
        }
        memory.remember([:], of: environment, at: Fixture.now)
        #expect(memory.sites.count == GateMemory.maximumSightings)
        #expect(memory.sites[try SiteName("s0")] == nil)
    }
}
