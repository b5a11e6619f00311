import HTTP
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

@Suite struct S3ProbeTests {
    private func manners(_ change: (inout ScriptedS3.Manners) -> Void) -> ScriptedS3.Manners {
        var manners = ScriptedS3.Manners()
        change(&manners)
        return manners
    }

    @Test(arguments: [(false, ETagForm.quoted), (true, .bare)])
    func remembersTheFormOfETag(takesOnlyBareETags: Bool, form: ETagForm) async throws {
        let bucket = ScriptedS3(manners { $0.takesOnlyBareETags = takesOnlyBareETags })
        try await withS3Store(bucket.answer) { store, server async throws in
            try await store.prepare()
            #expect(try await store.writes.mode(of: store) == .exclusive(form))
            let count = server.requests.count
            let key = try ObjectKey("a")
            guard case .stored(let etag) = try await store.put([1], at: key, condition: .ifAbsent) else {
                Issue.record("an absent object must be created")
                return
            }
            #expect(try await store.put([2], at: key, condition: .ifMatch(etag)) != .conflict)
            #expect(try await store.put([3], at: key, condition: .ifMatch(etag)) == .conflict)
            #expect(server.requests.count == count + 3)
            // Nothing of the probe stays, and all of it was below its own key.
            #expect(bucket.objects.keys.sorted() == ["p/a"])
            #expect(server.requests.prefix(count).allSatisfy { $0.path.hasPrefix("/bucket/p/~probe/") })
        }
    }

    static let refused: [(String, @Sendable (inout ScriptedS3.Manners) -> Void, String)] = [
        ("ignores If-None-Match", { $0.ignoresIfNoneMatch = true }, "creating an object a second time"),
        ("ignores If-Match", { $0.ignoresIfMatch = true }, "replacing a version that is not there"),
        ("takes no ETag", { $0.takesNoCurrentETag = true }, "replacing the version that is there"),
        ("no conditions", { $0.hasNoConditions = true }, "PUT with the headers that this needs"),
        (
            "versioned",
            {
                $0.ignoresIfNoneMatch = true
                $0.isVersioned = true
            }, "the bucket is versioned"
        ),
        (
            "checks first, writes later", { $0.racers = S3Probe.writers },
            "writers that create the same object at once, 8"
        ),
        (
            "checks first, swaps later",
            {
                $0.racers = S3Probe.writers
                $0.racesSwaps = true
            }, "writers that replace the same version of an object at once, 8"
        ),
    ]

