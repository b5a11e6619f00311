import ArgumentParser
import Console
import ConfigurationFiles
import Serving
import Trust

/// The agent of one site: parse, wire, run.
@main
struct RollcallAgent: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollcall-agent",
        abstract: "Keeps the images of an environment's lists in one site's registry, and proves that they are there.",
        discussion: """
            Exit codes: 0 success; 1 something failed or is still missing, standard error says what; 3 verify \
            found something missing, or doctor something to change; 64 wrong arguments or a wrong configuration file.
            """,
        version: Product.version,
        subcommands: [
            SyncCommand.self, VerifyCommand.self, RunCommand.self, CopyCommand.self, PruneCommand.self,
            DoctorCommand.self,
            RegistryCommand.self,
            KeygenCommand.self,
        ])

    static func main() async {
        Product.prepareProcess()
        do {
            // The asynchronous way, without which completion scripts cannot be made.
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            Self.end(error)
        }
    }

    /// Ends the process: one line that says what is wrong, and the exit code that says of which kind it is.
    private static func end(_ error: any Error) -> Never {
        let code: ExitCode
        let message: String
        switch error {
        case is ConfigurationError, is FileFault:
            (code, message) = (.validationFailure, "\(error)")
        case let error as TrustError where error.code == .invalidKey:
            (code, message) = (.validationFailure, "\(error)")
        case let error as AgentError:
            (code, message) = ([.usage, .settings].contains(error.code) ? .validationFailure : .failure, "\(error)")
        default:
            // The parser's own: help and versions, wrong arguments, exit codes.
            let parsed = exitCode(for: error)
            if parsed == .success || error is ExitCode { exit(withError: error) }
            guard parsed != .validationFailure else {
                (code, message) = (
                    parsed, "\(self.message(for: error).hidingUserInformation()) (see rollcall-agent --help)"
                )
                break
            }
            (code, message) = (.failure, "\(error)")
        }
        Terminal.complain(message)
        exit(withError: code)
    }
}
