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
        /// When a coordinator saw it first, by that one's clock: what it says was true before, whatever times it names. `nil`
        /// where a version that did not note it saw it.
        public let firstSeenAt: Timestamp?
    }

    /// The last answer for a list that was recorded.
    public struct Answer: Hashable, Sendable, Codable {
        /// Whether it was ready.
        public let ready: Bool
        /// When it was given.
        public let at: Timestamp
        /// The SHA-256 over what makes one answer another one: the generation, what the fleet file asks for, and of each
        /// site why it blocks, its waiver and whether anyone vouches for it. Not over what passes by itself: times, numbers
        /// of entries, sentences.
        public let fingerprint: Digest

        init(_ verdict: Verdict, by policy: GatePolicy) {
            ready = verdict.isReady
            at = verdict.decidedAt
            var text = "\(verdict.judged?.generation.description ?? "-") \(verdict.isReady)\n"
            text += "\(policy.digest)\n"
            text += verdict.reasons.map(\.code.text).joined(separator: " ") + "\n"
            for site in verdict.sites {
                text +=
                    "\(site.name) \(site.isUnproved) \(site.waiver?.id ?? "-") \(site.reasons.map(\.code.text).joined(separator: " "))\n"
            }
            fingerprint = Digest(of: Array(text.utf8))
        }
    }

    /// Which state of a list in the environment's record is the latest that was seen.
    struct Mark: Hashable, Sendable, Codable {
        /// The number of its changes.
        let changes: Int64
        /// The SHA-256 over what was staged and promoted then.
        let digest: Digest

        init(_ state: EnvironmentRecord.ListState) {
            changes = state.changes
            let generations = [state.staged, state.promoted] + state.history
            let text = generations.map { $0?.generation.description ?? "-" }.joined(separator: " ")
            digest = Digest(of: Array(text.utf8))
        }
    }

    /// The most sites whose latest manifests are remembered: as many as an environment can have, and more.
    static let maximumSightings = 20_000

    /// The environment.
    public let environment: EnvironmentName
    /// The latest cache manifest of each site.
    public internal(set) var sites: [SiteName: Sighting] = [:]
    /// The latest cache manifest of each agent of the sites that several serve, by `SITE/INDEX-of-COUNT`.
    var shards: [String: Sighting] = [:]
    /// Of the sites that somebody made the gate forget, the number of the audit record that says so last: what a process that has
    /// seen the site itself has to heed.
    private(set) var forgotten: [SiteName: Int64] = [:]
    /// The IDs of the keys of each site (`NAME`), approver (`approver NAME`) and coordinator (`coordinator NAME`), as the fleet
    /// file had them that was decided by last.
    var keys: [String: [Digest]] = [:]
    /// What that file asked for; `nil` where a version that did not note it decided last.
    var demands: Demands?
    /// When somebody decided by it last, as exactly as `FileMemory.usedAt`; `nil` where a version that did not note it did.
    var usedAt: Timestamp?
    /// The other fleet files that are decided by, the latest first.
    var otherFiles: [FileMemory] = []
    /// The waivers that were taken back and would still count, with their ends.
    var revokedWaivers: [String: Timestamp] = [:]
    /// The last answer that was recorded of each list of the environment's record, about what is staged, by the file that was
    /// decided by last.
    var answers: [ListName: Answer] = [:]
    /// The same about what is promoted, where that was asked.
    var promotedAnswers: [ListName: Answer] = [:]
    /// The latest state that was seen of each list in the environment's record.
    private(set) var lists: [ListName: Mark] = [:]
    /// What was decided and is not in the audit chain yet.
    var outbox = Outbox()

    /// The memory of a gate that never decided anything.
    public init(environment: EnvironmentName) { self.environment = environment }

    // MARK: Changes, pure

    /// Remembers the latest cache manifests of the fleet's sites.
    ///
    /// Only what is a site's own counts: signed by a key of it that is valid now, or taken on its word where the environment
    /// does that. Sites that this fleet file does not name stay remembered: the next one may name them again, and an old manifest of theirs is
    /// still an old one. `rollcall site forget` removes them.
    ///
    /// - Parameters:
    ///   - reports: what was read of sites that one agent serves
    ///   - reportsOfShards: what was read of the agents of sites that several serve
    ///   - environment: the environment, as the fleet file names it
    ///   - now: the coordinator's time
    mutating func remember(
        _ reports: [SiteName: SiteReport], shards reportsOfShards: [SiteName: [Shard: SiteReport]] = [:],
        of environment: Fleet.Environment, at now: Timestamp
    ) {
        for site in environment.sites {
            for (shard, report) in reportsOfShards[site.name] ?? [:] {
                guard report.isOwn(of: site, in: environment, shard: shard, at: now), let manifest = report.manifest
                else {
                    continue
                }
                let place = Self.place(of: site.name, shard)
                if let last = shards[place], last.sequence >= manifest.sequence { continue }
                shards[place] = Sighting(
                    sequence: manifest.sequence, issuedAt: manifest.issuedAt, digest: report.digest, firstSeenAt: now)
            }
            guard let report = reports[site.name], report.isOwn(of: site, in: environment, at: now),
                let manifest = report.manifest
            else { continue }
            if let last = sites[site.name], last.sequence >= manifest.sequence { continue }
            sites[site.name] = Sighting(
                sequence: manifest.sequence, issuedAt: manifest.issuedAt, digest: report.digest, firstSeenAt: now)
        }
        bound(keeping: environment)
    }

    /// Remembers as many sightings as may be; the oldest of sites that the fleet file does not name go first.
    mutating func bound(keeping environment: Fleet.Environment) {
        let named = Set(environment.sites.map(\.name.text))
        sites = Self.bounded(sites) { named.contains($0.text) }
        shards = Self.bounded(shards) { named.contains(Self.site(ofPlace: $0)) }
    }

    private static func bounded<Key: Hashable>(
        _ sightings: [Key: Sighting], named: (Key) -> Bool
    ) -> [Key: Sighting] {
        guard sightings.count > maximumSightings else { return sightings }
        var kept = sightings
        let others = sightings.filter { !named($0.key) }.sorted { $0.value.issuedAt < $1.value.issuedAt }
        for (key, _) in others.prefix(sightings.count - maximumSightings) { kept[key] = nil }
        return kept
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

    /// Forgets what was seen of a site.
    ///
    /// - Parameter number: the record of the audit chain that says so
    mutating func forget(_ site: SiteName, at number: Int64) {
        sites[site] = nil
        shards = shards.filter { Self.site(ofPlace: $0.key) != site.text }
        forgotten[site] = number
        guard forgotten.count > Self.maximumSightings, let first = forgotten.min(by: { $0.value < $1.value }) else {
            return
        }
        forgotten[first.key] = nil
    }

    /// Remembers that a waiver was taken back, for as long as it would count.
    mutating func noteRevocation(of id: String, until end: Timestamp, at now: Timestamp) {
        revokedWaivers = revokedWaivers.filter { $0.value > now.advanced(by: .zero - clockSkewTolerance) }
        revokedWaivers[id] = end
    }

    /// When a manifest of some sites was seen first, the latest time of all: by the clock of the coordinator that saw it.
    ///
    /// Only of sites that a fleet file names: what was noted of others is nobody's any more, and would close the gate for
    /// ever.
    func latestSighting(of sites: [Fleet.Site]) -> (SiteName, Timestamp)? {
        let named = Set(sites.map(\.name.text))
        let seen =
            self.sites.map { ($0.key.text, $0.value) } + shards.map { (Self.site(ofPlace: $0.key), $0.value) }
        return seen.compactMap { site, sighting in
            guard named.contains(site), let at = sighting.firstSeenAt, let name = try? SiteName(site) else {
                return nil
            }
            return (name, at)
        }.max { $0.1 < $1.1 }
    }

    // MARK: The environment's record

    /// Remembers which states of lists are the latest, and forgets answers about lists that there are none of.
    mutating func remember(_ record: EnvironmentRecord) {
        answers = answers.filter { record.lists[$0.key] != nil }
        promotedAnswers = promotedAnswers.filter { record.lists[$0.key] != nil }
        for index in otherFiles.indices {
            otherFiles[index].answers = otherFiles[index].answers.filter { record.lists[$0.key] != nil }
            otherFiles[index].promotedAnswers = otherFiles[index].promotedAnswers?.filter {
                record.lists[$0.key] != nil
            }
        }
        for (name, state) in record.lists where state.changes > lists[name]?.changes ?? 0 {
            lists[name] = Mark(state)
        }
        // A record that has fewer lists than were seen is an old one; it does not get to have more than a record may.
        guard lists.count > EnvironmentRecord.maximumLists else { return }
        lists = lists.filter { record.lists[$0.key] != nil }
    }

    /// Takes over which states of lists another memory of the environment has seen later.
    mutating func catchUp(withListsOf other: GateMemory) {
        for (name, mark) in other.lists where mark.changes > changes(of: name) { lists[name] = mark }
    }

    /// The highest number of changes that was seen of a list; 0 where none was.
    func changes(of list: ListName) -> Int64 { lists[list]?.changes ?? 0 }

    /// The lists whose state in a record is not the latest that was seen: an older one, or another of the same number.
    func replayed(in record: EnvironmentRecord) -> Set<ListName> {
        Set(
            lists.filter { name, seen in
                guard let state = record.lists[name] else { return true }
                return state.changes < seen.changes || (state.changes == seen.changes && Mark(state) != seen)
            }.keys)
    }

    /// When a report was seen first, where that is known.
    func firstSeen(_ report: SiteReport, of site: SiteName, shard: Shard? = nil) -> Timestamp? {
        sighting(of: site, shard: shard).flatMap { $0.digest == report.digest ? $0.firstSeenAt : nil }
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
    /// Whether the report can be believed to be the site's: a key that has ended proves nothing any more, and must not make
    /// what the site's valid key signs look old.
    func isOwn(
        of site: Fleet.Site, in environment: Fleet.Environment, shard: Shard? = nil, at now: Timestamp
    ) -> Bool {
        guard let manifest, manifest.site == site.name, manifest.environment == environment.name,
            manifest.shard == shard
        else { return false }
        switch content {
        case .signed(_, let key):
            guard let end = site.keys.first(where: { $0.publicKey == key })?.notAfter else { return true }
            return now <= end
        case .unproved: return site.keys.isEmpty && environment.acceptsUnsigned
        case .wronglySigned, .misplaced, .unreadable: return false
        }
    }
}

extension GateMemory: Codable {
    private enum CodingKeys: CodingKey {
        case schema, environment, sites, shards, forgotten, keys, demands, usedAt, otherFiles, revokedWaivers, answers,
            promotedAnswers, lists, outbox
    }

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        try Schema.gateMemory.require(try container.decode(String.self, forKey: .schema))
        environment = try container.decode(EnvironmentName.self, forKey: .environment)
        sites = try container.decode([SiteName: Sighting].self, forKey: .sites)
        shards = try container.decodeIfPresent([String: Sighting].self, forKey: .shards) ?? [:]
        forgotten = try container.decodeIfPresent([SiteName: Int64].self, forKey: .forgotten) ?? [:]
        keys = try container.decodeIfPresent([String: [Digest]].self, forKey: .keys) ?? [:]
        demands = try container.decodeIfPresent(Demands.self, forKey: .demands)
        usedAt = try container.decodeIfPresent(Timestamp.self, forKey: .usedAt)
        otherFiles = try container.decodeIfPresent([FileMemory].self, forKey: .otherFiles) ?? []
        revokedWaivers = try container.decodeIfPresent([String: Timestamp].self, forKey: .revokedWaivers) ?? [:]
        answers = try container.decodeIfPresent([ListName: Answer].self, forKey: .answers) ?? [:]
        promotedAnswers = try container.decodeIfPresent([ListName: Answer].self, forKey: .promotedAnswers) ?? [:]
        lists = try container.decodeIfPresent([ListName: Mark].self, forKey: .lists) ?? [:]
        outbox = try container.decodeIfPresent(Outbox.self, forKey: .outbox) ?? Outbox()
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(Schema.gateMemory.id, forKey: .schema)
        try container.encode(environment, forKey: .environment)
        try container.encode(sites, forKey: .sites)
        if !shards.isEmpty { try container.encode(shards, forKey: .shards) }
        if !forgotten.isEmpty { try container.encode(forgotten, forKey: .forgotten) }
        try container.encode(keys, forKey: .keys)
        try container.encodeIfPresent(demands, forKey: .demands)
        try container.encodeIfPresent(usedAt, forKey: .usedAt)
        if !otherFiles.isEmpty { try container.encode(otherFiles, forKey: .otherFiles) }
        if !revokedWaivers.isEmpty { try container.encode(revokedWaivers, forKey: .revokedWaivers) }
        try container.encode(answers, forKey: .answers)
        if !promotedAnswers.isEmpty { try container.encode(promotedAnswers, forKey: .promotedAnswers) }
        if !lists.isEmpty { try container.encode(lists, forKey: .lists) }
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
