import Console
import OCI
import Readiness

// The pages of environments, lists and sites.
extension BoardPage {
    /// Sites that are not ready, as many as the overview shows of each environment.
    static let maximumTroubles = 10

    /// Every environment, in ladder order.
    init(overviewOf board: Board) {
        let blocked = board.environments.flatMap(\.lists).count(where: \.isBlocked)
        self.init(
            blocked == 0 ? "Fleet" : "Fleet: \(blocked) blocked", summary: board.summary, at: board.decidedAt,
            route: .overview, live: .group(board.environments.map { Self.overview($0, now: board.decidedAt) }))
    }

    private static func overview(_ environment: Board.Environment, now: Timestamp) -> HTML {
        let id = "environment-\(environment.name)"
        let troubles = environment.sites.filter { $0.state == .blocked || $0.state == .waived }
            .sorted { $0.state < $1.state }
        let calm = environment.sites.count - troubles.count
        return HTML(
            "section", [.init("aria-labelledby", id)],
            HTML("h2", [.id(id)], link(environment.name.text, .environment(environment.name, .init()))),
            lists(environment, now: now),
            troubles.isEmpty ? .nothing : sites(Array(troubles.prefix(maximumTroubles)), of: environment, now: now),
            HTML(
                "p", [],
                link(
                    troubles.count > maximumTroubles
                        ? "All \(Board.count(environment.sites.count, "site")), \(troubles.count) of them blocked or waived"
                        : troubles.isEmpty
                            ? Board.count(environment.sites.count, "site")
                            : "\(calm) more \(calm == 1 ? "site" : "sites")",
                    .environment(environment.name, .init()))))
    }

    /// One environment: its lists, and its sites by page.
    init(_ environment: Board.Environment, _ selection: BoardRoute.SiteSelection, at now: Timestamp) {
        let gates = environment.lists.count
        let ready = environment.lists.count(where: \.verdict.isReady)
        let counts = SiteState.allCases.map { "\(environment.count(of: $0)) \($0.rawValue)" }.joined(separator: ", ")
        let sites = Self.page(of: environment.sites(in: selection.state), selection)
        self.init(
            environment.name.text,
            summary: "\(ready) of \(Board.count(gates, "gate")) ready. Sites: \(counts).", at: now,
            route: .environment(environment.name, selection),
            live: [
                HTML(
                    "section", [.init("aria-labelledby", "lists")], HTML("h2", [.id("lists")], "Lists"),
                    Self.lists(environment, now: now),
                    Self.facts(Self.rules(of: environment))),
                HTML(
                    "section", [.init("aria-labelledby", "sites")], HTML("h2", [.id("sites")], "Sites"),
                    Self.filter(environment, selection) { .environment(environment.name, $0) },
                    sites.isEmpty
                        ? HTML("p", [.class("none")], "No site of this state.")
                        : Self.sites(sites, of: environment, now: now),
                    Self.pager(environment.sites(in: selection.state).count, selection) {
                        .environment(environment.name, $0)
                    }),
            ])
    }

    private static func rules(of environment: Board.Environment) -> [(String, HTML)] {
        let place = environment.place
        return [
            ("Verified within", .text(place.freshness.rounded)),
            ("Content read within", .text(place.contentWithin?.rounded ?? "not asked for")),
            ("Unsigned sites", place.acceptsUnsigned ? "are believed" : "block"),
            ("Kept to return to", .text(Board.count(place.rollbackDepth, "promotion"))),
        ]
    }

    /// Links to the sites of each state, with their numbers.
    private static func filter(
        _ environment: Board.Environment, _ selection: BoardRoute.SiteSelection,
        route: (BoardRoute.SiteSelection) -> BoardRoute
    ) -> HTML {
        let states: [SiteState?] = [nil] + SiteState.allCases.filter { environment.count(of: $0) > 0 }
        return HTML(
            "nav", [.label("Sites by state"), .class("filter")],
            HTML(
                "ul", [],
                each: states.map { state in
                    let number = environment.sites(in: state).count
                    return HTML(
                        "li", [],
                        HTML(
                            "a",
                            [.href(route(.init(state: state)))] + (state == selection.state ? [current] : []),
                            .text("\(state?.rawValue ?? "all") (\(number))")))
                }))
    }

