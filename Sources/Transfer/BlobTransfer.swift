import FoundationEssentials
import OCI
import Registry
import Synchronization

/// Brings one blob to every repository of the destination that lacks it: once over the network, the rest by mount or
/// from the spool.
struct BlobTransfer: Sendable {
    let task: BlobTask
    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext

    /// A blob of at most this many bytes goes up once it is here: that takes moments, while a request that waits for a
    /// thin link would keep others from the registry for seconds.
    static let cutThroughFrom: Int64 = 8 << 20
    /// Mounts of one blob at once.
    static let mountsAtOnce = 8

    /// - Returns: why repositories still lack the blob, for those that do
    func run() async -> [Repository: TransferError] {
        do throws(TransferError) {
            guard task.size > 0 || task.digest == Digest(of: [], algorithm: task.digest.algorithm) else {
                throw TransferError(
                    .digestMismatch,
                    "\(task.digest) is said to have no bytes, but is not the digest of nothing: correct the manifest")
            }
            let offered = OfferedSessions()
            let remaining = try await mount(into: task.missingIn, from: task.presentIn, offered)
            // One is used at once. The others would be kept open for as long as the blob is on its way.
            await destination.client.giveUp(offered.takeAll(except: remaining.first), within: context.patience)
            guard !remaining.isEmpty else { return [:] }
            let failures: [Repository: TransferError]
            do throws(TransferError) {
                failures = try await bring(remaining, offered)
            } catch {
                failures = Dictionary(remaining.map { ($0, error) }) { first, _ in first }
            }
            await destination.client.giveUp(offered.takeAll(), within: context.patience)
            return failures
        } catch {
            return Dictionary(task.missingIn.map { ($0, error) }) { first, _ in first }
        }
    }

    /// - Parameter offered: upload sessions that the registry began instead of mounting
    private func bring(
        _ remaining: [Repository], _ offered: OfferedSessions
    ) async throws(TransferError) -> [Repository: TransferError] {
        context.board.update { $0.active.append(.init(digest: task.digest, size: task.size, received: 0)) }
        defer { context.board.update { $0.active.removeAll { $0.digest == task.digest } } }
        // Those that served it with wrong bytes not long ago would do so again.
        let corruptions = sources.compactMap { source in
            source.corruption(of: task.digest).map { "\(source.name) \($0)" }
        }
        let sources = sources.filter { $0.corruption(of: task.digest) == nil }
        guard !sources.isEmpty || corruptions.isEmpty else {
            throw TransferError(
                .digestMismatch,
                "no source has the bytes of \(task.digest): \(corruptions.joined(separator: "; "));"
                    + " asked again an hour after that")
        }
        switch try await attempt(remaining, sources: sources, offered) {
        case .ended(let failures): return failures
        case .mismatch(let actual, let contributors):
            context.board.update { $0.retries += 1 }
            return try await retryOneByOne(remaining, from: sources, after: actual, suspects: contributors, offered)
        }
    }

    /// How one attempt ended whose bytes all arrived.
    private enum Attempt {
        /// They are what was asked for. Repositories that did not take them, and why.
        case ended([Repository: TransferError])
        /// They hash to something else; they came from these sources. There are none where bytes of an earlier run are
        /// among them, which may have come from anywhere.
        case mismatch(actual: Digest, contributors: Set<String>)
    }

    /// Fetches afresh from one source at a time, which tells who served the wrong bytes. With one source its guilt is
    /// known already; yet a broken middlebox may pass: it gets its second chance.
    private func retryOneByOne(
        _ repositories: [Repository], from sources: [ActiveSource], after actual: Digest, suspects: Set<String>,
        _ offered: OfferedSessions
    ) async throws(TransferError) -> [Repository: TransferError] {
        var suspects = suspects
        if suspects.count == 1 { blame(suspects, actual) }
        var code = TransferError.Code.digestMismatch
        var reasons: [String] = []
        let innocent = sources.filter { !suspects.contains($0.name) }
        for source in innocent + sources.filter({ suspects.contains($0.name) }) {
            do throws(TransferError) {
                switch try await attempt(repositories, sources: [source], offered) {
                case .ended(let failures):
                    // Of two that took part, the other one.
                    suspects.remove(source.name)
                    if suspects.count == 1 { blame(suspects, actual) }
                    return failures
                case .mismatch(let actual, let contributors):
                    blame(contributors, actual)
                    reasons.append("\(source.name) served bytes that hash to \(actual): check its storage")
                }
            } catch {
                guard error.code == .sourceFailed, !Task.isCancelled else { throw error }
                code = .sourceFailed
                reasons.append(error.message)
            }
        }
        throw TransferError(
            code, "no source has the bytes of \(task.digest): \(reasons.joined(separator: "; ")); nothing was published"
        )
    }

    private func blame(_ names: Set<String>, _ actual: Digest) {
        for source in sources where names.contains(source.name) {
            source.servedBadBytes(for: task.digest, "served bytes for \(task.digest) that hash to \(actual)")
        }
    }

