import Glibc

/// What one direction of a link has carried and dropped so far.
struct LinkCounters: Hashable, Codable {
    /// Packets that came out at the far end.
    var packets = 0
    /// Their bytes with the IP header.
    var bytes = 0
    /// Their TCP payload alone: what an application could have read, retransmissions included.
    var payload = 0
    /// Packets dropped because the queue before the link was full.
    var queueDrops = 0
    /// Packets lost at random.
    var losses = 0
    /// The most that stood in the queue before the link, in bytes.
    var peakQueue = 0

    static func - (after: Self, before: Self) -> Self {
        LinkCounters(
            packets: after.packets - before.packets, bytes: after.bytes - before.bytes,
            payload: after.payload - before.payload, queueDrops: after.queueDrops - before.queueDrops,
            losses: after.losses - before.losses, peakQueue: after.peakQueue)
    }

    static func + (before: Self, after: Self) -> Self {
        LinkCounters(
            packets: before.packets + after.packets, bytes: before.bytes + after.bytes,
            payload: before.payload + after.payload, queueDrops: before.queueDrops + after.queueDrops,
            losses: before.losses + after.losses, peakQueue: max(before.peakQueue, after.peakQueue))
    }
}

/// One direction of the emulated link: a drop-tail queue, a line of fixed rate that loses packets, and a delay.
///
/// A packet that enters at `now` leaves the line when all before it have left and its own bytes have been sent, and comes
/// out one delay later. Nothing is simulated per byte: the line is the one number `lineFree`. Time is passed in, so the
/// queue is tested without a clock. Packets lie in a ring of fixed slots that `read` and `write` use in place.
struct PacketQueue: ~Copyable {
    /// One slot holds any packet of the devices' MTU.
    static let slotSize = 2048

    private let nanosecondsPerByte: Double
    private let delay: UInt64
    private let queueTime: UInt64
    private let loss: UInt64
    private var random: SplitMix

    private let memory: UnsafeMutableRawPointer
    private let slots: Int
    private var departures: [UInt64]
    private var lengths: [Int32]
    private var head = 0
    private var count = 0
    /// When the line has sent all that was accepted, in nanoseconds.
    private var lineFree: UInt64 = 0
    private(set) var counters = LinkCounters()

    /// - Parameters:
    ///   - parameters: the link
    ///   - seed: where this direction's random numbers start
    /// - Throws: `BenchError` without memory for the ring
    init(_ parameters: LinkParameters, seed: UInt64) throws {
        nanosecondsPerByte = 8e9 / Double(parameters.rate)
        delay = UInt64(parameters.roundTrip * 1e6 / 2)
        queueTime = UInt64(Double(parameters.queueBytes) * nanosecondsPerByte)
        loss = parameters.loss >= 1 ? .max : UInt64(parameters.loss * 0x1p64)
        random = SplitMix(seed: seed)
        // What is on the line and before it at once, where packets are 200 bytes on average; more counts as a full queue.
        let held = parameters.bandwidthDelayProduct / 2 + parameters.queueBytes
        slots = min(max(held / 200, 1024), 1 << 17)
        departures = Array(repeating: 0, count: slots)
        lengths = Array(repeating: 0, count: slots)
        guard
            let memory = mmap(
                nil, slots * Self.slotSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            memory != MAP_FAILED
        else { throw BenchError(.system, "no memory for the link's \(slots) packets: \(errorText())") }
        // A forked child must not have it: its peak memory, which is measured, would begin with this ring's.
        madvise(memory, slots * Self.slotSize, MADV_DONTFORK)
        self.memory = memory
    }

    deinit { munmap(memory, slots * Self.slotSize) }

    /// Where the next packet may be put before `enter`; `nil` while the ring is full.
    var free: UnsafeMutableRawBufferPointer? {
        guard count < slots else { return nil }
        return UnsafeMutableRawBufferPointer(start: slot(head + count), count: Self.slotSize)
    }

    /// Takes the packet in `free`, or drops it.
    ///
    /// - Parameters:
    ///   - length: the packet's bytes
    ///   - now: nanoseconds of any clock that never goes back
    mutating func enter(_ length: Int, at now: UInt64) {
        let start = max(now, lineFree)
        let waiting = start - now
        guard waiting <= queueTime else {
            counters.queueDrops += 1
            return
        }
        counters.peakQueue = max(counters.peakQueue, Int(Double(waiting) / nanosecondsPerByte))
        lineFree = start + UInt64(Double(length) * nanosecondsPerByte)
        // Lost on the line, behind the queue: it has taken its time there.
        if loss > 0, random.next() < loss {
            counters.losses += 1
            return
        }
        let index = (head + count) % slots
        departures[index] = lineFree + delay
        lengths[index] = Int32(length)
        count += 1
    }

    /// Counts a packet that found the ring full.
    mutating func overflow() { counters.queueDrops += 1 }

    /// When the next packet comes out; `nil` while none is under way.
    var due: UInt64? { count > 0 ? departures[head] : nil }

    /// The packet that comes out next.
    var front: UnsafeRawBufferPointer? {
        count > 0 ? UnsafeRawBufferPointer(start: slot(head), count: Int(lengths[head])) : nil
    }

    /// Removes and counts the packet that came out.
    mutating func leave() {
        guard let front else { return }
        counters.packets += 1
        counters.bytes += front.count
        counters.payload += Self.payload(of: front)
        head = (head + 1) % slots
        count -= 1
    }

    /// The TCP payload in an IPv4 packet, in bytes; 0 for everything else.
    static func payload(of packet: UnsafeRawBufferPointer) -> Int {
        guard packet.count >= 40, packet[0] >> 4 == 4, packet[9] == 6 else { return 0 }
        let header = Int(packet[0] & 15) * 4
        guard packet.count >= header + 20 else { return 0 }
        return max(0, packet.count - header - Int(packet[header + 12] >> 4) * 4)
    }

    private func slot(_ index: Int) -> UnsafeMutableRawPointer { memory + (index % slots) * Self.slotSize }
}
