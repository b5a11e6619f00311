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
            measured. What this machine has not (root and a TUN device for the link, SeaweedFS, room for the files) is left \
            out, unless it is named. Ends with 1 when a run of Rollcall failed or left something wrong at the destination, \
            when no run of a scenario counts, or when a scenario that could be measured, or was named, was not; never because \
            of a time.
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
        try place.open()
        let own = binaries ?? ListCommand.ownDirectory
        try Self.requireExecutables(in: own)
        let tools = try Self.tools(of: Tool.all(binaries: own), named: self.tools)
        let chosen = allBenchmarks(work, link.settled()).filter { benchmark in
            (scenarios.isEmpty || scenarios.contains(benchmark.name)) && !excluded.contains(benchmark.name)
        }
        if let logs { try Scratch.makeDirectory(logs) }
        let hashRate = Self.hashRate()
        let places = try WorkPlace.candidates(place.work).map { "\($0.directory) (\($0.fileSystem))" }
        let machine = Machine(work: places.joined(separator: " or "), hashRate: hashRate)
        print(machine.text)
        let surroundings = Surroundings(
            tools: tools, areToolsNamed: self.tools != nil, binaries: own, rounds: runs, kills: kills,
            timeout: timeout, hashRate: hashRate, logs: logs)
        let date = Date().formatted(.iso8601)
        let files = try ReportFiles(directory: results ?? Self.resultsDirectory(date), json: output, markdown: markdown)
        _ = Cleanup.add {
            if Cleanup.isEnding, let directory = files.directory { warn("what was measured is in \(directory)") }
        }
        var report = Report(date: date, machine: machine, isComplete: false, scenarios: [])
        report.commit = Build.commit
        report.build = Build.kind(of: own)
        files.write(report)
        var faults: [String] = []
        let obstacle = chosen.lazy.compactMap(\.link).first.flatMap { Link.obstacle($0) }
        for (index, benchmark) in chosen.enumerated() {
            do {
                if benchmark.link != nil, let obstacle { throw BenchError(.unavailable, obstacle) }
                let result = try measure(benchmark, surroundings, report, files)
                print("\n\(result.name): \(result.summary)\n\(result.introduction)\n\(result.tables)")
                fflush(nil)
                report.scenarios.append(result)
                if let fault = Self.fault(in: result, isOursMeasured: tools.contains { $0.kind == .ours }) {
                    faults.append("\(result.name): \(fault)")
                }
            } catch let error as BenchError {
                report.omitted[benchmark.name] = error.message
                // Whoever asks for everything gets what this machine can do; what it can do and does not is a fault.
                if error.code == .unavailable, !scenarios.contains(benchmark.name) {
                    warn("\(benchmark.name) is left out: \(error.message)")
                } else {
                    warn("\(benchmark.name) could not be measured: \(error.message)")
                    faults.append("\(benchmark.name) could not be measured: \(error.message)")
                }
            }
            files.write(report)
            surroundings.keepImages(of: chosen[(index + 1)...])
        }
        report.isComplete = true
        files.write(report)
        if let directory = files.directory { print("\nThe report is in \(directory).") }
        if faults.isEmpty, report.scenarios.isEmpty { faults = ["nothing was measured: every scenario was left out"] }
        guard faults.isEmpty else { throw BenchError(.verification, faults.joined(separator: "; ")) }
    }

    private func measure(
        _ benchmark: any Benchmark, _ surroundings: Surroundings, _ before: Report, _ files: ReportFiles
    ) throws -> ScenarioFigures {
        let place = try self.place.open { surroundings.space(of: benchmark, in: $0) }
        warn("\(benchmark.name): files in \(place.text)")
        func placed(_ figures: ScenarioFigures) -> ScenarioFigures {
            var figures = figures
            figures.fileSystem = place.fileSystem
            return figures
        }
        return placed(
            try benchmark.run(in: surroundings) { figures in
                var report = before
                report.scenarios.append(placed(figures))
                files.write(report)
            })
    }

    /// What makes a scenario's figures a failure of the benchmark, and not only of a peer; `nil` where nothing does.
    ///
    /// - Parameter isOursMeasured: whether Rollcall is among the tools
    static func fault(in figures: ScenarioFigures, isOursMeasured: Bool) -> String? {
        let ours = figures.tools.filter { $0.kind == .ours }
        if let failed = ours.first(where: { $0.good < $0.runs }) {
            return "\(failed.tool): \(failed.runs - failed.good) of \(failed.runs) runs: \(failed.note ?? "")"
        }
        guard figures.tools.contains(where: { $0.good > 0 }) else {
            return "no run of any tool counts: \(figures.tools.lazy.compactMap(\.note).first ?? "none was made")"
        }
        return isOursMeasured && ours.isEmpty ? "Rollcall has no run" : nil
    }

    private var excluded: [String] { (except ?? "").split(separator: ",").map(String.init) }

    /// The tools whose names begin as the user says; all of them where he says nothing.
    ///
    /// - Parameter names: the beginnings of names, separated by commas
    /// - Throws: `BenchError` where there is none of a name
    static func tools(of all: [Tool], named names: String?) throws -> [Tool] {
        guard let names else { return all }
        let prefixes = names.split(separator: ",")
        for prefix in prefixes where !all.contains(where: { $0.name.hasPrefix(prefix) }) {
            throw BenchError(
                .usage, "no tool's name begins with \(prefix): there are \(all.map(\.name).joined(separator: "; "))")
        }
        guard !prefixes.isEmpty else { throw BenchError(.usage, "--tools names no tool") }
        return all.filter { tool in prefixes.contains { tool.name.hasPrefix($0) } }
    }

    /// Rollcall's own part in a benchmark is never left out because it was not found.
    private static func requireExecutables(in directory: String) throws {
        for name in ["rollcall-agent", "rollcall"] where Command.find("\(directory)/\(name)") == nil {
            throw BenchError(
                .usage,
                "\(name) is not in \(directory): build it (swift build --product \(name)), or name its directory"
                    + " with --binaries")
        }
    }

    /// Where reports go in a checkout; `nil` elsewhere.
    private static func resultsDirectory(_ date: String) -> String? {
        guard FileManager.default.fileExists(atPath: "bench/Sources") else { return nil }
        let directory = "bench/results/\(date.filter { $0.isNumber || $0 == "T" })"
        var owner = stat()
        // What root makes in a user's checkout is the user's, or the next run could not write beside it.
        if geteuid() == 0, stat("bench", &owner) == 0, (try? Scratch.makeDirectory(directory)) != nil {
            for path in ["bench/results", directory] { _ = chown(path, owner.st_uid, owner.st_gid) }
        }
        return directory
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
