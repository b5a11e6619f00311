/// A rate cap over all connections of a site. A pure value: the clock comes from outside.
///
/// Holds at most a twentieth of a second of tokens, so that no second carries more than 5 % above the rate.
struct TokenBucket: Equatable {
    /// Bytes a second.
    let rate: Double
    /// The most tokens it holds, in bytes.
    let capacity: Double
    private var tokens: Double
    private var updated: Double

    /// - Parameters:
    ///   - bytesPerSecond: the rate
    ///   - now: seconds of a monotonic clock
    init(bytesPerSecond: Int64, now: Double) {
        rate = Double(max(1, bytesPerSecond))
        capacity = rate / 20
        tokens = 0
        updated = now
    }

    /// Spends bytes that have arrived already: the bucket may go into debt, which later callers wait out.
    ///
    /// - Returns: seconds to wait before more bytes are read; 0 where none
    mutating func spend(_ bytes: Int, now: Double) -> Double {
        refill(now)
        tokens -= Double(bytes)
        return tokens >= 0 ? 0 : -tokens / rate
    }

    /// The tokens it holds, in bytes; below 0 for a debt.
    mutating func balance(now: Double) -> Double {
        refill(now)
        return tokens
    }

    private mutating func refill(_ now: Double) {
        tokens = min(capacity, tokens + max(0, now - updated) * rate)
        updated = max(updated, now)
    }
}
