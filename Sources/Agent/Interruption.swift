import Console

/// Runs `body`, and cancels it when SIGINT or SIGTERM arrives, so that it can leave everything in order.
///
/// - Throws: `AgentError.interrupted` after a signal; otherwise what `body` throws
func cancelledBySignals<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await Console.cancelledBySignals(
        throwing: AgentError(
            .interrupted, "interrupted: what the registry has taken stays, the next pass brings the rest"), body)
}
