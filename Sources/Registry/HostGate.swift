public import HTTP
import Synchronization

/// The budget of requests in flight to one host, and the means to pause it whole.
///
/// Each lane is first come, first served. Lanes have budgets of their own: a status query never waits behind a 10 GiB
/// body, and a copy within one registry cannot deadlock with every slot held by downloads whose uploads wait for one.
public final class HostGate: Sendable {
    /// A kind of request.
    public enum Lane: Int, CaseIterable, Sendable {
        /// Small requests: manifests, existence checks, sessions, tokens.
        case control
        /// Blob bodies towards us.
        case download
        /// Blob bodies towards the registry.
        case upload
    }

    /// The most requests in flight to one host, by lane.
    public struct Limits: Sendable, Hashable {
        /// Small requests.
        public var control = 16
        /// Blob bodies towards us.
        public var download = 32
        /// Blob bodies towards the registry.
        public var upload = 16

        /// The defaults.
        public init() {}

        subscript(lane: Lane) -> Int {
            switch lane {
            case .control: control
            case .download: download
            case .upload: upload
            }
        }
    }

    private struct Waiter {
        let id: UInt64
        let continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var inFlight = [Int](repeating: 0, count: Lane.allCases.count)
        var waiters = [[Waiter]](repeating: [], count: Lane.allCases.count)
        var nextID: UInt64 = 0
        var pausedUntil: ContinuousClock.Instant?
    }

    private let limits: Limits
    private let timing: Timing
    /// Held for bookkeeping only; continuations are resumed after it is released.
    private let state = Mutex(State())

    init(limits: Limits, timing: Timing) {
        self.limits = limits
        self.timing = timing
    }

    /// Why there is no slot.
    enum Refusal: Error, Equatable {
        /// The task was cancelled.
        case cancelled
        /// The host is paused for longer than anybody waits.
        case paused(Duration)
    }

    /// Waits for a slot, and then for the end of a pause. Every success needs one `release`.
    ///
    /// - Parameters:
    ///   - lane: the kind of request
    ///   - patience: the longest pause that is waited out, also where it begins while this waits: who is refused may ask
    ///     another host meanwhile, and does not keep a slot from others
    func acquire(_ lane: Lane, patience: Duration) async throws(Refusal) {
        if let left = pauseLeft(), left > patience { throw .paused(left) }
        guard await slot(lane) else { throw .cancelled }
        while let left = pauseLeft() {
            guard left <= patience else {
                release(lane)
                throw .paused(left)
            }
            do {
                try await timing.sleep(left)
            } catch {
                release(lane)
                throw .cancelled
            }
        }
    }

    /// Gives the slot back: to the longest waiting, if any.
    func release(_ lane: Lane) {
        let next = state.withLock { state -> Waiter? in
            guard state.waiters[lane.rawValue].isEmpty else { return state.waiters[lane.rawValue].removeFirst() }
            state.inFlight[lane.rawValue] -= 1
            return nil
        }
        next?.continuation.resume(returning: true)
    }

    /// Lets nothing new through before `instant`; a longer pause stands.
    func pause(until instant: ContinuousClock.Instant) {
        state.withLock { $0.pausedUntil = max($0.pausedUntil ?? instant, instant) }
    }

    /// What is left of the pause, or `nil`.
    func pauseLeft() -> Duration? {
        state.withLock { state in
            guard let until = state.pausedUntil else { return nil }
            let left = timing.now().duration(to: until)
            if left > .zero { return left }
            state.pausedUntil = nil
            return nil
        }
    }

    /// How many wait in a lane.
    func waiting(_ lane: Lane) -> Int { state.withLock { $0.waiters[lane.rawValue].count } }

    fileprivate var isIdle: Bool {
        state.withLock { state in
            state.inFlight.allSatisfy { $0 == 0 } && state.waiters.allSatisfy(\.isEmpty) && state.pausedUntil == nil
        }
    }

    private func slot(_ lane: Lane) async -> Bool {
        let id = state.withLock { state -> UInt64 in
            state.nextID += 1
            return state.nextID
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = state.withLock { state -> Bool? in
                    // A task is marked as cancelled before its handler runs, and the handler takes this lock: either
                    // the mark is seen here, or the handler finds the waiter.
                    if Task.isCancelled { return false }
                    if state.inFlight[lane.rawValue] < limits[lane] {
                        state.inFlight[lane.rawValue] += 1
                        return true
                    }
                    state.waiters[lane.rawValue].append(Waiter(id: id, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let cancelled = state.withLock { state -> Waiter? in
                guard let index = state.waiters[lane.rawValue].firstIndex(where: { $0.id == id }) else { return nil }
                return state.waiters[lane.rawValue].remove(at: index)
            }
            cancelled?.continuation.resume(returning: false)
        }
    }
}

/// The gates of all hosts, to be shared by all registry clients of a process.
public final class HostGates: Sendable {
    private let limits: @Sendable (HTTPURL) -> HostGate.Limits
    private let timing: Timing
    private let gates = Mutex<[String: HostGate]>([:])
    /// Above this many hosts, gates that nobody uses are forgotten: redirects may name any number of hosts.
    private static let keptGates = 256

    /// - Parameters:
    ///   - limits: the most requests in flight to the host of a URL
    ///   - timing: the clock of pauses
    public init(timing: Timing = .system, limits: @escaping @Sendable (HTTPURL) -> HostGate.Limits) {
        self.limits = limits
        self.timing = timing
    }

    /// - Parameters:
    ///   - limits: the most requests in flight to one host
    ///   - timing: the clock of pauses
    public convenience init(limits: HostGate.Limits = HostGate.Limits(), timing: Timing = .system) {
        self.init(timing: timing) { _ in limits }
    }

    /// The gate of a URL's host and port.
    func gate(for url: HTTPURL) -> HostGate {
        gates.withLock { gates in
            let key = "\(url.host):\(url.port)"
            if let gate = gates[key] { return gate }
            // A gate just handed out but not entered yet may be forgotten here: its user then counts apart, once.
            if gates.count >= Self.keptGates { gates = gates.filter { !$0.value.isIdle } }
            let gate = HostGate(limits: limits(url), timing: timing)
            gates[key] = gate
            return gate
        }
    }
}
