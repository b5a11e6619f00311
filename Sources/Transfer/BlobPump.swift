import Dispatch
import OCI
import Synchronization

/// Follows one blob's bytes from the network to the spool, the hash and the upload, off the event-loop thread.
///
/// Segments arrive in any order. Each is written to the spool; the contiguous prefix is hashed as it grows; and an
/// upload's feed follows the hash (cut-through). The last byte of a feed is held back until the digest is verified, so
/// that no registry can commit content that is not what was asked for.
///
/// All state is confined to one serial queue.
final class BlobPump: @unchecked Sendable {
    /// How a blob's bytes turned out.
    enum Outcome: Sendable {
        case verified
        /// All bytes arrived, and hash to another digest.
        case mismatch(actual: Digest)
        case failed(TransferError)
    }

    /// Where the bytes are kept until they are published.
    enum Storage {
        /// Small blobs: the segments themselves.
        case memory
        case file(SpoolFile)
    }

    let descriptor: Descriptor
    private let storage: Storage
    private let pool: SegmentPool
    /// Called on the queue when bytes are in the spool: what a crash will not lose.
    private let onSpooled: (_ range: Range<Int64>, _ checksum: UInt64) -> Void
    private let queue: DispatchQueue
    /// Whether the outcome is a failure: read by sinks on the event-loop thread.
    private let ended = Atomic(false)

    // Confined to the queue.
    private var spooled: ByteRanges
    /// Segments ahead of or at the hash; all of them for a blob in memory, else only the one next in order.
    private var held: [Int64: Segment] = [:]
    private var kept: [Segment] = []
    private var hashed: Int64 = 0
    private var computation: DigestComputation?
    private var outcome: Outcome?
    private var waiting: [CheckedContinuation<Outcome, Never>] = []
    private var feeds: [UploadFeed] = []

    /// - Parameters:
    ///   - descriptor: the blob
    ///   - storage: where its bytes are kept
    ///   - spooled: what an earlier run left in the file, its checksums verified
    ///   - pool: the memory for reading the spool
    ///   - onSpooled: called when bytes are in the file, with their checksum
    init(
        _ descriptor: Descriptor, storage: Storage, spooled: ByteRanges = ByteRanges(), pool: SegmentPool,
        onSpooled: @escaping (_ range: Range<Int64>, _ checksum: UInt64) -> Void = { _, _ in }
    ) {
        self.descriptor = descriptor
        self.storage = storage
        self.spooled = spooled
        self.pool = pool
        self.onSpooled = onSpooled
        computation = DigestComputation(descriptor.digest.algorithm)
        queue = DispatchQueue(label: "rollcall.blob", qos: .userInitiated)
        // What is there already is hashed at once; so is the empty blob.
        queue.async { self.advance() }
    }

    /// Whether its segments stay in memory until it is published.
    var keepsSegments: Bool {
        if case .memory = storage { true } else { false }
    }

    /// Whether no more bytes are wanted because of a failure. Any thread.
    var hasEnded: Bool { ended.load(ordering: .relaxed) }

    /// Takes a segment. Any thread.
    func accept(_ segment: Segment) {
        queue.async { self.store(segment) }
    }

    /// Waits until the blob is verified, or cannot be.
    func result() async -> Outcome {
        await withCheckedContinuation { continuation in
            queue.async {
                if let outcome = self.outcome {
                    continuation.resume(returning: outcome)
                } else {
                    self.waiting.append(continuation)
                }
            }
        }
    }

    /// All bytes of a verified blob that lives in memory; of one in a file, none.
    func contents() async -> [UInt8] {
        await withCheckedContinuation { continuation in
            queue.async {
                var bytes: [UInt8] = []
                // Bytes that two connections brought are there twice.
                while let segment = self.kept.first(where: { ($0.offset..<$0.end).contains(Int64(bytes.count)) }) {
                    bytes.append(contentsOf: segment.bytes[Int(Int64(bytes.count) - segment.offset)...])
                }
                continuation.resume(returning: bytes)
            }
        }
    }

    /// Ends everything that waits, with an error. Any thread.
    func fail(_ error: TransferError) {
        queue.async { self.settle(.failed(error)) }
    }

