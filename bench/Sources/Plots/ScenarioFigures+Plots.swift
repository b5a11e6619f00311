extension ScenarioFigures {
    /// A plot of the report.
    struct PlotFile {
        /// The file's name.
        let name: String
        /// What it shows, for whoever does not see it.
        let title: String
        let svg: String
    }

    /// The scenario's plots: times, the link's use over time, and bytes by their kind and by their source. Those without
    /// figures are missing.
    var plots: [PlotFile] { [times, utilisation, bytesOnTheWire, bytesBySource].compactMap(\.self) }

    /// Each tool's median time, with its fastest and slowest run.
    private var times: PlotFile? {
        let bars = tools.compactMap { tool in
            tool.wall.map { Plot.Bar(name: tool.tool, parts: [$0.median], range: ($0.minimum, $0.maximum)) }
        }
        guard !bars.isEmpty else { return nil }
        let title = "\(name): seconds, median of the runs"
        return PlotFile(
            name: "\(name)-times.svg", title: title,
            svg: Plot.bars(title, unit: "s", limit: limit.map { ("limit: \(limitReason)", $0) }, bars))
    }

    /// What the link carried to the site over time, in each tool's median run.
    private var utilisation: PlotFile? {
        guard let link else { return nil }
        let curves = tools.compactMap { tool -> Plot.Curve? in
            let good = runs.filter { $0.tool == tool.tool && $0.isGood && !$0.timeline.at.isEmpty }
                .sorted { $0.wall < $1.wall }
            guard !good.isEmpty else { return nil }
            let run = good[(good.count - 1) / 2]
            // Enough points for the width of the plot, and none shorter than what was sampled.
            let span = max(0.1, (run.timeline.at.last ?? 0) / 200)
            let points = run.timeline.spans(of: span).enumerated().map {
                (x: (Double($0) + 0.5) * span, y: $1 * 8 / 1e6 / span)
            }
            return Plot.Curve(name: tool.tool, points: points)
        }
        guard !curves.isEmpty else { return nil }
        let title = "\(name): TCP payload to the site over time"
        // What is left of a packet of 1500 bytes for payload.
        let limit = ("the link's rate, less headers", Double(link.rate) / 1e6 * 1448 / 1500)
        return PlotFile(
            name: "\(name)-utilisation.svg", title: title,
            svg: Plot.curves(title, unit: "Mbit/s", limit: limit, curves))
    }

    /// What each source brought; missing where there is only one.
    private var bytesBySource: PlotFile? {
        let names = Set(tools.flatMap(\.readings.keys)).filter { $0.hasPrefix(TwoSources.reading) }.sorted()
        let bars = tools.compactMap { tool -> Plot.Bar? in
            let parts = names.map { tool.readings[$0]?.median ?? 0 }
            return parts.contains { $0 > 0 } ? Plot.Bar(name: tool.tool, parts: parts) : nil
        }
        guard names.count > 1, !bars.isEmpty else { return nil }
        let title = "\(name): bytes by source"
        return PlotFile(
            name: "\(name)-sources.svg", title: title,
            svg: Plot.bars(
                title, unit: "MiB", parts: names.map { "source \($0.dropFirst(TwoSources.reading.count))" }, bars))
    }

    /// The bytes that crossed the link, by what they were; on loopback what the central registry sent.
    private var bytesOnTheWire: PlotFile? {
        let needed = Double(bytes) / 0x1p20
        let bars = tools.compactMap { tool -> Plot.Bar? in
            guard let fetched = tool.fetched?.median, bytes > 0 else { return nil }
            var parts = [min(needed, fetched * needed), max(0, fetched - 1) * needed]
            if let down = tool.down, let up = tool.up {
                parts += [max(0, down.median / 0x1p20 - fetched * needed), up.median / 0x1p20]
            }
            return Plot.Bar(name: tool.tool, parts: parts)
        }
        guard !bars.isEmpty else { return nil }
        let title = link == nil ? "\(name): content from the central registry" : "\(name): bytes over the link"
        let names =
            ["needed", "beyond that: again, and answers' headers"]
            + (link == nil ? [] : ["IP and TCP headers", "from the site"])
        return PlotFile(
            name: "\(name)-bytes.svg", title: title, svg: Plot.bars(title, unit: "MiB", parts: names, bars))
    }
}
