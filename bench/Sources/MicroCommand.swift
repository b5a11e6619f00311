import ArgumentParser
import FoundationEssentials

/// The pure parts on their own.
struct MicroCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "micro",
        abstract: "Measure the pure parts on their own, and compare them with the thresholds that are checked in.",
        discussion: """
            CPU time is given beside a loop of arithmetic that is measured between the batches, and only that ratio has a \
            threshold, four times what was measured when it was written. Ends with 1 where one is above it.
            """)

    @Option(help: ArgumentHelp("The file with the thresholds.", valueName: "file"))
    var thresholds = "bench/thresholds.json"

    @Option(help: ArgumentHelp("Seconds for each part.", valueName: "seconds"))
    var seconds = 0.5

    @Flag(help: "Replace the thresholds of this kind of build by what is measured now, with the margin.")
    var write = false

    @OptionGroup var place: PlaceOptions

    func validate() throws {
        guard (0.01...60).contains(seconds) else { throw ValidationError("--seconds is 0.01 to 60") }
    }

    func run() throws {
        try place.open()
        let directory = try Scratch.directory("micro")
        let results = try Microbenchmark.all(in: directory).map { try $0.run(seconds: seconds) }
        let limits = try read()
        let build = MicroThresholds.build
        let rows = results.map { result in
            [
                result.name, result.operation, fixed(result.nanoseconds, 0), fixed(result.ratio, 1),
                limits.ratios[build]?[result.name].map { fixed($0, 1) } ?? "none",
                result.instructions.map { fixed($0, 0) } ?? "not counted here",
            ]
        }
        let header = [
            "part", "operation", "CPU ns", "rounds of the calibration", "threshold (\(build))", "instructions",
        ]
        print(ScenarioFigures.table(header, rows))
        guard !write else { return try save(limits.replaced(by: results, build: build)) }
        if limits.ratios[build] == nil { warn("there are no thresholds for a \(build) build: nothing is judged") }
        let faults = limits.faults(results, build: build)
        guard faults.isEmpty else { throw BenchError(.verification, faults.joined(separator: "\n")) }
    }

    private func read() throws -> MicroThresholds {
        guard FileManager.default.fileExists(atPath: thresholds) || !write else { return MicroThresholds(ratios: [:]) }
        do {
            return try JSONDecoder().decode(MicroThresholds.self, from: Data(contentsOf: URL(filePath: thresholds)))
        } catch {
            throw BenchError(
                .usage, "cannot read the thresholds in \(thresholds): \(error); name them with --thresholds")
        }
    }

    private func save(_ limits: MicroThresholds) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try Scratch.write(String(decoding: try encoder.encode(limits), as: UTF8.self) + "\n", to: thresholds)
    }
}
