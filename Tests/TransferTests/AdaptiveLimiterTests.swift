import Testing

@testable import Transfer

@Suite struct AdaptiveLimiterTests {
    /// Runs a limiter on a link whose throughput, in bytes a second, follows from the requests in flight.
    private func run(
        _ limiter: inout AdaptiveLimiter, from start: Double = 0, seconds: Double, demand: Int = .max,
        throughput: (Int) -> Double
    ) -> [Int] {
        var limits = [limiter.limit]
        let step = 0.05
        for index in 0...Int(seconds / step) {
            let inFlight = min(demand, limiter.limit)
            limiter.received(
                Int64(throughput(inFlight) * step), inFlight: inFlight, now: start + Double(index) * step)
            if limiter.limit != limits.last { limits.append(limiter.limit) }
        }
        return limits
    }

    @Test func growsByHalfWhileItAddsThroughput() {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 8)
        let limits = run(&limiter, seconds: 10) { Double($0) * 1_000_000 }
        #expect(Array(limits.prefix(7)) == [8, 12, 18, 27, 40, 60, 64])
    }

    /// A link that is full at `full` requests.
    @Test(arguments: [1, 4, 8, 10, 20, 40])
    func stopsWhereMoreIsNotWorthwhile(full: Int) {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 8)
        _ = run(&limiter, seconds: 5) { Double(min($0, full)) * 1_000_000 }
        // The probe ends one step back; until it does, each step is half as much again.
        #expect(limiter.limit >= min(8, full))
        #expect(limiter.limit <= max(8, full) * 3 / 2 + 8)
    }

    /// 2.5 MB/s over 80 ms are 200 kB on their way: a few connections, not forty.
    @Test func aCapNeedsFewConnections() {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 32, cap: 2_500_000)
        #expect(limiter.limit == 4)
        limiter.measured(roundTrip: 0.08)
        #expect(limiter.limit == 5)
        // What is brought is the cap, and more connections would bring no more.
        _ = run(&limiter, seconds: 20) { _ in 2_400_000 }
        #expect(limiter.limit == 5)
        // On a bad link they bring less, and more of them help.
        _ = run(&limiter, from: 21, seconds: 20) { Double($0) * 100_000 }
        #expect((23...64).contains(limiter.limit))
        var near = AdaptiveLimiter(bounds: 1...64, start: 32, cap: 8_000)
        near.measured(roundTrip: 0.0001)
        #expect(near.limit == 2)
        // With smaller windows it takes more of them.
        var small = AdaptiveLimiter(bounds: 1...64, start: 32, cap: 2_500_000, window: 16 << 10)
        small.measured(roundTrip: 0.08)
        #expect(small.limit == 14)
    }

    @Test func anIntervalBelowTheLimitSaysNothing() {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 8)
        let limits = run(&limiter, seconds: 20, demand: 5) { Double($0) * 1_000_000 }
        #expect(limits == [8])
    }

    @Test func halvesOnceAnInterval() {
        var limiter = AdaptiveLimiter(bounds: 2...64, start: 40)
        for now in [10, 10.1, 10.4] { limiter.pushedBack(now: now) }
        #expect(limiter.limit == 20)
        limiter.pushedBack(now: 10.5)
        #expect(limiter.limit == 10)
        for step in 1...20 { limiter.pushedBack(now: 10.5 + Double(step)) }
        #expect(limiter.limit == 2)
    }

    /// A reset now and then must not leave a long-lived agent with one connection: what was lost comes back by one an
    /// interval while it is used.
    @Test func recoversAfterPushback() {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 64)
        for second in 0..<8 { limiter.pushedBack(now: Double(second)) }
        #expect(limiter.limit == 1)
        _ = run(&limiter, from: 10, seconds: 40) { Double($0) * 1_000_000 }
        #expect(limiter.limit >= 48)
    }

    /// Steady growth goes back where it costs throughput.
    @Test func stepsBackWhereThroughputFalls() {
        var limiter = AdaptiveLimiter(bounds: 1...64, start: 32)
        limiter.pushedBack(now: 0)
        _ = run(&limiter, from: 10, seconds: 60) { $0 > 24 ? 10_000_000 : Double($0) * 1_000_000 }
        #expect((23...26).contains(limiter.limit))
    }

    @Test func aFarHostStartsHigher() {
        for (roundTrip, start) in [
            (0, 4), (0.001, 4), (0.02, 10), (0.08, 40), (1, 48), (1e300, 48), (-1, 4), (.infinity, 4), (.nan, 4),
        ] as [(Double, Int)] {
            #expect(AdaptiveLimiter.start(roundTrip: roundTrip) == start)
        }
        var limiter = AdaptiveLimiter(bounds: 1...20, start: 4)
        limiter.measured(roundTrip: 0.02)
        #expect(limiter.limit == 10)
        // The first one counts: a later handshake may be slow for another reason, such as a lost packet.
        limiter.measured(roundTrip: 0.08)
        #expect(limiter.limit == 10)
        limiter = AdaptiveLimiter(bounds: 1...20, start: 4)
        limiter.measured(roundTrip: 0.08)
        #expect(limiter.limit == 20)
        limiter = AdaptiveLimiter(bounds: 1...20, start: 20)
        limiter.pushedBack(now: 1)
        limiter.measured(roundTrip: 0.08)
        #expect(limiter.limit == 10)
    }

    @Test(arguments: [(1...64, 0, 1), (1...64, 100, 64), (4...4, 9, 4)])
    func staysWithinItsBounds(bounds: ClosedRange<Int>, start: Int, limit: Int) {
        var limiter = AdaptiveLimiter(bounds: bounds, start: start)
        #expect(limiter.limit == limit)
        _ = run(&limiter, seconds: 30) { Double($0) * 1_000_000 }
        #expect(limiter.limit == bounds.upperBound)
        for second in 0..<20 { limiter.pushedBack(now: 100 + Double(second)) }
        #expect(limiter.limit == bounds.lowerBound)
    }
}
