import OCI
import TestSupport
import Testing

@testable import Transfer

@Suite struct ScheduleTests {
    private typealias Identity = ClosureEntry.Identity

    private func digest(_ number: Int) -> Digest { Digest(of: Array("content \(number)".utf8)) }

    private func entry(_ kind: ClosureEntry.Kind, _ number: Int, size: Int64 = 10, in name: String = "a/b") throws
        -> ClosureEntry
    {
        ClosureEntry(
            repository: try Repository(name), digest: digest(number), size: size, kind: kind, mediaType: .ociManifest)
    }

    private func drain(_ schedule: inout TransferSchedule) -> [TransferSchedule.Work] {
        var work: [TransferSchedule.Work] = []
        while let next = schedule.next() { work.append(next) }
        return work
    }

    private func tasks(_ work: [TransferSchedule.Work]) -> [BlobTask] {
        work.compactMap { if case .blob(let task) = $0 { task } else { nil } }
    }

    @Test func startsTheLargestFirstWithinItsLimits() throws {
        let blobs = try (1...9).map { try entry(.blob, $0, size: Int64($0) * 100) }
        let limits = TransferSchedule.Limits(
            largeBlobs: 2, middlingBlobs: 3, manifestFetches: 1, largeBlobSize: 500, tinyBlobSize: 0)
        var schedule = TransferSchedule(
            Inventory(present: [], missing: blobs + [try entry(.manifest, 10), try entry(.manifest, 11)]),
            limits: limits)
        let work = drain(&schedule)
        let sizes = tasks(work).map(\.size)
        #expect(sizes == [900, 800, 500, 400, 300])
        #expect(work.count == 6)
        guard case .blob(let first) = work[0] else { return #expect(Bool(false)) }
        _ = schedule.finish(blob: first, missing: [])
        guard case .blob(let next) = schedule.next() else { return #expect(Bool(false)) }
        #expect(next.size == 700)
    }

    @Test func bringsASharedBlobOnce() throws {
        let repositories = ["z/z", "a/a", "m/m"]
        let missing = try repositories.map { try entry(.blob, 1, in: $0) }
        let present = try [entry(.blob, 1, in: "p/p"), entry(.blob, 2, in: "p/p")]
        var schedule = TransferSchedule(Inventory(present: present, missing: missing))
        let tasks = tasks(drain(&schedule))
        #expect(tasks.count == 1)
        #expect(tasks[0].missingIn.map(\.name) == ["a/a", "m/m", "z/z"])
        #expect(tasks[0].presentIn.map(\.name) == ["p/p"])
    }

    /// Two image lists of one site name the same content twice.
    @Test func takesAnEntryThatIsNamedTwiceOnce() throws {
        let blob = try entry(.blob, 1)
        let manifest = try entry(.manifest, 2)
        for inventory in [
            Inventory(missing: [blob, manifest, blob, manifest]),
            Inventory(missing: [blob, manifest], unasked: [blob]),
        ] {
            var schedule = TransferSchedule(inventory)
            #expect(drain(&schedule).count == 2)
            #expect(schedule.totals == .init(blobs: 1, bytes: 10, manifests: 1, images: 1))
        }
    }

    /// A blob is brought once it is known who lacks it; others do not wait for that.
    @Test func bringsABlobOnceEveryoneWasAsked() throws {
        let shared = try ["a/a", "b/b", "c/c"].map { try entry(.blob, 1, in: $0) }
        let other = try entry(.blob, 2, size: 5)
        let manifest = try entry(.manifest, 3)
        let here = try entry(.manifest, 4)
        var schedule = TransferSchedule(Inventory(unasked: shared + [other, manifest, here]))
        #expect(Set(drain(&schedule)) == Set((shared + [other, manifest, here]).map { .ask($0) }))
        #expect(schedule.finish(asked: other, isPresent: false) == nil)
        #expect(tasks(drain(&schedule)).map(\.digest) == [other.digest])
        _ = schedule.finish(asked: shared[0], isPresent: false)
        _ = schedule.finish(asked: shared[1], isPresent: true)
        #expect(schedule.next() == nil)
        #expect(schedule.totals.blobs == 1)
        _ = schedule.finish(asked: shared[2], isPresent: false)
        guard case .blob(let task) = schedule.next() else { return #expect(Bool(false)) }
        #expect(task.missingIn.map(\.name) == ["a/a", "c/c"])
        #expect(task.presentIn.map(\.name) == ["b/b"])
        _ = schedule.finish(asked: here, isPresent: true)
        #expect(schedule.next() == nil)
        _ = schedule.finish(asked: manifest, isPresent: false)
        #expect(schedule.next() == .fetchManifest(manifest))
        #expect(schedule.totals == .init(blobs: 2, bytes: 15, manifests: 1, images: 1))
    }

    @Test func saysWhatNobodyLacks() throws {
        let blobs = try ["a/a", "b/b"].map { try entry(.blob, 1, in: $0) }
        var schedule = TransferSchedule(Inventory(unasked: blobs))
        _ = drain(&schedule)
        #expect(schedule.finish(asked: blobs[0], isPresent: true) == nil)
        #expect(schedule.finish(asked: blobs[1], isPresent: true) == blobs[1].digest)
        #expect(schedule.abandoned.isEmpty)
    }

    /// While nothing may be transferred, it is still found out what is missing.
    @Test func asksWhileNothingMayMove() throws {
        let blobs = try [entry(.blob, 1), entry(.blob, 2)]
        var schedule = TransferSchedule(Inventory(missing: [blobs[0]], unasked: [blobs[1]]))
        #expect(schedule.next(onlyAsking: true) == .ask(blobs[1]))
        #expect(schedule.next(onlyAsking: true) == nil)
        _ = schedule.finish(asked: blobs[1], isPresent: false)
        #expect(schedule.next(onlyAsking: true) == nil)
        #expect(Set(schedule.abandoned) == Set(blobs.map(\.identity)))
    }

    /// The link is full, and round trips are not left for the end.
    @Test func takesTinyBlobsBesideTheOthers() throws {
        let blobs = try (1...12).map { try entry(.blob, $0, size: Int64($0)) }
        var schedule = TransferSchedule(
            Inventory(missing: blobs), limits: .init(middlingBlobs: 3, tinyBlobs: 2, tinyBlobSize: 4))
        let work = tasks(drain(&schedule))
        #expect(work.map(\.size) == [12, 11, 10, 4, 3])
        _ = schedule.finish(blob: work[3], missing: [])
        #expect(tasks(drain(&schedule)).map(\.size) == [2])
    }

    @Test func pushesAManifestAfterAllThatItNames() throws {
        let blobs = try [entry(.blob, 1), entry(.blob, 2)]
        let child = try entry(.manifest, 3)
        let index = try entry(.manifest, 4)
        var schedule = TransferSchedule(Inventory(present: [], missing: blobs + [child, index]))
        let tasks = tasks(drain(&schedule))
        #expect(schedule.finish(fetched: index, children: [child.identity]).isEmpty)
        #expect(schedule.finish(fetched: child, children: blobs.map(\.identity)).isEmpty)
        #expect(schedule.next() == nil)
        _ = schedule.finish(blob: tasks[0], missing: [])
        #expect(schedule.next() == nil)
        _ = schedule.finish(blob: tasks[1], missing: [])
        #expect(schedule.next() == .pushManifest(child))
        #expect(schedule.next() == nil)
        _ = schedule.finish(pushed: child, success: true)
        #expect(schedule.next() == .pushManifest(index))
        _ = schedule.finish(pushed: index, success: true)
        #expect(schedule.abandoned.isEmpty)
    }

    @Test func aFailureReachesAllThatDependsOnIt() throws {
        let blob = try entry(.blob, 1)
        let child = try entry(.manifest, 2)
        let index = try entry(.manifest, 3)
        let outer = try entry(.manifest, 4)
        let other = try entry(.manifest, 5)
        var schedule = TransferSchedule(Inventory(present: [], missing: [blob, child, index, outer, other]))
        let tasks = tasks(drain(&schedule))
        _ = schedule.finish(fetched: outer, children: [index.identity])
        _ = schedule.finish(fetched: index, children: [child.identity])
        _ = schedule.finish(fetched: child, children: [blob.identity])
        let given = schedule.finish(blob: tasks[0], missing: Set(tasks[0].missingIn))
        #expect(given.map(\.0) == [child, index, outer])
        #expect(given.map(\.lacks) == [blob.identity, child.identity, index.identity])
        // One that is fetched afterwards is given up at once; one that names nothing is not touched.
        let late = try entry(.manifest, 6)
        #expect(schedule.finish(fetched: late, children: [outer.identity]).map(\.0) == [late])
        _ = schedule.finish(fetched: other, children: [])
        #expect(schedule.next() == .pushManifest(other))
    }

    @Test func aBlobMayFailInOneRepositoryOnly() throws {
        let names = ["a/a", "b/b"]
        let blobs = try names.map { try entry(.blob, 1, in: $0) }
        let manifests = try names.map { try entry(.manifest, 2, in: $0) }
        var schedule = TransferSchedule(Inventory(present: [], missing: blobs + manifests))
        let tasks = tasks(drain(&schedule))
        for (manifest, blob) in zip(manifests, blobs) {
            _ = schedule.finish(fetched: manifest, children: [blob.identity])
        }
        let given = schedule.finish(blob: tasks[0], missing: [blobs[0].repository])
        #expect(given.map(\.0) == [manifests[0]])
        #expect(schedule.next() == .pushManifest(manifests[1]))
    }

    /// A limit of nothing would leave everything undone without a word.
    @Test func startsSomethingWhateverItsLimits() throws {
        let limits = TransferSchedule.Limits(
            largeBlobs: 0, middlingBlobs: -1, tinyBlobs: 0, manifestFetches: 0, manifestPushes: 0, largeBlobSize: 5)
        let missing = try [entry(.blob, 1, size: 10), entry(.blob, 2, size: 1), entry(.manifest, 3)]
        var schedule = TransferSchedule(Inventory(present: [], missing: missing), limits: limits)
        #expect(drain(&schedule).count == 3)
    }

    /// Random forests of manifests over shared blobs, with random failures and random order of completion: every entry is
    /// delivered or given up exactly once, no manifest is pushed before what it names, and none is held back for nothing.
    @Test(arguments: 0..<60 as Range<UInt64>)
    func accountsForEveryEntryOnce(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let names = ["r/a", "r/b", "r/c"]
        var missing: [ClosureEntry] = []
        var present: [ClosureEntry] = []
        var unasked: [ClosureEntry] = []
        var children: [Identity: [Identity]] = [:]
        var number = 0
        for name in names {
            var level: [ClosureEntry] = []
            for blob in 0..<8 where Bool.random(using: &random) {
                // The same digests in several repositories.
                let entry = try entry(.blob, blob, size: Int64(blob) * 100, in: name)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: present.append(entry)
                case 1: unasked.append(entry)
                default: missing.append(entry)
                }
                level.append(entry)
            }
            for _ in 0..<Int.random(in: 0...10, using: &random) {
                number += 1
                let manifest = try entry(.manifest, 100 + number, in: name)
                let named = level.filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
                children[manifest.identity] = named.map(\.identity)
                if Bool.random(using: &random) { missing.append(manifest) } else { unasked.append(manifest) }
                level.append(manifest)
            }
        }
        var schedule = TransferSchedule(
            Inventory(present: present, missing: missing.shuffled(using: &random), unasked: unasked),
            limits: .init(
                largeBlobs: 2, middlingBlobs: 2, tinyBlobs: 1, manifestFetches: 3, manifestPushes: 2,
                largeBlobSize: 300, tinyBlobSize: 100))
        var delivered = Set(present.map(\.identity))
        var failed: [Identity] = []
        var running: [TransferSchedule.Work] = []
        while true {
            while let work = schedule.next() {
                if case .pushManifest(let entry) = work {
                    #expect(delivered.isSuperset(of: children[entry.identity] ?? []))
                }
                running.append(work)
            }
            guard let index = running.indices.randomElement(using: &random) else { break }
            let succeeds = Int.random(in: 0..<6, using: &random) > 0
            let heldBack: TransferSchedule.HeldBack
            switch running.remove(at: index) {
            case .ask(let entry) where succeeds:
                heldBack = []
                // Whoever has a manifest has what it names.
                let isPresent = delivered.isSuperset(of: children[entry.identity] ?? []) && Bool.random(using: &random)
                if isPresent { delivered.insert(entry.identity) }
                _ = schedule.finish(asked: entry, isPresent: isPresent)
            case .ask(let entry):
                failed.append(entry.identity)
                heldBack = schedule.finish(unanswered: entry)
            case .blob(let task):
                let lacking = Set(task.missingIn.filter { _ in !succeeds && Bool.random(using: &random) })
                for repository in task.missingIn {
                    let identity = Identity(repository: repository, digest: task.digest, kind: .blob)
                    if lacking.contains(repository) { failed.append(identity) } else { delivered.insert(identity) }
                }
                heldBack = schedule.finish(blob: task, missing: lacking)
            case .fetchManifest(let entry) where succeeds:
                heldBack = schedule.finish(fetched: entry, children: children[entry.identity] ?? [])
            case .fetchManifest(let entry):
                failed.append(entry.identity)
                heldBack = schedule.finish(unfetched: entry)
            case .pushManifest(let entry):
                if succeeds { delivered.insert(entry.identity) } else { failed.append(entry.identity) }
                heldBack = schedule.finish(pushed: entry, success: succeeds)
            }
            for (entry, lacks) in heldBack {
                #expect(failed.contains(lacks))
                failed.append(entry.identity)
            }
        }
        #expect(schedule.abandoned.isEmpty)
        #expect(Set(failed).count == failed.count)
        #expect(Set(failed).isDisjoint(with: delivered))
        #expect(Set(failed).union(delivered) == Set((missing + present + unasked).map(\.identity)))
    }

    @Test func whatWasNeverStartedIsAbandoned() throws {
        let blobs = try (0..<3).map { try entry(.blob, $0, size: Int64($0) * 1_000_000) }
        let manifest = try entry(.manifest, 9)
        let second = try entry(.manifest, 10)
        var schedule = TransferSchedule(
            Inventory(present: [], missing: blobs + [manifest, second]),
            limits: .init(largeBlobs: 1, middlingBlobs: 1, manifestFetches: 1, largeBlobSize: 500_000))
        let work = drain(&schedule)
        #expect(work.count == 3)
        for case .fetchManifest(let entry) in work {
            _ = schedule.finish(fetched: entry, children: blobs.map(\.identity))
        }
        // One blob and one manifest were never begun, one manifest waits.
        #expect(schedule.abandoned.count == 3)
    }
}
