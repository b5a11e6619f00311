import TestSupport
import Testing

@testable import Transfer

@Suite struct RangePlannerTests {
    @Test func handsOutFromTheLowestGap() {
        var planner = RangePlanner(size: 100, done: ByteRanges([10..<30, 60..<100]))
        let leases = (0..<5).map { _ in planner.next(length: 15, now: 0) }
        #expect(leases.map { $0.map { $0.start..<$0.end } } == [0..<10, 30..<45, 45..<60, nil, nil])
        #expect(!planner.hasUnassigned && !planner.isComplete)
        #expect(planner.missing == 40)
    }

    /// A source that ignores ranges is asked for all that is missing, wherever it begins.
    @Test(arguments: [0, 1, 99] as [Int64])
    func handsOutAllThatIsMissing(done: Int64) {
        var planner = RangePlanner(size: 100, done: ByteRanges([0..<done]))
        let lease = planner.next(length: .max, now: 0)
        #expect(lease.map { $0.start..<$0.end } == done..<100)
    }

    @Test func anEmptyBlobIsComplete() {
        var planner = RangePlanner(size: 0)
        #expect(planner.isComplete && !planner.hasUnassigned && planner.missing == 0)
        #expect(planner.next(length: .max, now: 0) == nil)
        #expect(planner.divide(patience: 0, minimum: 0, now: 9) == nil)
    }

    @Test func givesBackWhatDidNotArrive() throws {
        var planner = RangePlanner(size: 100)
        let firstGiven = planner.next(length: 60, now: 0)
        let first = try #require(firstGiven)
        #expect(planner.advance(first.id, by: 25) == 25)
        planner.finish(first.id)
        #expect(planner.advance(first.id, by: 25) == 0)
        let secondGiven = planner.next(length: 60, now: 0)
        let second = try #require(secondGiven)
        #expect(second.start == 25 && second.end == 85)
    }

    @Test func countsNothingBeyondALease() throws {
        var planner = RangePlanner(size: 100)
        let leaseGiven = planner.next(length: 60, now: 0)
        let lease = try #require(leaseGiven)
        #expect(planner.advance(lease.id, by: 1000) == 60)
        #expect(planner.advance(lease.id, by: 1) == 0)
        #expect(planner.done.ranges == [0..<60])
    }

    @Test func dividesTheSlowest() throws {
        var planner = RangePlanner(size: 200)
        let slowGiven = planner.next(length: 100, now: 0)
        let slow = try #require(slowGiven)
        let fastGiven = planner.next(length: 100, now: 0)
        let fast = try #require(fastGiven)
        _ = planner.advance(slow.id, by: 20)
        _ = planner.advance(fast.id, by: 90)
        // The fast one needs 10/9 s more, the slow one 40.
        let halfGiven = planner.divide(patience: 1, minimum: 10, now: 10)
        let half = try #require(halfGiven)
        #expect(half.start == 60 && half.end == 100)
        #expect(planner.leases[slow.id]?.end == 60)
        // What the slow one brings beyond its new end is another's.
        #expect(planner.advance(slow.id, by: 80) == 40)
        #expect(planner.leases[slow.id]?.remaining == 0)
    }

    @Test func leavesAloneWhatWillSoonBeDone() throws {
        var planner = RangePlanner(size: 100)
        let leaseGiven = planner.next(length: 100, now: 0)
        let lease = try #require(leaseGiven)
        #expect(planner.divide(patience: 1, minimum: 1, now: 0.9) == nil)
        _ = planner.advance(lease.id, by: 95)
        #expect(planner.divide(patience: 1, minimum: 1, now: 10) == nil)
    }

    @Test func takesOverALittleThatDoesNotMove() throws {
        var planner = RangePlanner(size: 100)
        let stuckGiven = planner.next(length: 100, now: 0)
        let stuck = try #require(stuckGiven)
        let hedgeGiven = planner.divide(patience: 1, minimum: 90, now: 5)
        let hedge = try #require(hedgeGiven)
        #expect(hedge.start == 0 && hedge.end == 100)
        #expect(planner.advance(stuck.id, by: 10) == 0)
    }

    /// Random schedules of requests that advance, fail and are divided: no byte is lost, none is had twice, and those
    /// in flight never overlap.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func losesNothingAndHandsOutNothingTwice(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let size = Int64.random(in: 1...200, using: &random)
        var planner = RangePlanner(size: size)
        var arrived: Set<Int64> = []
        var now = 0.0
        var steps = 0
        while !planner.isComplete, steps < 5000 {
            steps += 1
            now += Double.random(in: 0...0.5, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0...2:
                let length = Int64.random(in: -1...80, using: &random)
                if let lease = planner.next(length: length, now: now) {
                    #expect(lease.remaining > 0 && lease.remaining <= max(1, length))
                }
            case 3:
                _ = planner.divide(
                    patience: Double.random(in: 0...2, using: &random),
                    minimum: Int64.random(in: 0...40, using: &random), now: now)
            case 4:
                if let id = planner.leases.keys.sorted().randomElement(using: &random) { planner.finish(id) }
            default:
                guard let id = planner.leases.keys.sorted().randomElement(using: &random),
                    let lease = planner.leases[id]
                else { continue }
                let count = Int64.random(in: 0...50, using: &random)
                let accepted = planner.advance(id, by: count)
                #expect(accepted == min(count, lease.remaining))
                let taken = Set(lease.position..<lease.position + accepted)
                #expect(arrived.isDisjoint(with: taken), "bytes of \(taken) were accepted twice")
                arrived.formUnion(taken)
            }
            expectDisjoint(planner, arrived, size)
        }
        #expect(planner.isComplete && arrived.count == size)
        #expect(!planner.hasUnassigned && planner.missing == 0)
    }

    private func expectDisjoint(_ planner: RangePlanner, _ arrived: Set<Int64>, _ size: Int64) {
        var seen = arrived
        for lease in planner.leases.values {
            #expect(lease.start <= lease.position && lease.position <= lease.end && lease.end <= size)
            let open = Set(lease.position..<lease.end)
            #expect(seen.isDisjoint(with: open), "bytes of \(lease) are there or in flight twice")
            seen.formUnion(open)
        }
        #expect(planner.done.ranges.flatMap { Array($0) } == arrived.sorted())
        #expect(planner.hasUnassigned == (seen.count < size))
    }

    /// Connections that hedge each other must not keep each other from ever getting a byte, however long the sources
    /// take to answer: a pull-through cache fetches the blob first.
    @Test(arguments: [0.1, 0.9, 1.1, 1.5, 3, 10, 30], [2, 4, 16])
    func endsWithSourcesThatAnswerLate(latency: Double, connections: Int) {
        var planner = RangePlanner(size: 512 << 10)
        struct Request {
            let lease: Int
            let firstByte: Double
        }
        var requests = [Request?](repeating: nil, count: connections)
        var sent = 0
        var now = 0.0
        while !planner.isComplete, now < 300 {
            for index in requests.indices {
                if let request = requests[index], request.firstByte <= now {
                    _ = planner.advance(request.lease, by: .max)
                    planner.finish(request.lease)
                    requests[index] = nil
                }
                if requests[index] == nil,
                    let lease = planner.next(length: 1 << 20, now: now)
                        ?? planner.divide(patience: 1, minimum: 256 << 10, now: now)
                {
                    requests[index] = Request(lease: lease.id, firstByte: now + latency)
                    sent += 1
                }
            }
            now += 0.2
        }
        #expect(planner.isComplete, "no end after \(sent) requests")
        #expect(now <= 4 * latency + 4)
        #expect(sent <= 16 + 2 * connections)
    }
}
