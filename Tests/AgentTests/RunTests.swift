import Console
import FoundationEssentials
import HTTP
import Logging
import OCI
import ObjectStore
import Readiness
import Registry
import ServiceLifecycle
import ServiceLifecycleTestKit
import Synchronization
import TestSupport
import Testing

@testable import Agent
@testable import Transfer

@Suite struct RunScheduleTests {
    private let start = ContinuousClock.now

    private func schedule() -> RunSchedule { RunSchedule(interval: .seconds(60), verifyInterval: .seconds(3600)) }

    @Test func theFirstPassIsDueAtOnce() {
        #expect(schedule().isDue(changed: false, now: start))
    }

    @Test(arguments: [
        (true, false, 0, false), (true, true, 0, true), (false, false, 0, true), (true, false, 3599, false),
        (true, false, 3600, true),
    ])
    func aPassIsDue(complete: Bool, changed: Bool, later: Int, due: Bool) {
        var schedule = schedule()
        schedule.finished(at: start, complete: complete)
        #expect(schedule.isDue(changed: changed, now: start + .seconds(later)) == due)
    }

    @Test func aPassHasAReason() {
        var schedule = schedule()
        #expect(schedule.reason(now: start) == "the agent has started")
        schedule.finished(at: start, complete: false)
        #expect(schedule.reason(now: start + .seconds(60)) == "the last pass was not complete")
        schedule.finished(at: start, complete: true)
        #expect(schedule.reason(now: start + .seconds(3600)) == "verification is due")
    }

    @Test(arguments: [(0, 30), (0.5, 60), (0.999, 89.94)])
    func waitsLieAroundTheInterval(chance: Double, seconds: Double) {
        #expect(abs(schedule().wait(chance: chance, now: start).seconds - seconds) < 0.001)
    }

    /// While transfers are paused there is nothing to do but to verify, and what was staged meanwhile.
    @Test(arguments: [
        (false, 1, false), (true, 1, true), (false, 599, false), (false, 600, true), (false, 3600, true),
    ])
    func aPausedPassIsDue(changed: Bool, later: Int, due: Bool) {
        var schedule = schedule()
        schedule.finished(at: start, complete: false, resumesAt: start + .seconds(600))
        #expect(schedule.isDue(changed: changed, now: start + .seconds(later)) == due)
    }

    @Test(arguments: [
        // Far from the end of the pause, as always; near to it, until then and a little spread out.
        (0, 0.5, 60.0), (580, 0.5, 35), (580, 0, 20), (599, 0.9, 28), (600, 0.5, 60), (700, 0.5, 60),
    ])
    func waitsEndWithThePause(later: Int, chance: Double, seconds: Double) {
        var schedule = schedule()
        schedule.finished(at: start, complete: false, resumesAt: start + .seconds(600))
        let wait = schedule.wait(chance: chance, now: start + .seconds(later))
        #expect(abs(wait.seconds - seconds) < 0.001)
    }
}

