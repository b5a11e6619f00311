public import Console
import OCI
import Readiness

/// A board as lines for a terminal, as many as it takes. Pure.
public struct BoardText: Sendable, Hashable {
    /// The lines.
    public private(set) var lines: [StyledText] = []
    /// Where environments begin.
    private(set) var headings: [Int] = []

    private var width = 80
    private var isUnicode = true

    init() {}

    /// What the keys do.
    static var help: BoardText {
        var text = BoardText()
        text.lines =
            ["", StyledText("Keys", .strong)]
            + [
                ("q, Ctrl-C", "quit"), ("down, j", "one line down"), ("up, k", "one line up"),
                ("space, page down", "one page down"), ("b, page up", "one page up"),
                ("g, home", "to the beginning"), ("G, end", "to the end"),
                ("n, tab", "to the next environment"), ("p", "to the environment before"),
                ("a", "all sites, or those that are not ready"), ("d", "reasons as sentences, or as codes"),
                ("Ctrl-L", "draw the screen anew"), ("?", "this page, and back"),
            ].map { "  " + StyledText($0.0, .strong).padded(to: 20) + StyledText($0.1) }
        return text
    }

    /// - Parameters:
    ///   - board: what to show
    ///   - width: the columns that there are; sentences are broken to fit
    ///   - showsAllSites: whether sites that are ready are shown too
    ///   - showsReasons: whether reasons are sentences, or codes
    ///   - isUnicode: whether signs beyond ASCII can be shown
    public init(_ board: Board, width: Int, showsAllSites: Bool, showsReasons: Bool, isUnicode: Bool) {
        self.width = width
        self.isUnicode = isUnicode
        for environment in board.environments {
            if !lines.isEmpty { lines.append("") }
            headings.append(lines.count)
            let ready = environment.lists.count(where: \.verdict.isReady)
            lines.append(
                StyledText(environment.name.text, .strong)
                    + StyledText(
                        environment.lists.isEmpty
                            ? "  nothing staged, \(Board.count(environment.sites.count, "site"))"
                            : "  \(ready) of \(Board.count(environment.lists.count, "gate")) ready,"
                                + " \(Board.count(environment.sites.count, "site"))", .quiet))
            add(environment.lists)
            let shown = environment.sites.filter { showsAllSites || $0.state == .blocked || $0.state == .waived }
            let width = shown.map { $0.name.text.count }.max() ?? 0
            for site in shown.sorted(by: { $0.state < $1.state }) {
                add(site, nameWidth: min(width, 40), showsReasons: showsReasons, now: board.decidedAt)
            }
        }
    }

    private mutating func add(_ lists: [Board.List]) {
        let names = min(lists.map { $0.name.text.count }.max() ?? 0, 50)
        for list in lists {
            let verdict = list.verdict
            let state: SiteState = verdict.judged == nil ? .idle : verdict.isReady ? .ready : .blocked
            var line = "  " + sign(state) + StyledText(list.name.text).padded(to: names + 2)
            line += bar(Int64(verdict.readySites), of: Int64(verdict.sites.count), columns: 10)
            line += StyledText(" \(verdict.readySites)/\(verdict.sites.count)").padded(to: 9)
            if let staged = verdict.judged {
                line += StyledText(
                    list.promoted?.generation == staged.generation
                        ? "promoted" : list.promoted == nil ? "never promoted" : "not promoted", .quiet)
            }
            if case .at(let time) = list.expectation, !verdict.isReady {
                let seconds = Double(max(0, time.seconds - verdict.decidedAt.seconds))
                line += StyledText(", all in about \(Quantity.seconds(seconds))")
            }
            lines.append(line)
            for reason in verdict.reasons { add(sentence: "\(reason.code): \(reason.message)", indent: 6, .warning) }
            if let promoted = list.promotedVerdict { add(promoted: promoted, nameWidth: names) }
        }
    }

    /// What is promoted, where another generation is staged.
    private mutating func add(promoted: Verdict, nameWidth: Int) {
        let name = "promoted \(promoted.judged?.generation.short ?? "-")"
        var line = "    " + sign(promoted.isReady ? .ready : .blocked) + StyledText(name).padded(to: nameWidth)
        line += StyledText(" held by \(promoted.readySites)/\(promoted.sites.count)")
        lines.append(line)
        for reason in promoted.reasons { add(sentence: "\(reason.code): \(reason.message)", indent: 8, .warning) }
    }

