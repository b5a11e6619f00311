/// Which bytes of a blob to ask for next, over any number of connections. A pure value.
///
/// Ranges are handed out from the lowest missing offset, so that the contiguous prefix grows and hashing and upload can
/// follow it. When nothing is left to hand out, the rest of the longest range in flight is divided, so that a slow
/// connection does not hold up the end.
///
/// Legal order for one lease: `next` or `divide`, then any number of `advance`, then `finish`.
package struct RangePlanner {
    /// A range that one request has been given: `[start, end)` in bytes, of which all before `position` have arrived.
    package struct Lease: Equatable {
        package let id: Int
        package let start: Int64
        package var position: Int64
        package var end: Int64
        /// When it was handed out, in seconds of a monotonic clock.
        let since: Double
        /// How often its bytes were taken over from a request that was too slow.
        let takeovers: Int

        var remaining: Int64 { end - position }

        /// Seconds until it is done at the rate it had so far; endless for one that has brought nothing for a while.
        func secondsLeft(now: Double) -> Double {
            let elapsed = now - since
            guard position > start else { return elapsed > forbearance ? .infinity : 0 }
            return Double(remaining) * elapsed / Double(position - start)
        }

        /// Doubles with each takeover: where every answer takes seconds to begin, as from a cache that fetches the blob
        /// first, connections must not take a range from each other before any of them can bring a byte.
        var forbearance: Double { Double(1 << min(takeovers, 10)) }
    }

    /// The blob's length in bytes.
    let size: Int64
    /// Bytes that are there, as ordered, disjoint, non-adjacent ranges.
    private(set) var done: ByteRanges
    private(set) var leases: [Int: Lease] = [:]
    private var nextID = 0

    /// - Parameters:
    ///   - size: the blob's length in bytes
    ///   - done: what an earlier run left behind
    package init(size: Int64, done: ByteRanges = ByteRanges()) {
        self.size = size
        self.done = done
    }

    /// Whether every byte has arrived.
    package var isComplete: Bool { done.contains(0..<size) }

    /// Whether some bytes are neither there nor in flight.
    var hasUnassigned: Bool { firstUnassigned() != nil }

    /// The lowest range that is neither there nor in flight, at most `length` bytes of it; `nil` when there is none.
    package mutating func next(length: Int64, now: Double) -> Lease? {
        guard let gap = firstUnassigned() else { return nil }
        return lease(gap.lowerBound..<gap.lowerBound + min(Int64(gap.count), max(1, length)), now: now)
    }

    /// Takes the second half of what is left of the range in flight that will take longest; of one that has little left
    /// and does not move, all of it (the hedge of the last slow range).
    ///
    /// The divided lease ends earlier from now on: its request is to stop there.
    ///
    /// - Parameters:
    ///   - patience: seconds; a lease that will be done sooner is left alone, and so is one that is younger: a connection
    ///     is slow at first
    ///   - minimum: bytes; less is not halved
    mutating func divide(patience: Double, minimum: Int64, now: Double) -> Lease? {
        let slowest = leases.values
            .filter {
                $0.remaining > 0 && now - $0.since > patience && $0.secondsLeft(now: now) > patience * $0.forbearance
            }
            .max { ($0.secondsLeft(now: now), $0.remaining, $0.id) < ($1.secondsLeft(now: now), $1.remaining, $1.id) }
        guard let slowest else { return nil }
        let half = slowest.remaining / 2
        let middle = half >= max(1, minimum) ? slowest.end - half : slowest.position
        leases[slowest.id]?.end = middle
        return lease(middle..<slowest.end, now: now, takeovers: slowest.takeovers + 1)
    }

    /// Records that bytes have arrived at a lease's position; those beyond its end are not counted.
    ///
    /// - Returns: how many of them belong to the lease; 0 for a lease that is no more
    package mutating func advance(_ id: Int, by count: Int64) -> Int64 {
        guard var lease = leases[id] else { return 0 }
        let accepted = min(count, lease.remaining)
        guard accepted > 0 else { return 0 }
        done.insert(lease.position..<lease.position + accepted)
        lease.position += accepted
        leases[id] = lease
        return accepted
    }

    /// Gives a lease back. What has not arrived of it is to be handed out again.
    package mutating func finish(_ id: Int) {
        leases[id] = nil
    }

    /// Bytes that are not there yet.
    var missing: Int64 { size - done.count }

    private mutating func lease(_ range: Range<Int64>, now: Double, takeovers: Int = 0) -> Lease {
        let lease = Lease(
            id: nextID, start: range.lowerBound, position: range.lowerBound, end: range.upperBound, since: now,
            takeovers: takeovers)
        nextID += 1
        leases[lease.id] = lease
        return lease
    }

    private func firstUnassigned() -> Range<Int64>? {
        var taken = done
        for lease in leases.values where lease.remaining > 0 { taken.insert(lease.position..<lease.end) }
        return taken.firstGap(in: 0..<size)
    }
}

/// A set of byte offsets, kept as ordered, disjoint, non-adjacent half-open ranges.
package struct ByteRanges: Equatable, Sendable {
    private(set) var ranges: [Range<Int64>] = []

    package init(_ ranges: some Sequence<Range<Int64>> = []) {
        for range in ranges { insert(range) }
    }

    /// The number of offsets.
    var count: Int64 { ranges.reduce(0) { $0 + Int64($1.count) } }

    func contains(_ range: Range<Int64>) -> Bool {
        range.isEmpty || ranges.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound }
    }

    mutating func insert(_ range: Range<Int64>) {
        guard !range.isEmpty else { return }
        // Everything that overlaps or touches the range becomes one with it.
        let first = ranges.firstIndex { $0.upperBound >= range.lowerBound } ?? ranges.count
        var end = first
        var lower = range.lowerBound
        var upper = range.upperBound
        while end < ranges.count, ranges[end].lowerBound <= range.upperBound {
            lower = min(lower, ranges[end].lowerBound)
            upper = max(upper, ranges[end].upperBound)
            end += 1
        }
        ranges.replaceSubrange(first..<end, with: [lower..<upper])
    }

    mutating func remove(_ range: Range<Int64>) {
        ranges = ranges.flatMap { existing -> [Range<Int64>] in
            guard existing.overlaps(range) else { return [existing] }
            return [
                existing.lowerBound..<max(existing.lowerBound, range.lowerBound),
                min(existing.upperBound, range.upperBound)..<existing.upperBound,
            ].filter { !$0.isEmpty }
        }
    }

    /// The lowest range within `bounds` that holds none of the offsets.
    func firstGap(in bounds: Range<Int64>) -> Range<Int64>? {
        var lower = bounds.lowerBound
        for range in ranges where range.upperBound > lower {
            if range.lowerBound > lower { return lower..<min(range.lowerBound, bounds.upperBound) }
            lower = range.upperBound
            if lower >= bounds.upperBound { return nil }
        }
        return lower < bounds.upperBound ? lower..<bounds.upperBound : nil
    }
}
