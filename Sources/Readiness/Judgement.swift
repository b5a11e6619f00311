import OCI
import Trust

/// The comparison for one site: whose word its cache manifest is, and what it says.
struct Judgement {
    let list: ListName
    let staged: EnvironmentRecord.Pointer
    let environment: Fleet.Environment
    let site: Fleet.Site
    let memory: GateMemory
    let now: Timestamp

    /// The site's part of the answer. A waiver that counts takes the place of proof; one that does not is named, so that
    /// nobody wonders.
    func verdict(
        on report: SiteReport?, shards: [Shard: SiteReport] = [:], waivers: [WaiverReport]
    ) -> Verdict.Site {
        var verdict = shards.isEmpty ? verdict(on: report) : verdict(on: report, shards)
        guard !verdict.reasons.isEmpty, !waivers.isEmpty else { return verdict }
        let judged = waivers.map { (report: $0, reason: $0.judgement(of: staged.generation, at: now)) }
        if let counting = judged.first(where: { $0.reason == nil })?.report.claim {
            verdict.waiver = counting
            return verdict
        }
        // The latest one is what somebody may rely on.
        return Verdict.Site(
            name: verdict.name, reasons: verdict.reasons + (judged.first?.reason.map { [$0] } ?? []),
            holding: verdict.holding, isUnproved: verdict.isUnproved, progress: verdict.progress)
    }

    /// - Parameter shard: whose place the report is at
    func verdict(on report: SiteReport?, shard: Shard? = nil) -> Verdict.Site {
        guard let report else {
            return blocked(
                Reason(
                    .silent,
                    "it has no cache manifest: run 'rollcall-agent sync' there, with this environment, site and object"
                        + " store in its agent.yaml"))
        }
        switch report.content {
        case .unreadable(let why):
            return blocked(
                Reason(.unreadable, "its cache manifest cannot be read (\(why)): run 'rollcall-agent verify' there"))
        case .wronglySigned(let keyIDs):
            return blocked(wronglySigned(keyIDs))
        case .unproved(let manifest):
            if let reason = distrust { return blocked(reason) }
            return verdict(on: report, manifest, shard, isUnproved: true)
        case .signed(let manifest, let key):
            if let reason = expiry(of: key) { return blocked(reason) }
            return verdict(on: report, manifest, shard, isUnproved: false)
        }
    }

    private func verdict(
        on report: SiteReport, _ manifest: CacheManifest, _ shard: Shard?, isUnproved: Bool
    ) -> Verdict.Site {
        guard manifest.shard == shard else {
            return blocked(
                Reason(
                    .misplaced,
                    "the cache manifest at the place of \(shard.map { "\($0)" } ?? "the site") is of"
                        + " \(manifest.shard.map { "\($0)" } ?? "a site that one agent serves"): run 'rollcall-agent"
                        + " verify' there, and look for who moved the other"))
        }
        guard manifest.environment == environment.name, manifest.site == site.name else {
            return blocked(
                Reason(
                    .misplaced,
                    "the cache manifest at its place is of site '\(manifest.site)' in '\(manifest.environment)': run"
                        + " 'rollcall-agent verify' at '\(site.name)', and look for who moved the other"))
        }
        if let reason = contradiction(of: report, manifest) { return blocked(reason) }
        if let latest = memory.latest(of: site.name, exceptOf: shard?.of ?? 1), latest > manifest.issuedAt {
            return blocked(
                Reason(
                    .replayed,
                    "its cache manifest of \(manifest.issuedAt) is older than one of \(latest), which was seen before, of"
                        + " another number of shards: wait for its agents, or run 'rollcall-agent verify' there"))
        }
        let generations = manifest.holdings.filter { $0.list == list }
        let holding = generations.first { $0.generation == staged.generation }
        return Verdict.Site(
            name: site.name,
            reasons: timing(manifest, holding: holding)
                + (holding.map(completeness) ?? [absence(among: generations)]),
            holding: holding, isUnproved: isUnproved, progress: manifest.progress)
    }

    // MARK: Whose word it is

