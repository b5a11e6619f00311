import OCI
import ObjectStore
import Readiness
import Transfer
import Trust

/// One pass of the agent: from the environment's record to the cache manifest.
struct SitePass: Sendable {
    /// What a pass may do to the site's registry.
    enum Mode {
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
    let registry: any SiteRegistry
    let state: StateDirectory
    /// What is known of the registry's content.
    let journal: ProofJournal
    /// What signs the cache manifests; `nil` leaves them unsigned.
    let signingKey: PrivateKey?
    let now: @Sendable () -> Timestamp
    /// How it tells how far it is; `nil` where it does not.
    var reporting: ProgressReporting?

    /// Reads the lists, brings what is missing, verifies at the destination, and publishes the cache manifest.
    ///
    /// A list that cannot be read, or an entry that cannot be brought, does not stop the others: the manifest then says
    /// what is missing, and the gate stays closed on it.
    ///
    /// - Throws: where nothing can be said about the site: the central store or the regional registry is out of reach,
    ///   or the state directory is unusable. No manifest is published then, and the one before it runs out.
    func run(_ mode: Mode, record: EnvironmentRecord) async throws -> PassReport {
        let turn = try await PassTurn.waiting(in: state.path)
        defer { withExtendedLifetime(turn) {} }
        var failures: [String] = []
        let lists = try await lists(of: record, failures: &failures)
        let closure = Closure(lists.flatMap(\.closure.entries))

        var verifiedAt = now()
        var found = try await look(at: closure)
        let missingBefore = found.missing
        var delivery = Delivery()
        if mode == .sync {
            if !found.toBring.missing.isEmpty {
                // What was lost is missing from now on, and not only once it turns out that it cannot be brought.
                _ = try await publish(lists, missing: missingBefore, verifiedAt: verifiedAt)
                let (lists, since, toBring) = (lists, verifiedAt, found)
                delivery = try await reportingProgress { progress in
                    _ = try await publish(lists, missing: missingBefore, verifiedAt: since, progress: progress)
                } during: {
                    try await bring(toBring)
                }
                failures += delivery.failures
                // What a push was answered is a promise; what the registry serves now is the proof.
                verifiedAt = now()
                found = try await lookAgain(at: closure, after: found, delivery, failures: &failures)
            }
            failures += try await assign(Self.tags(of: lists, record: record, missing: found.missing))
        }

        let manifest = try await publish(lists, missing: found.missing, verifiedAt: verifiedAt)
        if let failure = await self.record(manifest.holdings, evidence: manifest.object) { failures.append(failure) }
        let stillMissing = Set(found.missing.map(\.identity))
        return PassReport(
            lists: lists.count, unreadableLists: Self.generations(of: record).count - lists.count,
            closure: closure, missing: found.missing, damaged: found.damaged, leftAlone: found.leftAlone,
            delivered: missingBefore.filter { !stillMissing.contains($0.identity) }, failures: failures,
            postponed: delivery.postponed, pause: delivery.pause, sourceFaults: delivery.sourceFaults)
    }

    /// What is staged, what is promoted and what may be returned to, each generation once.
    static func generations(of record: EnvironmentRecord) -> [Digest] { record.retainedGenerations.sorted() }

    /// The tags of the images that are there. A promoted list moves its tags; one that is only staged names what has no
    /// name yet, and does not change what clusters may use.
    static func tags(of lists: [ImageList], record: EnvironmentRecord, missing: [ClosureEntry]) -> [TagAssignment] {
        let promoted = Set(record.lists.values.compactMap { $0.promoted?.generation })
        let absent = Set(missing.map(\.identity))
        var assignments: [String: TagAssignment] = [:]
        // In a fixed order, so that of two promoted lists that disagree on a tag, the same one has it every time.
        for list in lists.sorted(by: { ($0.name, $0.generation) < ($1.name, $1.generation) }) {
            let moves = promoted.contains(list.generation)
            for image in list.images where !absent.contains(image.identity) {
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
        let readings = try journal.readings().mapValues(\.at)
        // A clock that is set back during a pass must not make the manifest contradict itself.
        let issuedAt = max(now(), verifiedAt)
        let manifest = try CacheManifest(
            environment: environment, site: site, sequence: try state.nextSequence(after: published),
            issuedAt: issuedAt, expiresAt: issuedAt.advanced(by: validity), agentVersion: version,
            holdings: lists.map { list in
                let readAt = Self.oldestReading(of: list, missing: missing, readings: readings)
                return CacheManifest.Holding(
                    of: list, missing: missing, verifiedAt: verifiedAt, depth: readAt == nil ? .presence : .content,
                    contentVerifiedAt: readAt.map { min($0, issuedAt) })
            }, progress: progress)
        // Before the manifest that they belong to; while figures of progress are all that changes, they are there.
        for list in lists where progress == nil {
            guard let inventory = CacheManifest.Holding.inventory(of: list, missing: missing) else { continue }
            try await central.publish(inventory: inventory)
        }
        return (manifest.holdings, try await central.publish(manifest, signedBy: signingKey))
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
            for holding in holdings {
                event.details["\(holding.list)@\(holding.generation.short)"] =
                    holding.missingEntries == 0 ? "complete" : "\(holding.missingEntries) missing"
            }
            try await central.record(event)
            try state.remember(outcome: fingerprint)
            return nil
        } catch {
            return "this pass is not in the audit chain yet: \(error)"
        }
    }

    /// When the content of a list that was read back longest ago was; `nil` while some of what is there never was.
    static func oldestReading(
        of list: ImageList, missing: [ClosureEntry], readings: [Digest: Timestamp]
    ) -> Timestamp? {
        let absent = Set(missing.map(\.identity))
        var oldest: Timestamp?
        for entry in list.closure.entries where !absent.contains(entry.identity) {
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
        switch try await central.report(of: site, in: environment, keys: keys)?.content {
        case .signed(let manifest, by: _): published = manifest.sequence
        case .unproved(let manifest): published = signingKey == nil ? manifest.sequence : nil
        case .wronglySigned, .unreadable, nil: published = nil
        }
        let seen = try await central.lastSequence(of: site, in: environment)
        return [published, seen].compactMap { $0 }.max()
    }
}

extension ImageList.Image {
    /// The identity of the image's manifest in the closure.
    var identity: ClosureEntry.Identity {
        ClosureEntry(repository: repository, digest: digest, size: size, kind: .manifest, mediaType: mediaType).identity
    }
}
