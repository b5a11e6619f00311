import Console
import Readiness

/// Whether what the sites report can be relied on: not whether they hold what is staged. Pure.
enum SiteChecks {
    /// What says that a site or its way here is broken, and not that it is still at work.
    private static let faults: Set<Reason.Code> = [
        .silent, .unreadable, .misplaced, .noPublicKey, .unsigned, .wronglySigned, .keyExpired, .replayed,
        .sequenceRolledBack, .clockSkew, .expired, .stale, .contradictory, .unknownSite,
    ]
    /// Sites that are said one by one.
    static let maximumSites = 50

    static func findings(_ standing: FleetStanding) -> [Checkup.Finding] {
        var findings: [Checkup.Finding] = []
        var well = 0
        for environment in standing.environments {
            var reasons: [SiteName: Reason] = [:]
            for site in environment.lists.flatMap(\.verdict.sites) {
                guard let reason = site.reasons.first(where: { faults.contains($0.code) }) else { continue }
                reasons[site.name] = reasons[site.name] ?? reason
            }
            let skewed = environment.lists.flatMap(\.verdict.reasons).first { $0.code == .clockSkew }
            if let skewed {
                findings.append(.init("clock", .warning, "\(environment.environment.name): \(skewed.message)"))
            }
            for site in environment.environment.sites {
                if let reason = reasons.removeValue(forKey: site.name) {
                    findings.append(finding(.failed, environment, site.name, "\(reason.code): \(reason.message)"))
                } else if let waiting = ending(environment.evidence.report(of: site.name), at: standing.decidedAt) {
                    findings.append(finding(.warning, environment, site.name, waiting))
                } else {
                    well += 1
                }
            }
            // What is left reports, and the fleet file does not name it.
            for (name, reason) in reasons.sorted(by: { $0.key < $1.key }) {
                findings.append(finding(.failed, environment, name, "\(reason.code): \(reason.message)"))
            }
        }
        let rest = findings.count - maximumSites
        if rest > 0 {
            findings = Array(findings.sorted { $0.state == .failed && $1.state != .failed }.prefix(maximumSites))
            findings.append(.init("sites", .failed, "and \(rest) more: 'rollcall status' names them"))
        }
        if findings.isEmpty || well > 0 {
            findings.insert(.init("sites", .ok, "\(well) report as they should"), at: 0)
        }
        return findings
    }

    private static func finding(
        _ state: Checkup.State, _ environment: FleetStanding.Environment, _ site: SiteName, _ message: String
    ) -> Checkup.Finding {
        .init("sites", state, "\(environment.environment.name)/\(site): \(message)")
    }

    /// What a site's report says of how long it still holds, where that is a quarter of its lifetime or less: an agent
    /// that runs writes another one long before.
    private static func ending(_ report: SiteReport?, at now: Timestamp) -> String? {
        guard let report else {
            return
                "it has never reported: run 'rollcall-agent sync' there, with this environment, site and object store in"
                + " its agent.yaml"
        }
        guard let manifest = report.manifest else { return nil }
        let (lifetime, left) = (manifest.expiresAt.since(manifest.issuedAt), manifest.expiresAt.since(now))
        guard left * 4 <= lifetime else { return nil }
        return "its last report is of \(manifest.issuedAt), and holds for \(max(left, .zero).rounded) more: see whether"
            + " rollcall-agent runs there"
    }
}
