public import OCI
public import Trust

/// One entry of the audit chain: an event, its place, and the hash of the entry before it.
///
/// An object of its own, which is written once and never changed. Its hash is the SHA-256 of the object's bytes, so that
/// `sha256sum` computes it. Where who did it has a key, the object is an envelope that the key signed. Of what was written
/// together with a change, and then put here by whoever came by, only the event is signed, in a `statement`: nobody signs
/// for another.
public struct AuditRecord: Hashable, Sendable {
    /// The largest record that is read, in bytes: 16 MiB, enough for 50,000 sites.
    public static let maximumSize = 16 << 20

    /// The place in the chain, from 1, without gaps.
    public let sequence: Int64
    /// The hash of the record before; `nil` for the first.
    public let previous: Digest?
    /// What was decided or done.
    public let event: AuditEvent
    /// The key that signed the event: that of who did it; `nil` where nobody did.
    public let signer: PublicKey?
    /// Who put the record here, where that is another than who did it; as they said, and signed by nobody.
    public let settledBy: AuditEvent.Actor?
    /// The SHA-256 of the record's object.
    public let digest: Digest

    /// Who signed, for people: `signed by KEY-ID`, in short; `nil` where nobody did.
    public var signature: String? { signer.map { "signed by \($0.id.short)" } }

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
        signer = fields.statement?.signer ?? (envelope == nil ? nil : fields.signer)
        settledBy = fields.settledBy
        digest = Digest(of: object)
    }

    /// The object of a new record, written by who did it.
    ///
    /// - Throws: `ReadinessError.invalidRecord` and `.signing`.
    static func object(
        _ event: AuditEvent, at sequence: Int64, after previous: Digest?, signedBy key: PrivateKey?
    ) throws(ReadinessError) -> [UInt8] {
        let document = try Document.encode(
            Fields(sequence: sequence, previous: previous, signer: key?.publicKey, event: event), .invalidRecord)
        return try bounded(
            key.map { key throws(ReadinessError) in try Schema.auditRecord.sign(document, with: key) } ?? document)
    }

    /// The object of a new record of what somebody left in an outbox: with their signature, or none.
    ///
    /// - Parameter settler: who writes it; named where it is another
    /// - Throws: `ReadinessError.invalidRecord`.
    static func object(
        _ pending: Outbox.Pending, at sequence: Int64, after previous: Digest?, settledBy settler: AuditEvent.Actor
    ) throws(ReadinessError) -> [UInt8] {
        try bounded(
            Document.encode(
                Fields(
                    sequence: sequence, previous: previous, settledBy: settler == pending.event.by ? nil : settler,
                    statement: pending.statement, event: pending.event), .invalidRecord))
    }

    private static func bounded(_ object: [UInt8]) throws(ReadinessError) -> [UInt8] {
        guard object.count <= maximumSize else {
            throw ReadinessError(.invalidRecord, "the audit record would have more than \(maximumSize) bytes")
        }
        return object
    }

    /// The record's keys and those of its event, side by side; or what was signed of the event.
    fileprivate struct Fields: Codable {
        let sequence: Int64
        let previous: Digest?
        var signer: PublicKey?
        var settledBy: AuditEvent.Actor?
        var statement: AuditStatement?
        let event: AuditEvent

        private enum CodingKeys: CodingKey { case schema, sequence, previous, signer, settledBy, statement }

        init(
            sequence: Int64, previous: Digest?, signer: PublicKey? = nil, settledBy: AuditEvent.Actor? = nil,
            statement: AuditStatement? = nil, event: AuditEvent
        ) {
            self.sequence = sequence
            self.previous = previous
            self.signer = signer
            self.settledBy = settledBy
            self.statement = statement
            self.event = event
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            try Schema.auditRecord.require(try container.decode(String.self, forKey: .schema))
            sequence = try container.decode(Int64.self, forKey: .sequence)
            previous = try container.decodeIfPresent(Digest.self, forKey: .previous)
            signer = try container.decodeIfPresent(PublicKey.self, forKey: .signer)
            settledBy = try container.decodeIfPresent(AuditEvent.Actor.self, forKey: .settledBy)
            statement = try container.decodeIfPresent(AuditStatement.self, forKey: .statement)
            event = try statement?.event ?? AuditEvent(from: decoder)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Schema.auditRecord.id, forKey: .schema)
            try container.encode(sequence, forKey: .sequence)
            try container.encodeIfPresent(previous, forKey: .previous)
            try container.encodeIfPresent(signer, forKey: .signer)
            try container.encodeIfPresent(settledBy, forKey: .settledBy)
            try container.encodeIfPresent(statement, forKey: .statement)
            if statement == nil { try event.encode(to: encoder) }
        }
    }
}

extension AuditRecord: Encodable {
    private enum CodingKeys: CodingKey { case digest }

    /// The record's keys, and `digest`: what `rollcall audit export` writes a line of.
    public func encode(to encoder: any Encoder) throws {
        try Fields(sequence: sequence, previous: previous, signer: signer, settledBy: settledBy, event: event)
            .encode(to: encoder)
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(digest, forKey: .digest)
    }
}
