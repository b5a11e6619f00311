import OCI
import Registry

/// Carries out one pass: a task for each unit of work that the schedule hands out.
struct TransferPass: Sendable {
    let inventory: Inventory
    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext
    let onPush: @Sendable (ClosureEntry) -> Void

    /// The most bytes of fetched manifests that wait in memory for their blobs; others are fetched again when their
    /// turn comes.
    static let heldManifestBytes: Int64 = 8 << 20

    private enum Outcome: Sendable {
        case blob(BlobTask, failures: [Repository: TransferError])
        case fetched(ClosureEntry, Result<FetchedManifest, TransferError>)
        case pushed(ClosureEntry, TransferError?)
    }

    func run() async -> TransferReport {
        var schedule = TransferSchedule(
            inventory,
            limits: TransferSchedule.Limits(largeBlobs: context.limits.blobs, smallBlobs: context.limits.smallBlobs))
        let blobs = inventory.blobTasks
        let manifests = inventory.missing.count { $0.kind == .manifest }
        context.board.update { board in
            board.totalBytes += blobs.reduce(0) { $0 + $1.size }
            board.totalBlobs += blobs.count
            board.totalManifests += manifests
        }
        var failures: [TransferReport.Failure] = []
        // What a pause of the site's limits keeps from being brought in this pass: that is no failure.
        var postponed: Set<ClosureEntry.Identity> = []
        var pause: TransferPause?
        let faultsBefore = context.board.snapshot.sourceFaults
        var held: [ClosureEntry.Identity: FetchedManifest] = [:]
        var heldBytes: Int64 = 0

        await withTaskGroup(of: Outcome.self) { group in
            func fail(_ entry: ClosureEntry.Identity, _ error: TransferError) {
                guard error.code != .paused else {
                    postponed.insert(entry)
                    return
                }
                failures.append(.init(entry: entry, error: error))
                context.board.update { $0.failures += 1 }
            }
            func startWhatCanStart() {
                if case .stopped(let reason) = context.meter.standing {
                    pause = reason
                    return
                }
                while !Task.isCancelled, let work = schedule.next() {
                    switch work {
                    case .blob(let task):
                        group.addTask { .blob(task, failures: await transfer(task)) }
                    case .fetchManifest(let entry):
                        group.addTask { .fetched(entry, await fetch(entry)) }
                    case .pushManifest(let entry):
                        let manifest = held.removeValue(forKey: entry.identity)
                        heldBytes -= Int64(manifest?.bytes.count ?? 0)
                        group.addTask { .pushed(entry, await push(entry, manifest)) }
                    }
                }
            }
            startWhatCanStart()
            for await outcome in group {
                let heldBack: [(ClosureEntry, lacks: ClosureEntry.Identity)]
                switch outcome {
                case .blob(let task, let errors):
                    for (repository, error) in errors {
                        fail(.init(repository: repository, digest: task.digest, kind: .blob), error)
                    }
                    if errors.isEmpty {
                        context.board.update { board in
                            board.deliveredBlobs += 1
                            board.deliveredBytes += task.size
                        }
                    }
                    heldBack = schedule.finish(blob: task, missing: Set(errors.keys))
                case .fetched(let entry, .success(let manifest)):
                    // Not the entry's size, which only somebody says.
                    if heldBytes + Int64(manifest.bytes.count) <= Self.heldManifestBytes {
                        held[entry.identity] = manifest
                        heldBytes += Int64(manifest.bytes.count)
                    }
                    heldBack = schedule.finish(fetched: entry, children: manifest.children(in: entry.repository))
                case .fetched(let entry, .failure(let error)):
                    fail(entry.identity, error)
                    heldBack = schedule.finish(unfetched: entry)
                case .pushed(let entry, let error):
                    if let error {
                        fail(entry.identity, error)
                    } else {
                        context.board.update { $0.deliveredManifests += 1 }
                    }
                    heldBack = schedule.finish(pushed: entry, success: error == nil)
                }
                for (entry, lacks) in heldBack {
                    if let manifest = held.removeValue(forKey: entry.identity) {
                        heldBytes -= Int64(manifest.bytes.count)
                    }
                    fail(
                        entry.identity,
                        TransferError(
                            postponed.contains(lacks) ? .paused : .missingDependency,
                            "\(entry.repository)@\(entry.digest) is held back: it needs \(lacks.digest)"))
                }
                startWhatCanStart()
            }
        }
        // What was never started is still missing.
        if pause != nil {
            postponed.formUnion(schedule.abandoned)
        } else {
            failures += schedule.abandoned.map {
                .init(entry: $0, error: TransferError(.cancelled, "the transfer was stopped"))
            }
        }
        return TransferReport(
            failures: failures, postponed: postponed.count, pause: postponed.isEmpty ? nil : pause,
            sourceFaults: faults(since: faultsBefore))
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

    private func transfer(_ task: BlobTask) async -> [Repository: TransferError] {
        await BlobTransfer(task: task, sources: sources, destination: destination, spool: spool, context: context).run()
    }

    /// Asks the sources in their order, and again those that only rest, until one has it or none will.
    func fetch(_ entry: ClosureEntry) async -> Result<FetchedManifest, TransferError> {
        var refusals: [String: String] = [:]
        while !Task.isCancelled {
            do { try await context.ready() } catch { return .failure(error) }
            switch SourceChoice(among: sources.map { $0.candidate(isRefused: refusals[$0.name] != nil) }) {
            case .use(let index, _):
                let source = sources[index]
                do {
                    let repository = try source.source.mapping.destination(of: entry.repository)
                    let manifest = try await source.source.client.manifest(repository, .digest(entry.digest))
                    source.succeeded()
                    context.meter.charge(manifest.bytes.count)
                    return .success(manifest)
                } catch {
                    if Task.isCancelled { break }
                    context.board.update { $0.retries += 1 }
                    if let error = error as? RegistryError, error.isTransient || error.code == .network {
                        source.failed(error)
                    } else {
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

    private func push(_ entry: ClosureEntry, _ held: FetchedManifest?) async -> TransferError? {
        do throws(TransferError) {
            let manifest = if let held { held } else { try await fetch(entry).get() }
            try await destination.push(manifest, entry)
            onPush(entry)
            return nil
        } catch {
            return error
        }
    }
}

extension FetchedManifest {
    /// What must be there before this manifest is.
    func children(in repository: Repository) -> [ClosureEntry.Identity] {
        manifest.manifests.map { .init(repository: repository, digest: $0.digest, kind: .manifest) }
            + manifest.blobs.map { .init(repository: repository, digest: $0.digest, kind: .blob) }
    }
}
