import HTTP
import Registry
import Synchronization

/// A clock that stands still until it is advanced; sleeping advances it at once and is recorded.
final class ManualClock: Sendable {
    private struct State {
        var now = ContinuousClock.now
        var sleeps: [Duration] = []
    }
    private let state = Mutex(State())

    var now: ContinuousClock.Instant { state.withLock(\.now) }
    var sleeps: [Duration] { state.withLock(\.sleeps) }

    func advance(by duration: Duration) { state.withLock { $0.now += duration } }

    /// Waits are half their bound.
    var timing: Timing {
        Timing(
            now: { self.now }, unixTime: { 784_111_740 },
            sleep: { duration in
                try Task.checkCancellation()
                self.state.withLock { state in
                    state.now += duration
                    state.sleeps.append(duration)
                }
            }, chance: { 0.5 })
    }
}

/// Values in the order in which tasks or threads append them.
final class Recorder<Value: Sendable>: Sendable {
    private let state = Mutex<[Value]>([])

    var values: [Value] { state.withLock { $0 } }

    func append(_ value: Value) { state.withLock { $0.append(value) } }
}
