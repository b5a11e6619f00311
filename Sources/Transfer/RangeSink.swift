import HTTP
import OCI
import Synchronization

/// Receives one lease's bytes on the event-loop thread and hands full segments to the pump.
///
/// Pauses the connection when the pool has no segment or the meter says so, which is how a slow disk, hash or rate cap
/// slows the network.
final class RangeSink: BodySink, @unchecked Sendable {
    private let lease: Int
    private let planner: SharedPlanner
    private let pump: BlobPump
    private let pool: SegmentPool
    private let meter: any ByteMeter
    private let onConnected: @Sendable (Double) -> Void
    private let onReceived: @Sendable (Int) -> Void

    // Event-loop thread only, and after the request's end its owner's.
    private var position: Int64
    /// Bytes to drop first: of a source that serves whole blobs only.
    private var toSkip: Int64
    private var segment: Segment?
    private var control: TransferControl?
    private var flow: MeteredFlow?
    /// Whether the lease was served to its end, which a divided lease reaches before its response does.
    private(set) var isSatisfied = false
    /// Whether the pump takes no more, for a reason that is its own.
    private(set) var isRefusedByPump = false
    /// Whether the site's limits ended it.
    private(set) var isStoppedByMeter = false
    private(set) var receivedBytes: Int64 = 0
    /// Bytes that the lease was served with.
    private(set) var acceptedBytes: Int64 = 0

    init(
        lease: RangePlanner.Lease, skipping toSkip: Int64 = 0, planner: SharedPlanner, pump: BlobPump,
        pool: SegmentPool, meter: any ByteMeter, onConnected: @escaping @Sendable (Double) -> Void = { _ in },
        onReceived: @escaping @Sendable (Int) -> Void
    ) {
        self.lease = lease.id
        self.toSkip = toSkip
        position = lease.start
        self.planner = planner
        self.pump = pump
        self.pool = pool
        self.meter = meter
        self.onConnected = onConnected
        self.onReceived = onReceived
    }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        self.control = control
        // Before the body has come, so that others need not wait for it; and not the time to the first byte: a busy
        // registry nearby is not a distant one.
        if let handshake = head.handshake { onConnected(handshake) }
        flow = MeteredFlow { control.resume() }
        return .stream
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        guard let control, let flow, !isSatisfied else { return .refuse }
        guard !pump.hasEnded else {
            isRefusedByPump = true
            return .refuse
        }
        // All or nothing: with a pause, none of these bytes may have been taken. They are at most 16 KiB, so that one
        // further segment holds what the current one does not.
        let skipped = min(toSkip, Int64(bytes.count))
        let wanted = UnsafeRawBufferPointer(rebasing: bytes[Int(skipped)...])
        // A division may make it less before they are taken, never more.
        let expected = min(Int64(wanted.count), planner.remaining(lease))
        var next: Segment?
        let room = Int64(segment?.room ?? 0)
        if room < expected {
            next = takeSegment(at: position + room, control)
            guard next != nil else {
                // Others may be waiting for what this one holds.
                flush()
                return .pause
            }
        }
        switch meter.admit(bytes.count, of: flow) {
        case .now: break
        case .later: return .pause
        case .stop:
            isStoppedByMeter = true
            return .refuse
        }
        receivedBytes += Int64(bytes.count)
        onReceived(bytes.count)
        toSkip -= skipped
        let accepted = Int(planner.advance(lease, by: Int64(wanted.count)))
        acceptedBytes += Int64(accepted)
        var rest = UnsafeRawBufferPointer(rebasing: wanted[..<accepted])
        while !rest.isEmpty {
            if segment == nil || segment?.isFull == true {
                flush()
                segment = next
                next = nil
            }
            guard let taken = segment?.append(rest), taken > 0 else { return .refuse }
            position += Int64(taken)
            rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
        }
        if planner.remaining(lease) == 0 {
            isSatisfied = true
            flush()
            // A response that has more to come was divided: the rest of it is another connection's.
            return accepted < wanted.count ? .refuse : .consumed
        }
        return .consumed
    }

    /// A segment from the pool's limit, or, for a blob that keeps them, of the blob's own bound.
    private func takeSegment(at offset: Int64, _ control: TransferControl) -> Segment? {
        guard pump.keepsSegments else { return pool.take(offset: offset) { control.resume() } }
        let capacity = min(Int64(SegmentPool.segmentSize), pump.descriptor.size - offset)
        return pool.takeUnbounded(offset: offset, capacity: Int(capacity))
    }

    /// Hands on what has arrived so far. Also called by the owner once the request has ended, however it did.
    func flush() {
        guard let segment else { return }
        self.segment = nil
        pump.accept(segment)
    }
}

/// A planner that the event-loop thread and the range workers share.
final class SharedPlanner: Sendable {
    private let planner: Mutex<RangePlanner>

    init(_ planner: RangePlanner) {
        self.planner = Mutex(planner)
    }

    func advance(_ id: Int, by count: Int64) -> Int64 {
        planner.withLock { $0.advance(id, by: count) }
    }

    /// Bytes that the lease is still to bring; 0 for one that is no more.
    func remaining(_ id: Int) -> Int64 {
        planner.withLock { $0.leases[id]?.remaining ?? 0 }
    }

    func with<Result>(_ body: (inout RangePlanner) -> Result) -> Result {
        planner.withLock { body(&$0) }
    }
}
