import OCI
import ObjectStore
import Trust

extension CentralStore {
    /// The most records that a chain may have: as many as fit into the names of their objects.
    static let maximumAuditRecords: Int64 = 999_999_999_999
    /// How often a record is tried to be put at the end of the chain while others are first. Of those who try at once one
    /// always succeeds, so this many writers can meet.
    static let maximumAppends = 1024

    static func auditKey(_ sequence: Int64) throws(ObjectStoreError) -> ObjectKey {
        let digits = String(sequence)
        return try ObjectKey("audit/\(String(repeating: "0", count: max(0, 12 - digits.count)))\(digits).json")
    }

    static func auditHeadKey() throws(ObjectStoreError) -> ObjectKey { try ObjectKey("audit/head.json") }

    // MARK: Writing

    /// Records an event at the end of the chain.
    ///
    /// - Parameters:
    ///   - event: what was decided or done; recorded once, however often this is called with it at once
    ///   - seen: the furthest end of the chain that whoever records knows of, beside what this process has seen itself
    /// - Returns: the record
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` where the chain does not hold together at its end, or lacks
    ///   what was seen of it, and `.contention` where others were first for as many attempts as are made.
    @discardableResult
    public func record(_ event: AuditEvent, knowing seen: AuditHead? = nil) async throws -> AuditRecord {
        if let seen { own.note(seen) }
        return try await record(event, signedBy: signingKey)
    }

    /// The same, with the key of who does it.
    @discardableResult
    func record(_ event: AuditEvent, signedBy key: PrivateKey?) async throws -> AuditRecord {
        try await append(event, by: key?.publicKey, after: try await auditEnd()) { place throws(ReadinessError) in
            try AuditRecord.object(event, at: place.sequence + 1, after: place.digest, signedBy: key)
        }
    }

    /// Records an event unless one of the records after `start` is of it already.
    ///
    /// The same event is one that says the same by the same key. Whoever can read an outbox can write another event with
    /// the same ID first: that one does not take the place of what was done.
    private func append(
        _ event: AuditEvent, by signer: PublicKey?, after start: AuditHead,
        _ object: (AuditHead) throws(ReadinessError) -> [UInt8]
    ) async throws -> AuditRecord {
        var end = start
        for attempt in 0..<Self.maximumAppends {
            // Before the look: what this process sees meanwhile comes after it.
            let seen = own.end
            try require(seen, at: end)
            while let record = try await auditRecord(after: end) {
                if record.event == event, record.signer == signer { return record }
                own.note(AuditHead(record), after: end)
                end = AuditHead(record)
                try require(seen, at: end)
            }
            try require(seen, at: end, isLast: true)
            let key = try Self.auditKey(end.sequence + 1)
            let object = try object(end)
            if try await objects.put(object, at: key, condition: .ifAbsent) != .conflict {
                let record = try AuditRecord(parsing: object, in: key.path)
                own.note(AuditHead(record), after: end)
                await moveHead(to: AuditHead(record))
                return record
            }
            await backoff(attempt)
        }
        throw ReadinessError(
            .contention, "others wrote to the audit chain \(Self.maximumAppends) times meanwhile: run this again")
    }

    /// Records the events of an outbox, in their order, as those who did it left them.
    ///
    /// - Parameter settler: who does that
    func record(_ outbox: Outbox, by settler: AuditEvent.Actor) async throws {
        for pending in outbox.events {
            _ = try await append(pending.event, by: pending.statement?.signer, after: try await start(of: pending)) {
                place throws(ReadinessError) in
                try AuditRecord.object(pending, at: place.sequence + 1, after: place.digest, settledBy: settler)
            }
        }
    }

    /// Whether an event of an outbox is in the chain.
    func isRecorded(_ pending: Outbox.Pending) async throws -> Bool {
        var end = try await start(of: pending)
        while let record = try await auditRecord(after: end) {
            if record.event == pending.event, record.signer == pending.statement?.signer { return true }
            end = AuditHead(record)
        }
        return false
    }

    /// The place in the chain after which an event of an outbox is, or will be.
    private func start(of pending: Outbox.Pending) async throws -> AuditHead {
        guard pending.after > 0, let record = try await auditRecord(pending.after) else { return .empty }
        return AuditHead(record)
    }

    /// Moves the head forward; it never goes back. The record is there already and the head is a hint, so failing is no
    /// failure: the next one moves it further.
    private func moveHead(to head: AuditHead) async {
        for _ in 0..<4 {
            guard let key = try? Self.auditHeadKey(),
                let current = try? await objects.get(key, ifNoneMatch: nil, limit: AuditRecord.maximumSize)
            else { return }
            var condition = PutCondition.ifAbsent
            if case .found(let object) = current {
                let isBehind = (try? parse(object)).map { $0.sequence < head.sequence } ?? false
                // One that was forged is not further on.
                if !isBehind, await !isForged(object) { return }
                condition = .ifMatch(object.etag)
            }
            guard let bytes = try? Document.encode(head, .invalidRecord),
                case .conflict? = try? await objects.put(bytes, at: key, condition: condition)
            else { return }
        }
    }

    /// Refuses to record in the place of records that this process has seen and that are not there: they would be lost for
    /// good.
    ///
    /// - Parameters:
    ///   - seen: the furthest end that this process has seen
    ///   - end: a place in the chain as it is now
    ///   - isLast: whether the chain ends there
    private func require(_ seen: AuditHead?, at end: AuditHead, isLast: Bool = false) throws {
        guard let seen, end != seen, isLast ? end.sequence <= seen.sequence : end.sequence == seen.sequence else {
            return
        }
        throw try behind(seen, finding: end.sequence == seen.sequence ? end.digest : nil)
    }

    // MARK: Reading

    /// Where the chain ends now, for who records after it: the last record there is.
    ///
    /// What this process has seen of the chain must still be there, and be followed by what came since, record by record: a
    /// head that leads elsewhere was forged, or records between are gone. Only what was walked so is remembered, at most
    /// `maximumWitnessed` records at once. Whoever has seen nothing yet has nothing to hold the chain to, and goes by the head.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` where records that the head, or this process, knows of are not
    ///   there, or do not hold together.
    public func auditEnd() async throws -> AuditHead {
        guard let seen = own.end else {
            let end = try await foundEnd()
            own.note(end)
            return end
        }
        let head = try await believedHead()
        if head != seen {
            let found = try await digest(ofAuditRecord: seen.sequence)
            guard found == seen.digest else { throw try behind(seen, finding: found) }
        }
        let end = try await walk(from: seen, atMost: Self.maximumWitnessed)
        own.note(end, after: seen)
        guard let head, head.sequence > end.sequence else { return end }
        guard end.sequence - seen.sequence >= Self.maximumWitnessed else {
            throw ReadinessError(
                .brokenChain,
                "it is not there, and the chain's head names record \(head.sequence): records were removed, or somebody wrote a"
                    + " wrong head; restore them, or delete 'audit/head.json' and that record where 'rollcall audit verify' and"
                    + " the ends that were noted elsewhere say that nothing is missing",
                in: try Self.auditKey(end.sequence + 1).path)
        }
        // Far behind: the next ones see the rest.
        return try await walk(from: head)
    }

