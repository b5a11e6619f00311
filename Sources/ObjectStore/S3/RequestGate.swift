import Synchronization

/// Lets a fixed number through at once, the others in the order they came.
final class RequestGate: Sendable {
    private struct State {
        var free: Int
        var nextWaiter = 0
        var waiters: [(number: Int, continuation: CheckedContinuation<Bool, Never>)] = []
    }

    private let state: Mutex<State>

    /// - Parameter limit: how many are let through at once, at least 1
    init(limit: Int) { state = Mutex(State(free: limit)) }

    /// Waits for a turn and holds it while `body` runs.
    ///
    /// - Throws: `CancellationError` where the task is cancelled while it waits
    func withTurn<Value>(_ body: () async -> Value) async throws(CancellationError) -> Value {
        guard await acquire() else { throw CancellationError() }
        defer { release() }
        return await body()
    }

    private func acquire() async -> Bool {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Bool? = state.withLock { state in
                    // The cancellation handler takes the lock too: either it finds this waiter, or we see it ran.
                    if Task.isCancelled { return false }
                    if state.free > 0 {
                        state.free -= 1
                        return true
                    }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.number == number }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: false)
        }
    }

    private func release() {
        let next: CheckedContinuation<Bool, Never>? = state.withLock { state in
            guard !state.waiters.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiters.removeFirst().continuation
        }
        next?.resume(returning: true)
    }
}
