import Console
import OCI
import Readiness

// The pages of what was done: waivers and the audit chain.
extension BoardPage {
    /// Waivers that are shown of each environment, the latest first.
    static let maximumWaivers = 200

    /// Every environment's waivers.
    init(waiversOf board: Board) {
        let now = board.decidedAt
        let valid = board.environments.flatMap(\.waivers).count { $0.state(at: now) == .valid }
        self.init(
            "Waivers", summary: "\(Board.count(valid, "waiver")) valid now.", at: now, route: .waivers,
            live: .group(board.environments.map { Self.waivers($0, now: now) }))
    }

    private static func waivers(_ environment: Board.Environment, now: Timestamp) -> HTML {
        let id = "environment-\(environment.name)"
        let shown = environment.waivers.prefix(maximumWaivers)
        let rest = environment.waivers.count - shown.count
        return HTML(
            "section", [.init("aria-labelledby", id)],
            HTML("h2", [.id(id)], link(environment.name.text, .environment(environment.name, .init()))),
            shown.isEmpty
                ? HTML("p", [.class("none")], "No waivers.")
                : table(
                    "Waivers in \(environment.name)",
                    ["Waiver", "State", "Site", "List", "Generation", "Approver", "Expires", "Reason"],
                    shown.map { row($0, environment.name, now: now) }),
            rest > 0 ? HTML("p", [], .text("and \(rest) earlier ones: 'rollcall waiver list' names them")) : .nothing)
    }

    private static func row(_ report: WaiverReport, _ environment: EnvironmentName, now: Timestamp) -> [HTML] {
        let state = report.state(at: now)
        let symbol = state == .valid ? "◐" : state == .invalid ? "✕" : "–"
        let look = state == .valid ? "waived" : state == .invalid ? "blocked" : "idle"
        let claim = report.claim
        return [
            HTML("code", [], .text(report.id)),
            HTML(
                "span", [.class("badge \(look)")], HTML("span", [hidden], .text("\(symbol) ")), .text(state.rawValue)),
            claim.map { link($0.site.text, .site(environment, $0.site)) } ?? none(),
            claim.map { link($0.list.text, .list(environment, $0.list, .init())) } ?? none(),
            claim.map { short($0.generation) } ?? none(),
            claim.map { .text($0.approver.text) } ?? none(),
            claim.map { [time($0.expiresAt), small(age($0.expiresAt, now: now))] } ?? none(),
            .text(report.defect ?? claim?.reason ?? ""),
        ]
    }

    /// The latest records of the audit chain that fit.
    init(audit page: CentralStore.AuditPage, _ filter: CentralStore.AuditFilter, before: Int64?) {
        self.init(
            "Audit log", summary: "\(Board.count(page.records.count, "record")), the latest first.",
            route: .audit(filter, before: before), form: Self.form(filter),
            live: [
                page.records.isEmpty
                    ? HTML("p", [.class("none")], "No record fits.")
                    : Self.table(
                        "Records of the audit chain", ["Number", "Time", "Who", "What", "Where", "List", "Remarks"],
                        page.records.map(Self.row)),
                page.older.map { older in
                    HTML(
                        "p", [],
                        Self.link(
                            page.records.isEmpty ? "Look further back, before number \(older)" : "Older records",
                            .audit(filter, before: older)))
                } ?? HTML("p", [.class("none")], "There is nothing before."),
                HTML(
                    "p", [.class("none")],
                    "'rollcall audit verify' says whether the chain holds together: this page does not."),
            ])
    }

    private static func row(_ record: AuditRecord) -> [HTML] {
        let event = record.event
        let place: HTML =
            switch (event.environment, event.site) {
            case (let environment?, let site?):
                [
                    link(environment.text, .environment(environment, .init())), "/",
                    link(site.text, .site(environment, site)),
                ]
            case (let environment?, nil): link(environment.text, .environment(environment, .init()))
            default: none()
            }
        let remarks = record.remarks
        return [
            .text("\(record.sequence)"), time(event.at),
            [.text(event.by.text), record.signature.map { small(.text($0)) } ?? .nothing],
            .text(event.action.text), place,
            event.list.map { list in [.text(list.text), event.generation.map { small(short($0)) } ?? .nothing] }
                ?? none(),
            remarks.isEmpty ? none() : .text(remarks.joined(separator: "; ")),
        ]
    }

    /// What to filter by. Sent with GET, so that the filter is in the address.
    private static func form(_ filter: CentralStore.AuditFilter) -> HTML {
        let fields: [(StaticString, String, String?)] = [
            ("environment", "Environment", filter.environment?.text), ("site", "Site", filter.site?.text),
            ("list", "List", filter.list?.text), ("by", "By", filter.person),
        ]
        return HTML(
            "form", [.init("method", "get"), .init("action", "/audit"), .label("Filter records")],
            .group(
                fields.map { name, label, value in
                    HTML(
                        "label", [],
                        HTML("span", [], .text(label)),
                        HTML(
                            "input",
                            [
                                .init("name", "\(name)"), .init("value", value ?? ""), .init("maxlength", "300"),
                                .init("autocomplete", "off"), .init("spellcheck", "false"),
                            ]))
                }),
            HTML("button", [.init("type", "submit")], "Filter"))
    }
}
