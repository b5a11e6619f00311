public import OCI

/// What is known of a site: what the central object store holds at its place.
public enum SiteReport: Hashable, Sendable {
    /// A cache manifest.
    case manifest(CacheManifest)
    /// Something that is no cache manifest this version can read; the reason in words.
    case unreadable(String)
}

/// The answer for one list in one environment: ready, or blocked with reasons.
public struct Verdict: Hashable, Sendable {
    /// One site's part of the answer.
    public struct Site: Hashable, Sendable {
        /// The site.
        public let name: SiteName
        /// Why the site blocks; empty where it is ready.
        public let reasons: [Reason]
        /// What the site said of the generation, where it said anything.
        public let holding: CacheManifest.Holding?

        /// Whether the site proved the list's closure root.
        public var isReady: Bool { reasons.isEmpty }
    }

    /// The environment.
    public let environment: EnvironmentName
    /// The list's name.
    public let list: ListName
    /// What is staged under that name: the generation that the answer is for.
    public let staged: EnvironmentRecord.Pointer?
    /// When it was decided.
    public let decidedAt: Timestamp
    /// Why the environment blocks as a whole.
    public let reasons: [Reason]
    /// The sites: the fleet's, in its order, then those that only the object store knows.
    public let sites: [Site]

    /// Whether every site of the environment proved the list's closure root. The only way to be ready.
    public var isReady: Bool {
        staged != nil && reasons.isEmpty && !sites.isEmpty && sites.allSatisfy(\.isReady)
    }

    /// The verdict for one generation only: blocked where another one is staged, whatever the sites hold.
    ///
    /// - Parameter generation: the generation that whoever asks means
    public func bound(to generation: Digest) -> Verdict {
        guard let staged, staged.generation != generation else { return self }
        return blocked(
            by: Reason(
                .anotherStaged,
                "generation \(generation.short) of '\(list)' was asked for, and \(staged.generation.short) is staged, since"
                    + " \(staged.at) by \(staged.by): ask for that one, or stage the other again"))
    }

    /// The verdict with one more reason for the environment as a whole.
    func blocked(by reason: Reason) -> Verdict {
        Verdict(
            environment: environment, list: list, staged: staged, decidedAt: decidedAt, reasons: reasons + [reason],
            sites: sites)
    }
}

/// How far ahead of the coordinator's clock a site's may be: five minutes, more than any synchronized pair differs.
public let clockSkewTolerance: Duration = .seconds(300)

/// Decides whether a list may be promoted: whether every site of the environment proved that it holds exactly what the
/// staged generation needs.
///
/// A function of values, without any other input. Whatever is not proved blocks.
///
/// - Parameters:
///   - list: the list's name
///   - staged: what is staged under that name, if anything
///   - environment: the environment, as the fleet names it
///   - reports: what the central object store holds of each site
///   - now: the coordinator's time
public func compare(
    list: ListName, staged: EnvironmentRecord.Pointer?, environment: Fleet.Environment,
    reports: [SiteName: SiteReport], now: Timestamp
) -> Verdict {
    var reasons: [Reason] = []
    if staged == nil {
        reasons.append(
            Reason(
                .nothingStaged,
                "nothing is staged to '\(environment.name)' as '\(list)': run 'rollcall stage LIST.json --environment"
                    + " \(environment.name)'"))
    }
    if environment.sites.isEmpty {
        reasons.append(
            Reason(
                .noSites,
                "the fleet file names no site in '\(environment.name)', and without sites nothing is proved: add its"
                    + " sites"))
    }
    let known = Set(environment.sites.map(\.name))
    let unknown = reports.keys.filter { !known.contains($0) }.sorted()
    // With nothing staged there is nothing to hold a site to.
    let sites = staged.map { staged in
        environment.sites.map { site in
            Judgement(list: list, staged: staged, environment: environment, site: site.name, now: now)
                .verdict(on: reports[site.name])
        }
    }
    return Verdict(
        environment: environment.name, list: list, staged: staged, decidedAt: now, reasons: reasons,
        sites: (sites ?? []) + unknown.map { unknownSite($0, in: environment.name) })
}

/// A site that only the object store knows: the fleet file may be the one that is incomplete.
private func unknownSite(_ name: SiteName, in environment: EnvironmentName) -> Verdict.Site {
    Verdict.Site(
        name: name,
        reasons: [
            Reason(
                .unknownSite,
                "it reports to '\(environment)', but the fleet file does not name it: add it there, or run 'rollcall"
                    + " site forget \(name) --environment \(environment)'")
        ],
        holding: nil)
}

