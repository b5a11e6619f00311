import ConfigurationFiles
import FoundationEssentials
import OCI
import ObjectStore
import Readiness
import Synchronization
import TestSupport
import Testing
import Trust

@testable import Agent

/// What was proved, and is lost or damaged afterwards.
@Suite(.timeLimit(.minutes(5))) struct DamageTests {
    private let fixture: SiteFixture

    init() throws { fixture = try SiteFixture() }

    /// Reads until nothing is due.
    private func readAll(_ audit: ContentAudit, state: String = "state") async throws {
        while await audit.step() == .zero {}
    }

    private func synced() async throws -> (ImageList, Closure) {
        let list = try await fixture.stage(list("web", ("web/api", "1", "api"), ("web/db", nil, "db")))
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        return (list, report.closure)
    }

    @Test func contentIsReadBackAndSaidSo() async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == nil)
        #expect(try await fixture.manifest()?.holdings.first?.depth == .presence)
        let audit = try fixture.audit()
        try audit.update(closure)
        try await readAll(audit)
        #expect(Set(fixture.registry.with { $0.readBack }) == Set(list.closure.entries))
        let readAt = fixture.clock.now
        fixture.clock.advance(by: 100)
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == readAt)
        #expect(try await fixture.manifest()?.holdings.first?.depth == .content)
        // It survives a restart; and what is new was never read.
        let again = try fixture.audit()
        try again.update(closure)
        try await readAll(again)
        #expect(fixture.registry.with { $0.readBack.count } == list.closure.entries.count)
        try await fixture.stage(self.list())
        _ = try await fixture.run(.sync)
        #expect(try await fixture.manifest()?.holdings.first { $0.list.text == "new" }?.contentVerifiedAt == nil)
        #expect(try await fixture.manifest()?.holdings.first { $0.list.text == "web" }?.contentVerifiedAt == readAt)
    }

    /// What was read back counts as read only as long as it is there: what takes its place is other content.
    @Test(arguments: [false, true]) func contentThatIsBroughtAnewWasNotRead(_ isSeenMissing: Bool) async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        let audit = try fixture.audit()
        try audit.update(closure)
        try await readAll(audit)
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt != nil)

        let lost = try #require(list.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { _ = $0.present.remove(lost.identity) }
        if isSeenMissing { _ = try await fixture.run(.verify) }
        #expect(try await fixture.run(.sync).isComplete)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == nil)
        #expect(try await fixture.manifest()?.holdings.first?.depth == .presence)
        // It is read next, although the closure is the one of before.
        fixture.registry.with { $0.readBack = [] }
        try audit.update(closure)
        try await readAll(audit)
        #expect(fixture.registry.with { $0.readBack } == [lost])
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == fixture.clock.now)
    }

    /// Reading takes long, on a small budget: what is damaged behind the place that is being read is not seen.
    @Test func aReadingCountsFromItsBeginning() async throws {
        defer { fixture.directory.remove() }
        let (_, closure) = try await synced()
        let start = fixture.clock.now
        fixture.registry.whileReading { [fixture] _ in fixture.clock.advance(by: 3600) }
        let audit = try fixture.audit()
        try audit.update(closure)
        #expect(await audit.step() == .zero)
        #expect(try fixture.journal().readings().values.map { $0.at } == [start])
    }

    /// While content is read back, a pass finds it missing and brings it again: what was read is not what is there now.
    @Test func aReadingDoesNotOutliveItsContent() async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        let lost = try #require(list.closure.entries.first { $0.kind == .blob })
        // An agent's passes and its readings have one journal.
        let pass = try fixture.pass()
        let audit = try fixture.audit(journal: pass.journal)
        let record = try await fixture.central.record(of: fixture.environment).record
        fixture.registry.whileReading { [fixture] entry in
            guard entry == lost else { return }
            fixture.registry.with { _ = $0.present.remove(lost.identity) }
            _ = try? await pass.run(.sync, record: record)
        }
        try audit.update(closure)
        try await readAll(audit)
        #expect(fixture.registry.with { $0.present.contains(lost.identity) })
        let read = Set(try pass.journal.readings().keys)
        #expect(read == Set(list.closure.entries.map(\.digest)).subtracting([lost.digest]))
        // It is read next.
        fixture.registry.whileReading { _ in }
        fixture.registry.with { $0.readBack = [] }
        try audit.update(closure)
        try await readAll(audit)
        #expect(fixture.registry.with { $0.readBack } == [lost])
    }

    /// An agent of several to which nothing of a list belongs has nothing to read back, and must not close the gate for ever.
    @Test func aShardThatOwnsNothingHasNothingToRead() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        func holding(_ shard: Shard) async throws -> CacheManifest.Holding? {
            var pass = try fixture.pass()
            pass.shard = shard
            _ = try await pass.run(.verify, record: fixture.central.record(of: fixture.environment).record)
            let report = try await fixture.central.report(
                of: fixture.site, in: fixture.environment, shard: shard, keys: [fixture.key.publicKey])
            return report?.manifest?.holdings.first
        }
        let shards = (0..<Shard.maximum).compactMap { Shard(index: $0, of: Shard.maximum) }
        func owns(_ shard: Shard) -> Bool { list.closure.entries.contains { shard.owns($0.digest) } }
        let (idle, busy) = (try #require(shards.first { !owns($0) }), try #require(shards.first(where: owns)))
        let seen = try #require(try await holding(idle))
        #expect(seen.missingEntries == 0)
        #expect(seen.contentVerifiedAt == seen.verifiedAt)
        #expect(seen.depth == .content)
        #expect(try await holding(busy)?.contentVerifiedAt == nil)
    }

    /// The host's clock is far ahead, everything is read, and the clock is set: nobody knows when it was read, so it is read
    /// again, and proves nothing until then.
    @Test func contentThatAClockAheadReadWasNotRead() async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        let audit = try fixture.audit()
        fixture.clock.advance(by: 365 * 86_400)
        try audit.update(closure)
        try await readAll(audit)
        fixture.clock.advance(by: -365 * 86_400)
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == nil)
        #expect(try await fixture.manifest()?.holdings.first?.depth == .presence)

        fixture.registry.with { $0.readBack = [] }
        try audit.update(closure)
        try await readAll(audit)
        #expect(Set(fixture.registry.with { $0.readBack }) == Set(list.closure.entries))
        let readAt = fixture.clock.now
        // Nor does it count once the clock gets there.
        fixture.clock.advance(by: 366 * 86_400)
        _ = try await fixture.run(.verify)
        #expect(try await fixture.manifest()?.holdings.first?.contentVerifiedAt == readAt)
    }

    /// Nor is damage left alone until then.
    @Test func whatAClockAheadMendedIsMendedAgain() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let bad = try #require(list.closure.entries.first { $0.kind == .blob })
        let place = try fixture.registry.place(of: bad.identity)
        try fixture.journal().recordFault(place, reason: "wrong bytes")
        try fixture.journal().recordMending(place, at: fixture.clock.now.advanced(by: .seconds(365 * 86_400)))
        fixture.registry.with { state in
            state.damaged[bad.identity] = "wrong bytes"
            state.brought = []
        }
        #expect(try await fixture.run(.sync).isComplete)
        #expect(fixture.registry.with { $0.brought } == [bad])
    }

    /// An entry that the registry was not asked for is no proof, and no loss either: nothing is published.
    @Test func whatWasNotAskedForIsNoProof() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let before = try await fixture.manifest()
        let forgotten = try #require(list.closure.entries.first)
        fixture.registry.with { $0.unasked = [forgotten.identity] }
        for mode in [SitePass.Mode.verify, .sync] {
            await #expect {
                try await fixture.run(mode)
            } throws: {
                ($0 as? AgentError)?.message.contains("was not asked for") == true
            }
        }
        #expect(try await fixture.manifest() == before)
    }

    /// Much that is damaged takes long to read back: nobody must take that for a loop that hangs.
    @Test func eachReadingOfWhatWasDamagedIsASignOfLife() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let (registry, journal) = (fixture.registry, try fixture.journal())
        for entry in list.closure.entries {
            try journal.recordFault(registry.place(of: entry.identity), reason: "it hashes to something else")
        }
        let signs = Mutex<Set<Int>>([])
        var pass = try fixture.pass()
        pass.witness.sign = {
            let read = registry.with { $0.readBack.count }
            signs.withLock { _ = $0.insert(read) }
        }
        _ = try await pass.run(.verify, record: try await fixture.central.record(of: fixture.environment).record)
        // Before each of them.
        #expect(signs.withLock { $0 }.isSuperset(of: 0..<list.closure.entries.count))
        #expect(registry.with { $0.readBack.count } == list.closure.entries.count)
    }

    private func list() throws -> ImageList { try AgentTests.list("new", ("new/api", nil, "new")) }
    private func list(_ name: String, _ images: (String, String?, String)...) throws -> ImageList {
        try AgentTests.list(name, images[0], images[1])
    }

    /// Found by reading, missing at the next pass, brought by it, read again, and right.
    @Test func damageIsReportedAndMended() async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        let bad = try #require(list.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { $0.damaged[bad.identity] = "it hashes to something else" }
        // A look does not see it.
        _ = try await fixture.run(.verify)
        #expect(try await fixture.verdict("web").isReady)
        let audit = try fixture.audit()
        try audit.update(closure)
        try await readAll(audit)
        #expect(audit.takeNews())
        #expect(!audit.takeNews())
        // Looking only: it is said, and stays.
        let report = try await fixture.run(.verify)
        #expect(report.missing == [bad])
        #expect(report.complaints.first?.contains("it hashes to something else") == true)
        #expect(try await !fixture.verdict("web").isReady)
        #expect(try await fixture.manifest()?.holdings.first?.missing == [bad])
        fixture.registry.with { $0.brought = [] }
        let sync = try await fixture.run(.sync)
        #expect(sync.isComplete)
        #expect(fixture.registry.with { $0.brought } == [bad])
        #expect(try await fixture.verdict("web").isReady)
        #expect(try fixture.journal().faults().isEmpty)
    }

    /// A registry that keeps what it has: tried once a day, reported all the time, and no pass a minute because of it.
    @Test func whatAnUploadDoesNotReplaceIsLeftAlone() async throws {
        defer { fixture.directory.remove() }
        let (list, closure) = try await synced()
        let bad = try #require(list.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { state in
            state.damaged[bad.identity] = "wrong bytes"
            state.stubborn = [bad.identity]
        }
        let audit = try fixture.audit()
        try audit.update(closure)
        try await readAll(audit)
        fixture.registry.with { $0.brought = [] }
        for attempts in [1, 1] {
            let report = try await fixture.run(.sync)
            #expect(report.missing == [bad])
            #expect(report.isStuck)
            #expect(report.complaints.first?.contains("an upload does not replace it") == true)
            #expect(fixture.registry.with { $0.brought.count } == attempts)
            #expect(try await !fixture.verdict("web").isReady)
        }
        fixture.clock.advance(by: 86_400)
        _ = try await fixture.run(.sync)
        #expect(fixture.registry.with { $0.brought.count } == 2)
        // Somebody removes the file: now it is missing, and an upload helps.
        fixture.registry.with { state in
            state.present.remove(bad.identity)
            state.damaged = [:]
            state.stubborn = []
        }
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(try fixture.journal().faults().isEmpty)
    }

    /// Mended behind our back, too.
    @Test func whatIsRightAgainIsBelieved() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let bad = try #require(list.closure.entries.first)
        try fixture.journal().recordFault(fixture.registry.place(of: bad.identity), reason: "wrong bytes")
        fixture.registry.with { $0.brought = [] }
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(fixture.registry.with { $0.brought.isEmpty })
        #expect(try fixture.journal().readings()[bad.digest] != nil)
    }

    /// What a look itself shows to be damaged is damaged, and treated in the same way.
    @Test func aLookCanShowDamage() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let bad = try #require(list.closure.entries.first { $0.kind == .blob })
        fixture.registry.with { state in
            state.broken[bad.identity] = "no byte of it"
            state.stubborn = [bad.identity]
            state.brought = []
        }
        for _ in 0..<2 {
            let report = try await fixture.run(.sync)
            #expect(report.missing == [bad])
            #expect(fixture.registry.with { $0.brought } == [bad])
        }
        fixture.registry.with { $0.broken = [:] }
        #expect(try await fixture.run(.sync).isComplete)
    }

    /// A push that is answered and changes nothing: pushed in another way.
    @Test func manifestsThatAPushDoesNotBringBackAreMended() async throws {
        defer { fixture.directory.remove() }
        let (list, _) = try await synced()
        let lost = try #require(list.closure.entries.first { $0.kind == .manifest })
        fixture.registry.with { state in
            state.present.remove(lost.identity)
            state.forgotten = [lost.identity]
        }
        let report = try await fixture.run(.sync)
        #expect(report.isComplete)
        #expect(fixture.registry.with { $0.mended } == [lost])
    }

    /// What nobody could read is neither damaged nor read.
    @Test func noAnswerIsNoFinding() async throws {
        defer { fixture.directory.remove() }
        let (_, closure) = try await synced()
        fixture.registry.with { $0.isUnreachable = true }
        let audit = try fixture.audit()
        try audit.update(closure)
        #expect(await audit.step() == ContentAudit.recheck)
        #expect(!audit.takeNews())
        #expect(try fixture.journal().faults().isEmpty)
        #expect(try fixture.journal().readings().isEmpty)
    }

    @Test func aPeriodOfNoneReadsNothing() async throws {
        defer { fixture.directory.remove() }
        let (_, closure) = try await synced()
        let audit = try fixture.audit { $0.period = nil }
        try audit.update(closure)
        #expect(await audit.step() == ContentAudit.recheck)
        #expect(fixture.registry.with { $0.readBack.isEmpty })
    }
}