@Suite struct AgentServiceTests {
    /// Polls, brings a list when it is staged, goes on after failures, and stops without waiting.
    @Test(.timeLimit(.minutes(5)))
    func runFollowsTheRecord() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        let naps = Naps()
        let log = Mutex<[String]>([])
        let service = AgentService(
            pass: try fixture.pass(), audit: try fixture.audit(), interval: .seconds(60),
            verifyInterval: .seconds(3600), timing: naps.timing,
            logger: logger { line in log.withLock { $0.append(line) } })
        try await testGracefulShutdown { trigger in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await service.run() }
                // The first pass has nothing to do, and publishes that.
                #expect(await naps.begin() == .seconds(60))
                #expect(try await fixture.manifest()?.sequence == 1)
                // Nothing has changed: no pass.
                naps.end()
                _ = await naps.begin()
                #expect(try await fixture.manifest()?.sequence == 1)
                // Something is staged, and the registry is down.
                try await fixture.stage(list("web", ("web/api", nil, "api")))
                fixture.registry.with { $0.isUnreachable = true }
                naps.end()
                _ = await naps.begin()
                #expect(try await fixture.manifest()?.sequence == 1)
                // It is back: the pass is made up for, although the record has not changed since.
                fixture.registry.with { $0.isUnreachable = false }
                naps.end()
                _ = await naps.begin()
                #expect(try await fixture.verdict("web").isReady)
                // What was missing was said before it was brought.
                #expect(try await fixture.manifest()?.sequence == 3)
                // The verification interval passes.
                naps.advance(by: .seconds(3600))
                naps.end()
                _ = await naps.begin()
                #expect(try await fixture.manifest()?.sequence == 4)
                // A stop ends the wait that is under way.
                trigger.triggerGracefulShutdown()
                try await group.waitForAll()
            }
        }
        let lines = log.withLock { $0 }
        #expect(lines.contains { $0.contains("\"message\":\"the pass failed\"") && $0.contains("connection refused") })
    }

    /// A pause of the transfers: the site is proved as it is, polling goes on, and the next pass is made when it ends.
    @Test(.timeLimit(.minutes(5)))
    func runWaitsForTheWindow() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        let naps = Naps()
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        // The naps' clock says that it is 1970.
        fixture.registry.with {
            $0.pause = TransferPause(.window, "no transfer window is open", until: 90, in: .utc)
        }
        let service = AgentService(
            pass: try fixture.pass(), audit: try fixture.audit(), interval: .seconds(60),
            verifyInterval: .seconds(3600), timing: naps.timing,
            logger: logger { _ in })
        try await testGracefulShutdown { trigger in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await service.run() }
                #expect(await naps.begin() == .seconds(60))
                #expect(try await fixture.manifest()?.sequence == 2)
                #expect(try await !fixture.verdict("web").isReady)
                naps.advance(by: .seconds(60))
                naps.end()
                // No pass, since nothing can be brought; and a shorter wait: to the end of the pause, and up to 30 s.
                #expect(abs((await naps.begin() ?? .zero).seconds - 45) < 1)
                #expect(try await fixture.manifest()?.sequence == 2)
                fixture.registry.with { $0.pause = nil }
                naps.advance(by: .seconds(45))
                naps.end()
                _ = await naps.begin()
                #expect(try await fixture.verdict("web").isReady)
                trigger.triggerGracefulShutdown()
                try await group.waitForAll()
            }
        }
    }

    /// A cancelled service, as after the grace time, ends although its pass hangs.
    @Test(.timeLimit(.minutes(5)))
    func cancellationAbandonsAPass() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let hanging = HangingRegistry()
        let pass = try fixture.pass()
        let service = AgentService(
            pass: SitePass(
                site: pass.site, environment: pass.environment, validity: pass.validity, version: pass.version,
                owner: pass.owner, central: pass.central, registry: hanging, state: pass.state, journal: pass.journal,
                signingKey: pass.signingKey, now: pass.now),
            audit: try fixture.audit(), interval: .seconds(60), verifyInterval: .seconds(3600), timing: Naps().timing,
            logger: logger { _ in })
        let task = Task { try await service.run() }
        await hanging.hangs()
        task.cancel()
        try await task.value
        // What was missing when it began is all that was said.
        #expect(try await fixture.manifest()?.holdings.first?.missingEntries == 2)
        #expect(try await fixture.manifest()?.sequence == 1)
    }

    /// A pass may take days: the store is asked meanwhile, and one that goes away is noticed.
    @Test(.timeLimit(.minutes(5)))
    func aLongPassStaysInTouchWithTheStore() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let hanging = HangingRegistry(surveys: false)
        let store = WatchedStore(DirectoryStore(root: fixture.directory.file("store")))
        let clock = FakeClock()
        let status = AgentStatus(now: { clock.now })
        let pass = try fixture.pass()
        let service = AgentService(
            pass: SitePass(
                site: pass.site, environment: pass.environment, validity: pass.validity, version: pass.version,
                owner: pass.owner, central: CentralStore(store), registry: hanging, state: pass.state,
                journal: pass.journal, signingKey: pass.signingKey, now: pass.now,
                reporting: ProgressReporting(board: ProgressBoard(), interval: .milliseconds(1))),
            audit: try fixture.audit(), interval: .seconds(60), verifyInterval: .seconds(3600), timing: Naps().timing,
            logger: logger { _ in }, status: status)
        let task = Task { try await service.run() }
        await hanging.hangs()
        let reads = store.reads
        clock.advance(by: 3600)
        while status.current.storeReachedAt != clock.now { try await Task.sleep(for: .milliseconds(1)) }
        #expect(status.current.faults(at: clock.now).isEmpty)
        // Asked, and not read whole each time.
        #expect(store.reads == reads)
        try FileManager.default.moveItem(
            atPath: fixture.directory.file("store"), toPath: fixture.directory.file("away"))
        while status.current.storeFault == nil { try await Task.sleep(for: .milliseconds(1)) }
        clock.advance(by: 3600)
        let faults = status.current.faults(at: clock.now)
        #expect(faults.count == 1)
        #expect(faults.first?.hasPrefix("the object store was reached 60 min ago: ") == true, "\(faults)")
        task.cancel()
        try await task.value
    }

    /// Whatever of a pass the store takes is an answer of the store.
    @Test func whatAPassPublishesIsNoticed() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let published = Atomic(0)
        var pass = try fixture.pass()
        pass.witness.published = { published.add(1, ordering: .relaxed) }
        _ = try await pass.run(.sync, record: try await fixture.central.record(of: fixture.environment).record)
        // What was missing, and at the end that nothing is.
        #expect(published.load(ordering: .relaxed) == 2)
    }

    private func logger(_ write: @escaping @Sendable (String) -> Void) -> Logger {
        let handler = LineLogHandler(.json, now: { "1970-01-01T00:00:00Z" }, write: write)
        return Logger(label: "test", factory: { _ in handler })
    }
}

