import Synchronization

/// Joins a task's cancellation with the exchange it is about: either may come first.
final class ExchangeSlot: Sendable {
    enum State {
        case empty
        case filled(Exchange)
        case cancelled
    }

    enum Outcome { case waiting, cancelled }

    private let state = Mutex(State.empty)

    /// Names the exchange; `.cancelled` where the task was cancelled before.
    func fill(_ exchange: Exchange) -> Outcome {
        state.withLock { state in
            if case .cancelled = state { return .cancelled }
            state = .filled(exchange)
            return .waiting
        }
    }

    /// Marks the task cancelled; the exchange to cancel, if there is one yet.
    func cancel() -> Exchange? {
        state.withLock { state in
            defer { state = .cancelled }
            if case .filled(let exchange) = state { return exchange }
            return nil
        }
    }
}
