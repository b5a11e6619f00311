/// Waits until others have come as far as they come by themselves; bounded by the test's time limit.
///
/// Pauses between two looks: whoever looks without a pause takes a processor from those it waits for.
public func until(_ isReached: () async throws -> Bool) async rethrows {
    while try await !isReached(), !Task.isCancelled { await pauseALittle() }
}

/// Leaves the processor to others for a millisecond.
public func pauseALittle() async {
    try? await Task.sleep(for: .milliseconds(1))
}
