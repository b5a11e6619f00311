public import OCI
import ObjectStore
import Trust

extension CentralStore {
    /// Decides whether what is staged under a name, or what is promoted, is ready. An answer that differs from the one
    /// before about the same is recorded.
    ///
    /// - Parameters:
    ///   - list: the list's name
    ///   - environment: where
    ///   - fleet: the fleet
    ///   - act: who asks, and when: the time of the decision
    ///   - subject: what the question is about; `nil` leaves that to the generation: staged or promoted, as it is. Without
    ///     one, or with one that is neither, the question is about what is staged
    ///   - generation: the generation that whoever asks means: where it is not the one, the answer is blocked
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have; `ObjectStoreError` and
    ///   `ReadinessError` where the store cannot be read or written. Then nothing is known, and nothing is ready.
    public func check(
        _ list: ListName, in environment: EnvironmentName, of fleet: Fleet, act: Act,
        about subject: Verdict.Subject? = nil, generation: Digest? = nil
    ) async throws -> Verdict {
        let place = try fleet.environment(environment)
        let (evidence, current) = try await evidence(of: place, act: act)
        // After what the answer rests on was read: waiting for it must not make it younger.
        let act = timed(act)
        let state = current.record.lists[list]
        let subject = subject ?? generation.flatMap { state?.subject(of: $0) } ?? .staged
        let verdict = compare(
            list: list, about: subject, in: state, environment: place, evidence: evidence, now: act.at)
        // What is remembered is the answer to all who ask about the same, whichever generation they mean.
        try await remember(verdict, evidence: evidence, in: place, on: current, act: act)
        return generation.map { verdict.bound(to: $0) } ?? verdict
    }

    // MARK: What was done, and is not recorded yet

    /// An environment's record, after what was done to it before has been recorded.
    ///
    /// - Parameters:
    ///   - environment: whose record; how many earlier promotions its sites keep is what the fleet file says
    ///   - act: who asks
    /// - Throws: as `record(of:)` and `record(_:)`.
    func settledRecord(of environment: Fleet.Environment, act: Act) async throws -> VersionedRecord {
        for attempt in 0..<Self.maximumAttempts {
            var current = try await record(of: environment.name)
            let outbox = current.record.outbox
            // The agents know the fleet file's depth from here alone.
            let isOutdated = current.etag != nil && current.record.rollbackDepth != environment.rollbackDepth
            guard !outbox.isEmpty || isOutdated else { return current }
            try await record(outbox, by: AuditEvent.Actor(act))
            current.record.outbox.remove(outbox)
            current.record.rollbackDepth = environment.rollbackDepth
            if try await !swap(current.record, against: current.etag) { await backoff(attempt) }
        }
        throw contention(over: environment.name)
    }

    /// Records what was just done to an environment's record.
    ///
    /// - Parameter deed: what was done, in words
    /// - Throws: `ReadinessError.unrecorded`: it is done all the same, and the next change or check records it.
    func settle(_ environment: Fleet.Environment, after deed: String, act: Act) async throws {
        do {
            let record = try await settledRecord(of: environment, act: act).record
            // So that nobody puts back what was before. Where it fails, the next decision takes note of it.
            try? await changeMemory(of: environment.name) { $0.remember(record) }
        } catch {
            throw ReadinessError(
                .unrecorded,
                "\(deed), but its audit record could not be written (\(error)): the next command that decides about"
                    + " '\(environment.name)' writes it")
        }
    }

    // MARK: What was seen and said before