/// Counts how often the record is read whole.
private final class WatchedStore: ObjectStore {
    private let store: DirectoryStore
    private let count = Atomic(0)

    init(_ store: DirectoryStore) { self.store = store }

    var reads: Int { count.load(ordering: .relaxed) }

    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        let outcome = try await store.get(key, ifNoneMatch: etag)
        if case .found = outcome, key.name == "record.json" { count.add(1, ordering: .relaxed) }
        return outcome
    }

    func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        try await store.put(bytes, at: key, condition: condition)
    }

    func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        try await store.list(below: prefix, continuingFrom: continuation)
    }

    func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }
}

/// Waits that begin and end by hand, and a clock that is moved by hand.
private final class Naps: Sendable {
    private let begun = AsyncStream<Duration>.makeStream()
    private let ended = AsyncStream<Void>.makeStream()
    private let skipped = Mutex(Duration.zero)
    private let start = ContinuousClock.now

    var timing: Timing {
        Timing(
            now: { self.start + self.skipped.withLock { $0 } }, unixTime: { 0 },
            sleep: { duration in
                self.begun.continuation.yield(duration)
                for await _ in self.ended.stream { break }
                try Task.checkCancellation()
            }, chance: { 0.5 })
    }

    /// The next wait, once it has begun.
    func begin() async -> Duration? {
        for await duration in begun.stream { return duration }
        return nil
    }

    func end() { ended.continuation.yield() }
    func advance(by duration: Duration) { skipped.withLock { $0 += duration } }
}

private final class HangingRegistry: SiteRegistry {
    private let began = AsyncStream<Void>.makeStream()
    /// Whether it says what is missing first.
    private let surveys: Bool

    init(surveys: Bool = true) { self.surveys = surveys }

    func hangs() async { for await _ in began.stream { break } }

    func inventory(of entries: [ClosureEntry]) async throws -> Inventory { Inventory(present: [], missing: entries) }

    func bring(_ entries: [ClosureEntry], tags: [TagAssignment], events: PassEvents) async throws -> Delivery {
        if surveys { await events.surveyed(Inventory(missing: entries)) }
        began.continuation.yield()
        for await _ in AsyncStream<Void>.makeStream().stream {}
        try Task.checkCancellation()
        return Delivery()
    }

    func bringMissing(
        _ inventory: Inventory, pushed: @escaping @Sendable (ClosureEntry) -> Void
    ) async throws -> Delivery { Delivery() }

    func mend(_ manifests: [ClosureEntry]) async throws -> [String] { [] }
    func readBack(_ entry: ClosureEntry, isBudgeted: Bool) async throws -> ContentProof { .absent }
    func assignTags(
        _ tags: [TagAssignment], assigned: @escaping @Sendable (TagAssignment) -> Void
    ) async throws -> [String] { [] }
    func place(of entry: ClosureEntry.Identity) throws -> ProofJournal.Place {
        ProofJournal.Place(repository: entry.repository, digest: entry.digest, kind: entry.kind)
    }
}
