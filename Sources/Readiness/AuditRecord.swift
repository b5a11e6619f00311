public import OCI
public import Trust

/// One entry of the audit chain: an event, its place, and the hash of the entry before it.
///
/// An object of its own, which is written once and never changed. Its hash is the SHA-256 of the object's bytes, so that
/// `sha256sum` computes it. Where who recorded it has a key, the object is an envelope that the key signed.
public struct AuditRecord: Hashable, Sendable {
    /// The largest record that is read, in bytes: 16 MiB, enough for 50,000 sites.
    public static let maximumSize = 16 << 20

    /// The place in the chain, from 1, without gaps.
    public let sequence: Int64
    /// The hash of the record before; `nil` for the first.
    public let previous: Digest?
    /// What was decided or done.
    public let event: AuditEvent
    /// The key that signed the record: that of who recorded it, which after a crash may be another than who did it.
    public let signer: PublicKey?
    /// The SHA-256 of the record's object.
    public let digest: Digest

    /// Reads a record.
    ///
    /// - Parameters:
    ///   - object: the stored bytes
    ///   - origin: the object's key, for messages
    /// - Throws: `ReadinessError.brokenChain` where it is malformed or its signature is not that of the key that it names;
    ///   `.unknownSchema` for a newer version.
    public init(parsing object: [UInt8], in origin: String) throws(ReadinessError) {
        guard object.count <= Self.maximumSize else {
            throw ReadinessError(.brokenChain, "it has more than \(Self.maximumSize) bytes", in: origin)
        }
        let envelope = try Schema.auditRecord.envelope(object, .brokenChain, in: origin)
        let fields = try Document.decode(Fields.self, from: envelope?.payload ?? object, .brokenChain, in: origin)
        if let envelope {
            guard let key = fields.signer, envelope.signer(among: [key]) != nil else {
                throw ReadinessError(.brokenChain, "its signature is not that of the key that it names", in: origin)
            }
        }
        sequence = fields.sequence
        previous = fields.previous
        event = fields.event
        signer = envelope == nil ? nil : fields.signer
        digest = Digest(of: object)
    }

    /// The object of a new record.
    ///
    /// - Throws: `ReadinessError.invalidRecord` and `.signing`.
    static func object(
        _ event: AuditEvent, at sequence: Int64, after previous: Digest?, signedBy key: PrivateKey?
    ) throws(ReadinessError) -> [UInt8] {
        let document = try Document.encode(
            Fields(sequence: sequence, previous: previous, signer: key?.publicKey, event: event), .invalidRecord)
        let object = try key.map { key throws(ReadinessError) in try Schema.auditRecord.sign(document, with: key) }
        guard (object ?? document).count <= maximumSize else {
            throw ReadinessError(.invalidRecord, "the audit record would have more than \(maximumSize) bytes")
        }
        return object ?? document
    }

    /// The record's keys and those of its event, side by side.
    fileprivate struct Fields: Codable {
        let sequence: Int64
        let previous: Digest?
        let signer: PublicKey?
        let event: AuditEvent

        private enum CodingKeys: CodingKey { case schema, sequence, previous, signer }

        init(sequence: Int64, previous: Digest?, signer: PublicKey?, event: AuditEvent) {
            self.sequence = sequence
            self.previous = previous
            self.signer = signer
            self.event = event
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            try Schema.auditRecord.require(try container.decode(String.self, forKey: .schema))
            sequence = try container.decode(Int64.self, forKey: .sequence)
            previous = try container.decodeIfPresent(Digest.self, forKey: .previous)
            signer = try container.decodeIfPresent(PublicKey.self, forKey: .signer)
            event = try AuditEvent(from: decoder)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Schema.auditRecord.id, forKey: .schema)
            try container.encode(sequence, forKey: .sequence)
            try container.encodeIfPresent(previous, forKey: .previous)
            try container.encodeIfPresent(signer, forKey: .signer)
            try event.encode(to: encoder)
        }
    }
}

extension AuditRecord: Encodable {
    private enum CodingKeys: CodingKey { case digest }

    /// The record's keys, and `digest`: what `rollcall audit export` writes a line of.
    public func encode(to encoder: any Encoder) throws {
        try Fields(sequence: sequence, previous: previous, signer: signer, event: event).encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(digest, forKey: .digest)
    }
}

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
