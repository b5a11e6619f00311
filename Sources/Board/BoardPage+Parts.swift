import Console
import OCI
import Readiness

// What the pages are made of.
extension BoardPage {
    /// A table whose first column names its rows. On a narrow screen each row becomes a block, whose cells are preceded by
    /// their column's name; the roles say that it is a table all the same.
    ///
    /// - Parameters:
    ///   - caption: what it shows
    ///   - header: the columns' names
    ///   - rows: as many cells each as there are columns
    ///   - look: the class of tables whose columns are as wide as each other's
    static func table(_ caption: String, _ header: [String], look: String? = nil, _ rows: [[HTML]]) -> HTML {
        HTML(
            "table", [.role("table")] + (look.map { [.class($0)] } ?? []),
            HTML("caption", [], .text(caption)),
            HTML(
                "thead", [.role("rowgroup")],
                HTML(
                    "tr", [.role("row")],
                    each: header.map {
                        HTML("th", [.init("scope", "col"), .role("columnheader")], .text($0))
                    })),
            HTML(
                "tbody", [.role("rowgroup")],
                each: rows.map { cells in
                    HTML(
                        "tr", [.role("row")],
                        each: zip(header, cells).enumerated().map { index, cell in
                            index == 0
                                ? HTML("th", [.init("scope", "row"), .role("rowheader")], cell.1)
                                : HTML("td", [.role("cell"), .init("data-label", cell.0)], cell.1)
                        })
                }))
    }

    /// Facts by their names.
    static func facts(_ facts: [(String, HTML)]) -> HTML {
        // Its box would be there, and empty.
        guard !facts.isEmpty else { return .nothing }
        return HTML(
            "dl", [],
            each: facts.map { HTML("div", [], HTML("dt", [], .text($0.0)), HTML("dd", [], $0.1)) })
    }

    static func link(_ text: String, _ route: BoardRoute) -> HTML { HTML("a", [.href(route)], .text(text)) }

    /// A state as a word with a sign: colour says it once more.
    static func badge(_ state: SiteState) -> HTML {
        let symbol =
            switch state {
            case .blocked: "✕"
            case .waived: "◐"
            case .ready: "✓"
            case .idle: "–"
            }
        return HTML(
            "span", [.class("badge \(state.rawValue)")],
            HTML("span", [hidden], .text("\(symbol) ")), .text(state.rawValue))
    }

    static func gateBadge(_ verdict: Verdict) -> HTML {
        verdict.judged == nil ? badge(.idle) : badge(verdict.isReady ? .ready : .blocked)
    }

    /// A moment.
    static func time(_ time: Timestamp) -> HTML { HTML("time", [.init("datetime", "\(time)")], .text("\(time)")) }

    /// How long ago a moment was; the moment itself on hovering, and in the markup.
    static func age(_ time: Timestamp, now: Timestamp) -> HTML {
        HTML(
            "time", [.init("datetime", "\(time)"), .init("title", "\(time)")], .text(Board.age(time, now: now)))
    }

    /// A digest that has room for its beginning only.
    static func short(_ digest: Digest) -> HTML { HTML("code", [.init("title", "\(digest)")], .text(digest.short)) }

    static func none(_ text: String = "–") -> HTML { HTML("span", [.class("none")], .text(text)) }

    static func small(_ children: HTML...) -> HTML { HTML("span", [.class("small")], each: children) }

    /// A reason with its code before its sentence.
    static func reason(_ reason: Reason) -> HTML {
        HTML("p", [.class("reason")], HTML("strong", [], .text(reason.code.text)), .text(": \(reason.message)"))
    }

    /// How much of something is done, as a bar and in words.
    static func bar(_ done: Int64, of total: Int64, _ words: String) -> HTML {
        [
            HTML(
                "progress", [.init("value", "\(done)"), .init("max", "\(max(1, total))"), hidden]),
            HTML("span", [.class("words")], .text(words)),
        ]
    }

