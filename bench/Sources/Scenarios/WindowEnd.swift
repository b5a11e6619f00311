import Glibc

/// A transfer window that closes while an agent is bringing something, and a second run that ends the work.
///
/// Windows close on the minute, so the agent is started some seconds before one begins. What still came afterwards is what
/// the link carried.
struct WindowEnd {
    let scenario: Scenario
    let corpus: Corpus
    /// Where Rollcall's executables lie.
    let binaries: String
    let rounds: Int
    /// Seconds from the agent's start to the window's end.
    let open: Double
    /// Seconds that each of both runs may take.
    let timeout: Double

    private var agent: String { "\(binaries)/rollcall-agent" }
    private static let tool = "rollcall, window then no window"

    /// - Throws: `BenchError` where the surroundings cannot be made
    func run(_ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        var runs: [RunFigures] = []
        var settings: [String: String] = [:]
        for round in 0..<rounds {
            let stage = try Stage(scenario, corpus, round: round)
            let figures = try measure(stage, round)
            settings = stage.link?.settings ?? [:]
            warn("\(scenario.name), round \(round + 1): \(figures.line)")
            runs.append(figures)
            record(summary(runs, settings))
        }
        return summary(runs, settings)
    }

    private func measure(_ stage: Stage, _ round: Int) throws -> RunFigures {
        let directory = try Scratch.directory("job")
        defer { Scratch.remove(directory) }
        let staging = try Staging(
            corpus.images, from: stage.source.endpoint, sites: [("lab-1", "http://\(stage.destination.authority)")],
            coordinator: "\(binaries)/rollcall", in: directory)
        let file = "\(directory)/agent.yaml"
        func write(_ settings: String) throws {
            try Scratch.write(
                staging.agentFile(
                    site: "lab-1", registry: "{url: 'http://\(stage.destination.authority)'}",
                    state: "\(directory)/state", settings: settings), to: file)
        }
        let measurement = Measurement(stage: stage, directory: directory)
        let command = Command([agent, "sync", "--config", file], environment: ["HOME": directory])

        let end = Self.windowEnd(now: wallSeconds(), open: open)
        try write(Self.window(closing: end))
        // No synchronisation: the moment of the start is part of what is measured.
        while wallSeconds() < end - open { pause(milliseconds: 5) }
        var start = wallSeconds()
        var figures = try measurement.run(
            command, tool: Self.tool, round: round, timeout: timeout, interval: 0.02, afterwards: 1
        ) { start = wallSeconds() }
        let closes = end - start
        let whole = Double(figures.timeline.down.last ?? 0)
        guard figures.outcome == .failed, figures.wall > closes - 0.05,
            Scratch.tail(of: "\(directory)/errors").contains("paused")
        else {
            figures.note = "the run did not end with the window, but \(figures.outcome.rawValue): \(figures.note ?? "")"
            if figures.outcome == .verified { figures.outcome = .wrong }
            return figures
        }
        let readings = [
            "MiB after the window's end": (whole - figures.timeline.carried(by: closes)) / 0x1p20,
            "seconds until the last byte": max(0, figures.timeline.lastArrival - closes),
            "seconds until the agent's end": figures.wall - closes,
        ]
        try write("")
        let rest = try measurement.run(command, tool: Self.tool, round: round, timeout: timeout)
        figures = figures.followed(by: rest)
        figures.readings = readings
        try figures.verify { try stage.destination.verify(corpus) }
        return figures
    }

    /// The next full minute that leaves a window of so many seconds, in seconds since 1970.
    static func windowEnd(now: Double, open: Double) -> Double { ((now + open) / 60).rounded(.up) * 60 }

    /// A window that is open and closes at a full minute, in the words of the agent's file.
    static func window(closing end: Double) -> String {
        func clock(_ seconds: Double) -> String {
            let minute = Int((seconds / 60).rounded()) % (24 * 60)
            func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
            return "\(two(minute / 60)):\(two(minute % 60))"
        }
        return "windows: [{from: \"\(clock(end - 3600))\", to: \"\(clock(end))\"}]"
    }

    private func summary(_ runs: [RunFigures], _ settings: [String: String]) -> ScenarioFigures {
        let limit = scenario.limit(bytes: corpus.bytes, hashRate: 0)
        let version = (try? Command([agent, "--version"]).run()) ?? []
        let tools = [
            ToolSummary(
                tool: Self.tool, kind: .ours,
                version: String(decoding: version, as: UTF8.self).filter { !$0.isNewline },
                command: Command([agent, "sync", "--config", "DIR/agent.yaml"]).text, runs: runs, needed: corpus.bytes)
        ]
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: scenario.link, settings: settings,
            images: corpus.images.count, blobs: corpus.blobs.count, bytes: corpus.bytes, limit: limit?.seconds,
            limitReason: limit?.reason ?? "", forwarderCPU: nil,
            tools: ScenarioFigures.compare(tools, limit: limit?.seconds), runs: runs,
            parameters: ["seconds open": Int(open)])
    }
}

extension RunFigures {
    /// The figures of a run and of the one that ended its work.
    func followed(by rest: RunFigures) -> RunFigures {
        var sum = rest
        sum.wall += wall
        sum.user += user
        sum.system += system
        sum.peakMemory = max(peakMemory, rest.peakMemory)
        sum.sourceCPU += sourceCPU
        sum.destinationCPU += destinationCPU
        if let before = down, let after = rest.down { sum.down = before + after }
        if let before = up, let after = rest.up { sum.up = before + after }
        if let before = traffic, let after = rest.traffic { sum.traffic = before + after }
        sum.timeline = timeline
        sum.load = load
        return sum
    }
}

/// Seconds since 1970.
func wallSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
