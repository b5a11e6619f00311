import ArgumentParser
import FoundationEssentials
import Glibc
import OCI

/// Measures scenarios.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run scenarios with every tool that is there, and show the figures.",
        discussion: """
            The tools take turns, each from a cold start. What went wrong with a tool is shown in its row. Ends with 1 when \
            a run of Rollcall failed or left something wrong at the destination; never because of a time.
            """)

    @Argument(help: "The scenarios, by the names that `rollcall-bench list` shows; every one unless said.")
    var scenarios: [String] = []

    @Option(help: ArgumentHelp("Runs of each tool.", valueName: "count"))
    var runs = 3

    @Option(help: ArgumentHelp("Copies that kill-resume kills.", valueName: "count"))
    var kills = 20

    @Option(help: ArgumentHelp("Only these tools: names that begin so, separated by commas.", valueName: "names"))
    var tools: String?

    @Option(help: ArgumentHelp("The share of the scenarios' bytes, for a quick look.", valueName: "share"))
    var scale = 1.0

    @Option(
        help: ArgumentHelp("Seconds after which a run is given up, instead of the scenario's.", valueName: "seconds"))
    var timeout: Double?

    @Option(
        help: ArgumentHelp("Where Rollcall's executables lie; beside this one unless said.", valueName: "directory"))
    var binaries: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Write all figures as JSON.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Write the tables as Markdown.", valueName: "file"))
    var markdown: String?

    @Option(
        help: ArgumentHelp(
            "Write what the registries answered in each run, as JSON lines; makes them slower.", valueName: "directory")
    )
    var logs: String?

    @OptionGroup var link: LinkOptions
    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard (1...1000).contains(runs), (1...1000).contains(kills) else {
            throw ValidationError("--runs and --kills are 1 to 1000")
        }
        guard (0.01...16).contains(scale) else { throw ValidationError("--scale is 0.01 to 16") }
        let known =
            Scenario.all(scale: 1, link).map(\.name) + RegistryLoad.Load.allCases.map(\.rawValue) + [GateFleet.name]
        for name in scenarios where !known.contains(name) {
            throw ValidationError("there is no scenario \(name): there are \(known.joined(separator: ", "))")
        }
    }

    func run() throws {
        let chosen = Scenario.all(scale: scale, link).filter { scenarios.isEmpty || scenarios.contains($0.name) }
        try Scratch.open(in: place.work)
        if let logs { try Scratch.makeDirectory(logs) }
        let tools = chosenTools()
        let hashRate = Self.hashRate()
        let machine = Machine(work: place.work, hashRate: hashRate)
        print(machine.text)
        var corpora: [CorpusPlan: Corpus] = [:]
        var figures: [ScenarioFigures] = []
        for scenario in chosen {
            let corpus = try corpora[scenario.corpus] ?? Corpus(scenario.corpus, in: Scratch.directory("corpus"))
            corpora[scenario.corpus] = corpus
            let timeout = timeout ?? scenario.timeout
            let result =
                scenario.isKilled
                ? try KillResume(scenario: scenario, corpus: corpus, tools: tools, trials: kills, timeout: timeout)
                    .run()
                : try ScenarioRun(
                    scenario: scenario, corpus: corpus, tools: tools, rounds: runs, timeout: timeout,
                    hashRate: hashRate, logs: logs
                ).run()
            print("\n\(result.name): \(result.summary)\n\(result.introduction)\n\(result.table)")
            figures.append(result)
        }
        for load in RegistryLoad.Load.allCases where scenarios.isEmpty || scenarios.contains(load.rawValue) {
            let result = try RegistryLoad(
                load: load, scale: scale, rounds: runs, timeout: timeout ?? 100,
                binaries: binaries ?? ListCommand.ownDirectory
            ).run()
            print("\n\(result.name): \(result.summary)\n\(result.introduction)\n\(result.table)")
            figures.append(result)
        }
        if scenarios.isEmpty || scenarios.contains(GateFleet.name) {
            let result = try GateFleet(
                sites: max(1, Int(500 * scale)), images: max(10, Int(20_000 * scale)), rounds: runs,
                timeout: timeout ?? 60, binaries: binaries ?? ListCommand.ownDirectory
            ).run()
            print("\n\(result.name): \(result.summary)\n\(result.introduction)\n\(result.table)")
            figures.append(result)
        }
        let report = Report(date: Date().formatted(.iso8601), machine: machine, scenarios: figures)
        if let markdown { try Scratch.write(report.markdown, to: markdown) }
        if let output {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try Scratch.write(String(decoding: try encoder.encode(report), as: UTF8.self) + "\n", to: output)
        }
        let ours = figures.flatMap(\.tools).filter { $0.kind == .ours && $0.good < $0.runs }
        if let failed = ours.first {
            throw BenchError(.verification, "\(failed.tool): \(failed.runs - failed.good) runs: \(failed.note ?? "")")
        }
    }

    private func chosenTools() -> [Tool] {
        let all = Tool.all(binaries: binaries ?? ListCommand.ownDirectory)
        guard let tools else { return all }
        let prefixes = tools.split(separator: ",")
        return all.filter { tool in prefixes.contains { tool.name.hasPrefix($0) } }
    }

    /// How fast one processor hashes, in bytes a second.
    private static func hashRate() -> Double {
        let bytes = [UInt8](repeating: 7, count: 1 << 20)
        let computation = DigestComputation(.sha256)
        let start = monotonicSeconds()
        var hashed = 0
        while monotonicSeconds() - start < 0.25 {
            bytes.withUnsafeBytes { computation.update($0) }
            hashed += bytes.count
        }
        return Double(hashed) / (monotonicSeconds() - start)
    }
}
