import ArgumentParser
import Console
import ConfigurationFiles
import Logging
import Readiness

/// One pass that only looks.
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Look at the registry again, move nothing, and say in the cache manifest what is there.",
        discussion: """
            Asks for the last byte of each blob and for each manifest; with --content, reads everything back and hashes it. \
            Where an agent runs with this state directory, it is asked for the look. Ends with 0 when nothing is missing, and \
            with 3 otherwise.
            """)

    @OptionGroup var options: SiteOptions

    @Flag(help: "Read all content back and hash it, at the rate that the file's 'audit' sets.")
    var content = false

    func run() async throws {
        let file = try SettingsFiles.read(options.config)
        let state: StateDirectory
        switch content ? .directory(try directory(of: file)) : try await taken(file, .verify) {
        case .directory(let directory): state = directory
        case .answer(let answer): return try answer.end(of: file.site, incomplete: .blocked)
        }
        let agent = try SiteAgent(file, options, state: state)
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
        if !report.isComplete { throw ExitCode.blocked }
    }

    /// Reading everything back takes long, and an agent that runs does it by itself.
    private func directory(of file: AgentFile) throws(AgentError) -> StateDirectory {
        do throws(AgentError) {
            return try StateDirectory(path: file.state)
        } catch {
            guard error.code == .stateLocked, StateDirectory.holder(of: file.state).takesRequests else { throw error }
            throw AgentError(
                .stateLocked,
                "\(error.message): the agent that runs reads all content back within 'audit.period'; only to have it sooner,"
                    + " stop it and run this")
        }
    }
}