@Suite struct ProofJournalTests {
    @Test func whatIsKnownOutlivesTheProcess() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("proofs.sqlite")
            let repository = try Repository("mirror/web")
            let digest = Digest(of: Array("x".utf8))
            let place = ProofJournal.Place(repository: repository, digest: digest, kind: .manifest)
            let time = Timestamp(seconds: 1_800_000_000)
            let tag = ProofJournal.AssignedTag(repository: repository, tag: try Tag("1"), digest: digest)
            do {
                let journal = try ProofJournal(path: path, registry: "https://a.example")
                try journal.record(journal.beginReading(of: digest, at: time), in: repository)
                #expect(try journal.readings()[digest]?.at == time)
                try journal.recordFault(place, reason: "bad")
                // What is damaged is not read.
                #expect(try journal.readings().isEmpty)
                try journal.recordMending(place, at: time)
                #expect(try journal.faults()[place]?.mendedAt == time)
                // Damaged in another way: an attempt may help.
                try journal.recordFault(place, reason: "worse")
                #expect(try journal.faults()[place]?.mendedAt == nil)
                try journal.recordMending(place, at: time)
                try journal.recordFault(place, reason: "worse")
                try journal.recordPush(of: digest, to: repository, at: time)
                try journal.recordTag(tag, at: time)
            }
            let journal = try ProofJournal(path: path, registry: "https://a.example")
            #expect(try journal.faults()[place] == .init(place: place, reason: "worse", mendedAt: time))
            #expect(try journal.pushedManifests() == [place])
            #expect(try journal.assignedTags() == [tag])
            try journal.forgetPush(place)
            #expect(try journal.pushedManifests().isEmpty)
            #expect(try journal.assignedTags().isEmpty)
            // Of another registry nothing is known.
            #expect(try ProofJournal(path: path, registry: "https://b.example").faults().isEmpty)
        }
    }

    @Test(arguments: ["not a database at all, but long enough to look at", ""])
    func whatIsDamagedIsBegunAnew(_ content: String) async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("proofs.sqlite", content)
            let journal = try ProofJournal(path: path, registry: "https://a.example")
            #expect(try journal.readings().isEmpty)
        }
        #expect(throws: AgentError.self) { try ProofJournal(path: "/nonexistent/proofs.sqlite", registry: "x") }
    }

    @Test func readingsOfWhatIsNotNeededAreForgotten() async throws {
        try await withTemporaryDirectory { directory in
            let journal = try ProofJournal(path: directory.file("proofs.sqlite"), registry: "https://a.example")
            let digests = (0..<3).map { Digest(of: [UInt8($0)]) }
            for digest in digests {
                try journal.record(journal.beginReading(of: digest, at: Timestamp(seconds: 1)), in: try Repository("a"))
            }
            try journal.keepReadings(of: [digests[1]])
            #expect(Set(try journal.readings().keys) == [digests[1]])
        }
    }
}
