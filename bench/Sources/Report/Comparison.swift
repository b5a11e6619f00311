/// What changed from one report to another. A pure value.
struct Comparison {
    /// What a figure's change amounts to.
    enum Judgement: String {
        case better, worse
        /// The runs' ranges overlap, or less than a twentieth lies between the medians.
        case same = "as before"
    }

    /// One figure of one tool, in both reports.
    struct Line {
        let scenario: String
        let tool: String
        let figure: String
        let before: Spread
        let after: Spread

        /// The new median beside the old one.
        var ratio: Double? { before.median > 0 ? after.median / before.median : nil }

        /// More is worse for every figure here.
        var judgement: Judgement {
            let overlap = after.minimum <= before.maximum && before.minimum <= after.maximum
            guard !overlap, let ratio, abs(ratio - 1) > 0.05 else {
                return before.median == 0 && after.median > 0 ? .worse : .same
            }
            return ratio < 1 ? .better : .worse
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
        for report in [before, after] where !report.isComplete {
            remarks.append("the report of \(report.date) was stopped before its end")
        }
        let old = Dictionary(before.scenarios.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for scenario in after.scenarios {
            guard let earlier = old[scenario.name] else {
                remarks.append("\(scenario.name) is only in the newer report")
                continue
            }
            guard earlier.bytes == scenario.bytes, earlier.images == scenario.images, earlier.link == scenario.link
            else {
                remarks.append("\(scenario.name) was run with other parameters, and is not compared")
                continue
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
