import HTTP

/// Finds out, in scratch keys, whether a store's conditional writes exclude each other.
///
/// The answers of a single client tell a store that ignores conditions (rclone), refuses them (OpenStack Swift's s3api), or
/// takes another form of ETag (Ceph RGW 16). A store that checks first and writes later (versitygw 1.7) gives itself away
/// only in a race, and not in every one: the short race here finds it by chance.
struct S3Probe {
    /// Rounds of the race, and creators in each.
    static let rounds = 4
    static let creators = 8

    private let store: S3Store
    private let key: String

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
            if racing { try await race() }
            result = .success(form)
        } catch {
            result = .failure(error)
        }
        // What cannot be deleted stays: the right to delete is no condition for writing.
        try? await store.delete(path: key)
        for round in 0..<(racing ? Self.rounds : 0) { try? await store.delete(path: racePath(round)) }
        return try result.get()
    }

    private func racePath(_ round: Int) -> String { "\(key)-\(round)" }

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
            return try await store.write([byte], at: key, condition: condition, form)
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

    /// All rounds at once, each in a key of its own.
    private func race() async throws(ObjectStoreError) {
        let outcomes = await withTaskGroup(of: (Int, Result<PutOutcome, ObjectStoreError>).self) { [store] group in
            for (round, creator) in (0..<Self.rounds).flatMap({ round in (0..<Self.creators).map { (round, $0) } }) {
                let path = racePath(round)
                group.addTask {
                    do throws(ObjectStoreError) {
                        let outcome = try await store.write(
                            [UInt8(creator)], at: path, condition: .ifAbsent, .quoted)
                        return (round, .success(outcome))
                    } catch {
                        return (round, .failure(error))
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        var winners = [Int](repeating: 0, count: Self.rounds)
        for (round, outcome) in outcomes where try outcome.get() != .conflict { winners[round] += 1 }
        guard let most = winners.max(), most <= 1 else {
            throw refusal(
                "of \(Self.creators) writers that create the same object at once, \(winners.max() ?? 0) succeed")
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