    /// How far a site's transfers are, until when, and from where.
    static func transfer(_ site: Board.Site, now: Timestamp) -> HTML {
        guard let progress = site.progress else { return none(site.state == .blocked ? "nothing under way" : "–") }
        var parts: [HTML] = []
        if progress.bytesTotal > 0 {
            parts.append(bar(progress.bytesDone, of: progress.bytesTotal, progress.words))
        }
        if let forecast = site.forecast(now: now) { parts.append(small(.text(forecast))) }
        let sources = progress.sources ?? []
        if !sources.isEmpty {
            parts.append(
                small(
                    "from ",
                    .text(
                        Board.enumeration(
                            sources.map { source in
                                source.name + (source.bytesPerSecond.map { " \(Quantity.rate(Double($0)))" } ?? "")
                            }, atMost: 3))))
        }
        return parts.isEmpty ? none("looking") : .group(parts)
    }

    /// What is staged or promoted, since when and by whom.
    static func pointer(_ pointer: EnvironmentRecord.Pointer?, now: Timestamp) -> HTML {
        guard let pointer else { return none("nothing") }
        return [short(pointer.generation), small(age(pointer.at, now: now), .text(" by \(pointer.by)"))]
    }

    /// The lists of an environment, each with its gate.
    static func lists(_ environment: Board.Environment, now: Timestamp) -> HTML {
        guard !environment.lists.isEmpty else {
            return HTML("p", [.class("none")], .text("Nothing is staged here."))
        }
        // More than a page bears; whoever has that many asks for one by its name.
        let shown = environment.lists.sorted { $0.isBlocked && !$1.isBlocked }.prefix(maximumLists)
        let rest = environment.lists.count - shown.count
        return [
            table(
                "Lists in \(environment.name)", ["List", "Gate", "Proved", "Staged", "Promoted", "What blocks"],
                look: "lists",
                shown.map { list in
                    [
                        link(list.name.text, .list(environment.name, list.name, .init())),
                        gateBadge(list.verdict),
                        proved(list),
                        pointer(list.verdict.judged, now: now),
                        promoted(list, now: now),
                        blockers(list),
                    ]
                }),
            rest > 0
                ? HTML("p", [], .text("and \(rest) more lists: 'rollcall status' names them")) : .nothing,
        ]
    }

    /// Lists that a page shows of an environment.
    static let maximumLists = 200

    /// What is promoted; where that is another generation than what is staged, also whether it is still held.
    private static func promoted(_ list: Board.List, now: Timestamp) -> HTML {
        if let promoted = list.promoted, promoted.generation == list.verdict.judged?.generation {
            return ["the same", small(age(promoted.at, now: now))]
        }
        let standing = list.promotedVerdict.map { [gateBadge($0), small(.text(held($0)))] as HTML }
        return [pointer(list.promoted, now: now), standing ?? .nothing]
    }

    private static func proved(_ list: Board.List) -> HTML {
        guard !list.verdict.sites.isEmpty else { return none() }
        let (ready, all) = (list.verdict.readySites, list.verdict.sites.count)
        var parts = [bar(Int64(ready), of: Int64(all), "\(ready) of \(Board.count(all, "site"))")]
        if case .at(let time) = list.expectation, !list.verdict.isReady {
            let seconds = Double(max(0, time.seconds - list.verdict.decidedAt.seconds))
            parts.append(small(.text("all in about \(Quantity.seconds(seconds))")))
        }
        return .group(parts)
    }

    private static func blockers(_ list: Board.List) -> HTML {
        var parts = blockers(of: list.verdict)
        let promoted = list.promotedVerdict.map { blockers(of: $0) } ?? []
        if !promoted.isEmpty { parts += [small("of what is promoted:")] + promoted }
        return parts.isEmpty ? none() : .group(parts)
    }

    private static func blockers(of verdict: Verdict) -> [HTML] {
        var parts = verdict.reasons.map(reason)
        parts += verdict.blockers.map { code, sites in
            HTML(
                "p", [.class("reason")], HTML("strong", [], .text(code)),
                .text(": \(Board.enumeration(sites, atMost: 4))"))
        }
        let waived = verdict.sites.filter { $0.waiver != nil }.map(\.name.text)
        if !waived.isEmpty { parts.append(small(.text("waived: \(Board.enumeration(waived, atMost: 4))"))) }
        let unsigned = verdict.unprovedSites.map(\.text)
        if !unsigned.isEmpty { parts.append(small(.text("unsigned: \(Board.enumeration(unsigned, atMost: 4))"))) }
        return parts
    }
}