    /// Where the chain ends now, whatever was seen of it before: for looking.
    ///
    /// - Throws: as `auditEnd()`, of what the head knows.
    func foundEnd() async throws -> AuditHead {
        if let head = try await believedHead() { return try await walk(from: head) }
        guard let seen = own.end, try await digest(ofAuditRecord: seen.sequence) == seen.digest else {
            return try await walk(from: .empty)
        }
        return try await walk(from: seen)
    }

    /// The last record of those that follow a place, each the one before.
    ///
    /// - Parameter limit: how many are looked at, at most; a few more where they are read together
    private func walk(from start: AuditHead, atMost limit: Int64 = .max) async throws -> AuditHead {
        var end = start
        // As a rule one question; many only where the chain is walked from far.
        var count: Int64 = 1
        while end.sequence - start.sequence < limit {
            for result in try await records(count, after: end) {
                guard let record = try result.get() else { return end }
                try require(record, after: end)
                end = AuditHead(record)
            }
            count = min(count * 2, Self.auditBatch)
        }
        return end
    }

    /// The head, where there is one that was not forged.
    private func believedHead() async throws -> AuditHead? {
        guard let object = try await headObject(), case .believed(let head) = try await standing(of: object) else {
            return nil
        }
        return head
    }

    /// What a stored head is worth.
    private enum HeadStanding {
        /// Its record is there, and is a record.
        case believed(AuditHead)
        /// It cannot be read, or its record has the hash that it names and is none: no record of the chain was changed or
        /// removed since, nobody who records wrote it. It counts for as much as none: who can write it could have written an
        /// older one.
        case forged
    }

    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` where the record is not there, or another one is: one that
    ///   was there was removed, or changed. `.unknownSchema` for what a later version wrote.
    private func standing(of object: StoredObject) async throws -> HeadStanding {
        let head: AuditHead
        do {
            head = try parse(object)
        } catch let error as ReadinessError where error.code != .unknownSchema {
            return .forged
        }
        let key = try Self.auditKey(head.sequence)
        guard let found = try await objects.get(key, limit: AuditRecord.maximumSize) else {
            throw ReadinessError(
                .brokenChain,
                "the chain's head names it, and it is not there: records were removed, or the object store serves old"
                    + " data; restore it, then run 'rollcall audit verify'", in: key.path)
        }
        guard Digest(of: found.bytes) == head.digest else {
            throw ReadinessError(
                .brokenChain,
                "it is not the record that the chain's head names: it was changed; run 'rollcall audit verify'",
                in: key.path)
        }
        do throws(ReadinessError) {
            let record = try AuditRecord(parsing: found.bytes, in: key.path)
            return record.sequence == head.sequence ? .believed(head) : .forged
        } catch {
            guard error.code != .unknownSchema else { throw error }
            return .forged
        }
    }

    private func isForged(_ object: StoredObject) async -> Bool {
        if case .forged? = try? await standing(of: object) { true } else { false }
    }

    /// The head as it is stored; one that is too large for a head is none.
    private func headObject() async throws(ObjectStoreError) -> StoredObject? {
        do throws(ObjectStoreError) {
            return try await objects.get(Self.auditHeadKey(), limit: AuditHead.maximumSize)
        } catch {
            guard error.code == .tooLarge else { throw error }
            return nil
        }
    }

    /// The most records that a witness reads at one look.
    static let maximumWitnessed: Int64 = 1024
    /// How many of them at once: a record may have 16 MiB.
    private static let witnessBatch: Int64 = 4

    /// The furthest end of the chain that a witness can vouch for: from the one that it saw before on, record by record, as
    /// far as each follows the one before.
    ///
    /// The head only says that there is more to see. Whoever can write it, as any agent can, must not make a witness see what
    /// never was: what a witness has signed, nobody takes back. One that is far behind gets there in several looks.
    ///
    /// - Parameter seen: the furthest end that the witness saw before
    /// - Throws: `ObjectStoreError`.
    public func witnessedEnd(after seen: AuditHead?) async throws -> AuditHead? {
        let start = seen ?? .empty
        let head = try await headObject().flatMap { try? parse($0) }
        guard head.map({ $0.sequence > start.sequence }) ?? true else { return seen }
        var (before, end) = (start, start)
        while end.sequence < start.sequence + Self.maximumWitnessed {
            let known = max(1, (head?.sequence ?? 0) - end.sequence)
            let left = start.sequence + Self.maximumWitnessed - end.sequence
            for result in try await records(min(known, left, Self.witnessBatch), after: end) {
                guard case .success(let record?) = result else { return end == start ? seen : end }
                // One of the two was changed: neither is what the witness saw.
                guard record.previous == end.digest else { return before == start ? seen : before }
                (before, end) = (end, AuditHead(record))
            }
        }
        return end
    }

    /// The next records after a place, in order, whether they follow it or not; `nil` for those that are not there.
    private func records(
        _ count: Int64, after end: AuditHead
    ) async throws -> [Result<AuditRecord?, ReadinessError>] {
        try await inOrder(end.sequence + 1...end.sequence + count) {
            sequence async throws -> Result<AuditRecord?, ReadinessError> in
            do {
                return .success(try await auditRecord(sequence))
            } catch let error as ReadinessError {
                return .failure(error)
            }
        }
    }

    /// A record by its number; `nil` where there is none.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` for one that is malformed or not of this number.
    public func auditRecord(_ sequence: Int64) async throws -> AuditRecord? {
        let key = try Self.auditKey(sequence)
        guard let object = try await objects.get(key, limit: AuditRecord.maximumSize) else { return nil }
        let record = try AuditRecord(parsing: object.bytes, in: key.path)
        guard record.sequence == sequence else {
            throw ReadinessError(.brokenChain, "it is the record of number \(record.sequence)", in: key.path)
        }
        return record
    }

    /// The record after a place; `nil` at the end of the chain.
    private func auditRecord(after end: AuditHead) async throws -> AuditRecord? {
        guard let record = try await auditRecord(end.sequence + 1) else { return nil }
        try require(record, after: end)
        return record
    }

    private func require(_ record: AuditRecord, after end: AuditHead) throws {
        guard record.previous == end.digest else {
            throw ReadinessError(
                .brokenChain, "it does not follow the record before it: run 'rollcall audit verify'",
                in: try Self.auditKey(record.sequence).path)
        }
    }

    private func parse(_ head: StoredObject) throws -> AuditHead {
        try Document.decode(AuditHead.self, from: head.bytes, .brokenChain, in: Self.auditHeadKey().path)
    }
}
