import Synchronization

/// How many requests a source serves at once, adapting to what it delivers.
///
/// First come, first served: range workers queue anew for each range, so that small blobs get their turn between them.
/// Tiny blobs go before everyone else, on a quarter of the slots: they hold a slot for a round trip, others for seconds.
final class FetchGate: Sendable {
    private struct Waiter {
        let id: Int
        let isTiny: Bool
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var limiter: AdaptiveLimiter
        var inFlight = 0
        var tinyInFlight = 0
        var waiters: [Waiter] = []
        var nextID = 0
        /// Large blobs that share the slots.
        var sharers = 0

        /// The next to be served, if there is room.
        ///
        /// - Parameter site: what it takes a slot of, too
        mutating func next(_ site: ConnectionBudget) -> Waiter? {
            guard inFlight < limiter.limit, !waiters.isEmpty, site.take() else { return nil }
            let prefersTiny = tinyInFlight < max(1, limiter.limit / 4)
            let index = waiters.firstIndex { $0.isTiny == prefersTiny } ?? 0
            let waiter = waiters.remove(at: index)
            take(isTiny: waiter.isTiny)
            return waiter
        }

        mutating func take(isTiny: Bool) {
            inFlight += 1
            if isTiny { tinyInFlight += 1 }
        }
    }

    private let state: Mutex<State>
    private let site: ConnectionBudget
    private let clock: @Sendable () -> Double

    /// - Parameters:
    ///   - limiter: the bounds and where to begin
    ///   - site: what all sources of the site share
    ///   - clock: seconds of a monotonic clock
    init(
        limiter: AdaptiveLimiter, site: ConnectionBudget = ConnectionBudget(.max),
        clock: @escaping @Sendable () -> Double
    ) {
        state = Mutex(State(limiter: limiter))
        self.site = site
        self.clock = clock
        site.join(self)
    }

    /// The current limit.
    var limit: Int { state.withLock { $0.limiter.limit } }

    /// Whether a slot is free now.
    var hasRoom: Bool { state.withLock { $0.inFlight < $0.limiter.limit } && site.hasRoom }

    /// Whether slots are free that nobody waits for.
    var isIdle: Bool { state.withLock { $0.inFlight < $0.limiter.limit && $0.waiters.isEmpty } && site.hasRoom }

    /// Requests in flight, and those that wait for a slot.
    var load: Int { state.withLock { $0.inFlight + $0.waiters.count } }

    /// How many wait for a slot.
    var waiting: Int { state.withLock { $0.waiters.count } }

    /// How many slots one large blob may use while others need some too: ranges of one blob on several connections
    /// arrive out of order, so connections go to different blobs first.
    var share: Int { state.withLock { max(1, $0.limiter.limit / max(1, $0.sharers)) } }

    /// Counts a large blob among those that share the slots, for the length of `body`.
    func sharing<Result>(_ body: () async throws(TransferError) -> Result) async throws(TransferError) -> Result {
        state.withLock { $0.sharers += 1 }
        defer { state.withLock { $0.sharers -= 1 } }
        return try await body()
    }

    /// Waits for a slot; every success needs one `release`.
    ///
    /// - Parameter isTiny: whether it is for a blob that takes little more than a round trip
    /// - Throws: `CancellationError` when the task is cancelled while it waits
    func acquire(isTiny: Bool = false) async throws(CancellationError) {
        let id = state.withLock { state -> Int in
            state.nextID += 1
            return state.nextID
        }
        let granted = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Bool, Never>) in
                let answer: Bool? = state.withLock { state in
                    if Task.isCancelled { return false }
                    if state.inFlight < state.limiter.limit, site.take() {
                        state.take(isTiny: isTiny)
                        return true
                    }
                    state.waiters.append(Waiter(id: id, isTiny: isTiny, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0) }
            }
            waiter?.continuation.resume(returning: false)
        }
        guard granted else { throw CancellationError() }
    }

    /// Gives a slot back.
    func release(isTiny: Bool = false) {
        state.withLock { state in
            state.inFlight -= 1
            if isTiny { state.tinyInFlight -= 1 }
        }
        site.giveBack()
    }

    /// Records bytes that arrived.
    func received(_ bytes: Int64) {
        let now = clock()
        let grew = state.withLock { state in
            let before = state.limiter.limit
            state.limiter.received(bytes, inFlight: state.inFlight, now: now)
            return state.limiter.limit > before
        }
        if grew { serve() }
    }

    /// Records a measured round trip, in seconds.
    func measured(roundTrip: Double) {
        state.withLock { $0.limiter.measured(roundTrip: roundTrip) }
        serve()
    }

    /// Records that the source pushed back or broke the connection.
    func pushedBack() {
        let now = clock()
        state.withLock { $0.limiter.pushedBack(now: now) }
    }

    /// Lets those through for whom there is room now.
    fileprivate func serve() {
        let granted: [Waiter] = state.withLock { state in
            var granted: [Waiter] = []
            while let waiter = state.next(site) { granted.append(waiter) }
            return granted
        }
        for waiter in granted { waiter.continuation.resume(returning: true) }
    }
}

/// The connections for content that a site has to all of its sources together.
final class ConnectionBudget: Sendable {
    private struct Member {
        weak var gate: FetchGate?
    }

    private struct State {
        var inFlight = 0
        var members: [Member] = []
        /// Whom a free slot is offered first: in turn, so that no source is always the last.
        var turn = 0
    }

    private let limit: Int
    /// Taken with a gate's own lock held, and never the other way round.
    private let state = Mutex(State())

    /// - Parameter limit: the most connections
    init(_ limit: Int) { self.limit = limit }

    /// Whether a slot is free now.
    var hasRoom: Bool { state.withLock { $0.inFlight < limit } }

    fileprivate func join(_ gate: FetchGate) {
        state.withLock { $0.members.append(Member(gate: gate)) }
    }

    fileprivate func take() -> Bool {
        state.withLock { state in
            guard state.inFlight < limit else { return false }
            state.inFlight += 1
            return true
        }
    }

    /// Gives a slot back, to whichever gate has somebody waiting.
    fileprivate func giveBack() {
        let gates = state.withLock { state -> [FetchGate] in
            state.inFlight -= 1
            state.turn = (state.turn + 1) % max(1, state.members.count)
            return (state.members[state.turn...] + state.members[..<state.turn]).compactMap(\.gate)
        }
        for gate in gates { gate.serve() }
    }
}
