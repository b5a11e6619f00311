/// Which source the next request goes to. A pure value.
///
/// The lowest priority number that has a usable source is asked, and no other: sources of higher numbers are for when
/// those cannot be used at all, not for when they are busy. Among sources of one priority, requests in flight are shared
/// in proportion to the weights, so that of two with equal weights the faster one brings more bytes.
enum SourceChoice: Equatable {
    /// A source as the choice sees it.
    struct Candidate: Equatable {
        /// Lower is asked first.
        var priority: Int
        /// Its share of the requests in flight among sources of its priority, from 1.
        var weight: Int
        /// Requests in flight there, and those that wait for it.
        var load: Int
        /// Whether it takes another request now.
        var hasRoom: Bool
        /// Whether it may be asked; given up also for a source that will not deliver this blob.
        var availability: SourceHealth.Availability
        /// Whether it has served bytes that did not hash to what was asked for: then all others go before it.
        var isSuspect = false

        fileprivate var rank: (Int, Int) { (isSuspect ? 1 : 0, priority) }
    }

    /// Ask this one; `group` are all that may be asked in its place, itself included.
    case use(Int, group: [Int])
    /// All that are left are resting.
    case wait
    /// None will deliver.
    case none

    /// - Parameter candidates: the sources
    init(among candidates: [Candidate]) {
        let usable = candidates.indices.filter { candidates[$0].availability == .usable }
        guard let rank = usable.map({ candidates[$0].rank }).min(by: <) else {
            self = candidates.contains { if case .resting = $0.availability { true } else { false } } ? .wait : .none
            return
        }
        let group = usable.filter { candidates[$0].rank == rank }
        let withRoom = group.filter { candidates[$0].hasRoom }
        // With no room anywhere, one waits at the gate of the one whose turn it would be.
        let chosen = (withRoom.isEmpty ? group : withRoom).min { left, right in
            Self.pressure(candidates[left], against: candidates[right])
                < Self.pressure(candidates[right], against: candidates[left])
        }
        self = chosen.map { .use($0, group: group) } ?? .none
    }

    /// Load by weight as it would be with one more request, compared without division: the products are small, since
    /// connections and weights are bounded.
    private static func pressure(_ candidate: Candidate, against other: Candidate) -> Int {
        (candidate.load + 1) * max(1, other.weight)
    }
}
