import Glibc
import Synchronization

/// Measures a link from its two ends with sockets of its own, without a look at the forwarder's counters.
///
/// Nothing waits longer than `patience`, so that a link which carries nothing is found out, and not waited for.
struct LinkProbe {
    /// Seconds that a socket waits at most; longer than any round trip that a link may have.
    static let patience = 10

    let link: Link

    /// What one TCP stream has moved.
    struct Stream {
        /// Bytes of payload a second, after the start-up.
        let rate: Double
        /// The forwarder's share of one processor meanwhile.
        let forwarderCPU: Double
    }

    /// One TCP stream from far to near.
    ///
    /// - Parameters:
    ///   - warmup: seconds that are not counted, for slow start and its overshoot
    ///   - seconds: seconds that are
    func stream(warmup: Double, seconds: Double) throws -> Stream {
        let listener = try link.far.enter { try Socket(SOCK_STREAM, bound: Link.farAddress, port: 7001) }
        guard listen(listener.descriptor, 1) == 0 else { throw BenchError(.system, "cannot listen: \(errorText())") }
        listener.setTimeout(seconds: Self.patience)
        let sender = try BackgroundThread {
            let connection = accept(listener.descriptor, nil, nil)
            guard connection >= 0 else { return }
            defer { close(connection) }
            Socket.setTimeout(seconds: Self.patience, of: connection)
            let zeros = [UInt8](repeating: 0, count: 256 << 10)
            while send(connection, zeros, zeros.count, Int32(MSG_NOSIGNAL)) > 0 {}
        }
        defer { sender.join() }
        let client = try link.near.enter { try Socket(SOCK_STREAM) }
        client.setTimeout(seconds: Self.patience)
        try client.connect(Link.farAddress, port: 7001)
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        func receive(until end: Double) -> Int {
            var total = 0
            while monotonicSeconds() < end {
                let count = recv(client.descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                total += count
            }
            return total
        }
        _ = receive(until: monotonicSeconds() + warmup)
        let (start, cpu) = (monotonicSeconds(), link.snapshot.cpu)
        let bytes = receive(until: start + seconds)
        let elapsed = monotonicSeconds() - start
        let used = link.snapshot.cpu - cpu
        client.shutdown()
        return Stream(rate: Double(bytes) / elapsed, forwarderCPU: used / elapsed)
    }

    /// Round trips of small datagrams over the idle link, in milliseconds.
    func roundTrips(_ count: Int) throws -> [Double] {
        let echo = try link.far.enter { try Socket(SOCK_DGRAM, bound: Link.farAddress, port: 7002) }
        echo.setTimeout(seconds: Self.patience)
        let server = try BackgroundThread {
            var buffer = [UInt8](repeating: 0, count: 64)
            var from = sockaddr()
            while true {
                var length = socklen_t(MemoryLayout<sockaddr>.size)
                let count = recvfrom(echo.descriptor, &buffer, buffer.count, 0, &from, &length)
                guard count > 0, buffer[0] != 0xff else { return }
                sendto(echo.descriptor, buffer, count, 0, &from, length)
            }
        }
        let client = try link.near.enter { try Socket(SOCK_DGRAM) }
        try client.connect(Link.farAddress, port: 7002)
        client.setTimeout(seconds: 3)
        var results: [Double] = []
        var buffer = [UInt8](repeating: 0, count: 64)
        var unanswered = 0
        // Twenty in a row are no chance, however lossy the link is: nothing comes through.
        for number in 0..<count where unanswered < 20 {
            buffer[0] = UInt8(number % 200)
            let start = monotonicSeconds()
            send(client.descriptor, buffer, buffer.count, 0)
            if recv(client.descriptor, &buffer, buffer.count, 0) > 0 {
                results.append((monotonicSeconds() - start) * 1000)
                unanswered = 0
            } else {
                unanswered += 1
            }
            pause(milliseconds: 5)
        }
        // The last word may be lost like any other packet.
        for _ in 0..<20 { send(client.descriptor, [0xff], 1, 0) }
        server.join()
        return results
    }

    /// The share of datagrams that do not arrive in one direction, at a twentieth of the link's rate or less.
    ///
    /// - Parameters:
    ///   - count: how many are sent
    ///   - down: from far to near; the other way otherwise
    func loss(of count: Int, down: Bool) throws -> Double {
        let (from, to) = down ? (link.far, link.near) : (link.near, link.far)
        let address = down ? Link.nearAddress : Link.farAddress
        let receiver = try to.enter { try Socket(SOCK_DGRAM, bound: address, port: 7003) }
        receiver.setTimeout(seconds: 3)
        // What is not read in time must not count as lost.
        receiver.setReceiveBuffer(bytes: 64 << 20)
        let received = Counter()
        let thread = try BackgroundThread {
            var buffer = [UInt8](repeating: 0, count: 64)
            while recv(receiver.descriptor, &buffer, buffer.count, 0) > 0 {
                received.value.add(1, ordering: .relaxed)
            }
        }
        let sender = try from.enter { try Socket(SOCK_DGRAM) }
        sender.setTimeout(seconds: Self.patience)
        try sender.connect(address, port: 7003)
        let datagram = [UInt8](repeating: 1, count: 32)
        // 60 bytes each with their headers.
        let perMillisecond = max(1, min(20, link.parameters.rate / 8 / 20 / 60 / 1000))
        for number in 0..<count {
            send(sender.descriptor, datagram, datagram.count, 0)
            if number % perMillisecond == perMillisecond - 1 { pause(milliseconds: 1) }
        }
        thread.join()
        return 1 - Double(received.value.load(ordering: .relaxed)) / Double(count)
    }

    private final class Counter: Sendable {
        let value = Atomic(0)
    }
}
