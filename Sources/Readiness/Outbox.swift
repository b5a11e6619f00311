import Trust

/// Events that belong to a change of the object they lie in, and are still to be recorded in the chain.
///
/// A change and its event are written in one swap, so that there is no change without its event. The event then goes to the
/// chain and out of here; where a crash comes in between, whoever touches the object next does that. No event gets into
/// the chain twice: everyone who records it looks first at every record since `after`.
///
/// Whoever can write to the store can write here too. So who does something signs it before it gets here, and who puts it
/// into the chain adds no signature: what lies here without one stays without.
struct Outbox: Hashable, Sendable, Codable {
    /// An event that is still to be recorded.
    struct Pending: Hashable, Sendable {
        let event: AuditEvent
        /// How long the chain was before the change, at most.
        let after: Int64
        /// Both, as who did it signed them; `nil` where they have no key.
        let statement: AuditStatement?
    }

    private(set) var events: [Pending] = []

    init() {}

    /// - Parameter key: the key of who did it, if they have one
    /// - Returns: what was added
    /// - Throws: `ReadinessError.signing` and `.invalidRecord`.
    @discardableResult
    mutating func add(
        _ event: AuditEvent, after sequence: Int64, signedBy key: PrivateKey?
    ) throws(ReadinessError) -> Pending {
        let statement = try key.map { key throws(ReadinessError) in
            try AuditStatement(event, after: sequence, signedBy: key)
        }
        let pending = Pending(event: event, after: sequence, statement: statement)
        events.append(pending)
        return pending
    }

    mutating func remove(_ recorded: Outbox) {
        let recorded = Set(recorded.events)
        events.removeAll { recorded.contains($0) }
    }

    var isEmpty: Bool { events.isEmpty }

    // A list without a name of its own.
    init(from decoder: any Decoder) throws { events = try [Pending](from: decoder) }
    func encode(to encoder: any Encoder) throws { try events.encode(to: encoder) }
}

extension Outbox.Pending: Codable {
    private enum CodingKeys: CodingKey { case event, after, statement }

    /// - Throws: `ReadinessError.invalidRecord` for a statement that was not signed by the key that it names.
    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        statement = try container.decodeIfPresent(AuditStatement.self, forKey: .statement)
        event = try statement?.event ?? container.decode(AuditEvent.self, forKey: .event)
        after = try statement?.after ?? container.decode(Int64.self, forKey: .after)
    }

    /// A signed event is there once, in what was signed.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if let statement {
            try container.encode(statement, forKey: .statement)
        } else {
            try container.encode(event, forKey: .event)
            try container.encode(after, forKey: .after)
        }
    }
}

/// An event as who did it signed it, before it had a place in the chain: whoever puts it there passes it on as it is.
struct AuditStatement: Hashable, Sendable {
    let event: AuditEvent
    /// How long the chain was before the change, at most: signed too, so that it is found in the chain by whoever is given
    /// it a second time.
    let after: Int64
    /// Whose word it is.
    let signer: PublicKey
    private let envelope: Envelope

    /// - Throws: `ReadinessError.signing` and `.invalidRecord`.
    init(_ event: AuditEvent, after: Int64, signedBy key: PrivateKey) throws(ReadinessError) {
        (self.event, self.after, signer) = (event, after, key.publicKey)
        let document = try Document.encode(
            Fields(after: after, signer: key.publicKey, event: event), .invalidRecord)
        do {
            envelope = try Envelope(signing: document, as: Schema.auditStatement.payloadType, with: [key])
        } catch {
            throw ReadinessError(.signing, error.message)
        }
    }

    private struct Fields: Codable {
        let after: Int64
        let signer: PublicKey
        let event: AuditEvent

        private enum CodingKeys: CodingKey { case schema, after, signer }

        init(after: Int64, signer: PublicKey, event: AuditEvent) {
            (self.after, self.signer, self.event) = (after, signer, event)
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            try Schema.auditStatement.require(try container.decode(String.self, forKey: .schema))
            after = try container.decode(Int64.self, forKey: .after)
            signer = try container.decode(PublicKey.self, forKey: .signer)
            event = try AuditEvent(from: decoder)
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(Schema.auditStatement.id, forKey: .schema)
            try container.encode(after, forKey: .after)
            try container.encode(signer, forKey: .signer)
            try event.encode(to: encoder)
        }
    }
}

extension AuditStatement: Codable {
    /// - Throws: `ReadinessError.invalidRecord` where it was not signed by the key that it names, or is of another kind.
    init(from decoder: any Decoder) throws {
        do {
            envelope = try Envelope(from: decoder)
        } catch let error as TrustError {
            throw ReadinessError(.invalidRecord, error.message)
        }
        guard envelope.payloadType == Schema.auditStatement.payloadType else {
            throw ReadinessError(
                .unknownSchema,
                "its statement is of the type '\(envelope.payloadType.prefix(100))', not"
                    + " '\(Schema.auditStatement.payloadType)': upgrade Rollcall, or look for who wrote it")
        }
        let fields = try Document.decode(Fields.self, from: envelope.payload, .invalidRecord, in: nil)
        guard fields.event.by.key ?? fields.signer == fields.signer, envelope.signer(among: [fields.signer]) != nil
        else {
            throw ReadinessError(
                .invalidRecord, "its statement's signature is not that of the key that it names: look for who wrote it")
        }
        (event, after, signer) = (fields.event, fields.after, fields.signer)
    }

    func encode(to encoder: any Encoder) throws { try envelope.encode(to: encoder) }
}
