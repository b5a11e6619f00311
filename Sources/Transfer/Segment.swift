import Glibc
import Synchronization

/// A run of a blob's bytes in memory, on its way from the network to the spool, the hash and the upload.
///
/// Filled by one owner, then handed on and only read: whoever holds it keeps it, and its memory goes back to the pool
/// with the last holder.
final class Segment: @unchecked Sendable {
    /// Where the bytes belong in the blob.
    let offset: Int64
    /// How many bytes it holds now.
    private(set) var count = 0

    private let memory: SegmentMemory
    private let pool: SegmentPool
    /// Whether it counts towards the pool's limit.
    private let isCounted: Atomic<Bool>
    private var storage: UnsafeMutableRawBufferPointer { memory.buffer }

    fileprivate init(offset: Int64, memory: SegmentMemory, pool: SegmentPool, isCounted: Bool) {
        self.offset = offset
        self.memory = memory
        self.pool = pool
        self.isCounted = Atomic(isCounted)
    }

    deinit { pool.recycle(memory, isCounted: isCounted.load(ordering: .relaxed)) }

    /// Stops counting towards the pool's limit: its holder has a bound of its own, and those who wait for a segment must
    /// not wait for that holder.
    func leaveLimit() {
        if isCounted.exchange(false, ordering: .relaxed) { pool.uncount() }
    }

    var isFull: Bool { count == storage.count }
    /// How many more bytes fit.
    var room: Int { storage.count - count }
    var end: Int64 { offset + Int64(count) }
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: storage[..<count]) }

    /// Takes as many bytes as fit.
    ///
    /// - Returns: how many were taken
    func append(_ source: UnsafeRawBufferPointer) -> Int {
        let taken = min(source.count, storage.count - count)
        UnsafeMutableRawBufferPointer(rebasing: storage[count..<count + taken])
            .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[..<taken]))
        count += taken
        return taken
    }

    /// Fills it from a reader that returns how many bytes it wrote.
    func fill<Failure: Error>(
        upTo limit: Int, from read: (UnsafeMutableRawBufferPointer) throws(Failure) -> Int
    ) throws(Failure) {
        let room = UnsafeMutableRawBufferPointer(rebasing: storage[..<min(limit, storage.count)])
        count = try read(room)
    }
}

/// Allocated bytes that belong either to one segment or to the pool.
struct SegmentMemory: @unchecked Sendable {
    let buffer: UnsafeMutableRawBufferPointer
    /// Whether they are pages of their own. A heap keeps what was given back between what is still used, and segments come and
    /// go in any order.
    private let isMapped: Bool

    init(capacity: Int) {
        if capacity == SegmentPool.segmentSize,
            let pages = mmap(nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            pages != MAP_FAILED
        {
            buffer = UnsafeMutableRawBufferPointer(start: pages, count: capacity)
            isMapped = true
        } else {
            buffer = .allocate(byteCount: max(1, capacity), alignment: 4096)
            isMapped = false
        }
    }

    func deallocate() {
        if isMapped { munmap(buffer.baseAddress, buffer.count) } else { buffer.deallocate() }
    }
}

/// The memory for segments in flight: `limit` segments of `segmentSize` bytes, over all blobs of an engine.
///
/// Taking one beyond the limit fails, and the taker asks to be called when one is back. Who waits must hold none itself,
/// and blobs that have a file behind them give theirs back without waiting for anything but the disk, so there is always
/// one on its way.
final class SegmentPool: Sendable {
    /// A segment's length in bytes. Every connection holds one that is not full yet, so that larger ones cost memory; smaller
    /// ones cost a write each (docs/decisions/0002-spool-by-pwrite.md).
    static let segmentSize = 64 << 10

    private struct State {
        var free: [SegmentMemory] = []
        /// Segments that count towards the limit.
        var outstanding = 0
        var waiting: [@Sendable () -> Void] = []
    }

    private let state = Mutex(State())
    private let limit: Int

    /// - Parameter limit: the most segments in flight
    init(limit: Int) {
        self.limit = limit
    }

    deinit {
        state.withLock { state in
            for memory in state.free { memory.deallocate() }
        }
    }

    /// A segment for bytes at `offset`; `nil` at the limit, in which case `retry` is called once when one is back.
    func take(offset: Int64, retry: @escaping @Sendable () -> Void) -> Segment? {
        let memory: SegmentMemory? = state.withLock { state in
            guard state.outstanding < limit else {
                state.waiting.append(retry)
                return nil
            }
            state.outstanding += 1
            return state.free.popLast() ?? SegmentMemory(capacity: Self.segmentSize)
        }
        return memory.map { Segment(offset: offset, memory: $0, pool: self, isCounted: true) }
    }

    /// A segment outside the limit, for a holder that is bounded in another way: one a blob for reading its spool and a
    /// few for each upload's feed; a small blob's own, within the bound on blobs in memory.
    func takeUnbounded(offset: Int64, capacity: Int = segmentSize) -> Segment {
        let memory: SegmentMemory = state.withLock { state in
            if capacity == Self.segmentSize, let free = state.free.popLast() { return free }
            return SegmentMemory(capacity: capacity)
        }
        return Segment(offset: offset, memory: memory, pool: self, isCounted: false)
    }

    fileprivate func uncount() {
        for retry in state.withLock({ Self.giveBack(&$0) }) { retry() }
    }

    /// One less towards the limit; who is to be told.
    private static func giveBack(_ state: inout State) -> [@Sendable () -> Void] {
        state.outstanding -= 1
        defer { state.waiting.removeAll() }
        return state.waiting
    }

    fileprivate func recycle(_ memory: SegmentMemory, isCounted: Bool) {
        let waiting: [@Sendable () -> Void] = state.withLock { state in
            if memory.buffer.count == Self.segmentSize, state.free.count < limit {
                state.free.append(memory)
            } else {
                memory.deallocate()
            }
            return isCounted ? Self.giveBack(&state) : []
        }
        // Outside the lock: a waiter may take a segment at once.
        for retry in waiting { retry() }
    }
}
