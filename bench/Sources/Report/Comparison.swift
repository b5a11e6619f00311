/// What changed from one report to another. A pure value.
struct Comparison {
    /// What a figure's change amounts to.
    enum Judgement: String {
        case better, worse
        /// It is another one, of a figure of which neither more nor less is better.
        case other = "changed"
        /// The runs' ranges overlap, or less than a twentieth lies between the medians.
        case same = "as before"
    }

    /// What a figure should be.
    enum Aim {
        case less
        /// As near to 1 as can be.
        case one
        case neither

        /// What a scenario's own figure should be: less, but for those that only say how it was done.
        static func reading(_ name: String) -> Aim {
            switch name {
            case "mean rate / cap": return .one
            case "budget of connections", "of them not changed (304)": return .neither
            default: return name.hasPrefix(TwoSources.reading) ? .neither : .less
            }
        }
    }

    /// One figure of one tool, in both reports.
    struct Line {
        let scenario: String
        let tool: String
        let figure: String
        let before: Spread
        let after: Spread
        var aim = Aim.less

        /// The new median beside the old one.
        var ratio: Double? { before.median > 0 ? after.median / before.median : nil }

        /// What has become of it.
        var judgement: Judgement {
            let overlap = after.minimum <= before.maximum && before.minimum <= after.maximum
            // From nothing to something is a change however little it is.
            let isChange = ratio.map { abs($0 - 1) > 0.05 && !overlap } ?? (after.median > 0)
            guard isChange else { return .same }
            switch aim {
            case .less: return after.median < before.median ? .better : .worse
            case .one: return abs(after.median - 1) < abs(before.median - 1) ? .better : .worse
            case .neither: return .other
            }
        }
    }

    private(set) var lines: [Line] = []
    /// What must be known to read the lines: other parameters, other machines, what only one report has.
    private(set) var remarks: [String] = []

    /// - Parameters:
    ///   - before: the older report
    ///   - after: the newer one
    init(_ before: Report, _ after: Report) {
        if before.machine.processor != after.machine.processor || before.machine.processors != after.machine.processors
        {
            remarks.append(
                "other machines: \(before.machine.processors) × \(before.machine.processor) before, "
                    + "\(after.machine.processors) × \(after.machine.processor) after")
        }
        let speed = after.machine.hashRate / max(before.machine.hashRate, 1)
        if abs(speed - 1) > 0.1 {
            remarks.append(
                "one processor hashed at \(fixed(speed, 2)) times the speed of before: times mean that much less")
        }
        if let build = before.build, let now = after.build, build != now {
            remarks.append(
                "a \(build) build of Rollcall before, a \(now) build after: its times and memory say nothing")
        }
        if let commit = before.commit, let now = after.commit, commit != now {
            remarks.append("commit \(commit) before, \(now) after")
        }
        for report in [before, after] where !report.isComplete {
            remarks.append("the report of \(report.date) was stopped before its end")
        }
        let old = Dictionary(before.scenarios.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for scenario in after.scenarios {
            guard let earlier = old[scenario.name] else {
                remarks.append("\(scenario.name) is only in the newer report")
                continue
            }
            guard earlier.bytes == scenario.bytes, earlier.images == scenario.images, earlier.link == scenario.link,
                earlier.parameters ?? scenario.parameters == scenario.parameters ?? earlier.parameters
            else {
                remarks.append("\(scenario.name) was run with other parameters, and is not compared")
                continue
            }
            if let fileSystem = earlier.fileSystem, let now = scenario.fileSystem, fileSystem != now {
                remarks.append("\(scenario.name): files on \(fileSystem) before, on \(now) after")
            }
            for (name, value) in scenario.settings.sorted(by: { $0.key < $1.key }) {
                guard let old = earlier.settings[name], old != value else { continue }
                remarks.append("\(scenario.name): \(name) was \(old), and is \(value)")
            }
            for tool in scenario.tools { compare(scenario.name, earlier.tools.first { $0.tool == tool.tool }, tool) }
        }
        for scenario in before.scenarios where !after.scenarios.contains(where: { $0.name == scenario.name }) {
            remarks.append("\(scenario.name) is only in the older report")
        }
    }

    private mutating func compare(_ scenario: String, _ before: ToolSummary?, _ after: ToolSummary) {
        guard let before else {
            remarks.append("\(scenario): \(after.tool) is only in the newer report")
            return
        }
        if before.version != after.version {
            remarks.append("\(scenario): \(after.tool) was \(before.version), and is \(after.version)")
        }
        let failures = (before.runs - before.good, after.runs - after.good)
        if failures != (0, 0) {
            remarks.append(
                "\(scenario): \(after.tool) failed in \(failures.0) of \(before.runs) runs before, and in \(failures.1) of "
                    + "\(after.runs) after")
        }
        let figures: [(String, KeyPath<ToolSummary, Spread?>)] = [
            ("wall s", \.wall), ("CPU s", \.cpu), ("memory, bytes", \.peakMemory), ("registries' CPU s", \.serverCPU),
            ("fetched / needed", \.fetched), ("bytes to the site", \.down), ("bytes from it", \.up),
            ("requests to the source", \.sourceRequests), ("requests to the site's registry", \.siteRequests),
            ("connections", \.connections), ("refused", \.refused), ("TCP retransmissions", \.retransmitted),
        ]
        for (name, figure) in figures {
            guard let old = before[keyPath: figure], let new = after[keyPath: figure] else { continue }
            lines.append(Line(scenario: scenario, tool: after.tool, figure: name, before: old, after: new))
        }
        for (name, new) in after.readings.sorted(by: { $0.key < $1.key }) {
            guard let old = before.readings[name] else { continue }
            lines.append(
                Line(
                    scenario: scenario, tool: after.tool, figure: name, before: old, after: new, aim: .reading(name)))
        }
    }

    /// The comparison for a person.
    ///
    /// - Parameter all: whether figures are shown that are as before; times always are
    func text(all: Bool) -> String {
        func number(_ value: Double) -> String { fixed(value, value < 100 && value != value.rounded() ? 3 : 0) }
        let shown = lines.filter { all || $0.judgement != .same || $0.figure == "wall s" }
        let rows = shown.map { line in
            [
                line.scenario, line.tool, line.figure, number(line.before.median), number(line.after.median),
                line.ratio.map { "\(fixed($0, 2))x" } ?? "", line.judgement.rawValue,
            ]
        }
        let header = ["scenario", "tool", "figure", "before", "after", "after / before", ""]
        return
            (remarks.map { "- \($0)" } + (remarks.isEmpty ? [] : [""])
            + [rows.isEmpty ? "No figure is in both reports." : ScenarioFigures.table(header, rows)])
            .joined(separator: "\n")
    }
}
