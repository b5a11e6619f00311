public import Logging
import Synchronization

/// How much is logged, and in which form, by every logger that shares it; changed while the process lives.
public final class LogVolume: Sendable {
    private struct State {
        var level: Logger.Level
        var form: LineLogHandler.Form?
    }

    private let current: Mutex<State>

    /// - Parameters:
    ///   - level: events below it are left out
    ///   - form: how a line is written; `nil` for how its handler was made
    public init(_ level: Logger.Level = .info, form: LineLogHandler.Form? = nil) {
        current = Mutex(State(level: level, form: form))
    }

    /// Events below it are left out.
    public var level: Logger.Level {
        get { current.withLock { $0.level } }
        set { current.withLock { $0.level = newValue } }
    }

    /// How a line is written; `nil` for how its handler was made.
    public var form: LineLogHandler.Form? {
        get { current.withLock { $0.form } }
        set { current.withLock { $0.form = newValue } }
    }
}
