import Console
import FoundationEssentials
import HTTP
import Readiness
import Registry
import Transfer

/// A pass's figures as one line of JSON: what `--progress json` writes, and docs/operations.md describes.
struct ProgressLine: Encodable {
    /// How the pass stands.
    enum State: String, Encodable {
        /// Under way.
        case running
        /// Under way, or over with something missing, and nothing moves before `pause.until`.
        case paused
        /// Over: nothing is missing.
        case complete
        /// Over: something failed, or is missing still.
        case incomplete
        /// Over before its end.
        case failed
    }

    struct Pause: Encodable {
        let reason: String
        let until: String
    }

    struct Bytes: Encodable {
        let total: Int64
        let received: Int64
        let delivered: Int64
        let fetched: Int64
        let resumed: Int64
        let sent: Int64
    }

    struct Count: Encodable {
        let total: Int
        let delivered: Int
    }

    struct Source: Encodable {
        let bytes: Int64
        let bytesPerSecond: Int64?
        let failures: Int
        let corruptBlobs: Int
        let lastFault: String?
    }

    let time: String
    let state: State
    let message: String?
    let pause: Pause?
    let bytes: Bytes
    let blobs: Count
    let images: Count
    let manifests: Count
    let failures: Int
    let retries: Int
    let bytesPerSecond: Int64?
    let secondsLeft: Int64?
    let sources: [String: Source]

    /// - Parameters:
    ///   - progress: the figures
    ///   - time: the present
    ///   - end: how the pass ended, and in words; `nil` while it is under way
    init(_ progress: TransferProgress, at time: Timestamp, end: (State, message: String)? = nil) {
        self.time = "\(time)"
        state = end?.0 ?? (progress.pause == nil ? .running : .paused)
        message = end?.message
        pause = progress.pause.map {
            Pause(reason: $0.reason.name, until: "\(Timestamp(seconds: $0.until))")
        }
        bytes = Bytes(
            total: progress.totalBytes, received: progress.receivedBytes, delivered: progress.deliveredBytes,
            fetched: progress.fetchedBytes, resumed: progress.resumedBytes, sent: progress.sentBytes)
        blobs = Count(total: progress.totalBlobs, delivered: progress.deliveredBlobs)
        images = Count(total: progress.totalImages, delivered: progress.deliveredImages)
        manifests = Count(total: progress.totalManifests, delivered: progress.deliveredManifests)
        failures = progress.failures
        retries = progress.retries
        bytesPerSecond = progress.bytesPerSecond.flatMap { Int64(exactly: $0.rounded()) }
        secondsLeft = progress.secondsLeft.flatMap { Int64(exactly: $0.rounded(.up)) }
        let names = Set(progress.sources.keys).union(progress.sourceFaults.keys)
        sources = Dictionary(
            uniqueKeysWithValues: names.map { name in
                let fault = progress.sourceFaults[name]
                return (
                    name,
                    Source(
                        bytes: progress.sources[name] ?? 0,
                        bytesPerSecond: progress.sourceRates[name].flatMap { Int64(exactly: $0.rounded()) },
                        failures: fault?.failures ?? 0,
                        corruptBlobs: fault?.corruptBlobs ?? 0, lastFault: fault?.lastReason)
                )
            })
    }

    /// The line, its keys in alphabetical order.
    var text: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Numbers and strings always encode.
        guard let data = try? encoder.encode(self) else { return "" }
        return String(decoding: data, as: UTF8.self)
    }
}

/// Writes a pass's figures as JSON lines while it runs: the driver around `ProgressLine`.
struct ProgressReporter: Sendable {
    /// How often a line is written.
    static let interval = Duration.seconds(1)

    let interval: Duration
    let now: @Sendable () -> Timestamp
    /// Where lines go.
    let write: @Sendable (String) -> Void

    /// Writes to standard output.
    init() { self.init(interval: Self.interval, now: { Timestamp(.system) }, write: Terminal.say) }

    init(
        interval: Duration, now: @escaping @Sendable () -> Timestamp, write: @escaping @Sendable (String) -> Void
    ) {
        self.interval = interval
        self.now = now
        self.write = write
    }

    /// Runs `body`, writes the board's figures meanwhile, and at the end how it ended.
    func reporting<Result: Sendable>(
        _ board: ProgressBoard, during body: () async throws -> Result,
        ending: (Result) -> (ProgressLine.State, message: String)
    ) async throws -> Result {
        do {
            let result = try await alongside(board, body)
            write(ProgressLine(board.snapshot, at: now(), end: ending(result)).text)
            return result
        } catch {
            write(ProgressLine(board.snapshot, at: now(), end: (.failed, "\(error)")).text)
            throw error
        }
    }

    private func alongside<Result: Sendable>(
        _ board: ProgressBoard, _ body: () async throws -> Result
    ) async throws -> Result {
        // Cancelled and awaited when this scope ends, so that no line comes after the last one.
        async let _: Void = {
            for await progress in board.snapshots(every: interval) {
                write(ProgressLine(progress, at: now()).text)
            }
        }()
        return try await body()
    }
}
