import Glibc

/// A copy that is killed with SIGKILL at random moments and started again until it is done.
///
/// What came over the link is counted by the link, as TCP payload: neither our client nor the registry is asked.
struct KillResume {
    let scenario: Scenario
    let corpus: Corpus
    let tools: [Tool]
    /// Copies that are killed once each.
    let trials: Int
    let timeout: Double

    /// - Throws: `BenchError` where the surroundings cannot be made
    func run(_ report: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        var random = SplitMix(seed: (scenario.link?.seed ?? 0) ^ 0x6B69_6C6C)
        var runs: [RunFigures] = []
        var summaries: [ToolSummary] = []
        let settings = try scenario.link.map { try Link($0).settings } ?? [:]
        for tool in tools where tool.kind != .reference {
            guard let version = tool.version else { continue }
            guard let whole = try copy(tool, round: 0, moments: []) else { continue }
            record(whole.figures, "not killed", &runs)
            summaries.append(summary(tool, version, "not killed", runs, whole.command))
            report(figures(summaries, runs, settings))
            guard whole.figures.isGood else { continue }
            let seconds = whole.figures.wall
            // The peers start from zero, which a few trials show.
            for trial in 0..<(tool.kind == .ours ? trials : min(trials, 3)) {
                let moment = seconds * (0.05 + 0.9 * random.nextUnit())
                guard let result = try copy(tool, round: trial + 1, moments: [moment]) else { continue }
                record(result.figures, "killed once", &runs)
            }
            summaries.append(summary(tool, version, "killed once", runs, whole.command))
            report(figures(summaries, runs, settings))
            guard tool.kind == .ours, trials > 1 else { continue }
            // The same number of kills in one copy: what each of them costs adds up here.
            let moments = (0..<trials).map { _ in seconds / Double(trials) * (0.5 + random.nextUnit()) }
            if let result = try copy(tool, round: 0, moments: moments) {
                record(result.figures, "killed up to \(trials) times", &runs)
                summaries.append(summary(tool, version, "killed up to \(trials) times", runs, whole.command))
            }
        }
        return figures(summaries, runs, settings)
    }

    private func figures(
        _ summaries: [ToolSummary], _ runs: [RunFigures], _ settings: [String: String]
    ) -> ScenarioFigures {
        let limit = scenario.link?.seconds(carrying: corpus.bytes)
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: scenario.link, settings: settings,
            images: corpus.images.count, blobs: corpus.blobs.count, bytes: corpus.bytes, limit: limit,
            limitReason: "the bytes at the link's rate", forwarderCPU: nil,
            tools: summaries.map { summary in
                var summary = summary
                summary.toLimit = limit.flatMap { limit in summary.wall.map { $0.median / limit } }
                return summary
            }, runs: runs, parameters: ["kills": trials])
    }

    private func record(_ figures: RunFigures, _ kind: String, _ runs: inout [RunFigures]) {
        var figures = figures
        figures.tool = "\(figures.tool), \(kind)"
        let fetched = Double(figures.down?.payload ?? 0) / Double(corpus.bytes)
        warn("\(scenario.name): \(figures.line); fetched \(fixed(fetched, 3)) of the image")
        runs.append(figures)
    }

    /// One copy: killed at the moments, each counted in seconds from an attempt's start, and then left to end.
    private func copy(_ tool: Tool, round: Int, moments: [Double]) throws -> (figures: RunFigures, command: String)? {
        let stage = try Stage(scenario, corpus, round: round)
        let directory = try Scratch.directory("job")
        defer { Scratch.remove(directory) }
        let job = Job(scenario, corpus, stage, in: directory)
        guard let command = try tool.prepare(job) else { return nil }
        let start = (stage.link?.snapshot, stage.source.cpu, stage.destination.cpu)
        let load = Machine.load()
        let counts = stage.counts
        var ended: [Ending] = []
        for moment in moments {
            let child = try Child(
                command, in: stage.link?.near, output: "\(directory)/output", errors: "\(directory)/errors")
            let isRunning = child.isRunning(at: moment)
            let ending = child.end(SIGKILL)
            ended.append(ending)
            // Done before its moment: there is nothing left to kill.
            if !isRunning, ending.isSuccess { break }
        }
        var figures = try Measurement(stage: stage, directory: directory)
            .run(command, tool: tool.name, round: round, timeout: timeout)
        for ending in ended {
            figures.wall += ending.wall
            figures.user += ending.user
            figures.system += ending.system
            figures.peakMemory = max(figures.peakMemory, ending.peakMemory)
        }
        figures.sourceCPU = stage.source.cpu - start.1
        figures.destinationCPU = stage.destination.cpu - start.2
        if let start = start.0, let end = stage.link?.snapshot {
            figures.down = end.down - start.down
            figures.up = end.up - start.up
        }
        // The measurement of the last attempt looked twice by itself.
        figures.traffic = stage.counts.since(counts, looks: 3)
        figures.load = load
        if figures.outcome == .verified, !ended.isEmpty {
            figures.note = "killed after \(ended.map { fixed($0.wall, 1) }.joined(separator: ", ")) s"
        }
        try figures.verify { try stage.destination.verify(corpus) }
        return (figures, command.text.replacing(directory, with: "DIR"))
    }

    private func summary(
        _ tool: Tool, _ version: String, _ kind: String, _ runs: [RunFigures], _ command: String
    ) -> ToolSummary {
        let name = "\(tool.name), \(kind)"
        return ToolSummary(
            tool: name, kind: tool.kind, version: version, command: command,
            runs: runs.filter { $0.tool == name }, needed: corpus.bytes)
    }
}
