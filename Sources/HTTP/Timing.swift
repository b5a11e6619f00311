import FoundationEssentials

/// Time and chance as clients see them; tests bring their own.
public struct Timing: Sendable {
    /// The instant from which waits and lifetimes count; goes on while the machine sleeps.
    public var now: @Sendable () -> ContinuousClock.Instant
    /// Seconds since 1970, to compare with dates that servers send.
    public var unixTime: @Sendable () -> Double
    /// Waits; throws when the task is cancelled.
    public var sleep: @Sendable (Duration) async throws -> Void
    /// A random number in `0..<1`.
    public var chance: @Sendable () -> Double

    /// - Parameters:
    ///   - now: the instant from which waits and lifetimes count
    ///   - unixTime: seconds since 1970
    ///   - sleep: waits
    ///   - chance: a random number in `0..<1`
    public init(
        now: @escaping @Sendable () -> ContinuousClock.Instant, unixTime: @escaping @Sendable () -> Double,
        sleep: @escaping @Sendable (Duration) async throws -> Void, chance: @escaping @Sendable () -> Double
    ) {
        self.now = now
        self.unixTime = unixTime
        self.sleep = sleep
        self.chance = chance
    }

    /// The machine's clocks and random numbers.
    public static let system = Timing(
        now: { ContinuousClock.now },
        unixTime: { Date().timeIntervalSince1970 },
        sleep: { try await Task.sleep(for: $0) },
        chance: { Double.random(in: 0..<1) })
}