    /// Those of a page; of one that is too far, those of the last.
    private static func page<Element>(_ selection: BoardRoute.SiteSelection, of all: [Element]) -> ArraySlice<Element> {
        let size = BoardRoute.SiteSelection.pageSize
        let page = min(selection.page, max(1, (all.count + size - 1) / size))
        return all.dropFirst((page - 1) * size).prefix(size)
    }

    static func page(of sites: [Board.Site], _ selection: BoardRoute.SiteSelection) -> [Board.Site] {
        Array(page(selection, of: sites))
    }

    /// Links to the pages, where there are several.
    private static func pager(
        _ count: Int, _ selection: BoardRoute.SiteSelection, route: (BoardRoute.SiteSelection) -> BoardRoute
    ) -> HTML {
        let size = BoardRoute.SiteSelection.pageSize
        let last = (count + size - 1) / size
        guard last > 1 else { return .nothing }
        let here = min(selection.page, last)
        // The first, the last, and those around this one.
        let shown = (1...last).filter { $0 == 1 || $0 == last || abs($0 - here) <= 2 }
        return HTML(
            "nav", [.label("Pages of sites"), .class("filter")],
            HTML(
                "ul", [],
                each: shown.map { page in
                    HTML(
                        "li", [],
                        HTML(
                            "a",
                            [.href(route(.init(state: selection.state, page: page)))] + (page == here ? [current] : []),
                            .text("\(page)")))
                }))
    }

    /// Sites with what blocks them and how far they are.
    private static func sites(_ sites: [Board.Site], of environment: Board.Environment, now: Timestamp) -> HTML {
        table(
            "Sites in \(environment.name)", ["Site", "State", "Why", "Transfer", "Last report"], look: "sites",
            sites.map { site in
                let causes = site.causes
                let rest = causes.count - 2
                return [
                    link(site.name.text, .site(environment.name, site.name)),
                    badge(site.state),
                    causes.isEmpty
                        ? waivers(of: site)
                        : .group(
                            causes.prefix(rest > 1 ? 2 : 3).map { cause in
                                [
                                    reason(cause.reason),
                                    site.parts.count > 1
                                        ? small(.text("for \(Board.enumeration(cause.lists, atMost: 3))")) : .nothing,
                                ]
                            } + (rest > 1 ? [small(.text("and \(rest) more reasons"))] : [])),
                    transfer(site, now: now),
                    site.report?.manifest.map { age($0.issuedAt, now: now) } ?? none("never"),
                ]
            })
    }

    private static func waivers(of site: Board.Site) -> HTML {
        let waivers = site.parts.compactMap(\.verdict.waiver)
        guard !waivers.isEmpty else { return none() }
        return .group(
            waivers.prefix(3).map { waiver in
                HTML(
                    "p", [.class("reason")], HTML("strong", [], "waived"),
                    .text(" for \(waiver.list) by \(waiver.approver) until "), time(waiver.expiresAt),
                    .text(": \(waiver.reason)"))
            })
    }

