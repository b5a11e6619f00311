public import OCI
import Registry

/// What happens in a pass, for those who keep accounts of it.
public struct PassEvents: Sendable {
    /// Called once, when the destination was asked for everything and lacks something; what it lacks is being brought.
    public var surveyed: @Sendable (Inventory) async -> Void = { _ in }
    /// Called with each manifest that the destination has taken, as soon as it has.
    public var pushed: @Sendable (ClosureEntry) -> Void = { _ in }
    /// Called with each tag that was changed, as soon as it was.
    public var assigned: @Sendable (TagAssignment) -> Void = { _ in }
    /// Called with each blob that the destination has taken and shows wherever it is needed.
    public var brought: @Sendable (Digest, _ size: Int64) -> Void = { _, _ in }
    /// Called with each entry that is given up, and why.
    public var failed: @Sendable (ClosureEntry.Identity, TransferError) -> Void = { _, _ in }

    /// Nothing is called.
    public init() {}
}

/// Carries out one pass: a task for each unit of work that the schedule hands out.
struct TransferPass: Sendable {
    let inventory: Inventory
    let tags: [TagAssignment]
    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext
    let events: PassEvents

    /// The most bytes of fetched manifests that wait in memory for their blobs; others are fetched again when their
    /// turn comes.
    static let heldManifestBytes: Int64 = 8 << 20
    /// Seconds for which an answer of the destination counts within one pass; at its end older ones are asked for again.
    static let answerLife = 60.0
    /// Questions at once about one delivered blob.
    static let questionsPerBlob = 8

    /// What the destination answered, and when it was asked, in seconds of the monotonic clock.
    private struct Answer: Sendable {
        let proof: ContentProof
        var isTagged = false
        let at: Double
    }

    private typealias Asked = Result<Answer, TransferError>

    private enum Outcome: Sendable {
        case asked(ClosureEntry, Asked)
        case blob(BlobTask, [Repository: Asked])
        case fetched(ClosureEntry, Result<FetchedManifest, TransferError>)
        case pushed(ClosureEntry, Asked)
        case told
    }

    /// What a pass has found out and done so far.
    private struct Ledger {
        var failures: [TransferReport.Failure] = []
        /// What a pause of the site's limits keeps from being brought in this pass: that is no failure.
        var postponed: Set<ClosureEntry.Identity> = []
        var pause: TransferPause?
        var unanswered: TransferError?
        /// When the destination was asked for what it has.
        var answeredAt: [ClosureEntry.Identity: Double] = [:]
        var missing: Set<ClosureEntry.Identity> = []
        /// What the destination says it has, and does not serve; it is left as it is.
        var broken: [ClosureEntry.Identity: String] = [:]
        /// What it took, and does not serve.
        var unproved: Set<ClosureEntry.Identity> = []
        var hasTold = false
        var brought: Set<ClosureEntry.Identity> = []
        var tagged: Set<TagAssignment> = []
        var held: [ClosureEntry.Identity: FetchedManifest] = [:]
        var heldBytes: Int64 = 0
        var totals = TransferSchedule.Totals()

        mutating func hold(_ manifest: FetchedManifest, for entry: ClosureEntry) {
            // Not the entry's size, which only somebody says.
            guard heldBytes + Int64(manifest.bytes.count) <= TransferPass.heldManifestBytes else { return }
            held[entry.identity] = manifest
            heldBytes += Int64(manifest.bytes.count)
        }

        mutating func take(_ identity: ClosureEntry.Identity) -> FetchedManifest? {
            guard let manifest = held.removeValue(forKey: identity) else { return nil }
            heldBytes -= Int64(manifest.bytes.count)
            return manifest
        }
    }