    private func attempt(
        _ repositories: [Repository], sources: [ActiveSource], _ offered: OfferedSessions
    ) async throws(TransferError) -> Attempt {
        try await spool.withStorage(for: task.descriptor) { spooled throws(TransferError) in
            let pump = BlobPump(
                task.descriptor, storage: spooled.storage, spooled: spooled.present, pool: context.pool,
                onSpooled: { spooled.record($0, $1) })
            context.board.update { board in
                board.resumedBytes += spooled.present.count
                if let index = board.active.firstIndex(where: { $0.digest == task.digest }) {
                    board.active[index].received = spooled.present.count
                }
            }
            let planner = SharedPlanner(RangePlanner(size: task.size, done: spooled.present))
            let fetch = BlobFetch(
                task: task, planner: planner, pump: pump, sources: sources, context: context)
            // The upload follows the fetch (cut-through): both at once. Each ends the other when it cannot go on, unless
            // the bytes are for further repositories too.
            async let upload = uploadFirst(repositories, pump: pump, spooled: spooled, offered)
            do throws(TransferError) {
                try await sharing(sources[...]) { () async throws(TransferError) in try await fetch.run() }
            } catch {
                pump.fail(error)
            }
            let uploaded = await upload
            switch await pump.result() {
            case .verified: break
            case .failed(let error): throw error
            case .mismatch(let actual):
                spooled.discard()
                return .mismatch(
                    actual: actual, contributors: spooled.present.count > 0 ? [] : fetch.contributors.names)
            }
            let failures = try await deliverRest(uploaded, repositories, pump: pump, spooled: spooled, offered)
            if failures.isEmpty { spooled.discard() }
            return .ended(failures)
        }
    }

    /// Counts the blob at each source's gate, if it is large enough for several connections.
    private func sharing(
        _ sources: ArraySlice<ActiveSource>, _ body: () async throws(TransferError) -> Void
    ) async throws(TransferError) {
        guard let source = sources.first, task.size > BlobFetch.bytesPerConnection else {
            return try await body()
        }
        try await source.gate.sharing { () async throws(TransferError) in
            try await sharing(sources.dropFirst(), body)
        }
    }

    /// Uploads to the first repository that takes it.
    private func uploadFirst(
        _ repositories: [Repository], pump: BlobPump, spooled: SpooledBlob, _ offered: OfferedSessions
    ) async -> Result<Repository, TransferError> {
        guard let first = repositories.first else {
            return .failure(TransferError(.destinationFailed, "no repository lacks \(task.digest)"))
        }
        if task.size <= Self.cutThroughFrom {
            guard case .verified = await pump.result() else {
                return .failure(TransferError(.cancelled, "\(task.digest) is not here"))
            }
        }
        do throws(TransferError) {
            try await upload(to: first, pump: pump, spooled: spooled, offered)
            return .success(first)
        } catch {
            // The rest would come for nobody. What is here already stays for a later pass.
            if repositories.count == 1, error.code != .cancelled, !Task.isCancelled { pump.fail(error) }
            return .failure(error)
        }
    }

    private func deliverRest(
        _ uploaded: Result<Repository, TransferError>, _ repositories: [Repository], pump: BlobPump,
        spooled: SpooledBlob, _ offered: OfferedSessions
    ) async throws(TransferError) -> [Repository: TransferError] {
        var failures: [Repository: TransferError] = [:]
        var rest = repositories.dropFirst()[...]
        switch uploaded {
        case .success(let first):
            // Also those that were not given it from another repository: that one may not be to be read from there.
            rest = try await mount(into: Array(rest), from: [first], offered)[...]
        case .failure(let error):
            if let first = repositories.first { failures[first] = error }
        }
        for repository in rest {
            do throws(TransferError) {
                try await upload(to: repository, pump: pump, spooled: spooled, offered)
            } catch {
                failures[repository] = error
            }
        }
        return failures
    }

    /// Mounts the blob where the registry can, without moving a byte.
    ///
    /// - Returns: the repositories that still lack it
    private func mount(
        into repositories: [Repository], from sources: [Repository], _ offered: OfferedSessions
    ) async throws(TransferError) -> [Repository] {
        guard let from = sources.first else { return repositories }
        let destination = destination
        let digest = task.digest
        let mounted = await bounded(repositories, atOnce: Self.mountsAtOnce) {
            await destination.mount(digest, from: from, to: $0)
        }
        return zip(repositories, mounted).compactMap { repository, mounting in
            switch mounting {
            case .mounted: return nil
            case .refused(let session?):
                offered.add(session, for: repository)
                return repository
            case .refused(nil), nil: return repository
            }
        }
    }

    private func upload(
        to repository: Repository, pump: BlobPump, spooled: SpooledBlob, _ offered: OfferedSessions
    ) async throws(TransferError) {
        try await destination.client.take(
            task.descriptor, into: try destination.name(of: repository), from: pump, spooled,
            offered: offered.take(repository), context)
    }
}

/// The upload sessions that a registry began instead of mounting a blob: 202 to a mount (distribution-spec v1.1.1, "Mounting a
/// blob from another repository").
private final class OfferedSessions: Sendable {
    private let sessions = Mutex<[Repository: UploadSession]>([:])

    func add(_ session: UploadSession, for repository: Repository) {
        sessions.withLock { $0[repository] = session }
    }

    func take(_ repository: Repository) -> UploadSession? { sessions.withLock { $0.removeValue(forKey: repository) } }

    /// Those that nobody has taken, but for one repository's.
    func takeAll(except kept: Repository? = nil) -> [UploadSession] {
        sessions.withLock { sessions in
            let taken = sessions.filter { $0.key != kept }
            for repository in taken.keys { sessions[repository] = nil }
            return Array(taken.values)
        }
    }
}

extension DestinationStore {
    /// Gives up upload sessions, also where the task is cancelled, which would send nothing.
    ///
    /// - Parameter patience: how long the registry has for it: it forgets them by itself, too
    func giveUp(_ sessions: [UploadSession], within patience: Duration) async {
        guard !sessions.isEmpty else { return }
        await Task.detached {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = await bounded(sessions, atOnce: BlobTransfer.mountsAtOnce) { await self.cancel($0) }
                }
                group.addTask { try? await Task.sleep(for: patience) }
                _ = await group.next()
                group.cancelAll()
            }
        }.value
    }
}
