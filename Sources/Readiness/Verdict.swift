public import OCI

/// The answer for one list in one environment: ready, or blocked with reasons.
public struct Verdict: Hashable, Sendable {
    /// As what a list's generation is judged. The texts are stable: programs rely on them.
    public enum Subject: String, CaseIterable, Sendable, Codable {
        /// What is staged: what the agents prefetch, and what a promotion would let the clusters use.
        case staged
        /// What is promoted: what the clusters may use now.
        case promoted
    }

    /// One site's part of the answer.
    public struct Site: Hashable, Sendable {
        /// The site.
        public let name: SiteName
        /// Why the site blocks, or would without its waiver; empty where it proved the list's closure root.
        public let reasons: [Reason]
        /// What the site said of the generation, where it said anything.
        public let holding: CacheManifest.Holding?
        /// Whether nobody vouches for what the site said, and it was taken for true since the environment accepts that.
        public let isUnproved: Bool
        /// How far the site's transfers are, where some are under way.
        public let progress: CacheManifest.Progress?
        /// Which registry the site looked at, where it says so.
        public let registry: CacheManifest.Registry?
        /// The waiver that counts in the place of proof, where the site has none.
        public internal(set) var waiver: Waiver?

        init(
            name: SiteName, reasons: [Reason], holding: CacheManifest.Holding? = nil, isUnproved: Bool = false,
            progress: CacheManifest.Progress? = nil, registry: CacheManifest.Registry? = nil
        ) {
            self.name = name
            self.reasons = reasons
            self.holding = holding
            self.isUnproved = isUnproved
            self.progress = progress
            self.registry = registry
        }

        /// Whether the site proved the list's closure root, or is waived.
        public var isReady: Bool { reasons.isEmpty || waiver != nil }
    }

    /// The environment.
    public let environment: EnvironmentName
    /// The list's name.
    public let list: ListName
    /// Whether the answer is about what is staged or about what is promoted under that name.
    public let subject: Subject
    /// The generation that the answer is for; `nil` where nothing is staged, or promoted, under that name.
    public let judged: EnvironmentRecord.Pointer?
    /// When it was decided.
    public let decidedAt: Timestamp
    /// Why the environment blocks as a whole.
    public let reasons: [Reason]
    /// The sites: the fleet's, in its order, then those that only the object store knows.
    public let sites: [Site]

    /// Whether every site of the environment proved the list's closure root, or is waived. The only way to be ready.
    public var isReady: Bool {
        judged != nil && reasons.isEmpty && !sites.isEmpty && sites.allSatisfy(\.isReady)
    }

    /// The sites whose word was taken for true although nobody vouches for it.
    public var unprovedSites: [SiteName] { sites.filter(\.isUnproved).map(\.name) }

    /// The waivers that the answer rests on.
    public var waivers: [Waiver] { sites.compactMap(\.waiver) }

    /// The verdict with another reason for the environment as a whole, in the place of those that there are.
    func with(reason: Reason) -> Verdict {
        Verdict(
            environment: environment, list: list, subject: subject, judged: judged, decidedAt: decidedAt,
            reasons: [reason], sites: sites)
    }

    /// The verdict for one generation only: blocked where another one is staged, or promoted, whatever the sites hold.
    ///
    /// - Parameter generation: the generation that whoever asks means
    public func bound(to generation: Digest) -> Verdict {
        guard let judged, judged.generation != generation else { return self }
        let asked = "generation \(generation.short) of '\(list)' was asked for, and \(judged.generation.short) is"
        let since = "since \(judged.at) by \(judged.by): ask for that one"
        let reason =
            switch subject {
            case .staged: Reason(.anotherStaged, "\(asked) staged, \(since), or stage the other again")
            case .promoted: Reason(.notPromoted, "\(asked) promoted, \(since), or promote the other")
            }
        return blocked(by: reason)
    }

    /// The verdict with one more reason for the environment as a whole.
    func blocked(by reason: Reason) -> Verdict {
        Verdict(
            environment: environment, list: list, subject: subject, judged: judged, decidedAt: decidedAt,
            reasons: reasons + [reason], sites: sites)
    }
}

/// How far ahead of the coordinator's clock a site's may be: five minutes, more than any synchronized pair differs.
public let clockSkewTolerance: Duration = .seconds(300)

/// Decides about what is staged under a list's name, whether it may be promoted, or about what is promoted, whether it is
/// still held: whether every site of the environment proved that it holds exactly what that generation needs.
///
/// - Parameters:
///   - list: the list's name
///   - subject: which of the two. The ladder concerns only what is staged: what is promoted has climbed it
///   - state: where the list stands; `nil` where the environment's record does not have it
///   - environment: the environment, as the fleet names it
///   - evidence: what the central object store holds of each site, what was seen before, and the waivers
///   - now: the coordinator's time
public func compare(
    list: ListName, about subject: Verdict.Subject, in state: EnvironmentRecord.ListState?,
    environment: Fleet.Environment, evidence: Evidence, now: Timestamp
) -> Verdict {
    compare(
        list: list, staged: state?.pointer(of: subject), environment: environment, evidence: evidence, now: now,
        isClimbing: subject == .staged && state?.isClimbing ?? true, as: subject)
}

