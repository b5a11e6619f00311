import ArgumentParser

extension ExitCode {
    /// What was asked for cannot be had on this machine: a correct negative answer, as Rollcall's own commands have it.
    static let unavailable = ExitCode(3)
}

/// `rollcall-bench`: how fast Rollcall is beside what a user would pick instead.
@main
struct RollcallBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rollcall-bench",
        abstract: "Measure Rollcall beside its peers: over an emulated wide-area link and on this machine.",
        discussion: """
            Every run copies to an empty registry, and what the destination then serves is hashed again by a client that \
            is not ours. The emulated link needs root.
            """,
        subcommands: [RunCommand.self, CompareCommand.self, MicroCommand.self, LinkCommand.self, ListCommand.self])

    static func main() {
        Cleanup.onSignals()
        var code = ExitCode.success
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as BenchError {
            warn(error.message)
            code = error.code == .unavailable ? .unavailable : .failure
        } catch {
            Cleanup.runAll()
            exit(withError: error)
        }
        Cleanup.runAll()
        exit(withError: code.isSuccess ? nil : code)
    }
}
