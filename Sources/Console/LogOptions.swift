public import ArgumentParser
public import Logging

/// How much a server logs.
public struct LogOptions: ParsableArguments, Sendable {
    @Option(help: "Leave out of the log what is below this level.")
    private var logLevel = LogLevel.info

    /// As much as usual.
    public init() {}

    /// Events below it are left out.
    public var level: Logger.Level { Logger.Level(rawValue: logLevel.rawValue) ?? .info }
}

/// The levels by their names, as swift-log has them.
enum LogLevel: String, ExpressibleByArgument, CaseIterable, Sendable {
    case trace, debug, info, notice, warning, error, critical
}