    /// Reads what every site reported last, and remembers it: what a decision rests on, and what it is about.
    ///
    /// The memory is read before the record and the reports, so that what is remembered is never younger than what is read.
    /// Where another coordinator has seen something younger meanwhile, all of it is read again.
    ///
    /// - Throws: as `reports(of:)`, and `ReadinessError.contention` where others kept changing the memory.
    func evidence(
        of environment: Fleet.Environment, act: Act
    ) async throws -> (evidence: Evidence, current: VersionedRecord) {
        for attempt in 0..<Self.maximumAttempts {
            let stored = try await settledMemory(of: environment.name, act: act)
            try await forgetSites(in: stored.memory, of: environment)
            let known = completed(stored)
            let current = try await settledRecord(of: environment, act: act)
            var evidence = try await observe(environment, remembering: known, current, at: timed(act).at)
            // Only where something is decided: a directory's clock is told by a file that is written. One that cannot be
            // asked is no clock that agrees with ours.
            evidence.storeLead = try await objects.clockLead()
            // What a clock that is wrong notes would close the gate for those whose clock is right.
            guard evidence.skew == nil else { return (evidence, current) }
            let act = timed(act)
            var latest = known.memory
            latest.remember(evidence.reports, shards: evidence.shards, of: environment, at: act.at)
            latest.remember(current.record)
            // Nothing takes the place of records that are to be restored: what the file asks for is noted once they are.
            if evidence.cutOff == nil, let event = latest.noteDemands(of: environment, act: act) {
                try latest.outbox.add(event, after: try await auditEnd().sequence, signedBy: signingKey)
            }
            // What the store has, or has now.
            let seen = latest.seen(in: evidence, of: environment, on: current.record, at: act.at)
            if latest == stored.memory {
                own.note(seen, of: environment)
                return (evidence, current)
            }
            if let digest = try await swap(latest, against: known.etag) {
                own.note(seen, of: environment)
                (evidence.memory, evidence.memoryDigest) = (latest, digest)
                if !latest.outbox.isEmpty {
                    let settled = try await settledMemory(of: environment.name, act: act)
                    (evidence.memory, evidence.memoryDigest) = (settled.memory, settled.digest)
                }
                return (evidence, current)
            }
            await backoff(attempt)
        }
        throw contention(over: environment.name)
    }

    /// What a decision would rest on, without remembering anything: for looking.
    ///
    /// - Parameters:
    ///   - environment: where
    ///   - now: the coordinator's time
    /// - Returns: the evidence, and the environment's record
    /// - Throws: as `reports(of:)` and `record(of:)`.
    public func observe(
        _ environment: Fleet.Environment, at now: Timestamp
    ) async throws -> (evidence: Evidence, current: VersionedRecord) {
        let stored = try await memory(of: environment.name)
        try await forgetSites(in: stored.memory, of: environment)
        let current = try await record(of: environment.name)
        return (try await observe(environment, remembering: completed(stored), current, at: now), current)
    }

    private func observe(
        _ environment: Fleet.Environment, remembering known: VersionedMemory, _ current: VersionedRecord,
        at now: Timestamp
    ) async throws -> Evidence {
        let reports = try await allReports(of: environment)
        var evidence = Evidence(
            reports: reports.sites, memory: known.memory,
            waivers: try await waivers(of: environment, remembering: known.memory), shards: reports.shards)
        evidence.memoryDigest = known.digest
        evidence.cutOff = try await cutOff(behind: evidence, in: environment, at: now)
        evidence.predecessor = try await predecessor(of: environment)
        if let before = evidence.predecessor { evidence.note(before.record) }
        evidence.note(current.record)
        evidence.storeLead = await objects.knownClockLead()
        evidence.isStoresOwn = evidence.storeLead != nil
        return evidence
    }

    /// What the environment before on the ladder has; `nil` for the first.
    func predecessor(of environment: Fleet.Environment) async throws -> Evidence.Predecessor? {
        guard let name = environment.predecessor else { return nil }
        let known = completed(try await memory(of: name)).memory
        let before = try await record(of: name)
        return .init(record: before.record, digest: before.digest, replayed: known.replayed(in: before.record))
    }

