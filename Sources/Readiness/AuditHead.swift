public import OCI

/// Where the audit chain ends, at least: a hint that spares walking it, and a witness of its length.
public struct AuditHead: Hashable, Sendable {
    /// The largest head that is read, in bytes.
    static let maximumSize = 4096

    /// The number of the last record that is known; 0 for an empty chain.
    public let sequence: Int64
    /// Its hash; `nil` for an empty chain.
    public let digest: Digest?

    /// The head of an empty chain.
    static let empty = AuditHead(sequence: 0, digest: nil)

    init(sequence: Int64, digest: Digest?) {
        self.sequence = sequence
        self.digest = digest
    }

    /// Reads `NUMBER:DIGEST`, as `rollcall audit verify` prints it.
    ///
    /// - Throws: `ReadinessError.brokenChain` for other text.
    public init(_ text: String) throws(ReadinessError) {
        let parts = text.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2, let sequence = Int64(parts[0]),
            (1...CentralStore.maximumAuditRecords).contains(sequence),
            let digest = try? Digest(parts[1])
        else {
            throw ReadinessError(
                .brokenChain,
                "'\(text.prefix(100))' is not the end of an audit chain: write NUMBER:DIGEST, as 'rollcall audit verify' does"
            )
        }
        self.init(sequence: sequence, digest: digest)
    }

    /// The head that ends with a record.
    init(_ record: AuditRecord) { self.init(sequence: record.sequence, digest: record.digest) }
}

extension AuditHead: CustomStringConvertible {
    /// `NUMBER:DIGEST`; `0` for an empty chain.
    public var description: String { digest.map { "\(sequence):\($0)" } ?? "0" }
}

extension AuditHead: Codable {
    private enum CodingKeys: CodingKey { case schema, sequence, digest }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try Schema.auditHead.require(try container.decode(String.self, forKey: .schema))
        sequence = try container.decode(Int64.self, forKey: .sequence)
        digest = try container.decode(Digest.self, forKey: .digest)
        guard sequence > 0, sequence <= CentralStore.maximumAuditRecords else {
            throw ReadinessError(.brokenChain, "the head's sequence number is \(sequence)")
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Schema.auditHead.id, forKey: .schema)
        try container.encode(sequence, forKey: .sequence)
        try container.encode(digest, forKey: .digest)
    }
}
