public import OCI
import Synchronization

/// The bounds of a pass.
public struct TransferLimits: Sendable, Hashable {
    /// Whose blobs are brought where several agents serve the site; `nil` brings all. Those of others are asked for, and
    /// are postponed with what needs them while they are missing.
    public var shard: Shard?
    /// Large blobs on their way at once.
    public var blobs = 4
    /// Other blobs on their way at once.
    public var smallBlobs = 64
    /// The most connections to one source at once, where the source has no bound of its own.
    public var connections = 64
    /// The most connections to all sources together.
    public var siteConnections = 128
    /// Small requests to the destination at once.
    public var checks = 32
    /// Bytes of memory for blobs on their way: in segments of 64 KiB.
    public var memory: Int64 = 12 << 20
    /// Bytes of spool files at once.
    public var spool: Int64 = 64 << 30
    /// Bytes a second from all sources together; `nil` for any.
    public var rate: Int64?
    /// When transfers may run; days and months of the quotas are those of its time zone.
    public var windows = TransferWindows()
    /// Bytes from all sources together in one day; `nil` for any.
    public var quotaPerDay: Int64?
    /// Bytes from all sources together in one calendar month; `nil` for any.
    public var quotaPerMonth: Int64?

    /// The defaults.
    public init() {}

    /// Bytes that the kernel may receive ahead of what is read, for each connection; `nil` where that is nobody's business.
    ///
    /// Under a cap it is: each connection's buffer fills at the link's speed, whoever reads it when. Four of them, as many as
    /// transfers begin with, hold a twentieth of a second's bytes, so that with the bucket's no second carries more than about
    /// a tenth above the rate. Where the distance asks for more on its way, there are more connections; where there cannot be,
    /// all together hold a fifth of a second's bytes, which is what the rate has on its way over 200 ms.
    ///
    /// - Parameter connections: the most that there can be; the site's own bound counts too
    public func receiveBuffer(connections: Int) -> Int? {
        let most = Int64(max(1, min(connections, siteConnections)))
        return rate.map { Int(min(max(8 << 10, $0 / 80, $0 / 5 / most), 1 << 20)) }
    }

    /// How many bytes are read from a connection at once. Pieces are taken whole: under a cap, one is at most a fortieth of
    /// a second's bytes, and no less than libcurl's least.
    var readSize: Int { rate.map { Int(min(max(1 << 10, $0 / 40), 256 << 10)) } ?? 256 << 10 }
}

/// What every part of a pass shares.
struct TransferContext: Sendable {
    let limits: TransferLimits
    let pool: SegmentPool
    let board: ProgressBoard
    let meter: any ByteMeter
    /// Seconds of a monotonic clock.
    let clock: @Sendable () -> Double
    /// A random number in `0..<1`.
    let chance: @Sendable () -> Double
    /// How long a transfer that ends, or is stopped, waits for what it still has to say.
    let patience: Duration

    /// Waits; `false` when the task is cancelled.
    func pause(_ duration: Duration) async -> Bool {
        (try? await Task.sleep(for: duration)) != nil
    }
}

/// A bound on bytes held at once, given out in order; more than the whole bound waits for all of it.
final class ByteBudget: Sendable {
    private struct Waiter {
        let id: Int
        let bytes: Int64
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var free: Int64
        var waiters: [Waiter] = []
        var nextID = 0
    }

    let limit: Int64
    private let state: Mutex<State>

    init(limit: Int64) {
        self.limit = limit
        state = Mutex(State(free: limit))
    }

    /// The bytes that nobody holds.
    var free: Int64 { state.withLock { $0.free } }

    /// How many wait for bytes.
    var waiting: Int { state.withLock { $0.waiters.count } }

    /// Holds bytes for the length of `body`.
    func withBytes<Result>(
        _ bytes: Int64, _ body: () async throws(TransferError) -> Result
    ) async throws(TransferError) -> Result {
        let bytes = min(bytes, limit)
        let id = state.withLock { state -> Int in
            state.nextID += 1
            return state.nextID
        }
        let granted = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                let answer: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if state.waiters.isEmpty, state.free >= bytes {
                        state.free -= bytes
                        return true
                    }
                    state.waiters.append(Waiter(id: id, bytes: bytes, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: false)
            // It may have been what held up those behind it.
            giveBack(0)
        }
        guard granted else { throw TransferError(.cancelled, "the transfer was stopped") }
        defer { giveBack(bytes) }
        return try await body()
    }

    private func giveBack(_ bytes: Int64) {
        let granted: [Waiter] = state.withLock { state in
            state.free += bytes
            var granted: [Waiter] = []
            while let first = state.waiters.first, first.bytes <= state.free {
                state.free -= first.bytes
                granted.append(state.waiters.removeFirst())
            }
            return granted
        }
        for waiter in granted { waiter.continuation.resume(returning: true) }
    }
}
