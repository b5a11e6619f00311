import Synchronization

extension Task where Failure == any Error {
    /// The task's value, or `nil` when the time is over first. The task goes on: others may wait for it too.
    func value(within patience: Duration) async throws -> Success? {
        let waiter = Waiter<Success>()
        let alarm = Task<Void, Never> {
            try? await Task<Never, Never>.sleep(for: patience)
            waiter.answer(.success(nil))
        }
        let relay = Task<Void, Never> { waiter.answer((await self.result).map { $0 }) }
        defer {
            alarm.cancel()
            relay.cancel()
        }
        return try await waiter.value()
    }
}

/// Takes the first of two answers.
private final class Waiter<Value: Sendable>: Sendable {
    private enum State {
        case idle
        case waiting(CheckedContinuation<Value?, any Error>)
        case answered(Result<Value?, any Error>)
    }
    private let state = Mutex(State.idle)

    func value() async throws -> Value? {
        try await withCheckedThrowingContinuation { continuation in
            let early = state.withLock { state -> Result<Value?, any Error>? in
                if case .answered(let result) = state { return result }
                state = .waiting(continuation)
                return nil
            }
            if let early { continuation.resume(with: early) }
        }
    }

    func answer(_ result: Result<Value?, any Error>) {
        let continuation = state.withLock { state -> CheckedContinuation<Value?, any Error>? in
            switch state {
            case .idle:
                state = .answered(result)
                return nil
            case .waiting(let continuation):
                state = .answered(result)
                return continuation
            case .answered:
                return nil
            }
        }
        continuation?.resume(with: result)
    }
}