    func run() async -> TransferReport {
        var schedule = TransferSchedule(
            inventory,
            limits: TransferSchedule.Limits(
                questions: context.limits.checks, largeBlobs: context.limits.blobs,
                middlingBlobs: context.limits.smallBlobs * 3 / 4, tinyBlobs: context.limits.smallBlobs / 4,
                shard: context.limits.shard))
        let tags = Dictionary(self.tags.map { ($0.identity, $0) }) { first, _ in first }
        let faultsBefore = context.board.snapshot.sourceFaults
        spool.removeStale()
        let leftovers = spool.leftovers()
        let start = context.clock()
        var ledger = Ledger()
        for entry in inventory.present { ledger.answeredAt[entry.identity] = start }
        ledger.missing = Set(inventory.missing.map(\.identity))

        await withTaskGroup(of: Outcome.self) { group in
            func startWhatCanStart() {
                announce(schedule.totals, &ledger)
                if schedule.isSurveyed, !ledger.hasTold, ledger.unanswered == nil, !Task.isCancelled {
                    ledger.hasTold = true
                    let found = inventory(ledger)
                    if !found.missing.isEmpty {
                        group.addTask {
                            await events.surveyed(found)
                            return .told
                        }
                    }
                }
                var mayTransfer = true
                if case .stopped(let reason) = context.meter.standing {
                    ledger.pause = reason
                    mayTransfer = false
                }
                while !Task.isCancelled, ledger.unanswered == nil, let work = schedule.next(onlyAsking: !mayTransfer) {
                    switch work {
                    case .ask(let entry):
                        group.addTask { .asked(entry, await ask(entry, tag: tags[entry.identity]?.tag)) }
                    case .blob(let task):
                        guard context.limits.shard?.owns(task.digest) ?? true else {
                            let left = TransferError(.paused, "\(task.digest) is left to another shard of the site")
                            group.addTask {
                                .blob(
                                    task, Dictionary(uniqueKeysWithValues: task.missingIn.map { ($0, .failure(left)) }))
                            }
                            continue
                        }
                        group.addTask { .blob(task, await transfer(task)) }
                    case .fetchManifest(let entry):
                        group.addTask { .fetched(entry, await fetch(entry)) }
                    case .pushManifest(let entry):
                        let manifest = ledger.take(entry.identity)
                        group.addTask { .pushed(entry, await push(entry, manifest, tags[entry.identity])) }
                    }
                }
            }
            startWhatCanStart()
            for await outcome in group {
                let heldBack: TransferSchedule.HeldBack
                switch outcome {
                case .asked(let entry, let asked):
                    heldBack = record(entry, asked, tags[entry.identity], &schedule, &ledger, leftovers)
                    if ledger.unanswered != nil { group.cancelAll() }
                case .blob(let task, let answers):
                    heldBack = record(task, answers, &schedule, &ledger)
                case .fetched(let entry, .success(let manifest)):
                    ledger.hold(manifest, for: entry)
                    heldBack = schedule.finish(fetched: entry, children: manifest.children(in: entry.repository))
                case .fetched(let entry, .failure(let error)):
                    fail(entry.identity, error, &ledger)
                    heldBack = schedule.finish(unfetched: entry)
                case .pushed(let entry, .success(let answer)):
                    context.board.update { board in
                        board.deliveredManifests += 1
                        if !entry.mediaType.isIndex { board.deliveredImages += 1 }
                    }
                    ledger.answeredAt[entry.identity] = answer.at
                    ledger.brought.insert(entry.identity)
                    if answer.isTagged, let tag = tags[entry.identity] { ledger.tagged.insert(tag) }
                    heldBack = schedule.finish(pushed: entry, success: true)
                case .pushed(let entry, .failure(let error)):
                    if error.code == .destinationUnreadable { ledger.unproved.insert(entry.identity) }
                    fail(entry.identity, error, &ledger)
                    heldBack = schedule.finish(pushed: entry, success: false)
                case .told: heldBack = []
                }
                for (entry, lacks) in heldBack {
                    _ = ledger.take(entry.identity)
                    let code: TransferError.Code = ledger.postponed.contains(lacks) ? .paused : .missingDependency
                    fail(
                        entry.identity,
                        TransferError(
                            code, "\(entry.repository)@\(entry.digest) is held back: it needs \(lacks.digest)"),
                        &ledger)
                }
                startWhatCanStart()
            }
        }
        // What was never started is still missing.
        if ledger.pause != nil {
            ledger.postponed.formUnion(schedule.abandoned)
        } else if ledger.unanswered == nil {
            ledger.failures += schedule.abandoned.map {
                .init(entry: $0, error: TransferError(.cancelled, "the transfer was stopped"))
            }
        }
        await askAgain(&ledger)
        return report(ledger, faultsBefore)
    }

