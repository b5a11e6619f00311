public import ArgumentParser
import FoundationEssentials
import Glibc

/// Whether a command's output for people is coloured.
public struct ColourOptions: ParsableArguments, Sendable {
    /// When output is coloured.
    public enum Choice: String, Sendable, CaseIterable, ExpressibleByArgument {
        /// On a terminal that can, unless NO_COLOR is set.
        case auto
        /// Whatever it goes to.
        case always
        /// Not at all.
        case never
    }

    @Option(
        name: .customLong("color"),
        help: "When to colour what is for people: auto is on terminals, unless NO_COLOR is set or TERM is dumb.")
    private var choice = Choice.auto

    /// On terminals.
    public init() {}

    /// Whether standard output is coloured.
    public var isOn: Bool {
        Self.isOn(choice, isTerminal: isatty(STDOUT_FILENO) == 1, environment: ProcessInfo.processInfo.environment)
    }

    /// - Parameters:
    ///   - choice: what the command line says
    ///   - isTerminal: whether the output goes to a terminal
    ///   - environment: the process's environment; `NO_COLOR` counts unless it is empty (no-color.org)
    static func isOn(_ choice: Choice, isTerminal: Bool, environment: [String: String]) -> Bool {
        switch choice {
        case .always: true
        case .never: false
        case .auto: isTerminal && (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
        }
    }
}
