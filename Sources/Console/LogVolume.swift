public import Logging
import Synchronization

/// How much is logged, by every logger that shares it; changed while the process lives.
public final class LogVolume: Sendable {
    private let current: Mutex<Logger.Level>

    /// - Parameter level: events below it are left out
    public init(_ level: Logger.Level = .info) { current = Mutex(level) }

    /// Events below it are left out.
    public var level: Logger.Level {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}
