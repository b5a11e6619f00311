import OCI
import ObjectStore
import Readiness
import Synchronization
import Transfer
import Trust

/// One pass of the agent: from the environment's record to the cache manifest.
struct SitePass: Sendable {
    /// What a pass may do to the site's registry.
    enum Mode: String {
        /// Fetch what is missing.
        case sync
        /// Look only.
        case verify
    }

    let site: SiteName
    let environment: EnvironmentName
    /// How long the cache manifest holds.
    let validity: Duration
    let version: String
    /// Who runs the agent, as `USER@HOST`.
    let owner: String
    let central: CentralStore
    var registry: any SiteRegistry
    let state: StateDirectory
    /// What is known of the registry's content.
    let journal: ProofJournal
    /// What signs the cache manifests; `nil` leaves them unsigned.
    let signingKey: PrivateKey?
    let now: @Sendable () -> Timestamp
    /// How it tells how far it is; `nil` where it does not.
    var reporting: ProgressReporting?
    /// Which of the site's agents this is; `nil` where it is the only one.
    var shard: Shard?
    /// Which registry the manifests speak of.
    var statement: CacheManifest.Registry?
    /// Who sees what it does.
    var witness = PassWitness()

    /// Reads the lists, brings what is missing, verifies at the destination, and publishes the cache manifest.
    ///
    /// A list that cannot be read, or an entry that cannot be brought, does not stop the others: the manifest then says
    /// what is missing, and the gate stays closed on it.
    ///
    /// - Throws: where nothing can be said about the site: the central store or the regional registry is out of reach,
    ///   or the state directory is unusable. No manifest is published then, and the one before it runs out.
    func run(_ mode: Mode, record: EnvironmentRecord) async throws -> PassReport {
        let turn = try await PassTurn.waiting(in: state.path, onWait: witness.sign)
        defer { withExtendedLifetime(turn) {} }
        // At the first pass that reaches it: what was not in reach at the start is not taken on trust.
        try await central.prepare()
        var failures: [String] = []
        let lists = try await lists(of: record, failures: &failures)
        let closure = Closure(lists.flatMap(\.closure.entries))
        witness.sign()
        witness.began(lists)

        let outcome: Outcome
        switch mode {
        case .sync: outcome = try await sync(lists, closure, Self.tags(of: lists, record: record))
        case .verify:
            let verifiedAt = now()
            outcome = Outcome(found: try await look(at: closure), verifiedAt: verifiedAt)
        }
        failures += outcome.failures
        let found = outcome.found
        let manifest = try await publish(lists, missing: found.missing, verifiedAt: outcome.verifiedAt)
        if let failure = await self.record(manifest.holdings, evidence: manifest.object) { failures.append(failure) }
        return PassReport(
            lists: lists.count, unreadableLists: Self.generations(of: record).count - lists.count,
            closure: closure, missing: found.missing, damaged: found.damaged, leftAlone: found.leftAlone,
            delivered: outcome.brought, failures: failures, postponed: outcome.delivery.postponed,
            pause: outcome.delivery.pause, sourceFaults: outcome.delivery.sourceFaults,
            holdings: manifest.holdings)
    }

    /// What a pass that is under way has found missing, once it knows.
    private final class Survey: Sendable {
        private let state = Mutex<[ClosureEntry]?>(nil)

        var missing: [ClosureEntry]? {
            get { state.withLock { $0 } }
            set { state.withLock { $0 = newValue } }
        }
    }

    /// How a pass left the registry.
    private struct Outcome {
        var found: Finding
        /// When the registry showed what it showed longest ago.
        var verifiedAt: Timestamp
        var brought: [ClosureEntry] = []
        var delivery = Delivery()
        var failures: [String] = []
    }