    private mutating func add(_ site: Board.Site, nameWidth: Int, showsReasons: Bool, now: Timestamp) {
        var line = "    " + sign(site.state) + StyledText(site.name.text).padded(to: nameWidth + 2)
        if let progress = site.progress, progress.bytesTotal > 0, site.state == .blocked {
            line += bar(progress.bytesDone, of: progress.bytesTotal, columns: 16) + StyledText(" \(progress.words)")
            if let forecast = site.forecast(now: now) { line += StyledText(", \(forecast)") }
        } else {
            line += StyledText(site.state.rawValue, Self.style(of: site.state))
            if !showsReasons, !site.causes.isEmpty {
                let codes = site.causes.map(\.reason.code.text)
                line += StyledText(": " + Board.enumeration(codes, atMost: 3))
            }
            if let issuedAt = site.report?.manifest?.issuedAt {
                line += StyledText("  last report \(Board.age(issuedAt, now: now))", .quiet)
            }
        }
        lines.append(line)
        guard showsReasons else { return }
        for cause in site.causes.prefix(3) {
            let lists = site.parts.count > 1 ? " (\(Board.enumeration(cause.lists, atMost: 3)))" : ""
            add(sentence: "\(cause.reason.code)\(lists): \(cause.reason.message)", indent: 8, .plain)
        }
        if site.causes.count > 3 { add(sentence: "and \(site.causes.count - 3) more reasons", indent: 8, .quiet) }
        if let waiver = site.parts.compactMap(\.verdict.waiver).first {
            add(
                sentence: "waived by \(waiver.approver) until \(waiver.expiresAt): \(waiver.reason)", indent: 8,
                .warning)
        }
        if site.state == .blocked, let sources = site.progress?.sources, !sources.isEmpty {
            let names = sources.map { source in
                source.name + (source.bytesPerSecond.map { " \(Quantity.rate(Double($0)))" } ?? "")
            }
            add(sentence: "from \(Board.enumeration(names, atMost: 4))", indent: 8, .quiet)
        }
    }

    /// A sentence over as many lines as it takes, broken at spaces.
    private mutating func add(sentence: String, indent: Int, _ style: TextStyle) {
        let room = max(20, width - indent)
        var line = ""
        for word in sentence.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > room {
                lines.append(StyledText(String(repeating: " ", count: indent)) + StyledText(line, style))
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        lines.append(StyledText(String(repeating: " ", count: indent)) + StyledText(line, style))
    }

    /// A state's sign and a space.
    private func sign(_ state: SiteState) -> StyledText {
        let sign =
            switch state {
            case .blocked: isUnicode ? "✕" : "x"
            case .waived: isUnicode ? "◐" : "w"
            case .ready: isUnicode ? "✓" : "+"
            case .idle: "-"
            }
        return StyledText(sign, Self.style(of: state)) + " "
    }

    static func style(of state: SiteState) -> TextStyle {
        switch state {
        case .blocked: .bad
        case .waived: .warning
        case .ready: .good
        case .idle: .quiet
        }
    }

    private func bar(_ done: Int64, of total: Int64, columns: Int) -> StyledText {
        let share = total > 0 ? Double(done) / Double(total) : 0
        // Full only when it is.
        let full = min(columns, Int(share * Double(columns)))
        return StyledText(String(repeating: isUnicode ? "█" : "#", count: full))
            + StyledText(String(repeating: isUnicode ? "░" : ".", count: columns - full), .quiet)
    }
}

extension Board {
    /// Only one environment, or only the lists of one name, in as many environments as have one.
    ///
    /// - Returns: `nil` where there is neither an environment nor a list of this name
    public func only(_ name: String) -> Board? {
        let named = environments.filter { $0.name.text == name }
        if !named.isEmpty { return Board(environments: named, decidedAt: decidedAt) }
        let some = environments.compactMap { $0.only(name) }
        return some.isEmpty ? nil : Board(environments: some, decidedAt: decidedAt)
    }

    /// The gates one line each, for where nothing can be drawn: what has changed since the last look is worth printing.
    public var plainLines: [String] {
        environments.flatMap(\.lists).flatMap(\.verdicts).map { verdict in
            let blockers =
                verdict.reasons.map(\.code.text)
                + verdict.blockers.map { "\($0.code) at \(Self.enumeration($0.sites, atMost: 4))" }
            return "\(verdict.list) in \(verdict.environment)\(verdict.subject == .promoted ? ", promoted" : ""):"
                + " \(verdict.isReady ? "ready" : "blocked"),"
                + " \(verdict.readySites) of \(Self.count(verdict.sites.count, "site")) ready"
                + (blockers.isEmpty ? "" : "; " + blockers.joined(separator: "; "))
        }
    }
}
