import ArgumentParser
import Console
import ConfigurationFiles
import Readiness

/// One pass that only looks.
struct VerifyCommand: AsyncParsableCommand {
    /// A correct negative answer.
    static let incomplete = ExitCode(3)

    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Look at the registry again, move nothing, and say in the cache manifest what is there.",
        discussion: "Ends with 0 when nothing is missing, and with 3 otherwise.")

    @OptionGroup var options: SiteOptions

    func run() async throws {
        let agent = try SiteAgent(options)
        defer { agent.shutdown() }
        let report = try await cancelledBySignals { try await agent.passOnce(.verify) }
        report.complaints.forEach(Terminal.complain)
        print("\(agent.file.site): \(report.summary)")
        if !report.isComplete { throw Self.incomplete }
    }
}
