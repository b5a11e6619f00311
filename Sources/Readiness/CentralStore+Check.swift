public import OCI
import ObjectStore

extension CentralStore {
    /// Decides whether what is staged under a name is ready. An answer that differs from the one before is recorded.
    ///
    /// - Parameters:
    ///   - list: the list's name
    ///   - environment: where
    ///   - fleet: the fleet
    ///   - act: who asks, and when: the time of the decision
    /// - Throws: `ReadinessError.invalidFleet` for an environment that the fleet does not have; `ObjectStoreError` and
    ///   `ReadinessError` where the store cannot be read or written. Then nothing is known, and nothing is ready.
    public func check(
        _ list: ListName, in environment: EnvironmentName, of fleet: Fleet, act: Act
    ) async throws -> Verdict {
        let place = try fleet.environment(environment)
        let current = try await settledRecord(of: environment)
        let evidence = try await evidence(of: place, act: act)
        let verdict = compare(
            list: list, staged: current.record.lists[list]?.staged, environment: place, evidence: evidence, now: act.at)
        try await remember(verdict, evidence: evidence, on: current, act: act)
        return verdict
    }

    // MARK: What was done, and is not recorded yet

    /// An environment's record, after what was done to it before has been recorded.
    ///
    /// - Throws: as `record(of:)` and `record(_:)`.
    func settledRecord(of environment: EnvironmentName) async throws -> VersionedRecord {
        for attempt in 0..<Self.maximumAttempts {
            var current = try await record(of: environment)
            let outbox = current.record.outbox
            guard !outbox.isEmpty else { return current }
            try await record(outbox)
            current.record.outbox.remove(outbox)
            if try await !swap(current.record, against: current.etag) { await backoff(attempt) }
        }
        throw contention(over: environment)
    }

    /// Records what was just done to an environment's record.
    ///
    /// - Parameter deed: what was done, in words
    /// - Throws: `ReadinessError.unrecorded`: it is done all the same, and the next change or check records it.
    func settle(_ environment: EnvironmentName, after deed: String) async throws {
        do {
            _ = try await settledRecord(of: environment)
        } catch {
            throw ReadinessError(
                .unrecorded,
                "\(deed), but its audit record could not be written (\(error)): the next command that decides about"
                    + " '\(environment)' writes it")
        }
    }

    // MARK: What was seen and said before

    /// Reads what every site reported last, and remembers it: what a decision rests on.
    ///
    /// The memory is read before the reports, so that what is remembered is never younger than what is read. Where another
    /// coordinator has seen something younger meanwhile, both are read again.
    ///
    /// - Throws: as `reports(of:)`, and `ReadinessError.contention` where others kept changing the memory.
    func evidence(of environment: Fleet.Environment, act: Act) async throws -> Evidence {
        for attempt in 0..<Self.maximumAttempts {
            let (memory, etag) = try await settledMemory(of: environment.name)
            let (reports, waivers) = (try await allReports(of: environment), try await waivers(of: environment))
            var latest = memory
            latest.remember(reports.sites, shards: reports.shards, of: environment)
            if let event = latest.noteKeys(of: environment, act: act) {
                latest.outbox.add(event, after: try await auditEnd().sequence)
            }
            if latest == memory { return evidence(reports, memory, waivers) }
            if try await swap(latest, against: etag) {
                if !latest.outbox.isEmpty { latest = try await settledMemory(of: environment.name).memory }
                return evidence(reports, latest, waivers)
            }
            await backoff(attempt)
        }
        throw contention(over: environment.name)
    }

    /// What a decision would rest on, without remembering anything: for looking.
    ///
    /// - Throws: as `reports(of:)`.
    public func observe(_ environment: Fleet.Environment) async throws -> Evidence {
        let (memory, _) = try await memory(of: environment.name)
        return evidence(try await allReports(of: environment), memory, try await waivers(of: environment))
    }

    private func evidence(_ reports: Reports, _ memory: GateMemory, _ waivers: [WaiverReport]) -> Evidence {
        Evidence(reports: reports.sites, memory: memory, waivers: waivers, shards: reports.shards)
    }

    /// Records a check whose answer is another than the last one that was recorded of the list.
    func remember(
        _ verdict: Verdict, evidence: Evidence, on current: VersionedRecord, act: Act
    ) async throws {
        let answer = GateMemory.Answer(verdict)
        guard evidence.memory.answers[verdict.list]?.fingerprint != answer.fingerprint else { return }
        let end = try await auditEnd()
        let event = AuditEvent(.checked, act, verdict: verdict, evidence: evidence, on: current)
        for attempt in 0..<Self.maximumAttempts {
            var (memory, etag) = try await settledMemory(of: verdict.environment)
            guard memory.answers[verdict.list]?.fingerprint != answer.fingerprint else { return }
            memory.answers[verdict.list] = answer
            memory.outbox.add(event, after: end.sequence)
            if try await swap(memory, against: etag) {
                _ = try await settledMemory(of: verdict.environment)
                return
            }
            await backoff(attempt)
        }
        throw contention(over: verdict.environment)
    }

    /// What the gate remembers of an environment, and its version.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidRecord` or `.unknownSchema`.
    func memory(of environment: EnvironmentName) async throws -> (memory: GateMemory, etag: ETag?) {
        let key = try Self.memoryKey(of: environment)
        guard let object = try await objects.get(key) else { return (GateMemory(environment: environment), nil) }
        return (try GateMemory(parsing: object.bytes, of: environment, in: key.path), object.etag)
    }

    /// What the gate remembers, after the events in it have been recorded.
    private func settledMemory(of environment: EnvironmentName) async throws -> (memory: GateMemory, etag: ETag?) {
        for attempt in 0..<Self.maximumAttempts {
            var (memory, etag) = try await memory(of: environment)
            let outbox = memory.outbox
            guard !outbox.isEmpty else { return (memory, etag) }
            try await record(outbox)
            memory.outbox.remove(outbox)
            if try await !swap(memory, against: etag) { await backoff(attempt) }
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
            let (memory, etag) = try await memory(of: environment)
            var changed = memory
            change(&changed)
            if changed == memory { return }
            if try await swap(changed, against: etag) { return }
            await backoff(attempt)
        }
        throw contention(over: environment)
    }

    private func swap(_ memory: GateMemory, against etag: ETag?) async throws -> Bool {
        let outcome = try await objects.put(
            Document.encode(memory, .invalidRecord), at: Self.memoryKey(of: memory.environment),
            condition: etag.map { .ifMatch($0) } ?? .ifAbsent)
        return outcome != .conflict
    }
}

extension AuditEvent {
    /// A decision of the gate, with what it rested on.
    init(
        _ action: Action, _ act: Act, verdict: Verdict, evidence: Evidence, on current: CentralStore.VersionedRecord
    ) {
        self.init(action, act)
        environment = verdict.environment
        list = verdict.list
        generation = verdict.staged?.generation
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
    }
}
