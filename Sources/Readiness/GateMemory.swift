public import OCI
import Trust

/// What a gate remembers of an environment from one decision to the next: one object, changed by compare-and-swap by the
/// coordinators that decide.
///
/// A cache manifest is good until it expires, and so would an old copy of it be that somebody puts back. So the latest of
/// each site is remembered here, and no older one is believed.
public struct GateMemory: Hashable, Sendable {
    /// The latest cache manifest of a site that a coordinator believed to be the site's.
    public struct Sighting: Hashable, Sendable, Codable {
        /// Its sequence number.
        public let sequence: Int64
        /// When the site issued it.
        public let issuedAt: Timestamp
        /// The SHA-256 of the object.
        public let digest: Digest
    }

    /// The last answer for a list that was recorded.
    public struct Answer: Hashable, Sendable, Codable {
        /// Whether it was ready.
        public let ready: Bool
        /// When it was given.
        public let at: Timestamp
        /// The SHA-256 over what makes one answer another one: the generation, and of each site why it blocks, its waiver
        /// and whether anyone vouches for it. Not over what passes by itself: times, numbers of entries, sentences.
        public let fingerprint: Digest

        init(_ verdict: Verdict) {
            ready = verdict.isReady
            at = verdict.decidedAt
            var text = "\(verdict.staged?.generation.description ?? "-") \(verdict.isReady)\n"
            text += verdict.reasons.map(\.code.text).joined(separator: " ") + "\n"
            for site in verdict.sites {
                text +=
                    "\(site.name) \(site.isUnproved) \(site.waiver?.id ?? "-") \(site.reasons.map(\.code.text).joined(separator: " "))\n"
            }
            fingerprint = Digest(of: Array(text.utf8))
        }
    }

    /// The environment.
    public let environment: EnvironmentName
    /// The latest cache manifest of each site.
    public internal(set) var sites: [SiteName: Sighting] = [:]
    /// The latest cache manifest of each agent of the sites that several serve, by `SITE/INDEX-of-COUNT`.
    var shards: [String: Sighting] = [:]
    /// The IDs of the keys of each site (`NAME`) and approver (`approver NAME`), as the last decision's fleet file had them.
    var keys: [String: [Digest]] = [:]
    /// The last recorded answer for each list.
    var answers: [ListName: Answer] = [:]
    /// What was decided and is not in the audit chain yet.
    var outbox = Outbox()

    /// The memory of a gate that never decided anything.
    public init(environment: EnvironmentName) { self.environment = environment }

    // MARK: Changes, pure

    /// Remembers the latest cache manifests of the fleet's sites, and forgets sites that it no longer has.
    ///
    /// Only what is a site's own counts: signed by its key, or taken on its word where the environment does that.
    mutating func remember(
        _ reports: [SiteName: SiteReport], shards reportsOfShards: [SiteName: [Shard: SiteReport]] = [:],
        of environment: Fleet.Environment
    ) {
        var latest: [SiteName: Sighting] = [:]
        var latestOfShards: [String: Sighting] = [:]
        for site in environment.sites {
            latest[site.name] = sites[site.name]
            for (place, sighting) in shards where Self.site(ofPlace: place) == site.name.text {
                latestOfShards[place] = sighting
            }
            for (shard, report) in reportsOfShards[site.name] ?? [:] {
                guard report.isOwn(of: site, in: environment, shard: shard), let manifest = report.manifest else {
                    continue
                }
                let place = Self.place(of: site.name, shard)
                if let last = latestOfShards[place], last.sequence >= manifest.sequence { continue }
                latestOfShards[place] = Sighting(
                    sequence: manifest.sequence, issuedAt: manifest.issuedAt, digest: report.digest)
            }
            guard let report = reports[site.name], report.isOwn(of: site, in: environment),
                let manifest = report.manifest
            else { continue }
            if let last = latest[site.name], last.sequence >= manifest.sequence { continue }
            latest[site.name] = Sighting(
                sequence: manifest.sequence, issuedAt: manifest.issuedAt, digest: report.digest)
        }
        sites = latest
        shards = latestOfShards
    }

    private static func place(of site: SiteName, _ shard: Shard) -> String { "\(site)/\(shard.name)" }
    private static func site(ofPlace place: String) -> String { String(place.prefix { $0 != "/" }) }

    /// The latest cache manifest of a site's agent.
    func sighting(of site: SiteName, shard: Shard?) -> Sighting? {
        shard.map { shards[Self.place(of: site, $0)] } ?? sites[site]
    }

    /// When the latest cache manifest of the site was issued that an agent of another number of agents wrote.
    func latest(of site: SiteName, exceptOf count: Int) -> Timestamp? {
        var latest: Timestamp? = count == 1 ? nil : sites[site]?.issuedAt
        for (place, sighting) in shards where Self.site(ofPlace: place) == site.text {
            guard let shard = Shard(String(place.dropFirst(site.text.count + 1))), shard.of != count else { continue }
            latest = max(latest ?? sighting.issuedAt, sighting.issuedAt)
        }
        return latest
    }

