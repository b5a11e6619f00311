public import OCI
import Trust

/// A signed, expiring, named exception: one site need not prove one generation of one list.
///
/// The only way around the gate. It is shown wherever it counts, and recorded with every decision that rests on it.
public struct Waiver: Hashable, Sendable {
    /// The longest time that a waiver may hold: 30 days.
    public static let maximumLifetime: Duration = .seconds(30 * 86_400)
    /// The longest reason, in bytes.
    public static let maximumReasonLength = 1000
    /// The largest stored waiver that is read, in bytes.
    static let maximumSize = 64 << 10

    /// What names the waiver: 12 hexadecimal digits.
    public let id: String
    /// Where it counts.
    public let environment: EnvironmentName
    /// The site that it excepts.
    public let site: SiteName
    /// The list.
    public let list: ListName
    /// The list's generation: another one, staged later, is not excepted.
    public let generation: Digest
    /// Why the exception is given, in the approver's words.
    public let reason: String
    /// Who gives it: an approver of the fleet file, whose key signs it.
    public let approver: ApproverName
    /// When it is given.
    public let issuedAt: Timestamp
    /// From when on it does not count any more.
    public let expiresAt: Timestamp

    /// - Parameters:
    ///   - id: what names it; random unless said
    ///   - environment: where it counts
    ///   - site: the site that it excepts
    ///   - list: the list
    ///   - generation: the list's generation
    ///   - reason: why it is given
    ///   - approver: who gives it
    ///   - issuedAt: when it is given
    ///   - expiresAt: from when on it does not count any more
    /// - Throws: `ReadinessError.invalidWaiver` for an empty or overlong reason, or a lifetime that is negative or too long.
    public init(
        id: String? = nil, environment: EnvironmentName, site: SiteName, list: ListName, generation: Digest,
        reason: String, approver: ApproverName, issuedAt: Timestamp, expiresAt: Timestamp
    ) throws(ReadinessError) {
        let id = id ?? String(AuditEvent.randomID().prefix(12))
        guard Self.isID(id) else { throw ReadinessError(.invalidWaiver, "'\(id.prefix(40))' is not a waiver's ID") }
        guard reason.contains(where: { !$0.isWhitespace }), reason.utf8.count <= Self.maximumReasonLength else {
            throw ReadinessError(
                .invalidWaiver, "a waiver needs a reason, of at most \(Self.maximumReasonLength) bytes")
        }
        let lifetime = expiresAt.since(issuedAt)
        guard lifetime > .zero, lifetime <= Self.maximumLifetime else {
            throw ReadinessError(
                .invalidWaiver,
                "a waiver holds for \(Self.maximumLifetime.rounded) at most, and this one would expire at \(expiresAt)")
        }
        self.id = id
        self.environment = environment
        self.site = site
        self.list = list
        self.generation = generation
        self.reason = reason
        self.approver = approver
        self.issuedAt = issuedAt
        self.expiresAt = expiresAt
    }

    static func isID(_ text: String) -> Bool {
        text.utf8.count == 12 && text.allSatisfy { $0.isASCII && $0.isHexDigit && !$0.isUppercase }
    }
}

/// What an object among an environment's waivers turned out to be.
public struct WaiverReport: Hashable, Sendable {
    /// The ID by the object's name.
    public let id: String
    /// What it says, whoever signed it; `nil` where it is no waiver that can be read.
    public let claim: Waiver?
    /// Why it cannot count, whatever it says; `nil` for a waiver that its approver's key signed.
    public let defect: String?
    /// The last moment of the key that signed it, where it has one.
    public let keyEnd: Timestamp?
    /// Whether it was taken back.
    public let isRevoked: Bool
    /// The SHA-256 of the object.
    public let digest: Digest

    /// Checks a waiver's signature, and reads it.
    ///
    /// - Parameters:
    ///   - object: the stored bytes
    ///   - id: the ID by the object's name
    ///   - environment: where it was found, with the approvers
    ///   - isRevoked: whether it was taken back
    init(reading object: [UInt8], id: String, in environment: Fleet.Environment, isRevoked: Bool) {
        self.id = id
        self.isRevoked = isRevoked
        digest = Digest(of: object)
        var claim: Waiver?
        var keyEnd: Timestamp?
        do throws(ReadinessError) {
            keyEnd = try Self.check(object, id: id, in: environment, claim: &claim)
            defect = nil
        } catch {
            defect = error.message
        }
        self.claim = claim
        self.keyEnd = keyEnd
    }

