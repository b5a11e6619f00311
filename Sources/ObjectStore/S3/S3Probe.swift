import HTTP
import Synchronization

/// Finds out, in scratch keys, whether a store's conditional writes exclude each other.
///
/// The answers of a single client tell a store that ignores conditions (rclone), refuses them (OpenStack Swift's s3api), or
/// takes another form of ETag (Ceph RGW 16). A store that checks first and writes later (versitygw 1.7) gives itself away
/// only in a race, and not in every one: measured, in 3 to 11 of 40. So the race here finds such a store in most runs, and
/// not in all of them.
struct S3Probe {
    /// Rounds of the race in which an object is created, and as many in which one is replaced.
    static let rounds = 12
    /// Writers in each round.
    static let writers = 8
    /// Rounds at once: as many as there are connections for, so that all writers of a round really are at once.
    static let roundsAtOnce = S3Transport.concurrentRequests / writers

    private let store: S3Store
    private let key: String
    private let written = Written()

    init(_ store: S3Store) {
        self.store = store
        // Outside the grammar of object keys.
        key = "\(store.transport.bucket.prefix)~probe/\(store.timing.randomName)"
    }

    /// - Parameter racing: whether several writers are tried at once too
    /// - Returns: the form of ETag that the store takes
    /// - Throws: `ObjectStoreError.unsupportedStore` where conditional writes do not exclude each other
    func run(racing: Bool) async throws(ObjectStoreError) -> ETagForm {
        let result: Result<ETagForm, ObjectStoreError>
        do throws(ObjectStoreError) {
            let form = try await askAlone()
            if racing {
                try await race(.creation, form)
                try await race(.swap, form)
            }
            result = .success(form)
        } catch {
            result = .failure(error)
        }
        await removeWritten()
        return try result.get()
    }

    /// What there is to delete: what the store has taken.
    private final class Written: Sendable {
        private let state = Mutex<Set<String>>([])

        var paths: [String] { state.withLock { $0.sorted() } }
        func note(_ path: String) { state.withLock { _ = $0.insert(path) } }
    }

    /// What cannot be deleted stays: the right to delete is no condition for writing. The first deletion goes alone: where it
    /// fails, which is after it was sent several times, the others are not tried.
    private func removeWritten() async {
        let paths = written.paths
        guard let first = paths.first, (try? await store.delete(path: first)) != nil else { return }
        await withTaskGroup(of: Void.self) { [store] group in
            for path in paths.dropFirst() { group.addTask { _ = try? await store.delete(path: path) } }
        }
    }

    /// What writers race to do.
    private enum Race: String, Sendable { case creation, swap }

    private func path(_ kind: Race, _ round: Int) -> String { "\(key)-\(kind.rawValue)-\(round)" }

    private func askAlone() async throws(ObjectStoreError) -> ETagForm {
        guard case .stored(let first) = try await write(1, .ifAbsent) else {
            throw refusal("creating a new object (If-None-Match: *) fails")
        }
        guard try await write(2, .ifAbsent) == .conflict else {
            if try await isVersioned() {
                // Ceph RGW 16.2.15: 200, and a new version.
                throw refusal(
                    "the bucket is versioned, and in versioned buckets this store overwrites where an object should only be"
                        + " created (If-None-Match: *), as Ceph RGW does; use a bucket without versioning",
                    advises: false)
            }
            throw refusal("creating an object a second time (If-None-Match: *) overwrites it")
        }
        for form in ETagForm.allCases {
            guard try await write(3, .ifMatch(Self.stale), form) == .conflict else {
                throw refusal("replacing a version that is not there (If-Match) overwrites another one")
            }
            if case .stored(let second) = try await write(4, .ifMatch(first), form) {
                guard try await write(5, .ifMatch(first), form) == .conflict, second != first else {
                    throw refusal("a version can be replaced twice (If-Match)")
                }
                return form
            }
        }
        throw refusal("replacing the version that is there (If-Match) fails")
    }

