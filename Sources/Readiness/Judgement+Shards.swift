import OCI

extension Judgement {
    /// The comparison for a site that several agents serve: each of them has to prove everything.
    ///
    /// They are as many as they say, all of them. One that says another number makes the whole unknown, until what it said
    /// has expired, or was forgotten: nobody can tell then who is still there.
    ///
    /// - Parameters:
    ///   - alone: what lies at the place of a site that one agent serves
    ///   - shards: what the shards reported, at least one
    func verdict(on alone: SiteReport?, _ shards: [Shard: SiteReport]) -> Verdict.Site {
        var counts = Set(shards.filter { !hasExpired($0.value) }.keys.map(\.of))
        if let alone, !hasExpired(alone) { counts.insert(1) }
        // All have expired: those that came last say so.
        if counts.isEmpty, let last = shards.keys.max(by: { issuedAt(shards[$0]) < issuedAt(shards[$1]) }) {
            counts = [last.of]
        }
        guard counts.count == 1, let count = counts.first else {
            let named = counts.sorted().map { $0 == 1 ? "one agent alone" : "shards of \($0)" }
            return Verdict.Site(
                name: site.name,
                reasons: [
                    Reason(
                        .shardsDisagree,
                        "it reports as \(named.joined(separator: " and as ")): give all of its agents the same 'shard.of',"
                            + " then run 'rollcall site forget \(site.name) --environment \(environment.name)' and restart"
                            + " them")
                ])
        }
        guard count > 1 else { return verdict(on: alone, shard: nil) }
        let expected = (0..<count).compactMap { Shard(index: $0, of: count) }
        let parts = expected.map { shard in
            guard let report = shards[shard] else { return Self.missing(shard, of: site.name) }
            let part = verdict(on: report, shard: shard)
            return Verdict.Site(
                name: part.name,
                reasons: part.reasons.map { Reason($0.code, "\(shard): \($0.message)", missing: $0.missing) },
                holding: part.holding, isUnproved: part.isUnproved, progress: part.progress)
        }
        // What is shown of the whole is the part that lacks most, or knows least.
        let holdings = parts.map(\.holding)
        let worst =
            holdings.contains { $0 == nil }
            ? nil : holdings.compactMap(\.self).max { $0.missingEntries < $1.missingEntries }
        return Verdict.Site(
            name: site.name, reasons: parts.flatMap(\.reasons), holding: worst,
            isUnproved: parts.contains(where: \.isUnproved), progress: Self.united(parts.compactMap(\.progress)),
            registry: parts.lazy.compactMap(\.registry).first)
    }

    private static func missing(_ shard: Shard, of site: SiteName) -> Verdict.Site {
        Verdict.Site(
            name: site,
            reasons: [
                Reason(
                    .shardMissing,
                    "\(shard) has no cache manifest: see that this agent of the site runs, with the same 'shard.of' as the"
                        + " others")
            ])
    }

    /// Whether a report says of itself that its time is over. One that cannot be believed never does.
    private func hasExpired(_ report: SiteReport) -> Bool {
        switch report.content {
        case .signed(let manifest, by: _): manifest.expiresAt <= now
        case .unproved(let manifest): distrust == nil && manifest.expiresAt <= now
        case .wronglySigned, .misplaced, .unreadable: false
        }
    }

    private func issuedAt(_ report: SiteReport?) -> Timestamp { report?.manifest?.issuedAt ?? Timestamp(seconds: 0) }

    /// How far all of them are together.
    private static func united(_ parts: [CacheManifest.Progress]) -> CacheManifest.Progress? {
        guard !parts.isEmpty else { return nil }
        func sum(_ values: [Int64]) -> Int64 {
            values.reduce(0) { total, value in
                let (sum, overflow) = total.addingReportingOverflow(value)
                return overflow ? .max : sum
            }
        }
        let ends = parts.compactMap(\.estimatedReadyAt)
        let sources = Dictionary(grouping: parts.flatMap { $0.sources ?? [] }, by: \.name).map { name, shares in
            let rates = shares.compactMap(\.bytesPerSecond)
            return CacheManifest.Progress.Source(
                name: name, bytes: sum(shares.map(\.bytes)), bytesPerSecond: rates.isEmpty ? nil : sum(rates))
        }
        return CacheManifest.Progress(
            bytesDone: sum(parts.map(\.bytesDone)), bytesTotal: sum(parts.map(\.bytesTotal)),
            bytesPerSecond: parts.allSatisfy { $0.bytesPerSecond == nil }
                ? nil : sum(parts.compactMap(\.bytesPerSecond)),
            // The last one decides; where one cannot tell, nobody can.
            estimatedReadyAt: ends.count == parts.count ? ends.max() : nil,
            pausedUntil: parts.compactMap(\.pausedUntil).max(), sources: sources.isEmpty ? nil : sources)
    }
}
