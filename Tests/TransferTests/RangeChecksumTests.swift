import OCI
import TestSupport
import Testing

@testable import Transfer

@Suite struct RangeChecksumTests {
    private func checksum(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { RangeChecksum.of($0) } }

    @Test(arguments: [0, 1, 7, 8, 31, 32, 33, 511, 512, 513, 4096, 262_144])
    func isNeverZeroAndDependsOnTheLength(count: Int) {
        let zeros = checksum([UInt8](repeating: 0, count: count))
        #expect(zeros != 0)
        #expect(zeros != checksum([UInt8](repeating: 0, count: count + 1)))
    }

    /// What a crash leaves of a range that was recorded but not written: a hole of zeros at its end, its start, or at any
    /// sector.
    @Test(arguments: [1, 100, 512, 4096, 70_001, 262_144] as [Int64], 1...3 as ClosedRange<UInt64>)
    func seesTornWrites(count: Int64, seed: UInt64) {
        // A byte that is zero anyway is not torn by a hole.
        let written = GeneratedBytes(count: count, seed: seed).all.map { $0 | 1 }
        let whole = checksum(written)
        #expect(whole == checksum(written))
        var random = SeededGenerator(seed: seed)
        for _ in 0..<15 {
            let start = Int.random(in: 0...(written.count - 1) / 512, using: &random) * 512
            let end = min(written.count, start + 512 * Int.random(in: 1...9, using: &random))
            for hole in [start..<end, 0..<end, start..<written.count] {
                var torn = written
                for index in hole { torn[index] = 0 }
                #expect(checksum(torn) != whole, "a hole at \(hole) of \(count)")
            }
        }
    }

    /// Old bytes where new ones should be: sectors that changed places.
    @Test func seesSectorsOutOfOrder() {
        let written = GeneratedBytes(count: 8192, seed: 5).all
        for (left, right) in [(0, 1), (0, 15), (3, 8), (14, 15)] {
            var swapped = written
            for index in 0..<512 { swapped.swapAt(left * 512 + index, right * 512 + index) }
            #expect(checksum(swapped) != checksum(written))
        }
    }

    @Test func seesAFlippedBitAtTheEnd() {
        for count in [1, 8, 31, 32, 33, 500, 512, 544, 262_144] as [Int64] {
            let written = GeneratedBytes(count: count, seed: 9).all
            for bit in 0..<8 {
                var flipped = written
                flipped[flipped.count - 1] ^= 1 << UInt8(bit)
                #expect(checksum(flipped) != checksum(written))
            }
        }
    }
}
