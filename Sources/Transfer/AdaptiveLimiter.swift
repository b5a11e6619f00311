/// How many requests a host is given at once, from what it delivers. A pure value: time and bytes come from outside.
///
/// More connections only while they add throughput; fewer when the host pushes back:
/// - *probing*: after each interval that ran at the limit, the limit grows by half; growth that added less than
///   `worthwhile` ends the probe one step back.
/// - *steady*: the limit grows by one an interval while it is fully used (additive increase).
/// - a 429, 503, reset or timeout halves the limit (multiplicative decrease) at most once an interval, and ends probing.
struct AdaptiveLimiter: Equatable {
    /// The bounds of the limit, in requests in flight.
    let bounds: ClosedRange<Int>
    /// The current limit.
    private(set) var limit: Int

    /// The shortest time between two decisions, in seconds.
    static let interval = 0.5
    /// Growth in throughput below which more connections were not worth it.
    static let worthwhile = 1.08

    private enum Phase: Equatable { case probing, steady }
    private var phase = Phase.probing
    private var isMeasured = false
    private var bytesInInterval: Int64 = 0
    private var intervalStart: Double?
    private var usedInInterval = 0
    private var previousRate: Double?
    private var limitBeforeGrowth: Int
    private var lastDecrease = -Double.infinity

    /// - Parameters:
    ///   - bounds: the fewest and most requests in flight
    ///   - start: where to begin: what was learned before, or a guess from the round-trip time
    init(bounds: ClosedRange<Int>, start: Int) {
        self.bounds = bounds
        limit = min(max(start, bounds.lowerBound), bounds.upperBound)
        limitBeforeGrowth = limit
    }

    /// Where to begin with a host of this round-trip time: a long thin pipe needs many windows to be full, a short one
    /// few. One connection for every two milliseconds, at least four.
    ///
    /// - Parameter roundTrip: seconds
    static func start(roundTrip: Double) -> Int {
        guard roundTrip.isFinite else { return 4 }
        return Int(max(4, min(48, roundTrip * 500)))
    }

    /// Records the first measured round trip: how far away the host is says where to begin.
    ///
    /// - Parameter roundTrip: seconds
    mutating func measured(roundTrip: Double) {
        guard phase == .probing, !isMeasured else { return }
        isMeasured = true
        limit = min(bounds.upperBound, max(bounds.lowerBound, Self.start(roundTrip: roundTrip)))
        limitBeforeGrowth = limit
    }

    /// Records bytes that arrived, and decides when an interval is over.
    ///
    /// - Parameters:
    ///   - bytes: how many
    ///   - inFlight: requests in flight now
    ///   - now: seconds of a monotonic clock
    mutating func received(_ bytes: Int64, inFlight: Int, now: Double) {
        guard let start = intervalStart else {
            intervalStart = now
            bytesInInterval = bytes
            usedInInterval = inFlight
            return
        }
        bytesInInterval += bytes
        usedInInterval = max(usedInInterval, inFlight)
        let elapsed = now - start
        guard elapsed >= Self.interval else { return }
        decide(rate: Double(bytesInInterval) / elapsed)
        intervalStart = now
        bytesInInterval = 0
        usedInInterval = inFlight
    }

    private mutating func decide(rate: Double) {
        // An interval that did not use the limit says nothing about a higher one.
        guard usedInInterval >= limit else {
            previousRate = nil
            return
        }
        defer { previousRate = rate }
        switch phase {
        case .probing:
            if let previousRate, rate < previousRate * Self.worthwhile {
                limit = limitBeforeGrowth
                phase = .steady
            } else {
                limitBeforeGrowth = limit
                limit = min(bounds.upperBound, limit + max(1, limit / 2))
            }
        case .steady:
            if let previousRate, rate < previousRate * 0.8, limit > limitBeforeGrowth {
                limit = limitBeforeGrowth
            } else if limit < bounds.upperBound {
                limitBeforeGrowth = limit
                limit += 1
            }
        }
    }

    /// Records that the host pushed back, or that the way there broke.
    mutating func pushedBack(now: Double) {
        guard now - lastDecrease >= Self.interval else { return }
        lastDecrease = now
        limit = max(bounds.lowerBound, limit / 2)
        limitBeforeGrowth = limit
        phase = .steady
        previousRate = nil
    }
}
