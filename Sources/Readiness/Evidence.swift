public import OCI

/// All that a decision about an environment rests on, beside what is staged there.
public struct Evidence: Hashable, Sendable {
    /// What the central object store holds of each site that one agent serves.
    public var reports: [SiteName: SiteReport]
    /// What it holds of the agents of sites that several serve.
    public var shards: [SiteName: [Shard: SiteReport]]
    /// What the gate saw of the sites before.
    public var memory: GateMemory
    /// The SHA-256 of the object that says what it saw; `nil` where there is none.
    var memoryDigest: Digest?
    /// The waivers that were given, also those that do not count.
    public var waivers: [WaiverReport]
    /// What the environment before on the ladder has; `nil` where it was not read, and for the first.
    public var predecessor: Predecessor?
    /// Why the audit chain is not what a site has seen of it and signed; `nil` where nothing tells.
    var cutOff: Reason?
    /// How far the object store's clock is ahead of the coordinator's; `nil` where nothing is known.
    public var storeLead: Duration?
    /// Whether that is what a server said of its own clock. The times of a directory's files may be this machine's.
    var isStoresOwn = false
    /// The lists whose state in the environment's record is older than one that was seen before.
    private(set) var replayed: Set<ListName> = []
    /// The latest change of a record that is known, by the clock of who made it; `nil` for none.
    private(set) var latestChange: Note?

    /// The environment before on the ladder.
    public struct Predecessor: Hashable, Sendable {
        /// Its record.
        public let record: EnvironmentRecord
        /// The SHA-256 of the record's object; `nil` where there is none.
        let digest: Digest?
        /// The lists whose state in it is older than one that was seen before.
        var replayed: Set<ListName> = []
    }

    /// Something that another coordinator did, by its own clock.
    struct Note: Hashable, Sendable {
        let at: Timestamp
        /// What it did.
        let what: String
        /// What to do where its clock was wrong.
        let remedy: String
    }

    /// Takes note of what a record says: when it was changed, since no clock may be far behind that, and whether it is older
    /// than what was seen of it.
    ///
    /// - Parameter record: the environment's, or that of the one before
    public mutating func note(_ record: EnvironmentRecord) {
        if record.environment == memory.environment { replayed = memory.replayed(in: record) }
        for (name, state) in record.lists {
            note(
                state.staged, "'\(name)' was staged to '\(record.environment)'",
                remedy: "stage it again where that one's clock was wrong")
            note(
                state.promoted, "'\(name)' was promoted in '\(record.environment)'",
                remedy: "wait until then where that one's clock was wrong")
        }
    }

    private mutating func note(_ pointer: EnvironmentRecord.Pointer?, _ what: String, remedy: String) {
        guard let pointer, latestChange.map({ $0.at < pointer.at }) ?? true else { return }
        latestChange = Note(at: pointer.at, what: "\(what) by \(pointer.by)", remedy: remedy)
    }

    /// How far ahead of a clock another coordinator's was, where it is more than clocks differ, and how that is known.
    ///
    /// A store that tells its own clock decides between the two.
    func lead(over now: Timestamp, in environment: Fleet.Environment) -> (lead: Duration, note: Note)? {
        if isStoresOwn, storeLead != nil { return nil }
        var latest = latestChange
        if let (site, at) = memory.latestSighting(of: environment.sites), latest.map({ $0.at < at }) ?? true {
            latest = Note(
                at: at, what: "a cache manifest of '\(site)' was seen",
                remedy:
                    "run 'rollcall site forget \(site) --environment \(environment.name)' where that one's clock was"
                    + " wrong")
        }
        guard let latest else { return nil }
        let lead = latest.at.since(now)
        return lead > clockSkewTolerance ? (lead, latest) : nil
    }

    /// Why the coordinator's clock cannot be relied on, as the object store tells.
    var skew: Reason? { Readiness.skew(from: storeLead) }

    /// - Parameters:
    ///   - reports: what the central object store holds of each site
    ///   - memory: what the gate saw of the sites before
    ///   - waivers: the waivers that were given
    ///   - shards: what it holds of the agents of sites that several serve
    public init(
        reports: [SiteName: SiteReport], memory: GateMemory, waivers: [WaiverReport] = [],
        shards: [SiteName: [Shard: SiteReport]] = [:]
    ) {
        self.reports = reports
        self.shards = shards
        self.memory = memory
        self.waivers = waivers
    }

    /// What a site reported last, for people; of the agents of a site that several serve, what was written longest ago.
    public func report(of site: SiteName) -> SiteReport? {
        reports[site]
            ?? shards[site]?.values.min { ($0.manifest?.issuedAt.seconds ?? 0) < ($1.manifest?.issuedAt.seconds ?? 0) }
    }

    /// The waivers for a site and a list, as they say themselves, the latest first.
    func waivers(for site: SiteName, of list: ListName) -> [WaiverReport] {
        waivers.filter { report in report.claim.map { $0.site == site && $0.list == list } ?? false }
            .sorted { ($0.claim?.issuedAt.seconds ?? 0, $0.id) > ($1.claim?.issuedAt.seconds ?? 0, $1.id) }
    }
}
