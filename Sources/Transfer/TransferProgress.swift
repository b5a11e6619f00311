public import OCI
import Synchronization

/// The figures of a pass at one moment.
public struct TransferProgress: Sendable, Hashable {
    /// A blob on its way.
    public struct Blob: Sendable, Hashable {
        /// The blob's digest.
        public let digest: Digest
        /// Its length in bytes.
        public let size: Int64
        /// Bytes that are here, from the network or an earlier run.
        public var received: Int64
    }

    /// What a source did wrong.
    public struct SourceFault: Sendable, Hashable {
        /// Requests that failed in a way that may pass.
        public var failures = 0
        /// Blobs of which it served bytes that did not hash to the digest.
        public var corruptBlobs = 0
        /// The latest fault in words.
        public var lastReason = ""
    }

    /// Bytes of all blobs to bring, each counted once.
    public var totalBytes: Int64 = 0
    /// Bytes of blobs that the destination has taken or had meanwhile.
    public var deliveredBytes: Int64 = 0
    /// Bytes that came over the network, those of failed attempts included.
    public var fetchedBytes: Int64 = 0
    /// Bytes of uploads that the destination's connections took, those of failed attempts included.
    public var sentBytes: Int64 = 0
    /// Bytes that an earlier run had left in the spool.
    public var resumedBytes: Int64 = 0
    /// Blobs to bring.
    public var totalBlobs = 0
    /// Blobs delivered.
    public var deliveredBlobs = 0
    /// Images to bring: their manifests, each of which goes after everything that it needs.
    public var totalImages = 0
    /// Images delivered.
    public var deliveredImages = 0
    /// Manifests to bring, indexes included.
    public var totalManifests = 0
    /// Manifests delivered.
    public var deliveredManifests = 0
    /// Answers of the destination about single entries: what moves while a pass only looks.
    public var answers = 0
    /// Blobs and manifests given up.
    public var failures = 0
    /// Requests sent again.
    public var retries = 0
    /// Bytes by source, by the source's name.
    public var sources: [String: Int64] = [:]
    /// Bytes a second by source, by the source's name; only in a stream of snapshots, as `bytesPerSecond`.
    public var sourceRates: [String: Double] = [:]
    /// What sources did wrong, by the source's name.
    public var sourceFaults: [String: SourceFault] = [:]
    /// Blobs on their way, in the order they started.
    public var active: [Blob] = []
    /// Why nothing is transferred at present; `nil` while transfers may run.
    public var pause: TransferPause?
    /// Bytes a second over the network at present; only in a stream of snapshots, once there is something to compare.
    public var bytesPerSecond: Double?

    /// All zero.
    public init() {}

    /// Bytes of finished and unfinished blobs that are here.
    public var receivedBytes: Int64 { active.reduce(deliveredBytes) { $0 + $1.received } }

    /// Seconds until everything is here at the present rate; `nil` where that is not known, or nothing moves.
    public var secondsLeft: Double? {
        guard let bytesPerSecond, bytesPerSecond >= 1 else { return nil }
        return Double(max(0, totalBytes - receivedBytes)) / bytesPerSecond
    }
}

/// Where a pass records its figures, and anyone may read them. Recording costs a lock and an addition.
public final class ProgressBoard: Sendable {
    private let progress = Mutex(TransferProgress())
    private let pause: @Sendable () -> TransferPause?

    /// All zero.
    public convenience init() { self.init(pause: { nil }) }

    /// - Parameter pause: why nothing is transferred at present
    init(pause: @escaping @Sendable () -> TransferPause?) { self.pause = pause }

    /// The figures now.
    public var snapshot: TransferProgress {
        var snapshot = progress.withLock { $0 }
        snapshot.pause = pause()
        return snapshot
    }

    /// The figures with their rate, read at once and then again and again until the consumer stops or its task is
    /// cancelled.
    ///
    /// - Parameters:
    ///   - interval: the time between two readings
    ///   - clock: the clock of the rate
    public func snapshots(
        every interval: Duration, clock: any Clock<Duration> = ContinuousClock()
    ) -> AsyncStream<TransferProgress> {
        // Read by one consumer at a time, as any stream.
        let window = Mutex<RateWindow?>(nil)
        let sourceWindows = Mutex<[String: RateWindow]>([:])
        let now = Self.seconds(of: clock)
        return AsyncStream {
            if window.withLock({ $0 != nil }) {
                guard (try? await clock.sleep(for: interval)) != nil else { return nil }
            }
            var snapshot = self.snapshot
            snapshot.bytesPerSecond = window.withLock { window in
                window = window ?? RateWindow()
                window?.add(snapshot.fetchedBytes, at: now())
                return window?.perSecond
            }
            snapshot.sourceRates = sourceWindows.withLock { windows in
                let time = now()
                for (source, bytes) in snapshot.sources { windows[source, default: RateWindow()].add(bytes, at: time) }
                return windows.compactMapValues(\.perSecond)
            }
            return Task.isCancelled ? nil : snapshot
        }
    }

    private static func seconds<C: Clock>(of clock: C) -> @Sendable () -> Double where C.Duration == Duration {
        let start = clock.now
        return {
            let elapsed = start.duration(to: clock.now).components
            return Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18
        }
    }

    func update(_ change: (inout TransferProgress) -> Void) {
        progress.withLock { change(&$0) }
    }

    func received(_ count: Int64, of digest: Digest, from source: String) {
        progress.withLock { progress in
            progress.fetchedBytes += count
            progress.sources[source, default: 0] += count
            if let index = progress.active.firstIndex(where: { $0.digest == digest }) {
                progress.active[index].received += count
            }
        }
    }

    func fault(of source: String, _ reason: String, isCorrupt: Bool = false) {
        progress.withLock { progress in
            progress.sourceFaults[source, default: .init()].lastReason = reason
            if isCorrupt {
                progress.sourceFaults[source]?.corruptBlobs += 1
            } else {
                progress.sourceFaults[source]?.failures += 1
            }
        }
    }
}

/// How fast a count grows, over the last seconds.
struct RateWindow {
    /// How far back the rate looks, in seconds.
    static let length = 5.0
    private var samples: [(time: Double, count: Int64)] = []

    /// Adds a reading. Time goes forward.
    ///
    /// - Parameters:
    ///   - count: what was counted so far
    ///   - time: seconds on any clock
    mutating func add(_ count: Int64, at time: Double) {
        samples.append((time, count))
        // The oldest reading is kept that is as old as the window, so that a full window is looked at.
        while samples.count > 2, samples[1].time <= time - Self.length { samples.removeFirst() }
    }

    /// What is counted in a second; `nil` before half a second has passed.
    var perSecond: Double? {
        guard let first = samples.first, let last = samples.last, last.time - first.time >= 0.5 else { return nil }
        return Double(last.count - first.count) / (last.time - first.time)
    }
}
