import ArgumentParser
import Console
import ConfigurationFiles
import Logging
import Readiness

/// One pass that only looks.
struct VerifyCommand: AsyncParsableCommand {
    /// A correct negative answer.
    static let incomplete = ExitCode(3)

    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Look at the registry again, move nothing, and say in the cache manifest what is there.",
        discussion: """
            Asks for the last byte of each blob and for each manifest; with --content, reads everything back and hashes it. \
            Ends with 0 when nothing is missing, and with 3 otherwise.
            """)

    @OptionGroup var options: SiteOptions

    @Flag(help: "Read all content back and hash it, at the rate that the file's 'audit' sets.")
    var content = false

    func run() async throws {
        let agent = try SiteAgent(options)
        defer { agent.shutdown() }
        let content = content
        let report = try await cancelledBySignals {
            let report = try await agent.passOnce(.verify)
            guard content else { return report }
            try await agent.audit(logger: Logger(label: "rollcall-agent", factory: { _ in SwiftLogNoOpLogHandler() }))
                .readAll(report.closure)
            return try await agent.passOnce(.verify)
        }
        report.complaints.forEach(Terminal.complain)
        print("\(agent.file.site): \(report.summary)")
        if !report.isComplete { throw Self.incomplete }
    }
}
