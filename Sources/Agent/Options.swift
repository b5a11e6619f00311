import ArgumentParser
import Console
import ConfigurationFiles
import Transfer

/// What every command that works for a site takes.
struct SiteOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The agent's file.", valueName: "file"))
    var config: String

    @OptionGroup var plainHTTP: PlainHTTPOptions
    @OptionGroup var store: StoreOptions
}

/// How progress is shown.
struct ProgressOptions: ParsableArguments {
    @Option(
        help: """
            How to show progress: auto shows bars on a terminal and plain lines otherwise, on standard error; json \
            writes JSON lines to standard output, and the summary in the last of them.
            """)
    var progress = ProgressMode.auto

    /// Whether standard output belongs to a program.
    var isForPrograms: Bool { progress == .json }

    /// Runs `body`, and shows the board's figures meanwhile.
    ///
    /// - Parameter ending: what a result came to, for programs
    func showing<Result: Sendable>(
        _ board: ProgressBoard, during body: () async throws -> Result,
        ending: (Result) -> (ProgressLine.State, message: String)
    ) async throws -> Result {
        guard isForPrograms else { return try await ProgressDisplay(progress).showing(board, during: body) }
        return try await ProgressReporter().reporting(board, during: body, ending: ending)
    }
}