    /// Whether anything of a site is remembered.
    func remembers(_ site: SiteName) -> Bool {
        sites[site] != nil || shards.keys.contains { Self.site(ofPlace: $0) == site.text }
    }

    mutating func forget(_ site: SiteName) {
        sites[site] = nil
        shards = shards.filter { Self.site(ofPlace: $0.key) != site.text }
    }

    /// Remembers the sites' keys.
    ///
    /// - Returns: the event that the keys have changed, where they have
    mutating func noteKeys(of environment: Fleet.Environment, act: Act) -> AuditEvent? {
        let owners =
            environment.sites.map { ($0.name.text, $0.keys) }
            + environment.approvers.map { ("approver \($0.name)", $0.keys) }
        let current = Dictionary(
            owners.filter { !$0.1.isEmpty }.map { ($0.0, $0.1.map(\.publicKey.id).sorted()) },
            uniquingKeysWith: { first, _ in first })
        guard current != keys else { return nil }
        var event = AuditEvent(.keysChanged, act)
        event.environment = environment.name
        for owner in Set(keys.keys).union(current.keys) {
            let (before, after) = (keys[owner] ?? [], current[owner] ?? [])
            guard before != after else { continue }
            let changes =
                after.filter { !before.contains($0) }.map { "added \($0)" }
                + before.filter { !after.contains($0) }.map { "removed \($0)" }
            event.details[owner] = changes.joined(separator: ", ")
        }
        keys = current
        return event
    }

    /// How far ahead of a clock another coordinator's was, where it is more than clocks differ.
    func lead(over now: Timestamp) -> Duration? {
        guard let lead = answers.values.map({ $0.at.since(now) }).max(), lead > clockSkewTolerance else { return nil }
        return lead
    }

    /// Whether a report is an older one of its site than was seen before, or not the one of its number.
    func contradiction(of report: SiteReport, _ manifest: CacheManifest) -> Contradiction? {
        guard let last = sighting(of: manifest.site, shard: manifest.shard), manifest.sequence <= last.sequence,
            report.digest != last.digest
        else {
            return nil
        }
        let isOld = manifest.sequence < last.sequence && manifest.issuedAt <= last.issuedAt
        return isOld ? .replayed(last) : .rolledBack(last)
    }

    /// How a report contradicts what was seen before.
    enum Contradiction {
        /// It is older.
        case replayed(Sighting)
        /// It was written later, or at the same time, and its number is not.
        case rolledBack(Sighting)
    }
}

extension SiteReport {
    /// Whether the report can be believed to be the site's.
    func isOwn(of site: Fleet.Site, in environment: Fleet.Environment, shard: Shard? = nil) -> Bool {
        guard let manifest, manifest.site == site.name, manifest.environment == environment.name,
            manifest.shard == shard
        else { return false }
        switch content {
        case .signed: return true
        case .unproved: return site.keys.isEmpty && environment.acceptsUnsigned
        case .wronglySigned, .unreadable: return false
        }
    }
}

extension GateMemory: Codable {
    private enum CodingKeys: CodingKey { case schema, environment, sites, shards, keys, answers, outbox }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try Schema.gateMemory.require(try container.decode(String.self, forKey: .schema))
        environment = try container.decode(EnvironmentName.self, forKey: .environment)
        sites = try container.decode([SiteName: Sighting].self, forKey: .sites)
        shards = try container.decodeIfPresent([String: Sighting].self, forKey: .shards) ?? [:]
        keys = try container.decodeIfPresent([String: [Digest]].self, forKey: .keys) ?? [:]
        answers = try container.decodeIfPresent([ListName: Answer].self, forKey: .answers) ?? [:]
        outbox = try container.decodeIfPresent(Outbox.self, forKey: .outbox) ?? Outbox()
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Schema.gateMemory.id, forKey: .schema)
        try container.encode(environment, forKey: .environment)
        try container.encode(sites, forKey: .sites)
        if !shards.isEmpty { try container.encode(shards, forKey: .shards) }
        try container.encode(keys, forKey: .keys)
        try container.encode(answers, forKey: .answers)
        if !outbox.isEmpty { try container.encode(outbox, forKey: .outbox) }
    }

    /// Reads a stored memory.
    ///
    /// - Throws: `ReadinessError.invalidRecord`, or `.unknownSchema` for a newer version.
    init(parsing bytes: [UInt8], of environment: EnvironmentName, in origin: String) throws(ReadinessError) {
        self = try Document.decode(GateMemory.self, from: bytes, .invalidRecord, in: origin)
        guard self.environment == environment else {
            throw ReadinessError(
                .invalidRecord, "it is the memory of '\(self.environment)': restore the one of '\(environment)'",
                in: origin)
        }
    }
}
