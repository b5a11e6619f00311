import ArgumentParser
import FoundationEssentials

/// Shows what changed between two reports.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Show what changed from one report's figures to another's.",
        discussion: """
            A figure counts as better or worse where the ranges of the runs do not overlap and the medians are more than a \
            twentieth apart. Ends with 0 whatever changed: figures depend on what else a machine does.
            """)

    @Argument(help: "The older figures: a figures.json.")
    var before: String

    @Argument(help: "The newer figures.")
    var after: String

    @Flag(help: "Show what is as before too.")
    var all = false

    func run() throws {
        print(Comparison(try Self.report(before), try Self.report(after)).text(all: all))
    }

    private static func report(_ path: String) throws -> Report {
        do {
            return try JSONDecoder().decode(Report.self, from: Data(contentsOf: URL(filePath: path)))
        } catch {
            throw BenchError(
                .usage, "\(path) is not a report of this version of rollcall-bench: \(error); give it a figures.json")
        }
    }
}
