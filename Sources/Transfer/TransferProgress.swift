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

    /// Bytes of all blobs to bring, each counted once.
    public var totalBytes: Int64 = 0
    /// Bytes of blobs that the destination has taken or had meanwhile.
    public var deliveredBytes: Int64 = 0
    /// Bytes that came over the network, those of failed attempts included.
    public var fetchedBytes: Int64 = 0
    /// Bytes that an earlier run had left in the spool.
    public var resumedBytes: Int64 = 0
    /// Blobs to bring.
    public var totalBlobs = 0
    /// Blobs delivered.
    public var deliveredBlobs = 0
    /// Manifests to bring.
    public var totalManifests = 0
    /// Manifests delivered.
    public var deliveredManifests = 0
    /// Blobs and manifests given up.
    public var failures = 0
    /// Requests sent again.
    public var retries = 0
    /// Bytes by source, by the source's name.
    public var sources: [String: Int64] = [:]
    /// Sources that served bytes which do not hash to what was asked for, by name, and what they did. They are asked
    /// last from then on.
    public var corruptSources: [String: String] = [:]
    /// Blobs on their way, in the order they started.
    public var active: [Blob] = []

    /// Bytes of finished and unfinished blobs that are here.
    public var receivedBytes: Int64 { active.reduce(deliveredBytes) { $0 + $1.received } }
}

/// Where a pass records its figures, and anyone may read them. Recording costs a lock and an addition.
public final class ProgressBoard: Sendable {
    private let progress = Mutex(TransferProgress())

    /// All zero.
    public init() {}

    /// The figures now.
    public var snapshot: TransferProgress { progress.withLock { $0 } }

    /// The figures, read again and again until the consumer stops.
    ///
    /// - Parameter interval: the time between two readings
    public func snapshots(every interval: Duration) -> AsyncStream<TransferProgress> {
        AsyncStream {
            guard (try? await Task.sleep(for: interval)) != nil else { return nil }
            return self.snapshot
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
}
