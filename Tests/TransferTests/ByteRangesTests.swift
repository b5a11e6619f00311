import TestSupport
import Testing

@testable import Transfer

@Suite struct ByteRangesTests {
    @Test(
        arguments: [
            ([], []),
            ([3..<3], []),
            ([0..<4], [0..<4]),
            ([0..<4, 4..<8], [0..<8]),
            ([4..<8, 0..<4], [0..<8]),
            ([0..<4, 5..<8], [0..<4, 5..<8]),
            ([0..<4, 5..<8, 4..<5], [0..<8]),
            ([2..<6, 0..<10], [0..<10]),
            ([0..<10, 2..<6], [0..<10]),
            ([0..<2, 4..<6, 8..<10, 1..<9], [0..<10]),
        ] as [([Range<Int64>], [Range<Int64>])])
    func joinsWhatTouches(inserted: [Range<Int64>], expected: [Range<Int64>]) {
        #expect(ByteRanges(inserted).ranges == expected)
    }

    @Test func holdsTheWholeRangeOfPositions() {
        let all = ByteRanges([0..<Int64.max])
        #expect(all.count == .max)
        #expect(all.firstGap(in: 0..<Int64.max) == nil)
        #expect(ByteRanges().firstGap(in: 5..<Int64.max) == 5..<Int64.max)
        #expect(ByteRanges([2..<9]).firstGap(in: 3..<6) == nil)
        #expect(ByteRanges([4..<9]).firstGap(in: 3..<6) == 3..<4)
    }

    /// Every operation beside the same one on a plain set of positions.
    @Test(arguments: 0..<12 as Range<UInt64>)
    func agreesWithASetOfPositions(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let size: Int64 = 60
        var ranges = ByteRanges()
        var model: Set<Int64> = []
        for _ in 0..<300 {
            let lower = Int64.random(in: 0...size, using: &random)
            let upper = min(size, lower + Int64.random(in: 0...12, using: &random))
            if Bool.random(using: &random) {
                ranges.insert(lower..<upper)
                model.formUnion(lower..<upper)
            } else {
                ranges.remove(lower..<upper)
                model.subtract(lower..<upper)
            }
            #expect(ranges.ranges.flatMap { Array($0) } == model.sorted())
            #expect(ranges.count == Int64(model.count))
            #expect(ranges.ranges.allSatisfy { !$0.isEmpty })
            // Ordered, and with a gap between any two.
            #expect(zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound })
            let asked = Int64.random(in: 0...size, using: &random)..<size
            #expect(ranges.contains(asked) == model.isSuperset(of: asked))
            let gap = asked.first { !model.contains($0) }
            #expect(ranges.firstGap(in: asked)?.lowerBound == gap)
            if let found = ranges.firstGap(in: asked) {
                #expect(model.isDisjoint(with: found))
                #expect(found.upperBound == asked.upperBound || model.contains(found.upperBound))
            }
        }
    }
}
