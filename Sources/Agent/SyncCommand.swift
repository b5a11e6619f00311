import ArgumentParser
import Console
import Configuration
import Readiness

/// One pass that fetches.
struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Fetch what is missing, verify it at the destination, and say so in the cache manifest.",
        discussion: "Ends with 0 when nothing is missing, and with 1 otherwise, after one line for each failure.")

    @OptionGroup var options: SiteOptions
    @OptionGroup var display: ProgressOptions

    func run() async throws {
        let agent = try SiteAgent(options)
        defer { agent.shutdown() }
        let mode = display.progress
        let report = try await cancelledBySignals {
            try await ProgressDisplay(mode).showing(agent.progress) { try await agent.passOnce(.sync) }
        }
        report.complaints.forEach(Terminal.complain)
        print("\(agent.file.site): \(report.summary)")
        if !report.isComplete { throw ExitCode.failure }
    }
}
