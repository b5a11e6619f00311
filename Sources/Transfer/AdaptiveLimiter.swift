/// How many requests a host is given at once, from what it delivers. A pure value: time and bytes come from outside.
///
/// More connections only while they add throughput; fewer when the host pushes back:
/// - *probing*: after each interval that ran at the limit, the limit grows by half; growth that added less than
///   `worthwhile` ends the probe one step back.
/// - *steady*: the limit grows by one an interval while it is fully used (additive increase).
/// - a 429, 503, reset or timeout halves the limit (multiplicative decrease) at most once an interval, and ends probing.
///
/// Under a rate cap, it begins with a few, goes on with as many as the cap needs over the distance, and grows only while the
/// cap is not reached: each connection's buffers fill at the link's speed, whoever reads them later.
struct AdaptiveLimiter: Equatable {
    /// The bounds of the limit, in requests in flight.
    let bounds: ClosedRange<Int>
    /// The current limit.
    private(set) var limit: Int
    /// Bytes a second that may come, or `nil`.
    private let cap: Double?
    /// Bytes that a connection may have on its way.
    private let window: Double

    /// The shortest time between two decisions, in seconds.
    static let interval = 0.5
    /// How many it begins with under a cap, until the distance is known.
    static let firstUnderCap = 4
    /// The share of the cap from which more connections bring nothing.
    static let reached = 0.9
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
    ///   - cap: the most bytes a second that may come, if there is such a bound
    ///   - window: bytes that a connection may have on its way then; half of what the kernel's buffer holds at first
    ///     (`tcp_rmem`), unless said
    init(bounds: ClosedRange<Int>, start: Int, cap: Double? = nil, window: Int = 64 << 10) {
        self.bounds = bounds
        self.cap = cap
        self.window = Double(max(1, window))
        let start = cap == nil ? start : min(start, Self.firstUnderCap)
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

    /// Connections that carry the cap's bytes over a distance, and one more. Where losses make windows smaller, it grows.
    private func needed(roundTrip: Double) -> Int {
        guard let cap, cap.isFinite, roundTrip.isFinite else { return .max }
        return Int(min(1000, cap * max(0, roundTrip) / window)) + 2
    }

    /// Records the first measured round trip: how far away the host is says where to begin.
    ///
    /// - Parameter roundTrip: seconds
    mutating func measured(roundTrip: Double) {
        guard phase == .probing, !isMeasured else { return }
        isMeasured = true
        let start = min(Self.start(roundTrip: roundTrip), needed(roundTrip: roundTrip))
        limit = min(bounds.upperBound, max(bounds.lowerBound, start))
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
        if let cap, rate >= cap * Self.reached { return }
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