    @Test(arguments: refused.indices) func refusesAStoreThatCannotBeReliedOn(_ index: Int) async throws {
        let (name, change, words) = Self.refused[index]
        let bucket = ScriptedS3(manners(change))
        try await withS3Store(bucket.answer) { store, server async throws in
            let putting = { _ = try await store.put([1], at: ObjectKey("a"), condition: .ifAbsent) }
            // A command does not race.
            for operation in [{ try await store.prepare() }] + (name.hasPrefix("checks") ? [] : [putting]) {
                await #expect("\(name)") {
                    try await operation()
                } throws: { error in
                    (error as? ObjectStoreError)?.code == .unsupportedStore && "\(error)".contains(words)
                        && "\(error)".contains("--single-writer") && "\(error)".contains(server.authority)
                        && !TestSecret.isShown(in: error)
                }
            }
            // Reading needs no conditions, nor does writing without one.
            #expect(try await store.get(ObjectKey("a")) == nil)
            _ = try await store.put([1], at: ObjectKey("a"), condition: .none)
            #expect(bucket.objects.keys.sorted() == ["p/a"])
        }
    }

    @Test(arguments: refused.indices) func aSingleWriterChecksByReading(_ index: Int) async throws {
        let bucket = ScriptedS3(manners(Self.refused[index].1))
        try await withS3Store(singleWriter: true, bucket.answer) { store, _ async throws in
            try await store.prepare()
            let key = try ObjectKey("a")
            #expect(try await store.put([0], at: key, condition: .ifMatch(ETag("x"))) == .conflict)
            guard case .stored(let etag) = try await store.put([1], at: key, condition: .ifAbsent) else {
                Issue.record("an absent object must be created")
                return
            }
            #expect(try await store.put([2], at: key, condition: .ifAbsent) == .conflict)
            #expect(try await store.put([2], at: key, condition: .ifMatch(ETag("x"))) == .conflict)
            #expect(bucket.objects["p/a"]?.bytes == [1])
            #expect(try await store.put([2], at: key, condition: .ifMatch(etag)) != .conflict)
            #expect(bucket.objects["p/a"]?.bytes == [2])
        }
    }

    @Test func aSingleWriterKeepsConditionsThatWork() async throws {
        try await withS3Store(singleWriter: true, ScriptedS3().answer) { store, _ async throws in
            #expect(try await store.writes.mode(of: store) == .exclusive(.quoted))
        }
    }

    @Test func probesOnceForAll() async throws {
        let bucket = ScriptedS3()
        try await withS3Store(bucket.answer) { store, server async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<10 {
                    group.addTask { _ = try await store.put([1], at: ObjectKey("\(number)"), condition: .ifAbsent) }
                }
                try await group.waitForAll()
            }
            let probes = Set(server.requests.map(\.path).filter { $0.contains("~probe/") }.map { $0.prefix(48) })
            #expect(probes.count == 1)
        }
    }

    /// Once in a process, and once on a machine where that can be noted.
    @Test func writersRaceOnce() async throws {
        let directory = try TemporaryDirectory("notes")
        defer { directory.remove() }
        let bucket = ScriptedS3()
        try await withScriptedServer(bucket.answer) { server async throws in
            var access = access(false, TestSecret.environment, Timing.system.unixTime())
            access.notes = directory.file("a/b")
            let location = "s3://bucket/p?endpoint=\(server.origin)&region=r"
            func races(_ location: String, again: Bool = false) async throws -> Bool {
                let before = server.requests.count
                let store = try ObjectStoreLocation(location).open(access)
                for _ in 0..<(again ? 2 : 1) { try await store.prepare() }
                return server.requests.dropFirst(before).contains { $0.path.contains("-creation-") }
            }
            #expect(try await races(location, again: true))
            let count = server.requests.count { $0.path.hasSuffix("-swap-0") && $0.method == "PUT" }
            #expect(count == S3Probe.writers + 1)
            #expect(try await !races(location))
            // Another place is another store; and a note does not hold for ever.
            #expect(try await races(location.replacing("/p?", with: "/q?")))
            let time = access.timing
            access.timing = Timing(
                now: time.now, unixTime: { Double(Timing.system.unixTime()) + 31 * 86_400 }, sleep: time.sleep,
                chance: time.chance)
            #expect(try await races(location))
            access.notes = nil
            #expect(try await races(location))
        }
    }

    /// A probe whose clock goes on by so much with each look at it.
    private func withProbe(
        _ change: (inout ScriptedS3.Manners) -> Void = { _ in }, clockStep: Duration,
        _ body: (S3Store, ScriptedServer) async throws -> Void
    ) async throws {
        let bucket = ScriptedS3(manners(change))
        try await withScriptedServer(bucket.answer) { server async throws in
            var access = access()
            let start = ContinuousClock.now
            let looks = Mutex(0)
            access.timing.now = {
                let count = looks.withLock { looks in
                    looks += 1
                    return looks
                }
                return start + clockStep * count
            }
            let location = try ObjectStoreLocation("s3://bucket/p?endpoint=\(server.origin)&region=r")
            try await body(try #require(try location.open(access) as? S3Store), server)
            // Nothing of it stays, however many rounds there were.
            #expect(bucket.objects.isEmpty)
        }
    }

    /// A store that fails in one round of many is lucky in the first ones: where they are quick, there are more.
    @Test(arguments: [false, true]) func aQuickStoreIsRacedForLonger(_ racesSwaps: Bool) async throws {
        try await withProbe(
            {
                $0.racers = S3Probe.writers
                $0.racesSwaps = racesSwaps
                $0.firstRacedRound = S3Probe.maximumRounds - 1
            }, clockStep: .zero
        ) { store, _ in
            await #expect { try await store.prepare() } throws: {
                ($0 as? ObjectStoreError)?.code == .unsupportedStore
            }
        }
    }

    /// One that makes writers wait is raced as long as it must be.
    @Test func aSlowStoreIsRacedTheFewestRounds() async throws {
        try await withProbe(clockStep: .seconds(10)) { store, server in
            try await store.prepare()
            for kind in ["-creation-", "-swap-"] {
                let rounds = Set(server.requests.map(\.path).filter { $0.contains(kind) })
                #expect(rounds.count == S3Probe.rounds)
            }
        }
    }

    @Test func aFailedProbeIsNotRemembered() async throws {
        let bucket = ScriptedS3()
        try await withS3Store({ _ in ScriptedS3.fault(503, "SlowDown") }) { store, server async throws in
            await #expect { try await store.prepare() } throws: { ($0 as? ObjectStoreError)?.code == .unavailable }
            server.handle(bucket.answer)
            try await store.prepare()
        }
    }

    /// A race finds such a store by chance only: it is not tried again until it passes.
    @Test func aRefusalAfterARaceIsRemembered() async throws {
        let unsound = ScriptedS3(manners { $0.racers = S3Probe.writers })
        try await withS3Store(unsound.answer) { store, server async throws in
            await #expect { try await store.prepare() } throws: {
                ($0 as? ObjectStoreError)?.code == .unsupportedStore
            }
            server.handle(ScriptedS3().answer)
            let count = server.requests.count
            await #expect { try await store.prepare() } throws: {
                ($0 as? ObjectStoreError)?.code == .unsupportedStore
            }
            await #expect {
                _ = try await store.put([1], at: ObjectKey("a"), condition: .ifAbsent)
            } throws: {
                ($0 as? ObjectStoreError)?.code == .unsupportedStore
            }
            #expect(server.requests.count == count)
        }
    }

    /// Where the store goes away in the middle, nobody waits for deletions that fail one after the other.
    @Test(arguments: [0, 1, 2]) func onlyWhatWasWrittenIsDeleted(writes: Int) async throws {
        let bucket = ScriptedS3()
        let puts = Atomic(0)
        try await withS3Store({ exchange in
            guard exchange.request.method == "PUT", puts.add(1, ordering: .relaxed).newValue <= writes else {
                return ScriptedS3.fault(503, "SlowDown")
            }
            return try bucket.answer(exchange)
        }) { store, server async throws in
            await #expect { try await store.prepare() } throws: { ($0 as? ObjectStoreError)?.code == .unavailable }
            // One deletion, sent as often as any request.
            #expect(server.requests.count { $0.method == "DELETE" } == (writes == 0 ? 0 : 3))
        }
    }

    @Test func whatTheRaceWroteIsDeleted() async throws {
        let bucket = ScriptedS3()
        try await withS3Store(bucket.answer) { store, server async throws in
            try await store.prepare()
            let written = Set(server.requests.filter { $0.method == "PUT" }.map(\.path))
            #expect(written.count > 2)
            #expect(Set(server.requests.filter { $0.method == "DELETE" }.map(\.path)) == written)
        }
    }

    @Test func whoMayNotDeleteMayWrite() async throws {
        let bucket = ScriptedS3()
        try await withS3Store({ exchange in
            exchange.request.method == "DELETE" ? ScriptedS3.fault(403, "AccessDenied") : try bucket.answer(exchange)
        }) { store, server async throws in
            try await store.prepare()
            // What stays is invisible.
            #expect(!bucket.objects.isEmpty)
            #expect(server.requests.count { $0.method == "DELETE" } == 1)
            #expect(try await store.list(below: nil) == [])
        }
    }
}
