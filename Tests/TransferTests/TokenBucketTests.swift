import TestSupport
import Testing

@testable import Transfer

@Suite struct TokenBucketTests {
    /// Connections that each read 16 KiB, and then wait as long as they are told to.
    private func arrivals(
        rate: Int64, connections: Int, seconds: Double, idleFrom: Double = .infinity, idleTo: Double = .infinity
    ) -> [(time: Double, bytes: Int)] {
        var bucket = TokenBucket(bytesPerSecond: rate, now: 0)
        var wake = [Double](repeating: 0, count: connections)
        var arrivals: [(Double, Int)] = []
        while let now = wake.min(), now < seconds, let next = wake.firstIndex(of: now) {
            if now >= idleFrom, now < idleTo {
                wake[next] = idleTo
                continue
            }
            arrivals.append((now, 16 << 10))
            // A network is not endlessly fast.
            wake[next] = now + max(0.0001, bucket.spend(16 << 10, now: now))
        }
        return arrivals
    }

    @Test(arguments: [1_000_000, 12_500_000] as [Int64], [1, 8, 64])
    func keepsTheRate(rate: Int64, connections: Int) {
        let arrivals = arrivals(rate: rate, connections: connections, seconds: 12)
        let settled = arrivals.filter { $0.time >= 4 }.reduce(0) { $0 + $1.bytes }
        let expected = Double(rate) * 8
        #expect(abs(Double(settled) - expected) <= 0.03 * expected)
    }

    /// After a pause, and in any second, no more than a tenth above the rate. What all connections bring at once before
    /// the first of them waits is not counted: 16 KiB each.
    @Test func burstsLittle() {
        let rate: Int64 = 12_500_000
        let connections = 16
        let arrivals = arrivals(rate: rate, connections: connections, seconds: 8, idleFrom: 3, idleTo: 5)
        var first = 0
        var sum = 0
        var most = 0
        for (time, bytes) in arrivals {
            sum += bytes
            while arrivals[first].time <= time - 1 {
                sum -= arrivals[first].bytes
                first += 1
            }
            most = max(most, sum)
        }
        #expect(Double(most) <= 1.1 * Double(rate) + Double(connections * 16 << 10))
    }

    @Test func neverWaitsBackwards() {
        var bucket = TokenBucket(bytesPerSecond: 1000, now: 100)
        #expect(bucket.spend(0, now: 100) == 0)
        #expect(bucket.spend(500, now: 100) == 0.5)
        // A clock that stands still or steps back earns nothing.
        #expect(bucket.spend(500, now: 99) == 1)
        #expect(bucket.spend(0, now: 101) == 0)
    }

    @Test(arguments: [0, -5, 1] as [Int64])
    func hasARateAboveZero(rate: Int64) {
        var bucket = TokenBucket(bytesPerSecond: rate, now: 0)
        #expect(bucket.spend(10, now: 0) == 10)
    }
}
