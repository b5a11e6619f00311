import OCI
import Readiness
import Transfer

/// Where a pass reads its figures, and how often it tells them.
struct ProgressReporting: Sendable {
    let board: ProgressBoard
    /// The time between two cache manifests with progress.
    let interval: Duration
}

extension SitePass {
    /// Runs `body`, and meanwhile publishes from time to time how far it is.
    ///
    /// A manifest that cannot be published then is no failure: the next one may be, and the last one must.
    ///
    /// - Parameter publish: publishes the site's cache manifest with these figures
    func reportingProgress<Result: Sendable>(
        publish: @escaping @Sendable (CacheManifest.Progress) async throws -> Void,
        during body: () async throws -> Result
    ) async throws -> Result {
        guard let reporting else { return try await body() }
        let before = reporting.board.snapshot
        let now = now
        let reporter = Task {
            var isFirst = true
            for await figures in reporting.board.snapshots(every: reporting.interval) {
                // What it would say was said when the pass began.
                if !isFirst { try? await publish(CacheManifest.Progress(figures, since: before, now: now())) }
                isFirst = false
            }
        }
        let result: Swift.Result<Result, any Error>
        do {
            result = .success(try await body())
        } catch {
            result = .failure(error)
        }
        reporter.cancel()
        // Two manifests at once would be two of one number.
        await reporter.value
        return try result.get()
    }
}

extension CacheManifest.Progress {
    /// The figures of a pass.
    ///
    /// - Parameters:
    ///   - figures: those of the board, which counts over all passes
    ///   - before: those of when the pass began
    ///   - now: the time
    init(_ figures: TransferProgress, since before: TransferProgress, now: Timestamp) {
        let total = max(0, figures.totalBytes - before.totalBytes)
        let done = min(total, max(0, figures.receivedBytes - before.receivedBytes))
        let rate = figures.bytesPerSecond.flatMap { Int64(exactly: $0.rounded()) }.map { max(0, $0) }
        let sources: [Source] = figures.sources.compactMap { name, bytes in
            let bytes = bytes - (before.sources[name] ?? 0)
            guard bytes > 0 else { return nil }
            return Source(
                name: name, bytes: bytes,
                bytesPerSecond: figures.sourceRates[name].flatMap { Int64(exactly: $0.rounded()) }.map { max(0, $0) })
        }
        var readyAt: Timestamp?
        if figures.pause == nil, let rate, rate > 0 { readyAt = now.advanced(by: .seconds((total - done) / rate)) }
        self.init(
            bytesDone: done, bytesTotal: total, bytesPerSecond: rate, estimatedReadyAt: readyAt,
            pausedUntil: figures.pause.map { Timestamp(seconds: $0.until) }, sources: sources.isEmpty ? nil : sources)
    }
}
