import CLinux
import Glibc
import Synchronization

/// The thread that carries packets between the two TUN devices.
///
/// While packets move it works in ticks, as an adapter with interrupt moderation does: it sleeps a tick, takes all that
/// both devices hold, and hands out all that is due. So a packet is late by a tick at most, and the thread wakes 4,000
/// times a second instead of once for each packet. While nothing moves it waits in `poll`.
final class Forwarder: @unchecked Sendable {
    /// Nanoseconds between two looks at the devices while packets move.
    static let tick: UInt64 = 250_000

    /// What the forwarder has done so far.
    struct Snapshot {
        /// From the far side (central registry) to the near side (site).
        var down = LinkCounters()
        /// From the near side to the far side.
        var up = LinkCounters()
        /// CPU seconds of the thread. The kernel's TCP receive work of both sides is done in its writes and is part of it.
        var cpu = 0.0
        /// The latest that a packet was handed out after its time, in nanoseconds.
        var worstLateness: UInt64 = 0
    }

    private let far: Int32
    private let near: Int32
    /// A pipe whose closed end tells the thread to stop.
    private let stopping: [Int32]
    private let parameters: LinkParameters
    private let state = Mutex(Snapshot())
    private var thread = pthread_t()

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - far: the far side's TUN device; the caller closes it after `stop`
    ///   - near: the near side's
    ///   - parameters: the link between them
    /// - Throws: `BenchError` without descriptors or memory
    init(far: Int32, near: Int32, parameters: LinkParameters) throws {
        self.far = far
        self.near = near
        self.parameters = parameters
        var stopping: [Int32] = [-1, -1]
        guard pipe(&stopping) == 0 else { throw BenchError(.system, "no pipe: \(errorText())") }
        for end in stopping { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        self.stopping = stopping
        let argument = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Forwarder>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, argument.toOpaque())
        guard result == 0 else {
            argument.release()
            for end in stopping { close(end) }
            throw BenchError(.system, "no thread for the link: \(String(cString: strerror(result)))")
        }
    }

    /// Ends the thread; the packets under way are lost.
    func stop() {
        close(stopping[1])
        pthread_join(thread, nil)
        close(stopping[0])
    }

    /// What it has done so far.
    var snapshot: Snapshot { state.withLock { $0 } }

    private func run() {
        // A link does not wait for a busy processor. Without the right to it, it runs as an ordinary thread.
        var priority = sched_param()
        priority.sched_priority = 1
        pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority)
        do {
            var down = try PacketQueue(parameters, seed: parameters.seed)
            var up = try PacketQueue(parameters, seed: parameters.seed ^ 0x5DEE_CE66)
            forward(&down, &up)
        } catch {
            warn("the link does not work: \(error)")
        }
    }

    private func forward(_ down: inout PacketQueue, _ up: inout PacketQueue) {
        let waited = [stopping[0], far, near]
        var readable: [Int32] = [0, 0, 0]
        let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: PacketQueue.slotSize, alignment: 16)
        defer { scratch.deallocate() }
        var worst: UInt64 = 0
        while true {
            let now = monotonicNanoseconds()
            let taken = take(from: far, into: &down, now, scratch) + take(from: near, into: &up, now, scratch)
            worst = max(worst, handOut(&down, to: near, now), handOut(&up, to: far, now))
            publish(down.counters, up.counters, worst)
            if taken > 0 {
                sleep(until: now + Self.tick)
                continue
            }
            // Idle but for packets under way: wait for the first of them, for a new packet, or for the end.
            let due = [down.due, up.due].compactMap { $0 }.min()
            let wait = due.map { Int64($0 > now ? max($0 - now, Self.tick / 2) : Self.tick / 2) } ?? -1
            bench_wait_readable(waited, &readable, 3, wait)
            if readable[0] != 0 { return }
        }
    }

    /// Takes the packets that a device holds, 256 at most, so that the other direction gets its turn.
    private func take(
        from device: Int32, into queue: inout PacketQueue, _ now: UInt64, _ scratch: UnsafeMutableRawBufferPointer
    ) -> Int {
        for taken in 0..<256 {
            let free = queue.free
            let buffer = free ?? scratch
            let length = read(device, buffer.baseAddress, buffer.count)
            guard length > 0 else { return taken }
            if free == nil { queue.overflow() } else { queue.enter(length, at: now) }
        }
        return 256
    }

    /// Hands out what is due and returns the worst lateness.
    private func handOut(_ queue: inout PacketQueue, to device: Int32, _ now: UInt64) -> UInt64 {
        var worst: UInt64 = 0
        while let due = queue.due, due <= now, let packet = queue.front {
            worst = max(worst, now - due)
            // A device that refuses a packet (it is going down) loses it, as a wire does.
            _ = write(device, packet.baseAddress, packet.count)
            queue.leave()
        }
        return worst
    }

    private func publish(_ down: LinkCounters, _ up: LinkCounters, _ worst: UInt64) {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        state.withLock {
            $0 = Snapshot(
                down: down, up: up, cpu: Double(time.tv_sec) + Double(time.tv_nsec) / 1e9, worstLateness: worst)
        }
    }

    private func sleep(until moment: UInt64) {
        var time = timespec(tv_sec: Int(moment / 1_000_000_000), tv_nsec: Int(moment % 1_000_000_000))
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nil)
    }
}