    /// One list, with what every site proved of it.
    init(
        _ list: Board.List, of environment: Board.Environment, _ selection: BoardRoute.SiteSelection, at now: Timestamp
    ) {
        let verdict = list.verdict
        let all = verdict.sites.filter { selection.state == nil || SiteState($0) == selection.state }
        let counts = Dictionary(grouping: verdict.sites, by: SiteState.init).mapValues(\.count)
        let route = { BoardRoute.list(environment.name, list.name, $0) }
        let states: [SiteState?] = [nil] + SiteState.allCases.filter { counts[$0] != nil }
        let promoted = list.promotedVerdict.map { " What is promoted: \(Self.held($0))." } ?? ""
        self.init(
            "\(list.name) in \(environment.name)",
            summary: "\(verdict.isReady ? "Ready" : "Blocked"): \(verdict.readySites) of"
                + " \(Board.count(verdict.sites.count, "site")) ready.\(promoted)",
            at: now, route: route(selection),
            live: [
                HTML("p", [], Self.gateBadge(verdict)),
                .group(verdict.reasons.map(Self.reason)),
                Self.facts([
                    ("Environment", Self.link(environment.name.text, .environment(environment.name, .init()))),
                    ("Staged", Self.pointer(verdict.judged, now: now)),
                    ("Promoted", Self.pointer(list.promoted, now: now)),
                    (
                        "Images",
                        .text(
                            verdict.judged.map {
                                "\($0.images), \(Board.count($0.entries, "entry").replacing("entrys", with: "entries")),"
                                    + " \(Quantity.bytes($0.bytes))"
                            } ?? "–")
                    ),
                ]),
                list.promotedVerdict.map { Self.promoted($0, environment, now: now) } ?? .nothing,
                HTML(
                    "section", [.init("aria-labelledby", "sites")], HTML("h2", [.id("sites")], "Sites"),
                    HTML(
                        "nav", [.label("Sites by state"), .class("filter")],
                        HTML(
                            "ul", [],
                            each: states.map { state in
                                HTML(
                                    "li", [],
                                    HTML(
                                        "a",
                                        [.href(route(.init(state: state)))]
                                            + (state == selection.state ? [Self.current] : []),
                                        .text(
                                            "\(state?.rawValue ?? "all")"
                                                + " (\(state.map { counts[$0] ?? 0 } ?? verdict.sites.count))")))
                            })),
                    all.isEmpty
                        ? HTML("p", [.class("none")], "No site.")
                        : Self.table(
                            "What sites proved of \(list.name)", ["Site", "State", "Why", "Missing", "Verified"],
                            look: "sites",
                            Self.page(selection, of: all).map { Self.row($0, environment, now: now) }),
                    Self.pager(all.count, selection, route: route)),
            ])
    }

    /// What is promoted, where another generation is staged: whether every site still holds it, and those that do not.
    private static func promoted(_ verdict: Verdict, _ environment: Board.Environment, now: Timestamp) -> HTML {
        let lost = verdict.sites.filter { !$0.isReady }
        let rest = lost.count - maximumTroubles
        return HTML(
            "section", [.init("aria-labelledby", "promoted")], HTML("h2", [.id("promoted")], "What is promoted"),
            HTML("p", [], gateBadge(verdict), .text(" \(held(verdict)).")),
            .group(verdict.reasons.map(reason)),
            lost.isEmpty
                ? .nothing
                : table(
                    "Sites that do not prove what is promoted", ["Site", "State", "Why", "Missing", "Verified"],
                    look: "sites", lost.prefix(maximumTroubles).map { row($0, environment, now: now) }),
            rest > 0
                ? HTML(
                    "p", [],
                    .text(
                        "and \(rest) more: 'rollcall check \(verdict.list) --environment \(verdict.environment)"
                            + " --promoted' names them")) : .nothing)
    }

    /// How many sites hold what a decision is about.
    static func held(_ verdict: Verdict) -> String {
        let verb = verdict.readySites == 1 ? "holds" : "hold"
        return "\(verdict.readySites) of \(Board.count(verdict.sites.count, "site")) \(verb) it"
    }

    private static func row(_ site: Verdict.Site, _ environment: Board.Environment, now: Timestamp) -> [HTML] {
        [
            link(site.name.text, .site(environment.name, site.name)),
            badge(SiteState(site)),
            why(site),
            missing(site),
            site.holding.map { [age($0.verifiedAt, now: now), small(.text($0.depth.rawValue))] } ?? none("never"),
        ]
    }

    static func why(_ site: Verdict.Site) -> HTML {
        var parts = site.reasons.map(reason)
        if let waiver = site.waiver {
            parts.append(
                HTML(
                    "p", [.class("reason")], HTML("strong", [], "waived"),
                    .text(" (\(waiver.id)) by \(waiver.approver) until "), time(waiver.expiresAt),
                    .text(": \(waiver.reason)")))
        }
        if site.isUnproved { parts.append(small("unsigned: nobody vouches for what it says")) }
        return parts.isEmpty ? none() : .group(parts)
    }

    static func missing(_ site: Verdict.Site) -> HTML {
        guard let holding = site.holding, holding.missingEntries > 0 else { return none() }
        return .text("\(holding.missingEntries) (\(Quantity.bytes(holding.missingBytes)))")
    }
}
