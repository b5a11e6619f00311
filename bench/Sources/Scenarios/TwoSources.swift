import FoundationEssentials

/// The same images from one source, and from two that are equals: what each brought, by the agent's own count, which is
/// what operators see.
struct TwoSources {
    /// How the readings of what each source brought begin.
    static let reading = "MiB from source "

    let scenario: Scenario
    let corpus: Corpus
    let surroundings: Surroundings
    let timeout: Double

    private var agent: String { "\(surroundings.binaries)/rollcall-agent" }

    private static func tool(_ sources: Int) -> String {
        sources == 1 ? "rollcall, one source" : "rollcall, two sources"
    }

    /// - Throws: `BenchError` where the surroundings cannot be made
    func run(_ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        var runs: [RunFigures] = []
        for round in 0..<surroundings.rounds {
            // They take turns, and each round begins with the other one.
            for turn in 0..<2 {
                let figures = try measure(sources: (round + turn) % 2 + 1, round)
                warn("\(scenario.name), round \(round + 1): \(figures.line)")
                runs.append(figures)
                record(summary(runs))
            }
        }
        return summary(runs)
    }

    private func measure(sources: Int, _ round: Int) throws -> RunFigures {
        let stage = try Stage(scenario, corpus, round: round)
        var registries = [stage.source]
        if sources > 1 {
            registries.append(
                try RegistryServer(storage: corpus.storage.root, isReadOnly: true, isCounting: true))
        }
        let directory = try Scratch.directory("job")
        defer { Scratch.remove(directory) }
        let staging = try Staging(
            corpus.images, from: stage.source.endpoint, sites: [("lab-1", "http://\(stage.destination.authority)")],
            coordinator: "\(surroundings.binaries)/rollcall", in: directory)
        let file = "\(directory)/agent.yaml"
        try Scratch.write(
            staging.agentFile(
                site: "lab-1", registry: "{url: 'http://\(stage.destination.authority)'}",
                state: "\(directory)/state", mirrors: registries.dropFirst().map(\.authority)), to: file)
        let before = registries.map { ($0.counters, $0.cpu) }
        var figures = try Measurement(stage: stage, directory: directory).run(
            Command([agent, "sync", "--config", file, "--progress", "json"], environment: ["HOME": directory]),
            tool: Self.tool(sources), round: round, timeout: timeout)
        for (registry, (counters, cpu)) in zip(registries, before).dropFirst() {
            let now = registry.counters
            figures.sourceCPU += registry.cpu - cpu
            figures.traffic?.sourceRequests += now.requests - counters.requests
            figures.traffic?.sourceBytes += now.bytesSent - counters.bytesSent
            figures.traffic?.refused += now.refused - counters.refused
        }
        let output = (try? Data(contentsOf: URL(filePath: "\(directory)/output"))) ?? Data()
        let brought = Self.bytesBySource(String(decoding: output, as: UTF8.self))
        let shares = registries.map { brought[$0.authority] ?? 0 }
        for (index, bytes) in shares.enumerated() {
            figures.readings["\(Self.reading)\(index + 1)"] = Double(bytes) / 0x1p20
        }
        let needed = corpus.blobs.reduce(0) { $0 + $1.size }
        try figures.verify {
            try stage.destination.verify(corpus)
            if let fault = Self.fault(of: shares, needed: needed) { throw BenchError(.verification, fault) }
        }
        return figures
    }

    /// What is wrong with the bytes that each source brought; `nil` where nothing is.
    ///
    /// - Parameter needed: bytes of all blobs
    static func fault(of shares: [Int], needed: Int) -> String? {
        if let idle = shares.firstIndex(where: { $0 <= 0 }) { return "source \(idle + 1) brought nothing" }
        let sum = shares.reduce(0, +)
        return sum < needed ? "the agent counts \(sum) bytes from its sources, of \(needed) that came" : nil
    }

    /// What each source had brought at the end, by its name, out of the lines of `--progress json` (docs/operations.md).
    static func bytesBySource(_ output: String) -> [String: Int] {
        struct Line: Decodable {
            struct Source: Decodable { let bytes: Int }
            let sources: [String: Source]
        }
        for text in output.split(whereSeparator: \.isNewline).reversed() {
            if let line = try? JSONDecoder().decode(Line.self, from: Data(text.utf8)) {
                return line.sources.mapValues(\.bytes)
            }
        }
        return [:]
    }

    private func summary(_ runs: [RunFigures]) -> ScenarioFigures {
        let limit = scenario.limit(bytes: corpus.bytes, hashRate: surroundings.hashRate)
        let version = (try? Command([agent, "--version"]).run()) ?? []
        let tools = [1, 2].compactMap { sources -> ToolSummary? in
            let tool = Self.tool(sources)
            let own = runs.filter { $0.tool == tool }
            guard !own.isEmpty else { return nil }
            return ToolSummary(
                tool: tool, kind: .ours, version: String(decoding: version, as: UTF8.self).filter { !$0.isNewline },
                command: Command([agent, "sync", "--config", "DIR/agent.yaml", "--progress", "json"]).text, runs: own,
                needed: corpus.bytes)
        }
        return ScenarioFigures(
            name: scenario.name, summary: scenario.summary, link: scenario.link, settings: [:],
            images: corpus.images.count, blobs: corpus.blobs.count, bytes: corpus.bytes, limit: limit?.seconds,
            limitReason: limit?.reason ?? "", forwarderCPU: nil,
            tools: ScenarioFigures.compare(tools, limit: limit?.seconds), runs: runs, parameters: [:])
    }
}