    /// A body for one upload request: bytes `[start, end)`, following the hash. Any thread.
    ///
    /// - Parameter sent: called with each number of bytes that the request has taken
    func feed(
        from start: Int64 = 0, to end: Int64? = nil, sent: @escaping @Sendable (Int) -> Void = { _ in }
    ) -> UploadFeed {
        let feed = UploadFeed(
            start: start, end: end ?? descriptor.size,
            runsLow: { [weak self] feed in
                guard let self else { return feed.fail() }
                self.queue.async { self.supply(feed) }
            }, sent: sent)
        queue.async {
            self.feeds.append(feed)
            self.supply(feed)
        }
        return feed
    }

    /// Stops supplying a feed whose request has ended. Any thread.
    func release(_ feed: UploadFeed) {
        queue.async { self.feeds.removeAll { $0 === feed } }
    }

    // MARK: On the queue

    private func store(_ segment: Segment) {
        guard outcome == nil, segment.count > 0 else { return }
        switch storage {
        case .memory:
            kept.append(segment)
            held[segment.offset] = segment
        case .file(let file):
            do throws(TransferError) {
                try file.write(segment.bytes, at: segment.offset)
            } catch {
                return settle(.failed(error))
            }
            // Only what is next in order is worth its memory; the rest is read back when its turn comes.
            if segment.offset <= hashed && hashed < segment.end { held[hashed] = segment }
            onSpooled(segment.offset..<segment.end, RangeChecksum.of(segment.bytes))
        }
        spooled.insert(segment.offset..<segment.end)
        advance()
    }

    /// Hashes what is contiguous, and passes it on.
    private func advance() {
        while outcome == nil, hashed < descriptor.size {
            guard let segment = nextSegment() else { return }
            let skip = Int(hashed - segment.offset)
            computation?.update(UnsafeRawBufferPointer(rebasing: segment.bytes[skip...]))
            hashed = segment.end
            if hashed < descriptor.size {
                for feed in feeds { feed.offer(segment) }
            } else {
                finishHash(last: segment)
            }
        }
        if outcome == nil, hashed == descriptor.size { finishHash(last: nil) }
    }

    /// The segment that holds the byte at `hashed`, from memory or from the file; `nil` while it has not arrived.
    private func nextSegment() -> Segment? {
        if let segment = held.removeValue(forKey: hashed) { return segment }
        guard case .file = storage, let run = spooled.ranges.first(where: { $0.contains(hashed) }) else { return nil }
        return readBack(from: hashed, upTo: run.upperBound)
    }

    private func readBack(from offset: Int64, upTo end: Int64) -> Segment? {
        switch storage {
        case .memory:
            return kept.first { $0.offset <= offset && offset < $0.end }
        case .file(let file):
            let segment = pool.takeUnbounded(offset: offset)
            let count = Int(min(end - offset, Int64(SegmentPool.segmentSize)))
            do throws(TransferError) {
                try segment.fill(upTo: count) { buffer throws(TransferError) in
                    try file.read(into: buffer, at: offset)
                    return buffer.count
                }
            } catch {
                settle(.failed(error))
                return nil
            }
            return segment
        }
    }

    private func finishHash(last segment: Segment?) {
        guard let computation = computation.take() else { return }
        let actual = computation.finish()
        guard actual == descriptor.digest else { return settle(.mismatch(actual: actual)) }
        settle(.verified)
        if let segment { for feed in feeds { feed.offer(segment) } }
        for feed in feeds { supply(feed) }
    }

    private func settle(_ outcome: Outcome) {
        guard self.outcome == nil else { return }
        self.outcome = outcome
        held.removeAll()
        if case .verified = outcome {
        } else {
            ended.store(true, ordering: .relaxed)
            for feed in feeds { feed.fail() }
            feeds.removeAll()
            kept.removeAll()
        }
        for continuation in waiting { continuation.resume(returning: outcome) }
        waiting.removeAll()
    }

    /// Gives a feed what it has room for, from memory or from the file, as far as the hash has come.
    private func supply(_ feed: UploadFeed) {
        let limit: Int64
        switch outcome {
        case .verified: limit = descriptor.size
        case .mismatch, .failed: return feed.fail()
        case nil: limit = min(hashed, descriptor.size - 1)
        }
        while let offset = feed.wanted, offset < limit {
            guard let segment = readBack(from: offset, upTo: limit) else { return }
            guard feed.offer(segment) else { return }
        }
    }
}
