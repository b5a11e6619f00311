import Testing

@testable import Transfer

@Suite struct RangePlannerTests {
    /// A source that ignores ranges is asked for all that is left, wherever that begins.
    @Test func theRestOfABlobIsOneLease() {
        var planner = RangePlanner(size: 1000, done: ByteRanges([0..<300]))
        let lease = planner.next(length: .max, now: 0)
        #expect(lease?.start == 300)
        #expect(lease?.end == 1000)
    }
}
