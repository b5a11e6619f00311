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
            The tools take turns, each from a cold start. What went wrong with a tool is shown in its row. The files of \
            the report are written again after each run, so that a benchmark that is stopped leaves what it has \
            measured. Ends with 1 when a run of Rollcall failed or left something wrong at the destination, or a scenario \
            that was named could not be measured; never because of a time.
            """)

    @Argument(help: "The scenarios, by the names that `rollcall-bench list` shows; every one unless said.")
    var scenarios: [String] = []

    @Option(help: ArgumentHelp("Leave out these scenarios, separated by commas.", valueName: "names"))
    var except: String?

    @Option(help: ArgumentHelp("Runs of each tool.", valueName: "count"))
    var runs = 3

    @Option(help: ArgumentHelp("Copies that kill-resume kills.", valueName: "count"))
    var kills = 20

    @Option(help: ArgumentHelp("Only these tools: names that begin so, separated by commas.", valueName: "names"))
    var tools: String?

    @Option(
        help: ArgumentHelp("Seconds after which a run is given up, instead of the scenario's.", valueName: "seconds"))
    var timeout: Double?

    @Option(
        help: ArgumentHelp("Where Rollcall's executables lie; beside this one unless said.", valueName: "directory"))
    var binaries: String?

    @Option(
        help: ArgumentHelp(
            "Write the report there: figures.json, report.md, and plots; bench/results/TIME where bench/ is, unless said.",
            valueName: "directory"))
    var results: String?

    @Option(name: .shortAndLong, help: ArgumentHelp("Write all figures as JSON.", valueName: "file"))
    var output: String?

    @Option(help: ArgumentHelp("Write the tables as Markdown.", valueName: "file"))
    var markdown: String?

    @Option(
        help: ArgumentHelp(
            "Write what the registries answered in each run, as JSON lines; makes them slower.", valueName: "directory")
    )
    var logs: String?

    @OptionGroup var work: WorkOptions
    @OptionGroup var link: LinkOptions
    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard (1...1000).contains(runs), (1...1000).contains(kills) else {
            throw ValidationError("--runs and --kills are 1 to 1000")
        }
        let known = allBenchmarks(work, link).map(\.name)
        for name in scenarios + excluded where !known.contains(name) {
            throw ValidationError("there is no scenario \(name): there are \(known.joined(separator: ", "))")
        }
    }

    func run() throws {
        let chosen = allBenchmarks(work, link.settled()).filter { benchmark in
            (scenarios.isEmpty || scenarios.contains(benchmark.name)) && !excluded.contains(benchmark.name)
        }
        try Scratch.open(in: place.work)
        if let logs { try Scratch.makeDirectory(logs) }
        let hashRate = Self.hashRate()
        let machine = Machine(work: place.work, hashRate: hashRate)
        print(machine.text)
        let surroundings = Surroundings(
            tools: chosenTools(), binaries: binaries ?? ListCommand.ownDirectory, rounds: runs, kills: kills,
            timeout: timeout, hashRate: hashRate, logs: logs)
        let date = Date().formatted(.iso8601)
        let files = try ReportFiles(directory: results ?? Self.resultsDirectory(date), json: output, markdown: markdown)
        _ = Cleanup.add {
            if Cleanup.isEnding, let directory = files.directory { warn("what was measured is in \(directory)") }
        }
        var report = Report(date: date, machine: machine, isComplete: false, scenarios: [])
        files.write(report)
        var failed: String?
        let obstacle = chosen.lazy.compactMap(\.link).first.flatMap { Link.obstacle($0) }
        for benchmark in chosen {
            // Whoever asks for everything gets what this machine can do.
            if benchmark.link != nil, let obstacle, scenarios.isEmpty {
                warn("\(benchmark.name) is left out: \(obstacle)")
                report.omitted[benchmark.name] = obstacle
                continue
            }
            let before = report
            do {
                let result = try benchmark.run(in: surroundings) { figures in
                    var report = before
                    report.scenarios.append(figures)
                    files.write(report)
                }
                print("\n\(result.name): \(result.summary)\n\(result.introduction)\n\(result.tables)")
                fflush(nil)
                report.scenarios.append(result)
            } catch let error as BenchError {
                warn("\(benchmark.name) could not be measured: \(error.message)")
                report.omitted[benchmark.name] = error.message
                failed = failed ?? "\(benchmark.name) could not be measured: \(error.message)"
            }
            files.write(report)
        }
        report.isComplete = true
        files.write(report)
        if let directory = files.directory { print("\nThe report is in \(directory).") }
        let ours = report.scenarios.flatMap(\.tools).filter { $0.kind == .ours && $0.good < $0.runs }
        if let failed = ours.first {
            throw BenchError(.verification, "\(failed.tool): \(failed.runs - failed.good) runs: \(failed.note ?? "")")
        }
        if let failed { throw BenchError(.command, failed) }
    }

    private var excluded: [String] { (except ?? "").split(separator: ",").map(String.init) }

    private func chosenTools() -> [Tool] {
        let all = Tool.all(binaries: binaries ?? ListCommand.ownDirectory)
        guard let tools else { return all }
        let prefixes = tools.split(separator: ",")
        return all.filter { tool in prefixes.contains { tool.name.hasPrefix($0) } }
    }

    /// Where reports go in a checkout; `nil` elsewhere.
    private static func resultsDirectory(_ date: String) -> String? {
        FileManager.default.fileExists(atPath: "bench/Sources")
            ? "bench/results/\(date.filter { $0.isNumber || $0 == "T" })" : nil
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