    /// Records a check whose answer is another than the last one that was recorded of the list as the same, staged or
    /// promoted. Of a list that the record does not have nothing is recorded, whoever asks how often; nor by a clock that is
    /// wrong, nor in the place of records that were cut off.
    func remember(
        _ verdict: Verdict, evidence: Evidence, in environment: Fleet.Environment, on current: VersionedRecord, act: Act
    ) async throws {
        let policy = GatePolicy(environment)
        let answer = GateMemory.Answer(verdict, by: policy)
        guard current.record.lists[verdict.list] != nil, evidence.skew == nil, evidence.cutOff == nil,
            evidence.memory.answer(about: verdict.list, as: verdict.subject, by: policy)?.fingerprint
                != answer.fingerprint
        else { return }
        let end = try await auditEnd()
        let event = AuditEvent(.checked, act, verdict: verdict, evidence: evidence, in: environment, on: current)
        for attempt in 0..<Self.maximumAttempts {
            let known = try await settledMemory(of: verdict.environment, act: act)
            var memory = known.memory
            let before = memory.answer(about: verdict.list, as: verdict.subject, by: policy)
            guard before?.fingerprint != answer.fingerprint else { return }
            memory.note(answer, about: verdict.list, as: verdict.subject, by: policy)
            try memory.outbox.add(event, after: end.sequence, signedBy: signingKey)
            if try await swap(memory, against: known.etag) != nil {
                _ = try await settledMemory(of: verdict.environment, act: act)
                return
            }
            await backoff(attempt)
        }
        throw contention(over: verdict.environment)
    }

    /// What the gate remembers of an environment, with the version that it was read at.
    struct VersionedMemory {
        let memory: GateMemory
        /// The version to swap against; `nil` where there is no object yet.
        let etag: ETag?
        /// The SHA-256 of the object; `nil` where there is none.
        let digest: Digest?
    }

    /// Reads what the gate remembers of an environment.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidRecord` or `.unknownSchema`.
    func memory(of environment: EnvironmentName) async throws -> VersionedMemory {
        let key = try Self.memoryKey(of: environment)
        guard let object = try await objects.get(key) else {
            return VersionedMemory(memory: GateMemory(environment: environment), etag: nil, digest: nil)
        }
        return VersionedMemory(
            memory: try GateMemory(parsing: object.bytes, of: environment, in: key.path), etag: object.etag,
            digest: Digest(of: object.bytes))
    }

    /// What the gate remembers, and beyond that what this process has seen itself, where the store went back behind it.
    func completed(_ known: VersionedMemory) -> VersionedMemory {
        guard let seen = own.seen(in: known.memory.environment) else { return known }
        var memory = known.memory
        memory.catchUp(with: seen)
        return VersionedMemory(memory: memory, etag: known.etag, digest: known.digest)
    }

    /// Forgets the sites that somebody made the gate forget since this process looked last: what it saw of them itself.
    ///
    /// The gate's memory says which record of the chain tells it. That record is what counts, and no earlier one than the one
    /// that was heeded last: whoever can write to the store can put an old memory back. One small read for each site that was
    /// ever forgotten, once for as long as what was seen is kept.
    ///
    /// - Throws: as `auditRecord(_:)`, but for a record that cannot be read: that one says nothing.
    private func forgetSites(in memory: GateMemory, of environment: Fleet.Environment) async throws {
        guard !memory.forgotten.isEmpty else { return }
        let heeded = own.seen(in: environment.name)?.forgotten ?? [:]
        for site in environment.sites.map(\.name) {
            guard let number = memory.forgotten[site], number > heeded[site] ?? 0,
                try await isForgetting(number, of: site, in: environment)
            else { continue }
            own.forget(site, in: environment.name, at: number)
        }
    }

    /// Whether a record says that a site was forgotten; signed by a coordinator whose key was valid then, where the fleet file
    /// names any.
    private func isForgetting(
        _ number: Int64, of site: SiteName, in environment: Fleet.Environment
    ) async throws -> Bool {
        guard number <= Self.maximumAuditRecords else { return false }
        do {
            guard let record = try await auditRecord(number), record.event.action == .siteForgotten,
                record.event.environment == environment.name, record.event.site == site
            else { return false }
            let keys = environment.coordinators.flatMap(\.keys)
            return keys.isEmpty
                || keys.contains { key in
                    key.publicKey == record.signer && key.notAfter.map { record.event.at <= $0 } ?? true
                }
        } catch let error as ReadinessError where error.code == .brokenChain {
            return false
        }
    }

