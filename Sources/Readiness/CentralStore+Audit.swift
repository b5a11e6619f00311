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
    /// - Parameter event: what was decided or done; recorded once, however often this is called with it at once
    /// - Returns: the record
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` where the chain does not hold together at its end, and
    ///   `.contention` where others were first for as many attempts as are made.
    @discardableResult
    public func record(_ event: AuditEvent) async throws -> AuditRecord {
        try await record(event, signedBy: signingKey)
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
            while let record = try await auditRecord(after: end) {
                if record.event == event, record.signer == signer { return record }
                end = AuditHead(record)
            }
            let key = try Self.auditKey(end.sequence + 1)
            let object = try object(end)
            if try await objects.put(object, at: key, condition: .ifAbsent) != .conflict {
                let record = try AuditRecord(parsing: object, in: key.path)
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
            _ = try await append(pending.event, by: pending.statement?.signer, after: try await start(of: pending)) { place throws(ReadinessError) in
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
            guard let key = try? Self.auditHeadKey(), let current = try? await objects.get(key, ifNoneMatch: nil) else {
                return
            }
            var condition = PutCondition.ifAbsent
            if case .found(let object) = current {
                guard let known = try? parse(object), known.sequence < head.sequence else { return }
                condition = .ifMatch(object.etag)
            }
            guard let bytes = try? Document.encode(head, .invalidRecord),
                case .conflict? = try? await objects.put(bytes, at: key, condition: condition)
            else { return }
        }
    }

    // MARK: Reading

    /// Where the chain ends now: the last record there is.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` where records that the head knows of are not there, or
    ///   do not hold together.
    public func auditEnd() async throws -> AuditHead {
        var end = AuditHead.empty
        if let object = try await objects.get(Self.auditHeadKey(), limit: AuditHead.maximumSize) {
            let head = try parse(object)
            guard let record = try await auditRecord(head.sequence) else {
                throw ReadinessError(
                    .brokenChain,
                    "the chain's head names it, and it is not there: records were removed, or the object store serves old"
                        + " data; restore it, then run 'rollcall audit verify'",
                    in: try Self.auditKey(head.sequence).path)
            }
            guard record.digest == head.digest else {
                throw ReadinessError(
                    .brokenChain,
                    "it is not the record that the chain's head names: it was changed; run 'rollcall audit verify'",
                    in: try Self.auditKey(head.sequence).path)
            }
            end = head
        }
        while let record = try await auditRecord(after: end) { end = AuditHead(record) }
        return end
    }

    /// The furthest end of the chain that a witness can vouch for: the one that it saw before, or a later one that the
    /// chain's head names now and that is there.
    ///
    /// - Parameter seen: the furthest end that the witness saw before
    /// - Throws: `ObjectStoreError`.
    public func witnessedEnd(after seen: AuditHead?) async throws -> AuditHead? {
        guard let object = try await objects.get(Self.auditHeadKey(), limit: AuditHead.maximumSize),
            let head = try? parse(object),
            head.sequence > seen?.sequence ?? 0
        else { return seen }
        // Whoever can write the head alone must not make a witness see what never was.
        let record = try await objects.get(Self.auditKey(head.sequence), limit: AuditRecord.maximumSize)
        return record.map { Digest(of: $0.bytes) } == head.digest ? head : seen
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
        guard record.previous == end.digest else {
            throw ReadinessError(
                .brokenChain, "it does not follow the record before it: run 'rollcall audit verify'",
                in: try Self.auditKey(record.sequence).path)
        }
        return record
    }

    private func parse(_ head: StoredObject) throws -> AuditHead {
        try Document.decode(AuditHead.self, from: head.bytes, .brokenChain, in: Self.auditHeadKey().path)
    }
}
