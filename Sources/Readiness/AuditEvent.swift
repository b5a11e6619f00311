public import OCI
public import Trust

/// Something that was decided or done: who, what, where, when, and on which evidence.
///
/// A value that was not yet recorded has no place in the chain; see `AuditRecord`.
public struct AuditEvent: Hashable, Sendable {
    /// What was decided or done. The texts are stable: programs may rely on them.
    public struct Action: Hashable, Sendable, CustomStringConvertible {
        /// The action in records and in JSON output.
        public let text: String
        public var description: String { text }

        init(text: String) { self.text = text }

        /// A list was staged.
        public static let staged = Action(text: "staged")
        /// A list was not staged: the ladder refused.
        public static let stagingRefused = Action(text: "staging-refused")
        /// The gate's answer was asked for, and was another one than before.
        public static let checked = Action(text: "checked")
        /// A list was promoted.
        public static let promoted = Action(text: "promoted")
        /// A list was not promoted: the gate is closed, or somebody else was first.
        public static let promotionRefused = Action(text: "promotion-refused")
        /// A list was taken back to what was promoted before.
        public static let rolledBack = Action(text: "rolled-back")
        /// A list was not taken back.
        public static let rollbackRefused = Action(text: "rollback-refused")
        /// A waiver was given.
        public static let waiverAdded = Action(text: "waiver-added")
        /// A waiver was taken back.
        public static let waiverRevoked = Action(text: "waiver-revoked")
        /// The fleet file has other keys, or other ends of them, than at the decision before.
        public static let keysChanged = Action(text: "keys-changed")
        /// The fleet file asks for something else than at the decision before, and has the same keys.
        public static let policyChanged = Action(text: "policy-changed")
        /// A site's cache manifest was deleted.
        public static let siteForgotten = Action(text: "site-forgotten")
        /// A site's agent found everything there, for the first time since something was missing or a list was new.
        public static let siteComplete = Action(text: "site-complete")
        /// A site's agent found something missing, other lists than before.
        public static let siteIncomplete = Action(text: "site-incomplete")
        /// A site's agent is about to remove content from its registry; what came of it is `site-pruned`.
        public static let pruneStarted = Action(text: "prune-started")
        /// A site's agent removed content from its registry, or gave up.
        public static let sitePruned = Action(text: "site-pruned")
    }

    /// Who did it.
    public struct Actor: Hashable, Sendable, Codable {
        /// The operating system's user.
        public let user: String
        /// The host.
        public let host: String
        /// The key that the actor signs with, if any.
        public let key: PublicKey?

        /// - Parameters:
        ///   - text: `USER@HOST`
        ///   - key: the key that the actor signs with
        public init(_ text: String, key: PublicKey? = nil) {
            let at = text.lastIndex(of: "@")
            user = at.map { String(text[..<$0]) } ?? text
            host = at.map { String(text[text.index(after: $0)...]) } ?? ""
            self.key = key
        }

        /// Who acts.
        init(_ act: Act) { self.init(act.by, key: act.key) }

        /// `USER@HOST`.
        public var text: String { host.isEmpty ? user : "\(user)@\(host)" }
    }

    /// A site's part of what a decision rested on.
    public struct Site: Hashable, Sendable, Codable {
        /// The site.
        public let site: SiteName
        /// The SHA-256 of the cache manifest's object; `nil` for a silent site.
        public let manifest: Digest?
        /// The cache manifest's sequence number, where it could be read.
        public let sequence: Int64?
        /// The codes of why the site blocks, or would without its waiver; empty where it is ready.
        public let reasons: [String]
        /// The waiver that counted instead, if any.
        public let waiver: String?
        /// Whether nobody vouches for the manifest, and it was taken for true.
        public let unsigned: Bool
    }

    /// An object of the central store that a decision rested on.
    public struct Object: Hashable, Sendable, Codable {
        /// The object's key.
        public let object: String
        /// The SHA-256 of its bytes.
        public let digest: Digest

        /// - Parameters:
        ///   - object: the object's key
        ///   - digest: the SHA-256 of its bytes
        public init(_ object: String, _ digest: Digest) {
            self.object = object
            self.digest = digest
        }
    }

    /// What tells the event from every other: 32 random hexadecimal digits.
    public let id: String
    /// When, by the clock of who did it.
    public let at: Timestamp
    /// Who.
    public let by: Actor
    /// What.
    public let action: Action
    /// In which environment.
    public var environment: EnvironmentName?
    /// At which site, where it concerns one.
    public var site: SiteName?
    /// Which list.
    public var list: ListName?
    /// Which generation of the list.
    public var generation: Digest?
    /// The gate's answer, where one was given.
    public var ready: Bool?
    /// The codes of why the environment as a whole blocks.
    public var reasons: [String] = []
    /// What the decision rested on at each site.
    public var sites: [Site] = []
    /// What else it rested on.
    public var evidence: [Object] = []
    /// What the fleet file asked for, where something was decided by it.
    public var policy: GatePolicy?
    /// What the action has beyond that, for people.
    public var details: [String: String] = [:]

    /// - Parameters:
    ///   - action: what was decided or done
    ///   - act: who did it, and when
    public init(_ action: Action, _ act: Act) {
        id = Self.randomID()
        at = act.at
        by = Actor(act)
        self.action = action
    }
}

extension AuditEvent {
    /// 32 hexadecimal digits that nobody else has.
    static func randomID() -> String {
        var generator = SystemRandomNumberGenerator()
        let digits = (0..<2).map { _ in
            let text = String(generator.next(), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        return digits.joined()
    }
}

extension AuditEvent: Codable {
    private enum CodingKeys: CodingKey {
        case id, at, by, action, environment, site, list, generation, ready, reasons, sites, evidence, policy,
            details
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        at = try container.decode(Timestamp.self, forKey: .at)
        by = try container.decode(Actor.self, forKey: .by)
        action = Action(text: try container.decode(String.self, forKey: .action))
        environment = try container.decodeIfPresent(EnvironmentName.self, forKey: .environment)
        site = try container.decodeIfPresent(SiteName.self, forKey: .site)
        list = try container.decodeIfPresent(ListName.self, forKey: .list)
        generation = try container.decodeIfPresent(Digest.self, forKey: .generation)
        ready = try container.decodeIfPresent(Bool.self, forKey: .ready)
        reasons = try container.decodeIfPresent([String].self, forKey: .reasons) ?? []
        sites = try container.decodeIfPresent([Site].self, forKey: .sites) ?? []
        evidence = try container.decodeIfPresent([Object].self, forKey: .evidence) ?? []
        policy = try container.decodeIfPresent(GatePolicy.self, forKey: .policy)
        details = try container.decodeIfPresent([String: String].self, forKey: .details) ?? [:]
    }

    /// What does not apply is left out.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(id, forKey: .id)
        try container.encode(at, forKey: .at)
        try container.encode(by, forKey: .by)
        try container.encode(action.text, forKey: .action)
        try container.encodeIfPresent(environment, forKey: .environment)
        try container.encodeIfPresent(site, forKey: .site)
        try container.encodeIfPresent(list, forKey: .list)
        try container.encodeIfPresent(generation, forKey: .generation)
        try container.encodeIfPresent(ready, forKey: .ready)
        if !reasons.isEmpty { try container.encode(reasons, forKey: .reasons) }
        if !sites.isEmpty { try container.encode(sites, forKey: .sites) }
        if !evidence.isEmpty { try container.encode(evidence, forKey: .evidence) }
        try container.encodeIfPresent(policy, forKey: .policy)
        if !details.isEmpty { try container.encode(details, forKey: .details) }
    }
}