    /// - Returns: the last moment of the key that signed it, where it has one
    /// - Throws: `ReadinessError`: why it cannot count
    private static func check(
        _ object: [UInt8], id: String, in environment: Fleet.Environment, claim: inout Waiver?
    ) throws(ReadinessError) -> Timestamp? {
        func refuse(_ message: String) -> ReadinessError { ReadinessError(.invalidWaiver, message) }
        guard object.count <= Waiver.maximumSize else { throw refuse("it is too large") }
        guard let envelope = try Schema.waiver.envelope(object, .invalidWaiver) else {
            claim = try? Waiver(parsing: object)
            throw refuse("it is not signed")
        }
        // Read for its message alone until the signature is checked.
        let waiver = try Waiver(parsing: envelope.payload)
        claim = waiver
        let keys = environment.approvers.flatMap { approver in approver.keys.map { (approver.name, $0) } }
        guard let signer = envelope.signer(among: keys.map(\.1.publicKey)),
            let owner = keys.first(where: { $0.1.publicKey == signer })
        else { throw refuse("no approver of the fleet file signed it") }
        guard owner.0 == waiver.approver else {
            throw refuse("it names '\(waiver.approver)', and '\(owner.0)' signed it")
        }
        guard waiver.id == id, waiver.environment == environment.name else {
            throw refuse("it is the waiver \(waiver.id) of '\(waiver.environment)', in another place")
        }
        return owner.1.notAfter
    }

    /// Whether a waiver counts for the generation that it names. The texts are stable: programs may rely on them.
    public enum State: String, Sendable, Codable {
        /// It counts.
        case valid
        /// It counted until its end.
        case expired
        /// It was taken back.
        case revoked
        /// It never counted, or does not yet, or no longer since its key ended.
        case invalid
    }

    /// Whether the waiver counts now for the generation that it names.
    public func state(at now: Timestamp) -> State {
        guard let claim else { return .invalid }
        switch judgement(of: claim.generation, at: now)?.code {
        case nil: return .valid
        case .waiverExpired: return .expired
        case .waiverRevoked: return .revoked
        default: return .invalid
        }
    }

    /// Why the waiver does not count for a generation now; `nil` where it does.
    ///
    /// - Parameters:
    ///   - generation: the generation that is asked for
    ///   - now: the coordinator's time
    public func judgement(of generation: Digest, at now: Timestamp) -> Reason? {
        if let defect {
            return Reason(
                .waiverInvalid, "the waiver \(id) does not count: \(defect); look for who put it there, and remove it")
        }
        guard let waiver = claim else { return nil }
        if isRevoked {
            return Reason(
                .waiverRevoked, "its waiver \(id) was taken back: make the site ready, or ask for another one")
        }
        if waiver.expiresAt <= now {
            return Reason(
                .waiverExpired,
                "its waiver \(id) by '\(waiver.approver)' expired at \(waiver.expiresAt): make the site ready, or ask for"
                    + " another one")
        }
        if let keyEnd, keyEnd < now {
            return Reason(
                .waiverInvalid,
                "the waiver \(id) does not count: the key of '\(waiver.approver)' is not valid after \(keyEnd)")
        }
        if waiver.issuedAt.since(now) > clockSkewTolerance {
            return Reason(
                .waiverInvalid,
                "the waiver \(id) does not count: it was issued at \(waiver.issuedAt), which is not yet: set the clocks"
            )
        }
        guard waiver.generation == generation else {
            return Reason(
                .waiverMismatched,
                "its waiver \(id) is for generation \(waiver.generation.short), and \(generation.short) is asked for: make"
                    + " the site ready, or ask for another one")
        }
        return nil
    }
}

extension Waiver: Codable {
    private enum CodingKeys: CodingKey {
        case schema, id, environment, site, list, generation, reason, approver, issuedAt, expiresAt
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try Schema.waiver.require(try container.decode(String.self, forKey: .schema))
        try self.init(
            id: try container.decode(String.self, forKey: .id),
            environment: try container.decode(EnvironmentName.self, forKey: .environment),
            site: try container.decode(SiteName.self, forKey: .site),
            list: try container.decode(ListName.self, forKey: .list),
            generation: try container.decode(Digest.self, forKey: .generation),
            reason: try container.decode(String.self, forKey: .reason),
            approver: try container.decode(ApproverName.self, forKey: .approver),
            issuedAt: try container.decode(Timestamp.self, forKey: .issuedAt),
            expiresAt: try container.decode(Timestamp.self, forKey: .expiresAt))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Schema.waiver.id, forKey: .schema)
        try container.encode(id, forKey: .id)
        try container.encode(environment, forKey: .environment)
        try container.encode(site, forKey: .site)
        try container.encode(list, forKey: .list)
        try container.encode(generation, forKey: .generation)
        try container.encode(reason, forKey: .reason)
        try container.encode(approver, forKey: .approver)
        try container.encode(issuedAt, forKey: .issuedAt)
        try container.encode(expiresAt, forKey: .expiresAt)
    }

    init(parsing document: [UInt8]) throws(ReadinessError) {
        self = try Document.decode(Waiver.self, from: document, .invalidWaiver, in: nil)
    }

    /// The waiver as the object that the central store holds.
    ///
    /// - Throws: `ReadinessError.invalidWaiver` and `.signing`.
    func objectBytes(signedBy key: PrivateKey) throws(ReadinessError) -> [UInt8] {
        try Schema.waiver.sign(Document.encode(self, .invalidWaiver), with: key)
    }
}

/// That a waiver was taken back, by whom and when: an object beside the waiver's. It needs no signature, since all that it
/// does is to close the gate.
struct WaiverRevocation: Hashable, Sendable, Codable {
    private(set) var schema = Schema.waiverRevocation.id
    let waiver: String
    let by: String
    let at: Timestamp
}
