import FoundationEssentials
import OCI
import Registry

/// Brings one blob to every repository of the destination that lacks it: once over the network, the rest by mount or
/// from the spool.
struct BlobTransfer: Sendable {
    let task: BlobTask
    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext
    /// Who brought what the latest attempt has; an attempt that goes wrong is theirs.
    private let contributors = Contributors()

    /// - Returns: why repositories still lack the blob, for those that do
    func run() async -> [Repository: TransferError] {
        do throws(TransferError) {
            let remaining = try await mount(into: task.missingIn, from: task.presentIn)
            guard !remaining.isEmpty else { return [:] }
            context.board.update { $0.active.append(.init(digest: task.digest, size: task.size, received: 0)) }
            defer { context.board.update { $0.active.removeAll { $0.digest == task.digest } } }
            do throws(TransferError) {
                return try await attempt(remaining, sources: sources)
            } catch {
                // Bytes that hash to something else: once more, afresh, from one source at a time, which names the liar.
                guard error.code == .digestMismatch else { throw error }
                context.board.update { $0.retries += 1 }
                return try await retryOneByOne(remaining, after: error)
            }
        } catch {
            return Dictionary(uniqueKeysWithValues: task.missingIn.map { ($0, error) })
        }
    }

    private func retryOneByOne(
        _ repositories: [Repository], after first: TransferError
    ) async throws(TransferError) -> [Repository: TransferError] {
        var last = first
        let suspects = contributors.suspects
        // With one source its guilt is known already; yet a broken middlebox may pass: it gets its second chance.
        for source in sources where source.availability == .usable {
            do throws(TransferError) {
                let failures = try await attempt(repositories, sources: [source])
                // It has the right bytes: the wrong ones were another's.
                for other in sources
                where other.name != source.name && suspects.contains(other.name)
                    && other.corruption(of: task.digest) == nil
                {
                    other.servedBadBytes(for: task.digest, first.message)
                }
                return failures
            } catch {
                last = error
                guard error.code == .digestMismatch else { continue }
                source.servedBadBytes(for: task.digest, error.message)
            }
        }
        throw last
    }

    private func attempt(
        _ repositories: [Repository], sources: [ActiveSource]
    ) async throws(TransferError) -> [Repository: TransferError] {
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
            contributors.begin(spooled: spooled.present.count > 0)
            let fetch = BlobFetch(
                task: task, planner: planner, pump: pump, sources: sources, contributors: contributors,
                context: context)
            // The upload follows the fetch (cut-through): both at once, and each ends the other when it cannot go on.
            async let upload = uploadFirst(repositories, pump: pump, spooled: spooled)
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
                let names = contributors.names
                throw TransferError(
                    .digestMismatch,
                    "\(names) served bytes for \(task.digest) that hash to \(actual): nothing was published;"
                        + " check that registry's storage")
            }
            let result = try await deliverRest(uploaded, repositories, pump: pump, spooled: spooled)
            if result.isEmpty { spooled.discard() }
            return result
        }
    }

    /// Counts the blob at each source's gate, if it is large enough for several connections.
    private func sharing(
        _ sources: ArraySlice<ActiveSource>, _ body: () async throws(TransferError) -> Void
    ) async throws(TransferError) {
        guard let source = sources.first, task.size > TransferSchedule.Limits().smallBlobSize else {
            return try await body()
        }
        try await source.gate.sharing { () async throws(TransferError) in
            try await sharing(sources.dropFirst(), body)
        }
    }

    /// Uploads to the first repository that takes it.
    private func uploadFirst(
        _ repositories: [Repository], pump: BlobPump, spooled: SpooledBlob
    ) async -> Result<Repository, TransferError> {
        guard let first = repositories.first else {
            return .failure(TransferError(.destinationFailed, "no repository lacks \(task.digest)"))
        }
        do throws(TransferError) {
            try await upload(to: first, pump: pump, spooled: spooled)
            return .success(first)
        } catch {
            return .failure(error)
        }
    }

    private func deliverRest(
        _ uploaded: Result<Repository, TransferError>, _ repositories: [Repository], pump: BlobPump,
        spooled: SpooledBlob
    ) async throws(TransferError) -> [Repository: TransferError] {
        var failures: [Repository: TransferError] = [:]
        var rest = repositories.dropFirst()[...]
        switch uploaded {
        case .success(let first):
            rest = try await mount(into: Array(rest), from: [first])[...]
        case .failure(let error):
            if let first = repositories.first { failures[first] = error }
        }
        for repository in rest {
            do throws(TransferError) {
                try await upload(to: repository, pump: pump, spooled: spooled)
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
        into repositories: [Repository], from sources: [Repository]
    ) async throws(TransferError) -> [Repository] {
        guard let from = sources.first else { return repositories }
        var remaining: [Repository] = []
        for repository in repositories {
            if await destination.mount(task.digest, from: from, to: repository) { continue }
            remaining.append(repository)
        }
        return remaining
    }

    private func upload(to repository: Repository, pump: BlobPump, spooled: SpooledBlob) async throws(TransferError) {
        try await BlobUpload(
            descriptor: task.descriptor, repository: try destination.name(of: repository), client: destination.client,
            pump: pump, spooled: spooled, context: context
        ).run()
    }
}
