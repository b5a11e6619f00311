import OCI
import Registry

/// Carries out one pass: a task for each unit of work that the schedule hands out.
struct TransferPass: Sendable {
    let inventory: Inventory
    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext

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
        var held: [ClosureEntry.Identity: FetchedManifest] = [:]
        var heldBytes: Int64 = 0

        await withTaskGroup(of: Outcome.self) { group in
            func fail(_ entry: ClosureEntry.Identity, _ error: TransferError) {
                failures.append(.init(entry: entry, error: error))
                context.board.update { $0.failures += 1 }
            }
            func startWhatCanStart() {
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
                            .missingDependency,
                            "\(entry.repository)@\(entry.digest) is held back: it needs \(lacks.digest)"))
                }
                startWhatCanStart()
            }
        }
        // After a cancellation, what was never started is still missing.
        failures += schedule.abandoned.map {
            .init(entry: $0, error: TransferError(.cancelled, "the transfer was stopped"))
        }
        return TransferReport(failures: failures)
    }

    private func transfer(_ task: BlobTask) async -> [Repository: TransferError] {
        await BlobTransfer(task: task, sources: sources, destination: destination, spool: spool, context: context).run()
    }

    /// Asks the sources in order, and again those that only rest, until one has it or none will.
    private func fetch(_ entry: ClosureEntry) async -> Result<FetchedManifest, TransferError> {
        var refusals: [String: String] = [:]
        while !Task.isCancelled {
            var isAnyResting = false
            for source in sources where refusals[source.name] == nil {
                switch source.availability {
                case .givenUp: continue
                case .resting:
                    isAnyResting = true
                    continue
                case .usable: break
                }
                do {
                    let repository = try source.source.mapping.destination(of: entry.repository)
                    let manifest = try await source.source.client.manifest(repository, .digest(entry.digest))
                    source.succeeded()
                    return .success(manifest)
                } catch {
                    if Task.isCancelled { break }
                    context.board.update { $0.retries += 1 }
                    if let error = error as? RegistryError, error.isTransient || error.code == .network {
                        source.failed("\(error)")
                        isAnyResting = true
                    } else {
                        refusals[source.name] = "\(error)"
                    }
                }
            }
            guard isAnyResting else {
                let reasons = sources.map { "\($0.name): \(refusals[$0.name] ?? $0.lastFailure ?? "not asked")" }
                return .failure(
                    TransferError(
                        .sourceFailed,
                        "cannot fetch \(entry.repository)@\(entry.digest): \(reasons.joined(separator: "; "))"))
            }
            guard await context.pause(BlobFetch.recheck) else { break }
        }
        return .failure(TransferError(.cancelled, "the transfer was stopped"))
    }

    private func push(_ entry: ClosureEntry, _ held: FetchedManifest?) async -> TransferError? {
        do throws(TransferError) {
            let manifest = if let held { held } else { try await fetch(entry).get() }
            try await destination.push(manifest, entry)
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