    /// Brings what is missing. Where the registry has something that it does not serve, that takes closer looks.
    private func sync(_ lists: [ImageList], _ closure: Closure, _ tags: [TagAssignment]) async throws -> Outcome {
        var brought: [ClosureEntry] = []
        if try journal.faults().isEmpty {
            let survey = Survey()
            let start = now()
            let delivery = try await reportingProgress { progress in
                guard let missing = survey.missing else { return }
                _ = try await publish(lists, missing: missing, verifiedAt: start, progress: progress)
            } during: {
                try await registry.bring(
                    closure.entries, tags: tags,
                    events: events { found in
                        // Before anything is said: what is missing now is new once it is brought.
                        guard (try? finding(found, of: closure)) != nil else { return }
                        await tell(lists, missing: found.missing, verifiedAt: start)
                        survey.missing = found.missing
                    })
            }
            brought = delivery.brought
            guard delivery.needsMending else {
                // From the age, not from a clock that may have been set meanwhile. A second more for the part of one that
                // the age leaves out.
                let verifiedAt = now().advanced(by: .zero - delivery.answerAge - .seconds(1))
                return Outcome(
                    found: try finding(delivery.inventory, of: closure, brought: brought), verifiedAt: verifiedAt,
                    brought: brought, delivery: delivery, failures: delivery.failures)
            }
            try journal.forgetReadings(of: Set(brought.map(\.digest)))
        }
        // Before the look: what is lost while it lasts is not covered by it.
        let lookedAt = now()
        var outcome = Outcome(found: try await look(at: closure), verifiedAt: lookedAt)
        let missingBefore = outcome.found.missing
        if !outcome.found.toBring.missing.isEmpty {
            await tell(lists, missing: missingBefore, verifiedAt: outcome.verifiedAt)
            let (found, since) = (outcome.found, outcome.verifiedAt)
            outcome.delivery = try await reportingProgress { progress in
                _ = try await publish(lists, missing: missingBefore, verifiedAt: since, progress: progress)
            } during: {
                try await bring(found)
            }
            outcome.failures += outcome.delivery.failures
            // What a push was answered is a promise; what the registry serves now is the proof.
            outcome.verifiedAt = now()
            outcome.found = try await lookAgain(
                at: closure, after: outcome.found, outcome.delivery, failures: &outcome.failures)
        }
        let absent = Set(outcome.found.missing.map(\.identity))
        outcome.failures += try await assign(tags.filter { !absent.contains($0.identity) })
        outcome.brought = brought + missingBefore.filter { !absent.contains($0.identity) }
        return outcome
    }

    /// Says in the cache manifest what is missing while it is brought: what was lost is missing from now on, and not only
    /// once it turns out that it cannot be brought. Where that does not go well, the pass's end says so.
    private func tell(_ lists: [ImageList], missing: [ClosureEntry], verifiedAt: Timestamp) async {
        _ = try? await publish(lists, missing: missing, verifiedAt: verifiedAt)
    }

    /// What is staged, what is promoted and what may be returned to, each generation once.
    static func generations(of record: EnvironmentRecord) -> [Digest] { record.retainedGenerations.sorted() }

    /// What tags are to point at once it is there. A promoted list moves its tags; one that is only staged names what has no
    /// name yet, and does not change what clusters may use.
    static func tags(of lists: [ImageList], record: EnvironmentRecord) -> [TagAssignment] {
        let promoted = Set(record.lists.values.compactMap { $0.promoted?.generation })
        var assignments: [String: TagAssignment] = [:]
        // In a fixed order, so that of two promoted lists that disagree on a tag, the same one has it every time.
        for list in lists.sorted(by: { ($0.name, $0.generation) < ($1.name, $1.generation) }) {
            let moves = promoted.contains(list.generation)
            for image in list.images {
                guard let tag = image.tag else { continue }
                let name = "\(image.repository):\(tag)"
                if let other = assignments[name], other.moves || !moves { continue }
                assignments[name] = TagAssignment(
                    repository: image.repository, tag: tag, digest: image.digest, moves: moves)
            }
        }
        return assignments.sorted { $0.key < $1.key }.map(\.value)
    }

    private func lists(of record: EnvironmentRecord, failures: inout [String]) async throws -> [ImageList] {
        var lists: [ImageList] = []
        for generation in Self.generations(of: record) {
            do {
                if let list = try await central.list(generation) {
                    lists.append(list)
                } else {
                    failures.append("the list of generation \(generation) is not in the central store: stage it again")
                }
            } catch let error as ReadinessError {
                failures.append("\(error)")
            }
        }
        return lists
    }