    /// Why a manifest that nobody vouches for does not count; `nil` where the environment takes it.
    var distrust: Reason? {
        guard site.keys.isEmpty else {
            return Reason(
                .unsigned,
                "its cache manifest is not signed, and the fleet file has a public key for it: write 'signingKey' into its"
                    + " agent.yaml, then run 'rollcall-agent verify' there")
        }
        guard !environment.acceptsUnsigned else { return nil }
        return Reason(
            .noPublicKey,
            "the fleet file has no public key for it, so its word proves nothing: run 'rollcall-agent keygen' there, and"
                + " write the line that it prints as 'publicKey' at the site")
    }

    private func wronglySigned(_ keyIDs: [String]) -> Reason {
        let named = keyIDs.filter { !$0.isEmpty }.map { "'\($0.prefix(80))'" }.joined(separator: ", ")
        return Reason(
            .wronglySigned,
            "its cache manifest was signed by none of its keys in the fleet file"
                + (named.isEmpty ? "" : " (it names \(named))")
                + ": compare 'publicKey' with the site's signing key, and look for who wrote it where they agree")
    }

    private func expiry(of key: PublicKey) -> Reason? {
        guard let end = site.keys.first(where: { $0.publicKey == key })?.notAfter, end < now else { return nil }
        return Reason(
            .keyExpired,
            "its cache manifest is signed by the key \(key.id.short), which is not valid after \(end): sign with its new"
                + " key there, then run 'rollcall-agent verify'")
    }

    private func contradiction(of report: SiteReport, _ manifest: CacheManifest) -> Reason? {
        switch memory.contradiction(of: report, manifest) {
        case nil: return nil
        case .replayed(let last):
            return Reason(
                .replayed,
                "its cache manifest, number \(manifest.sequence) of \(manifest.issuedAt), is older than number"
                    + " \(last.sequence) of \(last.issuedAt), which was seen before: somebody put it back, or the object"
                    + " store serves old data; run 'rollcall-agent verify' there")
        case .rolledBack(let last):
            return Reason(
                .sequenceRolledBack,
                "its cache manifest has the number \(manifest.sequence), though another of number \(last.sequence) was seen"
                    + " before, issued \(last.issuedAt): see that one agent alone has the site's key and its state"
                    + " directory, then run 'rollcall-agent verify' there")
        }
    }

    // MARK: What it says

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
        if let holding, let reason = depth(of: holding) { reasons.append(reason) }
        return reasons
    }

    /// Whether the site has looked as deep as the environment asks for.
    private func depth(of holding: CacheManifest.Holding) -> Reason? {
        guard let within = environment.contentWithin else { return nil }
        let remedy = "wait for its agent, or run 'rollcall-agent verify --content' there"
        guard let readAt = holding.contentVerifiedAt else {
            return Reason(
                .contentUnread,
                "it has not read back all content of '\(list)' yet, and '\(environment.name)' asks for that: \(remedy)")
        }
        guard now.since(readAt) > within else { return nil }
        return Reason(
            .contentStale,
            "it read some content of '\(list)' back \(now.since(readAt).rounded) ago, and '\(environment.name)' allows"
                + " \(within.rounded): \(remedy)")
    }

    private func absence(among generations: [CacheManifest.Holding]) -> Reason {
        guard let other = generations.first else {
            return Reason(
                .unknownList,
                "it has not looked at '\(list)' yet: wait for its agent, or run 'rollcall-agent sync' there")
        }
        return Reason(
            .otherGeneration,
            "it verified '\(list)' of generation \(other.generation.short), and \(staged.generation.short) is asked for: wait"
                + " for its agent, or run 'rollcall-agent sync' there")
    }

    private func completeness(_ holding: CacheManifest.Holding) -> [Reason] {
        let rootMatches = holding.root == staged.closureRoot
        guard rootMatches == (holding.missingEntries == 0) else {
            return [
                Reason(
                    .contradictory,
                    "its root \(rootMatches ? "equals" : "differs from") the list's, but it names"
                        + " \(holding.missingEntries == 0 ? "nothing" : "\(holding.missingEntries) entries") as missing: run"
                        + " 'rollcall-agent verify' there, and upgrade it where that does not help")
            ]
        }
        guard !rootMatches else { return [] }
        return [
            Reason(
                .incomplete,
                "it misses \(holding.missingEntries) of \(staged.entries) entries, \(holding.missingBytes) bytes: wait for"
                    + " its agent, or run 'rollcall-agent sync' there",
                missing: holding.missing)
        ]
    }

    private func blocked(_ reason: Reason) -> Verdict.Site {
        Verdict.Site(name: site.name, reasons: [reason])
    }
}
