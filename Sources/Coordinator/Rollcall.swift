import ArgumentParser
import ConfigurationFiles
import Console
import GateServer
import ObjectStore
import Readiness
import Serving
import Trust

/// The coordinator: parse, wire, run.
@main
struct Rollcall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollcall",
        abstract: "Stages image lists to environments, and promotes them once every site proved that it holds them.",
        discussion: """
            Exit codes: 0 success, or ready; 1 something failed, standard error says what and what to do; 3 blocked: not \
            ready, or refused; 64 wrong arguments or a wrong configuration file.
            """,
        version: Product.version,
        subcommands: [
            ListCommand.self, StageCommand.self, CheckCommand.self, PromoteCommand.self, RollbackCommand.self,
            StatusCommand.self, WatchCommand.self, ServeCommand.self, DoctorCommand.self, SiteCommand.self,
            WaiverCommand.self,
            AuditCommand.self,
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
            end(error)
        }
    }

    /// Ends the process: one line that says what is wrong, and the exit code that says of which kind it is.
    private static func end(_ error: any Error) -> Never {
        let code = exitCode(of: error)
        // The parser's own: help, version, completion scripts, and codes of commands that have said everything.
        if code == .success || error is ExitCode { exit(withError: error) }
        let isOurs = error is any OneLineError
        Terminal.complain(
            isOurs
                ? "\(error)"
                : code == .validationFailure
                    ? "\(message(for: error).hidingUserInformation()) (see --help)" : "\(error)")
        exit(withError: code)
    }

    /// Which exit code an error means.
    static func exitCode(of error: any Error) -> ExitCode {
        switch error {
        case is ConfigurationError, is UsageError, is FileFault: .validationFailure
        case let error as TrustError where error.code == .invalidKey: .validationFailure
        case let error as ReadinessError where [.invalidFleet, .invalidWaiver].contains(error.code): .validationFailure
        case let error as GateServerError where error.code != .cannotListen: .validationFailure
        case is Refusal: .blocked
        case is any OneLineError: .failure
        default:
            // What the parser does not know is an operational error, and so is what it calls a failure.
            exitCode(for: error)
        }
    }
}

/// An error whose description is the line to show.
private protocol OneLineError: Error {}
extension ConfigurationError: OneLineError {}
extension FileFault: OneLineError {}
extension GateServerError: OneLineError {}
extension ObjectStoreError: OneLineError {}
extension ReadinessError: OneLineError {}
extension TrustError: OneLineError {}
extension UsageError: OneLineError {}
extension OutputError: OneLineError {}
extension Refusal: OneLineError {}

/// An argument, or a file that an argument names, that its user has to correct.
struct UsageError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A file that could not be written.
struct OutputError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// A step that the rules do not allow.
struct Refusal: Error, CustomStringConvertible {
    let reason: Reason

    var description: String { "refused: \(reason.message)" }
}
