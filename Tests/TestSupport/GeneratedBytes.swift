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
        let rotation = SeededGenerator.mix(seed)
        return [UInt8](unsafeUninitializedCapacity: range.count) { buffer, written in
            Self.noise.withUnsafeBytes { noise in
                while written < range.count {
                    let place = Int((UInt64(range.lowerBound) &+ UInt64(written) &+ rotation) % Self.period)
                    let piece = min(range.count - written, Int(Self.period))
                    UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[written...])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: noise[place..<place + piece]))
                    written += piece
                }
            }
            var block = range.lowerBound / 512
            while block * 512 < range.upperBound {
                var mark = SeededGenerator.mix(seed &+ UInt64(block &+ 1) &* SeededGenerator.step)
                for offset in block * 512..<block * 512 + 8 {
                    if range.contains(offset) {
                        buffer[Int(offset - range.lowerBound)] = UInt8(truncatingIfNeeded: mark)
                    }
                    mark >>= 8
                }
                block += 1
            }
        }
    }

    // Every byte from the generator would be slow without optimization: the content is one table of noise, turned by the
    // seed, with eight bytes of its own at the beginning of every 512, so that no part passes for another.
    private static let period: UInt64 = 64 << 10
    private static let noise: [UInt8] = {
        var generator = SeededGenerator(seed: 1)
        let once = (0..<Int(period)).map { _ in UInt8(truncatingIfNeeded: generator.next() >> 32) }
        return once + once
    }()

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
