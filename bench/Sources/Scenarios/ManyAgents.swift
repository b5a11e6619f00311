import Glibc

/// Agents of many sites that bring the same list at once from one source: its load has to stay in its budget.
///
/// The budget is the connections that each agent's file allows it. Each agent has a registry of its own, so that the only
/// server they share is the source.
struct ManyAgents {
    let scenario: Scenario
    let corpus: Corpus
    let surroundings: Surroundings
    /// How many agents there are.
    let count: Int
    /// Connections that each of them may have to the source.
    let connections: Int
    let timeout: Double

    private var agent: String { "\(surroundings.binaries)/rollcall-agent" }
    /// So many downloads each, and as many small requests beside them, but four of those at least and 16 at most.
    private var budget: Int { count * (connections + min(16, max(4, connections))) }
    private var tool: String { "rollcall x\(count), \(connections) connections each" }

    /// - Throws: `BenchError` where the surroundings cannot be made
    func run(_ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        var runs: [RunFigures] = []
        for round in 0..<surroundings.rounds {
            let figures = try measure(round)
            warn("\(scenario.name), round \(round + 1): \(figures.line)")
            runs.append(figures)
            record(summary(runs))
        }
        return summary(runs)
    }

    private func measure(_ round: Int) throws -> RunFigures {
        let stage = try Stage(scenario, corpus, round: round)
        let directory = try Scratch.directory("fleet")
        defer { Scratch.remove(directory) }
        let sites = (1...count).map { (name: "site-\($0)", registry: "http://site-\($0).example") }
        let staging = try Staging(
            corpus.images, from: stage.source.endpoint, sites: sites, coordinator: "\(surroundings.binaries)/rollcall",
            in: directory)
        for site in sites {
            let own = "\(directory)/\(site.name)"
            try Scratch.makeDirectory(own)
            try Scratch.write(
                staging.agentFile(
                    site: site.name, registry: "{embedded: {layout: '\(own)/layout', listen: '127.0.0.1:0'}}",
                    state: "\(own)/state", settings: "limits: {connections: \(connections)}"), to: "\(own)/agent.yaml")
        }
        let load = Machine.load()
        let (counts, cpu) = (stage.counts, stage.source.cpu)
        let start = monotonicSeconds()
        let children = try sites.map { site in
            let own = "\(directory)/\(site.name)"
            return try Child(
                Command([agent, "sync", "--config", "\(own)/agent.yaml"], environment: ["HOME": own]),
                output: "\(own)/output", errors: "\(own)/errors")
        }
        var running = Array(zip(children, sites))
        var peaks = (connections: 0, requests: 0)
        var looks = 0
        func look() {
            let now = TCPCounters.established(to: stage.source.port, in: kernelFile("/proc/net/tcp"))
            peaks.connections = max(peaks.connections, now)
            // One of them each time: looking at all would cost them the processor.
            looks += 1
            running[looks % running.count].0.watchMemory()
        }
        var figures = RunFigures(tool: tool, round: round, ending: Ending(code: 0))
        var ends: [Double] = []
        while !running.isEmpty {
            look()
            guard
                let index = running.firstIndex(where: { $0.0.hasEnded })
                    ?? (monotonicSeconds() - start > timeout ? 0 : nil)
            else {
                pause(milliseconds: 10)
                continue
            }
            let (child, site) = running.remove(at: index)
            let ending = child.wait(timeout: timeout)
            ends.append(ending.wall)
            figures.user += ending.user
            figures.system += ending.system
            figures.peakMemory = max(figures.peakMemory, ending.peakMemory)
            guard !ending.isSuccess, figures.outcome == .verified else { continue }
            figures.outcome = ending.timedOut ? .timedOut : .failed
            figures.note = "\(site.name) \(ending.words): \(Scratch.tail(of: "\(directory)/\(site.name)/errors"))"
        }
        figures.wall = monotonicSeconds() - start
        figures.sourceCPU = stage.source.cpu - cpu
        figures.traffic = stage.counts.since(counts)
        figures.load = load
        figures.readings = [
            "connections at once": Double(peaks.connections), "budget of connections": Double(budget),
            "last agent's time / first's": (ends.max() ?? 0) / max(ends.min() ?? 0, 1e-9),
        ]
        try figures.verify {
            for site in sites {
                let registry = try RegistryServer(
                    .rollcall(agent), storage: "\(directory)/\(site.name)/layout", isReadOnly: true)
                try registry.verify(corpus)
            }
            guard peaks.connections <= budget else {
                throw BenchError(
                    .verification,
                    "the source had \(peaks.connections) connections at once, more than its budget of \(budget)")
            }
        }
        return figures
    }

    private func summary(_ runs: [RunFigures]) -> ScenarioFigures {
        let bytes = corpus.bytes * count
        let limit = scenario.limit(
            bytes: bytes, hashRate: surroundings.hashRate * Double(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        let version = (try? Command([agent, "--version"]).run()) ?? []
        let tools = [
            ToolSummary(
                tool: tool, kind: .ours, version: String(decoding: version, as: UTF8.self).filter { !$0.isNewline },
                command: Command([agent, "sync", "--config", "DIR/site-N/agent.yaml"]).text, runs: runs, needed: bytes)
        ]
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: nil, settings: [:], images: corpus.images.count,
            blobs: corpus.blobs.count, bytes: bytes, limit: limit?.seconds,
            limitReason: "the bytes at the rate that all processors hash", forwarderCPU: nil,
            tools: ScenarioFigures.compare(tools, limit: limit?.seconds), runs: runs,
            parameters: ["agents": count, "connections": connections])
    }
}
