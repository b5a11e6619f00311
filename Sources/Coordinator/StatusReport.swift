import Console
import OCI
import Readiness

/// Environments × sites × lists, as `status` writes it.
struct StatusReport: Encodable {
    /// One environment.
    struct Environment: Encodable {
        let environment: String
        let lists: [List]
        let sites: [String]

        init(_ standing: FleetStanding.Environment) {
            environment = standing.environment.name.text
            sites = standing.environment.sites.map(\.name.text)
            lists = standing.lists.map { list in
                List(
                    promoted: list.promoted, verdict: VerdictReport(list.verdict),
                    promotedVerdict: list.promotedVerdict.map { VerdictReport($0) })
            }
        }
    }

    /// One list of an environment.
    struct List: Encodable {
        let promoted: EnvironmentRecord.Pointer?
        let verdict: VerdictReport
        /// About what is promoted, where that is another generation than what is staged.
        let promotedVerdict: VerdictReport?
    }

    let environments: [Environment]

    init(_ standing: FleetStanding) { environments = standing.environments.map(Environment.init) }

    /// - Parameter colours: whether a table shows states in colour too
    func text(_ form: OutputForm, colours: Bool = false) throws -> String {
        switch form {
        case .json: try jsonText(self)
        case .table: lines.text(colours: colours)
        }
    }

    private var lines: [StyledText] {
        var lists = Table("ENVIRONMENT", "LIST", "STAGED", "PROMOTED", "STATE")
        var sites = Table("ENVIRONMENT", "LIST", "SITE", "STATE", "VERIFIED", "MISSING", "REASON")
        for environment in environments {
            if environment.lists.isEmpty { lists.add(environment.environment, "-", "-", "-", "nothing staged") }
            for list in environment.lists {
                lists.add(
                    StyledText(environment.environment), StyledText(list.verdict.list),
                    StyledText(list.verdict.staged?.generation.short ?? "-"),
                    StyledText(list.promoted?.generation.short ?? "-"), Self.state(list.verdict))
                if let promoted = list.promotedVerdict {
                    lists.add("", "", "", StyledText("still held:"), Self.state(promoted))
                }
                for verdict in [list.verdict, list.promotedVerdict].compactMap(\.self) {
                    let name = verdict.list + (verdict.of == .promoted ? " (promoted)" : "")
                    for site in verdict.sites {
                        sites.add(
                            StyledText(environment.environment), StyledText(name), StyledText(site.site),
                            .state(site.state), StyledText(site.verifiedAt?.description ?? "-"),
                            site.missingEntries == 0 ? "-" : "\(site.missingEntries)",
                            StyledText(
                                (site.reasons.map(\.code) + (site.unsigned ? ["(unsigned)"] : []))
                                    .joined(separator: ", ")))
                    }
                }
            }
        }
        return lists.lines + (sites.hasRows ? [""] + sites.lines : [])
    }

    private static func state(_ verdict: VerdictReport) -> StyledText {
        .state(verdict.ready ? "ready" : "blocked")
            + " (\(verdict.sites.count { $0.ready }) of \(verdict.sites.count) sites)"
    }
}