    private func publish(
        _ lists: [ImageList], missing: [ClosureEntry], verifiedAt: Timestamp,
        progress: CacheManifest.Progress? = nil
    ) async throws -> (holdings: [CacheManifest.Holding], object: AuditEvent.Object) {
        let published = try await lastSequence()
        let auditHead = progress == nil ? try await auditHead() : try state.auditHead
        // What a clock that was ahead has read would be read just now until that time has come.
        try journal.forgetReadings(after: now)
        let readings = try journal.readings().mapValues(\.at)
        // A clock that is set back during a pass must not make the manifest contradict itself.
        let issuedAt = max(now(), verifiedAt)
        let manifest = try CacheManifest(
            environment: environment, site: site, sequence: try state.nextSequence(after: published),
            issuedAt: issuedAt, expiresAt: issuedAt.advanced(by: validity), agentVersion: version,
            holdings: lists.map { list in
                let readAt = Self.oldestReading(
                    of: list, missing: missing, readings: readings, shard: shard, verifiedAt: verifiedAt)
                return CacheManifest.Holding(
                    of: list, missing: missing, verifiedAt: verifiedAt, depth: readAt == nil ? .presence : .content,
                    contentVerifiedAt: readAt.map { min($0, issuedAt) })
            }, progress: progress, auditHead: auditHead, shard: shard, registry: statement)
        // Before the manifest that they belong to; while figures of progress are all that changes, they are there.
        for list in lists where progress == nil {
            guard let inventory = CacheManifest.Holding.inventory(of: list, missing: missing) else { continue }
            try await central.publish(inventory: inventory)
        }
        let object = try await central.publish(manifest, signedBy: signingKey)
        witness.published()
        return (manifest.holdings, object)
    }

    /// The furthest end of the audit chain that this site has seen: signed in its manifest, nobody can shorten the chain, or
    /// write it anew, behind it.
    private func auditHead() async throws -> AuditHead? {
        let seen = try state.auditHead
        let now = try await central.witnessedEnd(after: seen)
        if let now, now != seen { try state.remember(auditHead: now) }
        return now
    }

    /// Records in the audit chain that the site holds other lists than before, or no longer all of them, or all of them
    /// again. Looking and finding the same is not recorded.
    ///
    /// - Returns: why it is not recorded, in words: the next pass tries again, and the manifest holds all the same
    private func record(_ holdings: [CacheManifest.Holding], evidence: AuditEvent.Object) async -> String? {
        let outcome = holdings.map { "\($0.list)@\($0.generation) \($0.missingEntries == 0)" }.joined(separator: "\n")
        let fingerprint = outcome.isEmpty ? "" : Digest(of: Array(outcome.utf8)).hex
        do {
            guard try state.recordedOutcome ?? "" != fingerprint else { return nil }
            let isComplete = holdings.allSatisfy { $0.missingEntries == 0 }
            var event = AuditEvent(
                isComplete ? .siteComplete : .siteIncomplete, Act(by: owner, at: now(), key: signingKey?.publicKey))
            (event.environment, event.site, event.evidence) = (environment, site, [evidence])
            if let shard { event.details["shard"] = shard.name }
            for holding in holdings {
                event.details["\(holding.list)@\(holding.generation.short)"] =
                    holding.missingEntries == 0 ? "complete" : "\(holding.missingEntries) missing"
            }
            // Not in the place of what this site has seen there: that is still to be restored.
            try await central.record(event, knowing: try state.auditHead)
            try state.remember(outcome: fingerprint)
            return nil
        } catch {
            return "this pass is not in the audit chain yet: \(error)"
        }
    }

    /// When the content of a list that was read back longest ago was; `nil` while some of what is there never was.
    ///
    /// - Parameter verifiedAt: when the list was looked at: of a list of which nothing is the shard's own to read, its look
    ///   says all that it can ever say of the content
    static func oldestReading(
        of list: ImageList, missing: [ClosureEntry], readings: [Digest: Timestamp], shard: Shard? = nil,
        verifiedAt: Timestamp
    ) -> Timestamp? {
        let own = list.closure.entries.filter { shard?.owns($0.digest) ?? true }
        guard !own.isEmpty else { return verifiedAt }
        let absent = Set(missing.map(\.identity))
        var oldest: Timestamp?
        for entry in own where !absent.contains(entry.identity) {
            guard let at = readings[entry.digest] else { return nil }
            oldest = min(oldest ?? at, at)
        }
        return oldest
    }

    /// The highest sequence number of the site that the central store knows of, so that an agent whose state was lost does
    /// not go back: that of the manifest which is published, where it is our own, and that which a gate saw last.
    private func lastSequence() async throws -> Int64? {
        let keys = signingKey.map { [$0.publicKey] } ?? []
        let published: Int64?
        switch try await central.report(of: site, in: environment, shard: shard, keys: keys)?.content {
        case .signed(let manifest, by: _): published = manifest.sequence
        case .unproved(let manifest): published = signingKey == nil ? manifest.sequence : nil
        case .wronglySigned, .misplaced, .unreadable, nil: published = nil
        }
        let seen = try await central.lastSequence(of: site, in: environment, shard: shard)
        return [published, seen].compactMap { $0 }.max()
    }
}
