import UnixSignals

/// Runs `body`, and cancels it when SIGINT or SIGTERM arrives, so that it can leave everything in order.
///
/// - Throws: `AgentError.interrupted` after a signal; otherwise what `body` throws
func cancelledBySignals<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        group.addTask { try await body() }
        group.addTask {
            for await _ in signals { break }
            return nil
        }
        defer { group.cancelAll() }
        // The first to end is one of the two: the body, or the wait for a signal.
        guard let first = try await group.next(), let result = first else {
            throw AgentError(
                .interrupted, "interrupted: what the registry has taken stays, the next pass brings the rest")
        }
        return result
    }
}
