import Console
import OCI
import Readiness
import Trust

extension BoardPage {
    /// Missing entries that are named of each list.
    static let maximumMissing = 100

    /// One site: what it last said, how far it is, and what each list still needs of it.
    init(_ site: Board.Site, of environment: Board.Environment, at now: Timestamp) {
        let forecast = site.forecast(now: now).map { ", \($0)" } ?? ""
        self.init(
            "\(site.name) in \(environment.name)",
            summary: "\(site.state.rawValue)\(site.progress.map { ", \($0.words)" } ?? "")\(forecast).".sentence,
            at: now, route: .site(environment.name, site.name),
            live: [
                HTML("p", [], Self.badge(site.state)),
                Self.facts(Self.facts(of: site, environment, now: now)),
                Self.transferSection(site, now: now),
                .group(site.parts.map { Self.section($0, environment, now: now) }),
            ])
    }

    private static func facts(
        of site: Board.Site, _ environment: Board.Environment, now: Timestamp
    ) -> [(String, HTML)] {
        let place = environment.place.sites.first { $0.name == site.name }
        var facts: [(String, HTML)] = [
            ("Environment", link(environment.name.text, .environment(environment.name, .init()))),
            ("Registry", .text(place?.registry ?? "the fleet file does not name this site")),
        ]
        guard let report = site.report else { return facts + [("Last report", none("never"))] }
        switch report.content {
        case .signed(_, by: let key): facts.append(("Signed by", short(key.id)))
        case .unproved: facts.append(("Signed by", "nobody"))
        case .wronglySigned: facts.append(("Signed by", "a key that is not the site's"))
        case .misplaced(let owner, let home): facts.append(("Signed by", .text("site \(owner) in \(home)")))
        case .unreadable(let why): facts.append(("Last report", .text("cannot be read: \(why)")))
        }
        if let manifest = report.manifest {
            facts += [
                ("Last report", [age(manifest.issuedAt, now: now), .text(", number \(manifest.sequence)")]),
                ("Proof until", [time(manifest.expiresAt), small(age(manifest.expiresAt, now: now))]),
                ("Agent", .text(manifest.agentVersion)),
            ]
        }
        return facts
    }

    private static func transferSection(_ site: Board.Site, now: Timestamp) -> HTML {
        guard let progress = site.progress else { return .nothing }
        let sources = progress.sources ?? []
        return HTML(
            "section", [.init("aria-labelledby", "transfer")], HTML("h2", [.id("transfer")], "Transfer"),
            HTML(
                "p", [],
                bar(progress.bytesDone, of: progress.bytesTotal, progress.words),
                .text(site.forecast(now: now).map { ", \($0)" } ?? "")),
            sources.isEmpty
                ? HTML("p", [.class("none")], "The agent does not say where from.")
                : table(
                    "Where the bytes come from", ["Source", "Received", "Rate"],
                    sources.map { source in
                        [
                            .text(source.name), .text(Quantity.bytes(source.bytes)),
                            source.bytesPerSecond.map { .text(Quantity.rate(Double($0))) } ?? none(),
                        ]
                    }))
    }

    private static func section(_ part: Board.Site.Part, _ environment: Board.Environment, now: Timestamp) -> HTML {
        // No list's name can make one of the other: both begin with what they are.
        let id = "\(part.subject == .promoted ? "promoted" : "list")-\(part.list)"
        let site = part.verdict
        var facts: [(String, HTML)] = []
        if let holding = site.holding {
            facts.append(("Verified", [age(holding.verifiedAt, now: now), .text(", by \(holding.depth.rawValue)")]))
            facts.append(
                ("Content read back", holding.contentVerifiedAt.map { age($0, now: now) } ?? none("not all of it")))
            facts.append(("Holds", .text("\(holding.entries) entries, \(Quantity.bytes(holding.bytes))")))
            facts.append(("Missing", missing(site)))
        }
        return HTML(
            "section", [.init("aria-labelledby", id)],
            HTML("h2", [.id(id)], link(part.name, .list(environment.name, part.list, .init()))),
            HTML("p", [], badge(SiteState(site))), why(site), Self.facts(facts), missingEntries(site, id: id))
    }

    private static func missingEntries(_ site: Verdict.Site, id: String) -> HTML {
        guard let holding = site.holding, !holding.missing.isEmpty else { return .nothing }
        let shown = holding.missing.prefix(maximumMissing)
        let rest = holding.missingEntries - shown.count
        return HTML(
            "details", [.id("missing-\(id)")],
            HTML("summary", [], "What is missing"),
            table(
                "Missing entries", ["Repository", "Digest", "Kind", "Size"],
                shown.map { entry in
                    [
                        .text(entry.repository.name), HTML("code", [], .text("\(entry.digest)")),
                        .text(entry.kind.rawValue), .text(Quantity.bytes(entry.size)),
                    ]
                }),
            rest > 0
                ? HTML("p", [], .text("and \(rest) more: 'rollcall check --output json' names them all")) : .nothing)
    }
}

extension String {
    /// With a capital at its beginning.
    fileprivate var sentence: String { prefix(1).uppercased() + dropFirst() }
}
