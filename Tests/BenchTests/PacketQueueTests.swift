import Testing

@testable import Bench

/// The emulated line against arithmetic: times are passed in, so nothing here waits.
@Suite(.timeLimit(.minutes(5))) struct PacketQueueTests {
    /// 8 Mbit/s is a byte a microsecond.
    private func parameters(roundTrip: Double = 20, loss: Double = 0) -> LinkParameters {
        LinkParameters(rate: 8_000_000, roundTrip: roundTrip, loss: loss, seed: 1)
    }

    @Test func aPacketComesOutAfterItsBytesAndTheDelay() throws {
        var queue = try PacketQueue(parameters(), seed: 1)
        #expect(queue.due == nil)
        queue.enter(1000, at: 5_000_000)
        #expect(queue.due == 5_000_000 + 1_000_000 + 10_000_000)
        let length = queue.front?.count
        #expect(length == 1000)
    }

    @Test func packetsThatCameTogetherLeaveOneAfterAnother() throws {
        var queue = try PacketQueue(parameters(), seed: 1)
        var due: [UInt64] = []
        for _ in 0..<3 { queue.enter(500, at: 0) }
        while let next = queue.due {
            due.append(next)
            queue.leave()
        }
        #expect(due == [10_500_000, 11_000_000, 11_500_000])
        #expect(queue.counters.packets == 3)
        #expect(queue.counters.bytes == 1500)
    }

    @Test func anIdleLineSavesNothingUp() throws {
        var queue = try PacketQueue(parameters(), seed: 1)
        queue.enter(500, at: 0)
        queue.leave()
        queue.enter(500, at: 1_000_000_000)
        #expect(queue.due == 1_000_000_000 + 500_000 + 10_000_000)
    }

    @Test func theTailIsDroppedWhereOneRoundTripIsWaiting() throws {
        // 200 ms at a byte a microsecond: 200,000 bytes may wait.
        let parameters = parameters(roundTrip: 200)
        #expect(parameters.queueBytes == 200_000)
        var queue = try PacketQueue(parameters, seed: 1)
        for _ in 0..<300 { queue.enter(1000, at: 0) }
        // The first is being sent, and 200 wait behind it.
        #expect(queue.counters.queueDrops == 300 - 201)
        #expect(queue.counters.peakQueue == 200_000)
        // What has left the line makes room again.
        queue.enter(1000, at: 50_000_000)
        #expect(queue.counters.queueDrops == 300 - 201)
    }

    @Test func lossIsAsOftenAsAskedAndTheSameFromTheSameSeed() throws {
        func losses(seed: UInt64) throws -> Int {
            var queue = try PacketQueue(parameters(loss: 0.01), seed: seed)
            for index in 0..<100_000 {
                queue.enter(100, at: UInt64(index) * 1_000_000)
                if queue.due != nil { queue.leave() }
            }
            #expect(queue.counters.packets + queue.counters.losses == 100_000)
            return queue.counters.losses
        }
        let first = try losses(seed: 1)
        // Five deviations of a binomial with 1000 expected.
        #expect((843...1157).contains(first))
        let again = try losses(seed: 1)
        #expect(again == first)
        let other = try losses(seed: 2)
        #expect(other != first)
    }

    @Test func theRingIsBounded() throws {
        var queue = try PacketQueue(parameters(roundTrip: 0), seed: 1)
        var entered = 0
        while queue.free != nil, entered < 1 << 20 {
            queue.enter(20, at: UInt64(entered) * 1_000_000)
            entered += 1
        }
        #expect(entered < 1 << 20)
        queue.leave()
        let hasRoom = queue.free != nil
        #expect(hasRoom)
    }

    @Test(arguments: [
        // version and header length, protocol, data offset, packet length, payload
        (0x45, 6, 0x50, 140, 100), (0x45, 6, 0x80, 140, 88), (0x46, 6, 0x50, 144, 100), (0x45, 17, 0x50, 140, 0),
        (0x60, 6, 0x50, 140, 0), (0x45, 6, 0xf0, 60, 0), (0x4f, 6, 0x50, 70, 0), (0x45, 6, 0x50, 39, 0),
    ])
    func thePayloadIsWhatFollowsBothHeaders(_ version: Int, _ kind: Int, _ offset: Int, _ length: Int, _ payload: Int) {
        var packet = [UInt8](repeating: 0, count: length)
        packet[0] = UInt8(version)
        packet[9] = UInt8(kind)
        let header = (version & 15) * 4
        if header + 12 < length { packet[header + 12] = UInt8(offset) }
        #expect(packet.withUnsafeBytes { PacketQueue.payload(of: $0) } == payload)
    }
}
