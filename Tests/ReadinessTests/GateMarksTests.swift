import OCI
import ObjectStore
import Synchronization
import Testing
import Trust

@testable import Readiness

/// What the gate remembers beside sites: the record's latest state, and what it must not remember.
@Suite(.timeLimit(.minutes(5))) struct GateMarksTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private let lab: EnvironmentName
    private let production: EnvironmentName
    private let fleet: Fleet

    init() throws {
        lab = try EnvironmentName("lab")
        production = try EnvironmentName("production")
        fleet = try Fixture.fleet()
    }

    private func act(_ after: Duration = .zero) -> Act {
        Act(by: "operator@host", at: Fixture.now.advanced(by: after))
    }

    private func prove(_ lists: [ImageList], in environment: String = "lab", sequence: Int64 = 1) async throws {
        for site in ["site-1", "site-2"] {
            let manifest = try CacheManifest(
                environment: EnvironmentName(environment), site: SiteName(site), sequence: sequence,
                issuedAt: Fixture.now.advanced(by: .seconds(-30)), expiresAt: Fixture.now.advanced(by: .seconds(3600)),
                agentVersion: "0.1.0", holdings: lists.map { Fixture.holding($0) })
            try await store.publish(manifest, signedBy: Fixture.key(of: site))
        }
    }

    private func check(_ list: ImageList, _ act: Act? = nil) async throws -> Verdict {
        try await store.check(list.name, in: lab, of: fleet, act: act ?? self.act())
    }

    private func object(_ key: ObjectKey) async throws -> [UInt8] {
        try #require(try await memory.get(key)).bytes
    }

    // MARK: Old records

    /// A record that somebody puts back, or that the store serves from before: nothing of it is ready, whatever the sites
    /// hold.
    @Test func anOldRecordOpensNothing() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        let key = try CentralStore.recordKey(of: lab)
        _ = try await store.stage(one, to: lab, of: fleet, act: act())
        try await prove([one, two])
        #expect(try await check(one).isReady)
        let old = try await object(key)
        _ = try await store.stage(two, to: lab, of: fleet, act: act())
        let current = try await object(key)

        // Nobody has asked about the new one yet.
        _ = try await memory.put(old, at: key, condition: .none)
        let verdict = try await check(one)
        #expect(verdict.judged?.generation == one.generation)
        #expect(verdict.reasons.map(\.code) == [.recordReplayed])
        #expect(verdict.reasons.first?.message.contains("environments/lab/record.json") == true)
        #expect(verdict.sites.allSatisfy { $0.isReady })
        guard case .refused = try await store.promote(one.name, in: lab, of: fleet, act: act()) else {
            Issue.record("an old record promotes nothing")
            return
        }
        let standing = try await FleetStanding(of: fleet, in: store, at: Fixture.now)
        #expect(standing.verdicts.map { $0.reasons.map(\.code) } == [[.recordReplayed]])

        _ = try await memory.put(current, at: key, condition: .none)
        #expect(try await check(two).isReady)
        // The way back where the current one is lost.
        _ = try await memory.put(old, at: key, condition: .none)
        guard case .staged = try await store.stage(one, to: lab, of: fleet, act: act()) else {
            Issue.record("what is staged anew is staged")
            return
        }
        #expect(try await check(one).isReady)
        _ = try await memory.put(current, at: key, condition: .none)
        #expect(try await check(two).reasons.map(\.code) == [.recordReplayed])
    }

    /// Of the same number of changes, and not the same.
    @Test func anotherRecordOfTheSameAgeOpensNothing() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        _ = try await store.stage(one, to: lab, of: fleet, act: act())
        try await prove([one, two])
        #expect(try await check(one).isReady)
        var current = try await store.record(of: lab)
        current.record.lists[one.name]?.staged = .init(to: two, by: "a@b", at: Fixture.now)
        #expect(try await store.swap(current.record, against: current.etag))
        #expect(try await check(two).reasons.map(\.code) == [.recordReplayed])
    }

    /// The record of the environment before, from before something was taken back there.
    @Test func anOldRecordBelowLetsNothingClimb() async throws {
        let (one, two) = (try Fixture.list(), try Fixture.list(tag: "2"))
        for (index, list) in [one, two].enumerated() {
            _ = try await store.stage(list, to: lab, of: fleet, act: act())
            try await prove([one, two], sequence: Int64(index) + 1)
            _ = try await store.promote(list.name, in: lab, of: fleet, act: act())
        }
        _ = try await store.stage(two, to: production, of: fleet, act: act())
        try await prove([two], in: "production")
        #expect(try await store.check(two.name, in: production, of: fleet, act: act()).isReady)
        let key = try CentralStore.recordKey(of: lab)
        let old = try await object(key)
        guard case .promoted = try await store.promote(one.name, in: lab, of: fleet, act: act(), move: .rollback) else {
            Issue.record("both sites hold both")
            return
        }
        _ = try await memory.put(old, at: key, condition: .none)
        let verdict = try await store.check(two.name, in: production, of: fleet, act: act())
        #expect(verdict.reasons.map(\.code) == [.recordReplayed])
        guard case .refused(let reason) = try await store.stage(two, to: production, of: fleet, act: act()) else {
            Issue.record("an old record below stages nothing")
            return
        }
        #expect(reason.code == .recordReplayed)
    }

    @Test func changesAreCountedAndBounded() throws {
        var record = EnvironmentRecord(environment: lab)
        let list = try Fixture.list()
        let pointer = EnvironmentRecord.Pointer(to: list, by: "a@b", at: Fixture.now)
        record.stage(pointer, as: list.name)
        record.promote(pointer, as: list.name)
        record.stage(pointer, as: list.name, after: 40)
        #expect(record.lists[list.name]?.changes == 41)
        record.stage(pointer, as: list.name, after: .max - 1)
        record.stage(pointer, as: list.name)
        #expect(record.lists[list.name]?.changes == EnvironmentRecord.ListState.maximumChanges)
        let bytes = try Document.encode(record, .invalidRecord)
        #expect(try EnvironmentRecord(parsing: bytes, of: lab, in: "x") == record)
        let text = String(decoding: bytes, as: UTF8.self)
        for changes in ["-1", "9007199254740993"] {
            let damaged = text.replacing("9007199254740992", with: changes)
            #expect(throws: ReadinessError.self) {
                try EnvironmentRecord(parsing: Array(damaged.utf8), of: lab, in: "x")
            }
        }
        // A record of a version that did not count is not older than itself.
        var gate = GateMemory(environment: lab)
        let plain = text.replacing("\"changes\" : 9007199254740992,", with: "")
        let uncounted = try EnvironmentRecord(parsing: Array(plain.utf8), of: lab, in: "x")
        #expect(uncounted.lists[list.name]?.changes == 0)
        gate.remember(uncounted)
        #expect(gate.replayed(in: uncounted).isEmpty)
    }

    // MARK: What is not remembered

    /// Whoever may ask may ask about anything, as often as they like.
    @Test func askingForWhatIsNotThereLeavesNothing() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        _ = try await check(list)
        let (gate, end) = (try await object(CentralStore.memoryKey(of: lab)), try await store.auditEnd())
        for number in 0..<5 {
            let verdict = try await store.check(ListName("anything-\(number)"), in: lab, of: fleet, act: act())
            #expect(verdict.reasons.map(\.code) == [.nothingStaged])
        }
        #expect(try await object(CentralStore.memoryKey(of: lab)) == gate)
        #expect(try await store.auditEnd() == end)
        // What an older version remembered goes.
        let name = try ListName("anything")
        let answer = try #require(try await store.memory(of: lab).memory.answers[list.name])
        try await store.changeMemory(of: lab) { $0.answers[name] = answer }
        _ = try await check(list)
        #expect(try await store.memory(of: lab).memory.answers.keys.map(\.text) == ["platform"])
    }

    @Test func anEnvironmentHasSoManyLists() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        var current = try await store.record(of: lab)
        for number in 1..<EnvironmentRecord.maximumLists {
            current.record.lists[try ListName("list-\(number)")] = .init()
        }
        #expect(try await store.swap(current.record, against: current.etag))
        await #expect {
            try await store.stage(Fixture.list("other"), to: lab, of: fleet, act: act())
        } throws: {
            "\($0)".contains("has 10000 lists")
        }
        guard case .staged = try await store.stage(Fixture.list(tag: "2"), to: lab, of: fleet, act: act()) else {
            Issue.record("a list that is there can be staged anew")
            return
        }
    }

    /// A coordinator whose clock is wrong, as the store tells, notes nothing that would block the others.
    @Test func aWrongClockLeavesNoTimes() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list])
        #expect(try await check(list).isReady)
        try await prove([list], sequence: 2)
        let gate = try await object(CentralStore.memoryKey(of: lab))
        memory.setClockLead(.seconds(-7200))
        #expect(try await check(list, act(.seconds(7200))).reasons.map(\.code) == [.clockSkew])
        memory.setClockLead(nil)
        #expect(try await object(CentralStore.memoryKey(of: lab)) == gate)
        #expect(try await check(list).isReady)
    }

    /// A clock that cannot be asked, as on a full disk, is not one that agrees: nothing is decided, although all that the
    /// answer rests on can be read.
    @Test func aClockThatCannotBeAskedDecidesNothing() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list])
        #expect(try await check(list).isReady)
        memory.failClock(with: ObjectStoreError(.full, "no space is left", at: "store"))
        for _ in 0..<2 {
            await #expect {
                try await check(list)
            } throws: {
                ($0 as? ObjectStoreError)?.code == .full
            }
        }
        await #expect(throws: ObjectStoreError.self) {
            try await store.promote(list.name, in: lab, of: fleet, act: act())
        }
        memory.failClock(with: nil)
        #expect(try await check(list).isReady)
    }

    /// Nor does it forget what others noted as taken back.
    @Test func aWrongClockForgetsNoRevocation() async throws {
        let (list, jane) = (try Fixture.list(), try Fixture.key(of: "jane"))
        let fleet = try Fleet(
            objectStore: fleet.objectStore, environments: [Fixture.environment()],
            approvers: [.init(name: ApproverName("jane"), keys: [.init(jane.publicKey)])])
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        func waive(_ site: String) async throws -> String {
            let waiver = try Waiver(
                environment: lab, site: SiteName(site), list: list.name, generation: list.generation, reason: "late",
                approver: ApproverName("jane"), issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(3600)))
            try await store.add(waiver, signedBy: jane, of: fleet, act: act())
            return waiver.id
        }
        let (first, second) = (try await waive("site-1"), try await waive("site-2"))
        #expect(try await store.revoke(waiver: first, in: lab, act: act()))
        memory.setClockLead(.seconds(-86_400))
        #expect(try await store.revoke(waiver: second, in: lab, act: act(.seconds(86_400))))
        #expect(try await store.memory(of: lab).memory.revokedWaivers.keys.sorted() == [first, second].sorted())
    }

    /// What was noted of a site that the fleet file does not name any more closes nothing; of one that it names, what is
    /// noted is named, and what to do.
    @Test func aTimeFromAheadIsNamed() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list])
        let later = Fixture.now.advanced(by: .seconds(7200))
        func note(_ site: String) async throws {
            let sighting = GateMemory.Sighting(
                sequence: 0, issuedAt: Fixture.now, digest: Fixture.digest("x"), firstSeenAt: later)
            let name = try SiteName(site)
            try await store.changeMemory(of: lab) { $0.sites[name] = sighting }
        }
        try await note("site-9")
        #expect(try await check(list).isReady)
        try await note("site-2")
        try await prove([list], sequence: 0)
        let reason = try #require(try await check(list).reasons.first)
        #expect(reason.code == .clockSkew)
        #expect(reason.message.contains("'site-2' was seen at \(later)"))
        #expect(reason.message.contains("rollcall site forget site-2 --environment lab"))
        // A store with a clock of its own says who is right.
        memory.setKnownClockLead(.zero)
        #expect(try await check(list).reasons.isEmpty)
        memory.setKnownClockLead(.seconds(7200))
        #expect(try await check(list).reasons.map(\.code) == [.clockSkew])
    }

    /// A time from ahead in what is staged goes when it is staged again.
    @Test func stagingAgainSetsItsTime() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act(.seconds(7200)))
        let reason = try #require(try await check(list).reasons.first)
        #expect(reason.code == .clockSkew)
        #expect(reason.message.contains("'platform' was staged to 'lab' by operator@host"))
        guard case .staged = try await store.stage(list, to: lab, of: fleet, act: act()) else {
            Issue.record("what was staged by a clock ahead is staged again")
            return
        }
        #expect(try await check(list).reasons.isEmpty)
    }

    /// Who only looks is told by the store's clock too, where that costs nothing.
    @Test func lookingAsksAStoreThatTellsItsTime() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list])
        for (lead, codes) in [(Duration.seconds(60), []), (.seconds(3600), [Reason.Code.clockSkew])] {
            memory.setKnownClockLead(lead)
            let standing = try await FleetStanding(of: fleet, in: store, at: Fixture.now)
            #expect(standing.verdicts.map { $0.reasons.map(\.code) } == [codes])
            let outcome = try await store.promote(list.name, in: lab, of: fleet, act: act(), isDryRun: true)
            if case .possible = outcome { #expect(codes.isEmpty) } else { #expect(!codes.isEmpty) }
        }
    }

    /// Who holds a key that has ended must not make what the site's valid key signs look old.
    @Test func aKeyThatHasEndedIsNotRemembered() async throws {
        let (old, new) = (try Fixture.key(of: "old"), try Fixture.key(of: "site-1"))
        let site = Fleet.Site(
            name: try SiteName("site-1"), registry: "https://registry.site-1.example",
            keys: [
                .init(old.publicKey, notAfter: Fixture.now.advanced(by: .seconds(-1))), .init(new.publicKey),
            ])
        let fleet = try Fleet(
            objectStore: fleet.objectStore, environments: [Fleet.Environment(name: lab, sites: [site])])
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await store.publish(Fixture.manifest(sequence: .max, Fixture.holding(list)), signedBy: old)
        let verdict = try await store.check(list.name, in: lab, of: fleet, act: act())
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[.keyExpired]])
        #expect(try await store.lastSequence(of: site.name, in: lab) == nil)
        try await store.publish(Fixture.manifest(sequence: 2, Fixture.holding(list)), signedBy: new)
        #expect(try await store.check(list.name, in: lab, of: fleet, act: act()).isReady)
    }

    // MARK: The fleet file's depth

    /// What the fleet file says of earlier promotions is what the agents keep, from the next decision on.
    @Test func theDepthIsTheFleetFiles() async throws {
        let list = try Fixture.list()
        _ = try await store.stage(list, to: lab, of: fleet, act: act())
        try await prove([list])
        func deep(_ depth: Int) throws -> Fleet {
            try Fleet(
                objectStore: fleet.objectStore,
                environments: [
                    Fleet.Environment(
                        name: lab, sites: Fixture.environment().sites, freshness: .seconds(3600), rollbackDepth: depth)
                ])
        }
        _ = try await store.check(list.name, in: lab, of: deep(3), act: act())
        #expect(try await store.record(of: lab).record.rollbackDepth == 3)
        guard case .alreadyStaged = try await store.stage(list, to: lab, of: deep(2), act: act()) else {
            Issue.record("nothing else is staged")
            return
        }
        #expect(try await store.record(of: lab).record.rollbackDepth == 2)
        // Looking changes nothing.
        _ = try await FleetStanding(of: deep(5), in: store, at: Fixture.now)
        #expect(try await store.record(of: lab).record.rollbackDepth == 2)
    }
}