    /// Adds to the figures what has turned out to be missing.
    private func announce(_ totals: TransferSchedule.Totals, _ ledger: inout Ledger) {
        let before = ledger.totals
        guard totals != before else { return }
        ledger.totals = totals
        context.board.update { board in
            board.totalBytes = board.totalBytes.saturatingAdding(totals.bytes - before.bytes)
            board.totalBlobs += totals.blobs - before.blobs
            board.totalManifests += totals.manifests - before.manifests
            board.totalImages += totals.images - before.images
        }
    }

    private func fail(_ entry: ClosureEntry.Identity, _ error: TransferError, _ ledger: inout Ledger) {
        guard error.code != .paused else {
            ledger.postponed.insert(entry)
            return
        }
        ledger.failures.append(.init(entry: entry, error: error))
        events.failed(entry, error)
        context.board.update { $0.failures += 1 }
    }

    /// Records what the destination answered about an entry.
    private func record(
        _ entry: ClosureEntry, _ asked: Asked, _ tag: TagAssignment?, _ schedule: inout TransferSchedule,
        _ ledger: inout Ledger, _ leftovers: Set<Digest>
    ) -> TransferSchedule.HeldBack {
        switch asked {
        case .success(let answer):
            switch answer.proof {
            case .shown:
                ledger.answeredAt[entry.identity] = answer.at
                if answer.isTagged, let tag { ledger.tagged.insert(tag) }
            case .absent: ledger.missing.insert(entry.identity)
            case .broken(let reason):
                ledger.broken[entry.identity] = reason
                return schedule.finish(unanswered: entry)
            }
            let digest = schedule.finish(asked: entry, isPresent: answer.proof == .shown)
            if let digest, leftovers.contains(digest) { spool.discard(digest) }
            return []
        case .failure(let error) where error.code == .destinationUnreadable:
            ledger.broken[entry.identity] = error.message
            let isOfTheRegistry = !TransferEngine.areSingleContents(
                ledger.broken.count, of: inventory.unasked.count)
            if isOfTheRegistry { ledger.unanswered = ledger.unanswered ?? error }
            return schedule.finish(unanswered: entry)
        case .failure(let error):
            // The question that failed, not one of those that were stopped because of it.
            if ledger.unanswered == nil || ledger.unanswered?.code == .cancelled { ledger.unanswered = error }
            return schedule.finish(unanswered: entry)
        }
    }

    private func record(
        _ task: BlobTask, _ answers: [Repository: Asked], _ schedule: inout TransferSchedule, _ ledger: inout Ledger
    ) -> TransferSchedule.HeldBack {
        var lacking: Set<Repository> = []
        for repository in task.missingIn {
            let identity = ClosureEntry.Identity(repository: repository, digest: task.digest, kind: .blob)
            switch answers[repository] {
            case .success(let answer):
                ledger.answeredAt[identity] = answer.at
                ledger.brought.insert(identity)
            case .failure(let error):
                lacking.insert(repository)
                if error.code == .destinationUnreadable { ledger.unproved.insert(identity) }
                fail(identity, error, &ledger)
            case nil:
                lacking.insert(repository)
                fail(identity, TransferError(.cancelled, "the transfer was stopped"), &ledger)
            }
        }
        if lacking.isEmpty {
            context.board.update { board in
                board.deliveredBlobs += 1
                board.deliveredBytes += task.size
            }
            events.brought(task.digest, task.size)
        }
        return schedule.finish(blob: task, missing: lacking)
    }