/// The comparison for one site.
private struct Judgement {
    let list: ListName
    let staged: EnvironmentRecord.Pointer
    let environment: Fleet.Environment
    let site: SiteName
    let now: Timestamp

    func verdict(on report: SiteReport?) -> Verdict.Site {
        switch report {
        case nil:
            return blocked(
                Reason(
                    .silent,
                    "it has no cache manifest: run 'rollcall-agent sync' there, with this environment, site and object"
                        + " store in its agent.yaml"))
        case .unreadable(let why):
            return blocked(
                Reason(.unreadable, "its cache manifest cannot be read (\(why)): run 'rollcall-agent verify' there"))
        case .manifest(let manifest):
            return verdict(on: manifest)
        }
    }

    private func verdict(on manifest: CacheManifest) -> Verdict.Site {
        guard manifest.environment == environment.name, manifest.site == site else {
            return blocked(
                Reason(
                    .misplaced,
                    "the cache manifest at its place is of site '\(manifest.site)' in '\(manifest.environment)': run"
                        + " 'rollcall-agent verify' at '\(site)', and look for who moved the other"))
        }
        let generations = manifest.holdings.filter { $0.list == list }
        guard let holding = generations.first(where: { $0.generation == staged.generation }) else {
            return Verdict.Site(
                name: site, reasons: timing(manifest, holding: nil) + [absence(among: generations)], holding: nil)
        }
        return Verdict.Site(
            name: site, reasons: timing(manifest, holding: holding) + completeness(holding), holding: holding)
    }

    /// Whether the manifest speaks of now.
    private func timing(_ manifest: CacheManifest, holding: CacheManifest.Holding?) -> [Reason] {
        // A holding is never younger than its manifest, so this covers both.
        let lead = manifest.issuedAt.since(now)
        guard lead <= clockSkewTolerance else {
            return [
                Reason(
                    .clockSkew,
                    "its cache manifest was issued \(lead.rounded) from now, at \(manifest.issuedAt): set the clocks there"
                        + " and here by a time server, then run 'rollcall-agent verify'")
            ]
        }
        var reasons: [Reason] = []
        if manifest.expiresAt <= now {
            reasons.append(
                Reason(
                    .expired,
                    "its cache manifest expired \(now.since(manifest.expiresAt).rounded) ago, at \(manifest.expiresAt):"
                        + " see whether rollcall-agent runs there"))
        }
        if let holding, now.since(holding.verifiedAt) > environment.freshness {
            reasons.append(
                Reason(
                    .stale,
                    "it verified its registry \(now.since(holding.verifiedAt).rounded) ago, and"
                        + " '\(environment.name)' allows \(environment.freshness.rounded): run 'rollcall-agent verify'"
                        + " there"))
        }
        return reasons
    }

    private func absence(among generations: [CacheManifest.Holding]) -> Reason {
        guard let other = generations.first else {
            return Reason(
                .unknownList,
                "it has not looked at '\(list)' yet: wait for its agent, or run 'rollcall-agent sync' there")
        }
        return Reason(
            .otherGeneration,
            "it verified '\(list)' of generation \(other.generation.short), and \(staged.generation.short) is staged: wait"
                + " for its agent, or run 'rollcall-agent sync' there")
    }

    private func completeness(_ holding: CacheManifest.Holding) -> [Reason] {
        let rootMatches = holding.root == staged.closureRoot
        guard rootMatches == holding.missing.isEmpty else {
            return [
                Reason(
                    .contradictory,
                    "its root \(rootMatches ? "equals" : "differs from") the list's, but it names"
                        + " \(holding.missing.isEmpty ? "nothing" : "\(holding.missing.count) entries") as missing: run"
                        + " 'rollcall-agent verify' there, and upgrade it where that does not help")
            ]
        }
        guard !rootMatches else { return [] }
        return [
            Reason(
                .incomplete,
                "it misses \(holding.missing.count) of \(staged.entries) entries, \(holding.missingBytes) bytes: wait for"
                    + " its agent, or run 'rollcall-agent sync' there",
                missing: holding.missing)
        ]
    }

    private func blocked(_ reason: Reason) -> Verdict.Site {
        Verdict.Site(name: site, reasons: [reason], holding: nil)
    }
}
