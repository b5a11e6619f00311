/// One of several agents that serve a site together: each brings the blobs whose digests are its own.
public struct Shard: Hashable, Sendable, Comparable {
    /// The most shards of a site.
    public static let maximum = 64

    /// Which one, from 0.
    public let index: Int
    /// How many there are.
    public let of: Int

    /// - Returns: `nil` unless `0 <= index < of` and `2 <= of <= maximum`: one agent alone is no shard.
    public init?(index: Int, of: Int) {
        guard (2...Self.maximum).contains(of), (0..<of).contains(index) else { return nil }
        self.index = index
        self.of = of
    }

    /// Reads `INDEX-of-COUNT`; `nil` for any other text, also for another spelling of the same numbers.
    public init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[1] == "of", let index = Int(parts[0]), let of = Int(parts[2]) else { return nil }
        self.init(index: index, of: of)
        guard name == text else { return nil }
    }

    /// `INDEX-of-COUNT`.
    public var name: String { "\(index)-of-\(of)" }

    /// Whether a content is its own. Every digest belongs to exactly one shard of a count: the first 64 bits of the hash,
    /// modulo the count.
    public func owns(_ digest: Digest) -> Bool {
        // A digest has at least as many digits.
        guard let bits = UInt64(digest.hex.prefix(16), radix: 16) else { return index == 0 }
        return bits % UInt64(of) == UInt64(index)
    }

    public static func < (left: Shard, right: Shard) -> Bool { (left.of, left.index) < (right.of, right.index) }
}

extension Shard: CustomStringConvertible {
    /// In words, such as `shard 0 of 3`.
    public var description: String { "shard \(index) of \(of)" }
}

extension Shard: Codable {
    private enum CodingKeys: CodingKey { case index, of }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let (index, of) = (try container.decode(Int.self, forKey: .index), try container.decode(Int.self, forKey: .of))
        guard let shard = Shard(index: index, of: of) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "there is no shard \(index) of \(of)"))
        }
        self = shard
    }
}