    /// Asks again for what was answered long ago: meanwhile the registry may have lost it.
    private func askAgain(_ ledger: inout Ledger) async {
        guard ledger.unanswered == nil, !Task.isCancelled else { return }
        let oldest = context.clock() - Self.answerLife
        let old = ledger.answeredAt.filter { $0.value < oldest }
        guard !old.isEmpty else { return }
        let entries = (inventory.present + inventory.missing + inventory.unasked).filter { old[$0.identity] != nil }
        let answers = await bounded(entries, atOnce: context.limits.checks) {
            await ask($0, tag: nil)
        } stopWhen: {
            if case .failure = $0 { true } else { false }
        }
        for (entry, answer) in zip(entries, answers) {
            switch answer {
            case .success(let answer) where answer.proof == .shown:
                ledger.answeredAt[entry.identity] = answer.at
            case .success:
                ledger.answeredAt[entry.identity] = nil
                ledger.brought.remove(entry.identity)
                fail(
                    entry.identity,
                    TransferError(
                        .destinationFailed,
                        "\(destination.client.place) lost \(entry.digest) during the pass: does its garbage"
                            + " collection run meanwhile?"), &ledger)
            case .failure(let error):
                if ledger.unanswered == nil || ledger.unanswered?.code == .cancelled { ledger.unanswered = error }
            case nil: break
            }
        }
    }

    /// What is known of the destination by now.
    private func inventory(_ ledger: Ledger) -> Inventory {
        let all = inventory.present + inventory.missing + inventory.unasked
        let known = ledger.missing.union(ledger.failures.map(\.entry)).union(ledger.broken.keys)
        let absent = all.filter { ledger.answeredAt[$0.identity] == nil }
        return Inventory(
            present: all.filter { ledger.answeredAt[$0.identity] != nil },
            missing: absent.filter { known.contains($0.identity) }, broken: ledger.broken,
            unasked: absent.filter { !known.contains($0.identity) })
    }

    private func report(
        _ ledger: Ledger, _ faultsBefore: [String: TransferProgress.SourceFault]
    ) -> TransferReport {
        let oldest = ledger.answeredAt.values.min()
        return TransferReport(
            failures: ledger.failures, postponed: ledger.postponed.count,
            pause: ledger.postponed.isEmpty ? nil : ledger.pause, sourceFaults: faults(since: faultsBefore),
            inventory: inventory(ledger), unproved: ledger.unproved,
            brought: (inventory.missing + inventory.unasked).filter { ledger.brought.contains($0.identity) },
            answerAge: oldest.map { max(0, context.clock() - $0) } ?? 0, unanswered: ledger.unanswered,
            tagged: ledger.tagged)
    }

    /// The sources that served wrong bytes during this pass, and those whose latest requests failed.
    private func faults(since before: [String: TransferProgress.SourceFault]) -> [String: String] {
        let now = context.board.snapshot.sourceFaults
        return now.filter { name, fault in
            let old = before[name] ?? .init()
            return fault.corruptBlobs > old.corruptBlobs
                || fault.failures > old.failures && sources.contains { $0.name == name && $0.isFailing }
        }.mapValues(\.lastReason)
    }

    /// Asks the destination to show an entry.
    private func ask(_ entry: ClosureEntry, tag: Tag?) async -> Asked {
        // From before the question: the answer may be older than its arrival.
        let at = context.clock()
        defer { context.board.update { $0.answers += 1 } }
        do throws(TransferError) {
            let found = try await destination.proof(of: entry, taggedAs: tag)
            return .success(Answer(proof: found.proof, isTagged: found.isTagged, at: at))
        } catch {
            return .failure(error)
        }
    }

