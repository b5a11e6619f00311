import Synchronization

/// Something that is rung by one and waited for by another, again and again.
///
/// A stream would do, were it not that one ends for good when the task that waits for it is cancelled.
final class Bell: Sendable {
    private struct State {
        var isRung = false
        var waiting: CheckedContinuation<Bool, Never>?
    }
    private let state = Mutex(State())

    /// Rings; where nobody waits, the next who does is not kept waiting.
    func ring() {
        let waiting = state.withLock { state -> CheckedContinuation<Bool, Never>? in
            defer { state.waiting = nil }
            if state.waiting == nil { state.isRung = true }
            return state.waiting
        }
        waiting?.resume(returning: true)
    }

    /// Waits until it rings. One task at a time waits.
    ///
    /// - Returns: `false` where the task was cancelled first
    func wait() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLock { state -> Bool? in
                    if state.isRung {
                        state.isRung = false
                        return true
                    }
                    if Task.isCancelled || state.waiting != nil { return false }
                    state.waiting = continuation
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiting = state.withLock { state in
                defer { state.waiting = nil }
                return state.waiting
            }
            waiting?.resume(returning: false)
        }
    }
}