    /// The ETag of a version that the scratch object never had.
    private static let stale = ETag("00000000000000000000000000000000")

    private func write(
        _ byte: UInt8, _ condition: PutCondition, _ form: ETagForm = .quoted
    ) async throws(ObjectStoreError) -> PutOutcome {
        do throws(ObjectStoreError) {
            let outcome = try await store.write([byte], at: key, condition: condition, form)
            written.note(key)
            return outcome
        } catch {
            guard error.code == .unsupportedStore else { throw error }
            throw refusal(error.message)
        }
    }

    private func isVersioned() async throws(ObjectStoreError) -> Bool {
        let call = S3Transport.Call(method: .get, key: nil, query: [("versioning", "")])
        // Whoever may not ask does not get the better explanation.
        guard let answer = try? await store.transport.send(call, { $0.status == 200 }) else { return false }
        var reader = XMLReader(answer.body)
        var name = ""
        while let event = try? reader.next() {
            switch event {
            case .start(let element): name = element
            case .text(let text) where name == "Status": return text == "Enabled" || text == "Suspended"
            case .text, .end: break
            }
        }
        return false
    }

    /// Several writers at once, in rounds with a key each.
    ///
    /// A writer whose outcome nobody knows (Ceph RGW answers losers of a swap with 500) has not won, as far as anyone can
    /// tell; where that is all that happens, the store is out of reach.
    private func race(_ kind: Race, _ form: ETagForm) async throws(ObjectStoreError) {
        var failure: ObjectStoreError?
        var sound = 0
        for first in stride(from: 0, to: Self.rounds, by: Self.roundsAtOnce) {
            let rounds = first..<min(Self.rounds, first + Self.roundsAtOnce)
            var conditions: [Int: PutCondition] = [:]
            for round in rounds {
                // Without a condition: the one writer of it races nobody.
                conditions[round] =
                    kind == .creation
                    ? .ifAbsent : .ifMatch(try await store.write([0xFF], at: path(kind, round)))
                if kind == .swap { written.note(path(kind, round)) }
            }
            var winners: [Int: Int] = [:]
            var failed: Set<Int> = []
            for (round, outcome) in await outcomes(of: kind, conditions, form) {
                switch outcome {
                case .success(.stored): winners[round, default: 0] += 1
                case .success(.conflict): break
                case .failure(let error):
                    failed.insert(round)
                    failure = failure ?? error
                }
            }
            if let most = winners.values.max(), most > 1 {
                let deed = kind == .creation ? "create the same object" : "replace the same version of an object"
                throw refusal("of \(Self.writers) writers that \(deed) at once, \(most) succeed")
            }
            sound += rounds.count { !failed.contains($0) }
        }
        if let failure, sound == 0 { throw failure }
    }

    private func outcomes(
        of kind: Race, _ conditions: [Int: PutCondition], _ form: ETagForm
    ) async -> [(Int, Result<PutOutcome, ObjectStoreError>)] {
        await withTaskGroup(of: (Int, Result<PutOutcome, ObjectStoreError>).self) { [store, written] group in
            for (round, condition) in conditions {
                let path = path(kind, round)
                for writer in 0..<Self.writers {
                    group.addTask {
                        do throws(ObjectStoreError) {
                            let outcome = try await store.write(
                                [UInt8(writer)], at: path, condition: condition, form)
                            written.note(path)
                            return (round, .success(outcome))
                        } catch {
                            return (round, .failure(error))
                        }
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private func refusal(_ finding: String, advises: Bool = true) -> ObjectStoreError {
        let advice = advises ? "; use a store that keeps them (docs/object-store.md names some)" : ""
        return ObjectStoreError(
            .unsupportedStore,
            "the store's conditional writes cannot be relied on: \(finding)\(advice), or give --single-writer where no other"
                + " process ever writes to it",
            at: store.transport.bucket.place(of: nil))
    }
}