    /// The same of what it has just taken.
    private func confirm(_ entry: ClosureEntry, tag: Tag? = nil) async -> Asked {
        let asked = await ask(entry, tag: tag)
        guard case .success(let answer) = asked else { return asked }
        let reason: String
        switch answer.proof {
        case .shown: return asked
        case .absent: reason = "does not have it"
        case .broken(let words): reason = "does not serve it (\(words))"
        }
        return .failure(
            TransferError(
                .destinationUnreadable,
                "\(destination.client.place) took \(entry.digest) and \(reason): check the registry's storage"))
    }

    /// Brings a blob, and asks for it where it was brought.
    private func transfer(_ task: BlobTask) async -> [Repository: Asked] {
        let failures = await BlobTransfer(
            task: task, sources: sources, destination: destination, spool: spool, context: context
        ).run()
        let delivered = task.missingIn.filter { failures[$0] == nil }
        let answers = await bounded(delivered, atOnce: Self.questionsPerBlob) { repository in
            await confirm(
                ClosureEntry(
                    repository: repository, digest: task.digest, size: task.size, kind: .blob,
                    mediaType: task.mediaType))
        }
        var outcome = failures.mapValues { Asked.failure($0) }
        for (repository, answer) in zip(delivered, answers) { outcome[repository] = answer }
        return outcome
    }

    /// Asks the sources in their order, and again those that only rest, until one has it or none will.
    func fetch(_ entry: ClosureEntry) async -> Result<FetchedManifest, TransferError> {
        var refusals: [String: String] = [:]
        while !Task.isCancelled {
            do { try await context.ready() } catch { return .failure(error) }
            switch SourceChoice(among: sources.map { $0.candidate(isRefused: refusals[$0.name] != nil) }) {
            case .use(let index, _):
                let source = sources[index]
                // Counted still where it does not come.
                guard await context.meter.take(entry.chargedBytes), source.admits() else { continue }
                do {
                    let repository = try source.source.mapping.destination(of: entry.repository)
                    let manifest = try await source.source.client.manifest(repository, .digest(entry.digest))
                    source.succeeded()
                    return .success(manifest)
                } catch {
                    if Task.isCancelled { break }
                    context.board.update { $0.retries += 1 }
                    if let error = error as? RegistryError, error.isTransient || error.code == .network {
                        source.failed(error)
                    } else {
                        source.answered()
                        if (error as? RegistryError)?.code == .digestMismatch {
                            source.servedBadBytes(for: entry.digest, "\(error)")
                        }
                        refusals[source.name] = "\(error)"
                    }
                }
            case .wait:
                guard await context.pause(BlobFetch.recheck) else { break }
            case .none:
                return .failure(TransferError(noneDelivers: sources, refusals: { refusals[$0] }))
            }
        }
        return .failure(TransferError(.cancelled, "the transfer was stopped"))
    }

    private func push(_ entry: ClosureEntry, _ held: FetchedManifest?, _ tag: TagAssignment?) async -> Asked {
        do throws(TransferError) {
            let manifest = if let held { held } else { try await fetch(entry).get() }
            let isTagged = try await destination.push(manifest, entry, tag: tag)
            events.pushed(entry)
            if isTagged, let tag { events.assigned(tag) }
        } catch {
            return .failure(error)
        }
        return await confirm(entry, tag: tag?.tag)
    }
}

extension ClosureEntry {
    /// What a manifest is charged with before it comes, in bytes: it is taken whole, and must not be what makes a second's
    /// bytes too many. Its size is what a list claims, so no more than is read.
    var chargedBytes: Int { Int(clamping: min(size, Int64(Manifest.maximumSize))) }
}

extension FetchedManifest {
    /// What must be there before this manifest is.
    func children(in repository: Repository) -> [ClosureEntry.Identity] {
        manifest.manifests.map { .init(repository: repository, digest: $0.digest, kind: .manifest) }
            + manifest.blobs.map { .init(repository: repository, digest: $0.digest, kind: .blob) }
    }
}
