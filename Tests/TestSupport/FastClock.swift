import Synchronization

/// The clock of an engine whose patience a test need not wait for: its seconds are shorter than ours.
///
/// Time in which nobody looked at it does not pass. A process whose threads were all busy for seconds would find patience
/// at its end that nobody had a turn to use. Whoever waits for something looks again several times a second.
public final class FastClock: Sendable {
    private struct State {
        var lookedAt = ContinuousClock.now
        var seconds = 0.0
    }

    /// The most of our seconds that pass from one look to the next.
    private static let longestGap = 0.25

    private let state = Mutex(State())
    private let speed: Double

    /// - Parameter speed: how many seconds pass in one of ours
    public init(speed: Double) { self.speed = speed }

    /// The seconds that have passed.
    public var seconds: Double {
        state.withLock { state in
            let now = ContinuousClock.now
            let gap = (now - state.lookedAt) / .seconds(1)
            state.lookedAt = now
            state.seconds += min(gap, Self.longestGap) * speed
            return state.seconds
        }
    }
}
