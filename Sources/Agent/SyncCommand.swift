import ArgumentParser
import Console
import ConfigurationFiles
import Readiness

/// One pass that fetches.
struct SyncCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sync",
        abstract: "Fetch what is missing, verify it at the destination, and say so in the cache manifest.",
        discussion: """
            Ends with 0 when nothing is missing, and with 1 otherwise, after one line for each failure. While no transfer \
            window is open or a quota is used up, nothing is fetched: the site is verified as it is, and sync ends with 1 \
            and a line that says until when; run waits for that time. Where an agent runs with this state directory, it is \
            asked for the pass, and this waits for what it comes to.
            """)

    @OptionGroup var options: SiteOptions
    @OptionGroup var display: ProgressOptions

    func run() async throws {
        let file = try SettingsFiles.read(options.config)
        let state: StateDirectory
        switch try await taken(file, .sync) {
        case .directory(let directory): state = directory
        case .answer(let answer):
            return try answer.end(of: file.site, display, incomplete: .failure)
        }
        let agent = try SiteAgent(file, options, state: state)
        defer { agent.shutdown() }
        let report = try await display.showing(agent.progress) {
            try await cancelledBySignals { try await agent.passOnce(.sync) }
        } ending: { report in
            (report.isComplete ? .complete : report.pause == nil ? .incomplete : .paused, report.summary)
        }
        report.complaints.forEach(Terminal.complain)
        if !display.isForPrograms { print("\(agent.file.site): \(report.summary)") }
        if !report.isComplete { throw ExitCode.failure }
    }
}
