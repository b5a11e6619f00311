import Glibc

/// Runs one scenario: every tool in every round, interleaved, each from the same cold start.
struct ScenarioRun {
    let scenario: Scenario
    let corpus: Corpus
    let tools: [Tool]
    let rounds: Int
    let timeout: Double
    /// Bytes a second that one processor hashes: the limit where there is no link.
    let hashRate: Double
    /// A directory for what the registries answered in each run.
    let logs: String?

    /// - Throws: `BenchError` where the surroundings cannot be made; a tool's failure is a figure
    func run() throws -> ScenarioFigures {
        let measured = tools.compactMap { tool in tool.version.map { (tool: tool, version: $0) } }
        var runs: [RunFigures] = []
        var commands: [String: String] = [:]
        var settings: [String: String] = [:]
        var forwarderCPU: Double?
        for round in 0..<rounds {
            for index in measured.indices {
                // Each round begins with another tool, so that none always profits from what the one before left.
                let tool = measured[(index + round) % measured.count].tool
                let name = tool.name.filter { $0.isLetter || $0.isNumber }
                let stage = try Stage(
                    scenario, corpus, round: round, logs: logs.map { "\($0)/\(scenario.name)-\(name)-\(round + 1)" })
                guard let result = try measure(tool, stage, round) else { continue }
                warn("\(scenario.name), round \(round + 1): \(Self.line(result.figures))")
                runs.append(result.figures)
                commands[tool.name] = commands[tool.name] ?? result.command
                if let link = stage.link {
                    settings = link.settings
                    forwarderCPU = max(forwarderCPU ?? 0, link.snapshot.cpu / max(result.figures.wall, 1e-9))
                }
            }
        }
        let limit = limit
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: scenario.link, settings: settings,
            images: corpus.images.count, blobs: corpus.blobs.count, bytes: corpus.bytes, limit: limit?.seconds,
            limitReason: limit?.reason ?? "nothing has to move", forwarderCPU: forwarderCPU,
            tools: ScenarioFigures.compare(
                measured.compactMap { summary($0.tool, $0.version, runs, commands[$0.tool.name]) },
                limit: limit?.seconds), runs: runs)
    }

    private var limit: (seconds: Double, reason: String)? {
        if scenario.isThere { return nil }
        if let link = scenario.link { return (link.seconds(carrying: corpus.bytes), "the bytes at the link's rate") }
        return (Double(corpus.bytes) / hashRate, "the bytes at the rate that one processor hashes")
    }

    private func measure(_ tool: Tool, _ stage: Stage, _ round: Int) throws -> (figures: RunFigures, command: String)? {
        let directory = try Scratch.directory("job")
        defer { Scratch.remove(directory) }
        let job = Job(
            work: scenario.work, corpus: corpus, source: stage.source, destination: stage.destination,
            directory: directory)
        let command: Command
        do {
            guard let prepared = try tool.prepare(job) else { return nil }
            command = prepared
        } catch let error as BenchError {
            return (RunFigures(tool: tool.name, round: round, failure: "not started: \(error.message)"), "")
        }
        let measurement = Measurement(stage: stage, directory: directory)
        var figures = try measurement.run(command, tool: tool.name, round: round, timeout: timeout)
        if figures.outcome == .verified {
            if tool.kind == .reference {
                figures.outcome = .downloaded
            } else {
                do {
                    try Verification(corpus: corpus, destination: tool.delivered?(job) ?? stage.destination).run()
                } catch let error as BenchError {
                    figures.outcome = .wrong
                    figures.note = error.message
                }
            }
        }
        return (figures, command.text.replacing(directory, with: "DIR"))
    }

    private func summary(_ tool: Tool, _ version: String, _ runs: [RunFigures], _ command: String?) -> ToolSummary? {
        let all = runs.filter { $0.tool == tool.name }
        guard !all.isEmpty else { return nil }
        return ToolSummary(
            tool: tool.name, kind: tool.kind, version: version, command: command ?? "", runs: all,
            needed: corpus.bytes)
    }

    /// A run in one line.
    static func line(_ figures: RunFigures) -> String {
        let note = figures.note.map { ": \($0)" } ?? ""
        guard figures.isGood else { return "\(figures.tool) \(figures.outcome.rawValue)\(note)" }
        return "\(figures.tool) \(fixed(figures.wall, 2)) s, \(fixed(figures.cpu, 2)) CPU-s, "
            + "\(bytesText(figures.peakMemory))\(note)"
    }
}

extension RunFigures {
    /// A run that did not come about.
    init(tool: String, round: Int, failure: String) {
        self.init(
            tool: tool, round: round, outcome: .failed, note: failure, wall: 0, user: 0, system: 0, peakMemory: 0,
            sourceCPU: 0, destinationCPU: 0, down: nil, up: nil, timeline: [])
    }
}
