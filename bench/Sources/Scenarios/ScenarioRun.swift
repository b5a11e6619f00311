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

    /// What the scenario's runs came to, beside their figures.
    private struct Course {
        var runs: [RunFigures] = []
        var commands: [String: String] = [:]
        var settings: [String: String] = [:]
        var forwarderCPU: Double?
    }

    /// - Throws: `BenchError` where the surroundings cannot be made; a tool's failure is a figure
    func run(_ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        let measured = tools.compactMap { tool in tool.version.map { (tool: tool, version: $0) } }
        var course = Course()
        var unfinished: Set<String> = []
        for round in 0..<rounds {
            for index in measured.indices {
                // Each round begins with another tool, so that none always profits from what the one before left.
                let tool = measured[(index + round) % measured.count].tool
                // What its time was not enough for once, it is not enough for: the other tools' runs are worth more.
                guard !unfinished.contains(tool.name) else { continue }
                let name = tool.name.filter { $0.isLetter || $0.isNumber }
                let stage = try Stage(
                    scenario, corpus, round: round, logs: logs.map { "\($0)/\(scenario.name)-\(name)-\(round + 1)" })
                guard let result = try measure(tool, stage, round) else { continue }
                warn("\(scenario.name), round \(round + 1): \(result.figures.line)")
                course.runs.append(result.figures)
                if result.figures.outcome == .timedOut, tool.kind != .ours { unfinished.insert(tool.name) }
                course.commands[tool.name] = course.commands[tool.name] ?? result.command
                if let link = stage.link {
                    course.settings = link.settings
                    let share = link.snapshot.cpu / max(result.figures.wall, 1e-9)
                    course.forwarderCPU = max(course.forwarderCPU ?? 0, share)
                }
                record(figures(course, measured))
            }
        }
        return figures(course, measured)
    }

    private func figures(_ course: Course, _ measured: [(tool: Tool, version: String)]) -> ScenarioFigures {
        let needed = corpus.needed(scenario.there).reduce(0) { $0 + $1.size }
        let limit = scenario.limit(bytes: needed, hashRate: hashRate)
        let summaries = measured.compactMap { tool, version -> ToolSummary? in
            let runs = course.runs.filter { $0.tool == tool.name }
            guard !runs.isEmpty else { return nil }
            return ToolSummary(
                tool: tool.name, kind: tool.kind, version: version, command: course.commands[tool.name] ?? "",
                runs: runs, needed: needed)
        }
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: scenario.link, settings: course.settings,
            images: corpus.images.count, blobs: corpus.blobs.count, bytes: needed, limit: limit?.seconds,
            limitReason: limit?.reason ?? "nothing has to move", forwarderCPU: course.forwarderCPU,
            tools: ScenarioFigures.compare(summaries, limit: limit?.seconds), runs: course.runs,
            parameters: scenario.parameters)
    }

    private func measure(_ tool: Tool, _ stage: Stage, _ round: Int) throws -> (figures: RunFigures, command: String)? {
        let directory = try Scratch.directory("job")
        defer { Scratch.remove(directory) }
        var job = Job(scenario, corpus, stage, in: directory)
        if case .capped(let rate) = scenario.course {
            // No peer has a limit for all of its connections together.
            guard tool.kind != .peer else { return nil }
            job.rate = rate
        }
        let command: Command
        do {
            guard let prepared = try tool.prepare(job) else { return nil }
            command = prepared
        } catch let error as BenchError {
            return (RunFigures(tool: tool.name, round: round, failure: "not started: \(error.message)"), "")
        }
        var figures = try Measurement(stage: stage, directory: directory).run(
            command, tool: tool.name, round: round, timeout: timeout, interval: job.rate == nil ? 0.1 : 0.05)
        if tool.kind == .reference {
            if figures.outcome == .verified { figures.outcome = .downloaded }
        } else {
            try figures.verify { try (tool.delivered?(job) ?? stage.destination).verify(corpus) }
        }
        if let rate = job.rate, stage.link != nil { figures.readings = Self.evenness(figures.timeline, rate) }
        return (figures, command.text.replacing(directory, with: "DIR"))
    }

    /// How what the link carried compares with what was allowed.
    static func evenness(_ timeline: Timeline, _ rate: Int) -> [String: Double] {
        let start = timeline.moment(carrying: 1)
        return [
            "mean rate / cap": timeline.steadyRate / Double(rate),
            "highest second / cap": timeline.highest(in: 1) / Double(rate),
            "highest second after the first / cap": timeline.highest(in: 1, after: start + 1) / Double(rate),
        ]
    }
}

extension Scenario {
    /// Seconds that so many bytes take at least, and why; `nil` where nothing has to move.
    func limit(bytes: Int, hashRate: Double) -> (seconds: Double, reason: String)? {
        guard bytes > 0 else { return nil }
        if case .capped(let rate) = course { return (Double(bytes) / Double(rate), "the bytes at the rate allowed") }
        if let link { return (link.seconds(carrying: bytes), "the bytes at the link's rate") }
        return (Double(bytes) / hashRate, "the bytes at the rate that one processor hashes")
    }
}