/// Decides about one generation of a list: whether every site of the environment proved that it holds exactly what that
/// generation needs.
///
/// A function of values, without any other input. Whatever is not proved blocks.
///
/// - Parameters:
///   - list: the list's name
///   - staged: the generation to judge: what is staged under that name, if anything; what is promoted, for an answer about
///     that; for a rollback, what was promoted before
///   - environment: the environment, as the fleet names it
///   - evidence: what the central object store holds of each site, what was seen before, and the waivers
///   - now: the coordinator's time
///   - isClimbing: whether the generation is new there, so that it has to be promoted in the environment before: one that
///     is promoted already, or is returned to, is not
///   - subject: as what it is judged
public func compare(
    list: ListName, staged: EnvironmentRecord.Pointer?, environment: Fleet.Environment,
    evidence: Evidence, now: Timestamp, isClimbing: Bool = true, as subject: Verdict.Subject = .staged
) -> Verdict {
    var reasons: [Reason] = []
    if let (lead, note) = evidence.lead(over: now, in: environment) {
        reasons.append(
            Reason(
                .clockSkew,
                "\(note.what) at \(note.at), \(lead.rounded) from now by this machine's clock: set the clocks by a time"
                    + " server, and \(note.remedy)"))
    }
    if let reason = evidence.skew { reasons.append(reason) }
    if let reason = evidence.cutOff { reasons.append(reason) }
    if evidence.replayed.contains(list) { reasons.append(recordReplayed(list, in: environment.name)) }
    if isClimbing, let staged, let before = environment.predecessor {
        if evidence.predecessor?.replayed.contains(list) == true {
            reasons.append(recordReplayed(list, in: before))
        } else if evidence.predecessor?.record.lists[list]?.hasPromoted(staged.generation) != true {
            reasons.append(notPromotedBefore(list, staged.generation, in: before, before: environment.name))
        }
    }
    if staged == nil { reasons.append(absence(of: subject, list, in: environment.name)) }
    if environment.sites.isEmpty {
        reasons.append(
            Reason(
                .noSites,
                "the fleet file names no site in '\(environment.name)', and without sites nothing is proved: add its"
                    + " sites"))
    }
    let known = Set(environment.sites.map(\.name))
    let unknown = Set(evidence.reports.keys).union(evidence.shards.keys).subtracting(known).sorted()
    // With nothing to judge there is nothing to hold a site to.
    let sites = staged.map { staged in
        environment.sites.map { site in
            Judgement(
                list: list, staged: staged, environment: environment, site: site, memory: evidence.memory, now: now
            ).verdict(
                on: evidence.reports[site.name], shards: evidence.shards[site.name] ?? [:],
                waivers: evidence.waivers(for: site.name, of: list))
        }
    }
    return Verdict(
        environment: environment.name, list: list, subject: subject, judged: staged, decidedAt: now, reasons: reasons,
        sites: (sites ?? []) + unknown.map { unknownSite($0, in: environment.name) })
}

/// Why there is nothing to judge.
private func absence(of subject: Verdict.Subject, _ list: ListName, in environment: EnvironmentName) -> Reason {
    switch subject {
    case .staged:
        Reason(
            .nothingStaged,
            "nothing is staged to '\(environment)' as '\(list)': run 'rollcall stage LIST.json --environment"
                + " \(environment)'")
    case .promoted:
        Reason(
            .notPromoted,
            "nothing is promoted in '\(environment)' as '\(list)': run 'rollcall promote \(list) --environment"
                + " \(environment)', or ask about what is staged")
    }
}

/// Why a clock cannot be relied on: what is decided or done by it would be dated wrongly.
///
/// - Parameter lead: how far the object store's clock is ahead of it; `nil` where nothing is known
func skew(from lead: Duration?) -> Reason? {
    guard let lead, max(lead, .zero - lead) > clockSkewTolerance else { return nil }
    return Reason(
        .clockSkew,
        "this machine's clock is \(lead.rounded) \(lead > .zero ? "behind" : "ahead of") the object store's: set the clocks by"
            + " a time server")
}

/// What is staged and promoted is not what was seen before: nobody may be told that yesterday's generation is ready.
func recordReplayed(_ list: ListName, in environment: EnvironmentName) -> Reason {
    Reason(
        .recordReplayed,
        "what 'environments/\(environment)/record.json' says of '\(list)' is not what was seen of it last, nor anything"
            + " later: somebody put it back or changed it, or the object store serves old data; restore it, or stage what"
            + " is wanted again")
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
        ])
}
