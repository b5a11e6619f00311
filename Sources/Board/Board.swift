public import Readiness

/// A fleet's standing, arranged for people: what the page and the terminal show. Pure.
public struct Board: Sendable, Hashable {
    /// One environment.
    public struct Environment: Sendable, Hashable {
        /// The environment, as the fleet names it.
        public let place: Fleet.Environment
        /// Its lists, in the order of their names.
        public let lists: [List]
        /// Its sites: the fleet's, in its order, then those that only the object store knows.
        public let sites: [Site]
        /// Its waivers, the latest first.
        public let waivers: [WaiverReport]

        /// The environment's name.
        public var name: EnvironmentName { place.name }

        /// The sites of one state; all for `nil`.
        func sites(in state: SiteState?) -> [Site] { sites.filter { state == nil || $0.state == state } }

        /// How many sites are of a state.
        func count(of state: SiteState) -> Int { sites.count { $0.state == state } }
    }

    /// One list of an environment.
    public struct List: Sendable, Hashable {
        /// What is promoted under its name.
        public let promoted: EnvironmentRecord.Pointer?
        /// The decision about what is staged under its name.
        public let verdict: Verdict
        /// The decision about what is promoted, where that is another generation.
        public let promotedVerdict: Verdict?

        /// The list's name.
        public var name: ListName { verdict.list }

        /// Both decisions, or the one that is about both.
        var verdicts: [Verdict] { [verdict] + (promotedVerdict.map { [$0] } ?? []) }
    }

    /// One site, over all lists of its environment.
    public struct Site: Sendable, Hashable {
        /// The site's name.
        public let name: SiteName
        /// The worst of what it is for any list.
        public let state: SiteState
        /// Its part of the answer for each list.
        public let parts: [Part]
        /// What the central object store holds of it; `nil` for a silent site.
        public let report: SiteReport?
        /// When everything will be there.
        public let expectation: Expectation

        /// A site's part of one answer about a list.
        public struct Part: Sendable, Hashable {
            /// The list.
            public let list: ListName
            /// As what its generation is judged.
            public let subject: Verdict.Subject
            /// What the site proved of it, or why it blocks.
            public let verdict: Verdict.Site
        }

        /// How far its transfers are: those of all of its agents together, where several serve it.
        public var progress: CacheManifest.Progress? { Self.progress(of: parts, report) }

        /// An agent of several knows only its own part, which says nothing of the site.
        fileprivate static func progress(of parts: [Part], _ report: SiteReport?) -> CacheManifest.Progress? {
            if let united = parts.lazy.compactMap(\.verdict.progress).first { return united }
            return report?.manifest.flatMap { $0.shard == nil ? $0.progress : nil }
        }
    }

    /// In ladder order.
    public let environments: [Environment]
    /// The coordinator's time.
    public let decidedAt: Timestamp

    init(environments: [Environment], decidedAt: Timestamp) {
        self.environments = environments
        self.decidedAt = decidedAt
    }

    /// - Parameter standing: how the fleet stands
    public init(_ standing: FleetStanding) {
        decidedAt = standing.decidedAt
        environments = standing.environments.map { Environment($0, at: standing.decidedAt) }
    }

    /// The environment of a name.
    public func environment(_ name: EnvironmentName) -> Environment? { environments.first { $0.name == name } }
}

/// What a site is, in one word, for a list or for all of its environment's lists.
public enum SiteState: String, Sendable, CaseIterable, Comparable {
    /// It does not prove what is staged, or what is promoted.
    case blocked
    /// It does not, and a waiver counts instead.
    case waived
    /// It proved what it has to.
    case ready
    /// Nothing is staged that it would have to prove.
    case idle

    init(_ site: Verdict.Site) { self = site.waiver != nil ? .waived : site.isReady ? .ready : .blocked }

    /// The worst first.
    public static func < (left: SiteState, right: SiteState) -> Bool {
        (allCases.firstIndex(of: left) ?? 0) < (allCases.firstIndex(of: right) ?? 0)
    }
}

extension Board.Environment {
    init(_ standing: FleetStanding.Environment, at now: Timestamp) {
        place = standing.environment
        lists = standing.lists.map {
            Board.List(promoted: $0.promoted, verdict: $0.verdict, promotedVerdict: $0.promotedVerdict)
        }
        waivers = standing.evidence.waivers.sorted {
            ($0.claim?.issuedAt.seconds ?? 0, $0.id) > ($1.claim?.issuedAt.seconds ?? 0, $1.id)
        }
        var parts: [SiteName: [Board.Site.Part]] = [:]
        for verdict in lists.flatMap(\.verdicts) {
            for site in verdict.sites {
                parts[site.name, default: []].append(
                    .init(list: verdict.list, subject: verdict.subject, verdict: site))
            }
        }
        let named = place.sites.map(\.name)
        let others = Set(parts.keys).union(standing.evidence.reports.keys).union(standing.evidence.shards.keys)
            .subtracting(named).sorted()
        sites = (named + others).map { name in
            Board.Site(name: name, parts: parts[name] ?? [], report: standing.evidence.report(of: name), now: now)
        }
    }
}

extension Board.Environment {
    /// Only the list of a name; `nil` where there is none.
    func only(_ list: String) -> Board.Environment? {
        let named = lists.filter { $0.name.text == list }
        guard !named.isEmpty else { return nil }
        return Board.Environment(
            place: place, lists: named,
            sites: sites.map { $0.only(list) }, waivers: waivers.filter { $0.claim?.list.text == list })
    }
}

extension Board.Site {
    fileprivate func only(_ list: String) -> Board.Site {
        let parts = parts.filter { $0.list.text == list }
        return Board.Site(
            name: name, state: parts.map { SiteState($0.verdict) }.min() ?? .idle, parts: parts, report: report,
            expectation: parts.allSatisfy(\.verdict.isReady) ? .ready : expectation)
    }

    fileprivate init(name: SiteName, parts: [Part], report: SiteReport?, now: Timestamp) {
        self.name = name
        self.parts = parts
        self.report = report
        state = parts.map { SiteState($0.verdict) }.min() ?? .idle
        let blocking = parts.filter { !$0.verdict.isReady }
        expectation = blocking.isEmpty ? .ready : Expectation(Self.progress(of: parts, report), now: now)
    }
}