    /// What the gate remembers, after the events in it have been recorded.
    private func settledMemory(of environment: EnvironmentName, act: Act) async throws -> VersionedMemory {
        for attempt in 0..<Self.maximumAttempts {
            let known = try await memory(of: environment)
            let outbox = known.memory.outbox
            guard !outbox.isEmpty else { return known }
            try await record(outbox, by: AuditEvent.Actor(act))
            var emptied = known.memory
            emptied.outbox.remove(outbox)
            if try await swap(emptied, against: known.etag) == nil { await backoff(attempt) }
        }
        throw contention(over: environment)
    }

    /// The highest sequence number that a gate has seen of a site: what its agent must not go back behind.
    ///
    /// - Throws: as `memory(of:)`.
    public func lastSequence(
        of site: SiteName, in environment: EnvironmentName, shard: Shard? = nil
    ) async throws -> Int64? {
        try await memory(of: environment).memory.sighting(of: site, shard: shard)?.sequence
    }

    func changeMemory(of environment: EnvironmentName, _ change: (inout GateMemory) -> Void) async throws {
        for attempt in 0..<Self.maximumAttempts {
            let known = try await memory(of: environment)
            var changed = known.memory
            change(&changed)
            if changed == known.memory { return }
            if try await swap(changed, against: known.etag) != nil { return }
            await backoff(attempt)
        }
        throw contention(over: environment)
    }

    /// Swaps what the gate remembers against the version that it was read at.
    ///
    /// - Returns: the SHA-256 of the object; `nil` where it was not that version any more
    private func swap(_ memory: GateMemory, against etag: ETag?) async throws -> Digest? {
        let bytes = try Document.encode(memory, .invalidRecord)
        let isSwapped = try await swap(bytes, at: Self.memoryKey(of: memory.environment), against: etag) {
            // What is in it now shows what is still to be noted.
            false
        }
        return isSwapped ? Digest(of: bytes) : nil
    }
}

extension AuditEvent {
    /// A decision of the gate, with what it rested on.
    init(
        _ action: Action, _ act: Act, verdict: Verdict, evidence: Evidence, in place: Fleet.Environment,
        on current: CentralStore.VersionedRecord
    ) {
        self.init(action, act)
        policy = GatePolicy(place)
        environment = verdict.environment
        list = verdict.list
        generation = verdict.judged?.generation
        ready = verdict.isReady
        reasons = verdict.reasons.map(\.code.text)
        sites = verdict.sites.map { site in
            let report = evidence.reports[site.name]
            return Site(
                site: site.name, manifest: report?.digest, sequence: report?.manifest?.sequence,
                reasons: site.reasons.map(\.code.text), waiver: site.waiver?.id, unsigned: site.isUnproved)
        }
        for (site, shards) in evidence.shards.sorted(by: { $0.key < $1.key }) {
            for (shard, report) in shards.sorted(by: { $0.key < $1.key }) {
                guard let key = try? CentralStore.key(of: site, in: verdict.environment, shard: shard) else { continue }
                self.evidence.append(Object(key.path, report.digest))
            }
        }
        for waiver in verdict.waivers {
            guard let report = evidence.waivers.first(where: { $0.id == waiver.id }),
                let key = try? CentralStore.key(ofWaiver: waiver.id, in: verdict.environment)
            else { continue }
            self.evidence.append(Object(key.path, report.digest))
        }
        if let digest = current.digest, let key = try? CentralStore.recordKey(of: verdict.environment) {
            self.evidence.append(Object(key.path, digest))
        }
        if let digest = evidence.memoryDigest, let key = try? CentralStore.memoryKey(of: verdict.environment) {
            self.evidence.append(Object(key.path, digest))
        }
        add(evidence.predecessor)
        if verdict.subject != .staged { details["of"] = verdict.subject.rawValue }
    }

    /// Names the record of the environment before, where there is one.
    mutating func add(_ predecessor: Evidence.Predecessor?) {
        guard let predecessor, let digest = predecessor.digest,
            let key = try? CentralStore.recordKey(of: predecessor.record.environment)
        else { return }
        evidence.append(Object(key.path, digest))
    }
}
