public import OCI

/// Content that follows from a seed, readable at any offset: a blob of any size that nobody has to hold in memory.
public struct GeneratedBytes: Sendable, Hashable {
    /// Two equal seeds make equal bytes.
    public let seed: UInt64
    /// The length in bytes.
    public let count: Int64

    /// - Parameters:
    ///   - count: the length in bytes
    ///   - seed: two equal seeds make equal bytes
    public init(count: Int64, seed: UInt64) {
        self.count = count
        self.seed = seed
    }

    /// The bytes of a range, cut to what there is.
    public func bytes(_ range: Range<Int64>) -> [UInt8] {
        let range = range.clamped(to: 0..<count)
        let wanted = Int(range.upperBound - range.lowerBound)
        return [UInt8](unsafeUninitializedCapacity: wanted) { buffer, written in
            var offset = UInt64(range.lowerBound)
            while written < wanted {
                var word = SeededGenerator.mix(seed &+ (offset / 8 &+ 1) &* SeededGenerator.step)
                word >>= 8 * (offset % 8)
                for _ in offset % 8..<8 where written < wanted {
                    buffer[written] = UInt8(truncatingIfNeeded: word)
                    word >>= 8
                    written += 1
                    offset += 1
                }
            }
        }
    }

    /// All bytes.
    public var all: [UInt8] { bytes(0..<count) }

    /// The digest, computed piece by piece.
    public func digest(_ algorithm: Digest.Algorithm = .sha256) -> Digest {
        let computation = DigestComputation(algorithm)
        var offset: Int64 = 0
        while offset < count {
            let piece = bytes(offset..<min(offset + (1 << 20), count))
            piece.withUnsafeBytes { computation.update($0) }
            offset += Int64(piece.count)
        }
        return computation.finish()
    }
}

/// Randomness that repeats: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    static let step: UInt64 = 0x9e37_79b9_7f4a_7c15
    private var state: UInt64

    /// - Parameter seed: two equal seeds make equal sequences
    public init(seed: UInt64) { state = seed }

    /// The next word of the sequence.
    public mutating func next() -> UInt64 {
        state &+= Self.step
        return Self.mix(state)
    }

    static func mix(_ value: UInt64) -> UInt64 {
        var mixed = value
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
