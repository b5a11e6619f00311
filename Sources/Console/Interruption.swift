import UnixSignals

/// Runs `body`, and cancels it when SIGINT or SIGTERM arrives, so that it can leave everything in order.
///
/// - Parameters:
///   - interruption: what is thrown after a signal
///   - body: what is done
/// - Throws: `interruption` after a signal; otherwise what `body` throws
public func cancelledBySignals<Result: Sendable>(
    throwing interruption: any Error, _ body: @escaping @Sendable () async throws -> Result
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
        guard let first = try await group.next(), let result = first else { throw interruption }
        return result
    }
}
