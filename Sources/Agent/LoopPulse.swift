import HTTP
import Synchronization
import Transfer

/// Whether the loop of passes lives: a pure value.
///
/// Every step of the loop is a sign of life, and so is every figure of the transfer that moves, since a pass may take days.
/// A timer is none: a loop that hangs must not be kept alive by something beside it.
struct LoopPulse {
    /// How long a pass may show nothing before it counts as hung. Every wait within one is bounded below that: 600 s while a
    /// registry hashes, 120 s of waits between attempts, 60 s of silence within a body.
    static let patience = Duration.seconds(1200)

    private(set) var lastSign: ContinuousClock.Instant
    /// Until when the loop said that it would wait.
    private var waitsUntil: ContinuousClock.Instant?
    private var figures: TransferProgress?

    init(at now: ContinuousClock.Instant) { lastSign = now }

    /// Something was done.
    mutating func sign(at now: ContinuousClock.Instant) {
        lastSign = max(lastSign, now)
        waitsUntil = nil
    }

    /// The loop waits, and says for how long.
    mutating func waits(for duration: Duration, at now: ContinuousClock.Instant) {
        lastSign = max(lastSign, now)
        waitsUntil = now + duration
    }

    /// The transfer's figures; any that moved is a sign of life, and so is a pause that the site's limits ask for.
    mutating func observe(_ figures: TransferProgress, at now: ContinuousClock.Instant) {
        defer { self.figures = figures }
        guard let before = self.figures, waitsUntil == nil else { return }
        if figures != before || figures.pause != nil { lastSign = max(lastSign, now) }
    }

    /// How long there was no sign where one was to be expected.
    func silence(at now: ContinuousClock.Instant) -> Duration {
        max(.zero, now - max(lastSign, waitsUntil ?? lastSign))
    }

    /// Whether the loop lives.
    func isAlive(at now: ContinuousClock.Instant) -> Bool { silence(at: now) <= Self.patience }
}

/// The pulse of this process's loop: the driver around `LoopPulse`.
final class Heartbeat: Sendable {
    private struct State {
        var pulse: LoopPulse
        var board: ProgressBoard?
    }

    private let now: @Sendable () -> ContinuousClock.Instant
    private let state: Mutex<State>

    init(now: @escaping @Sendable () -> ContinuousClock.Instant = Timing.system.now) {
        self.now = now
        state = Mutex(State(pulse: LoopPulse(at: now())))
    }

    /// Whose figures move while a pass is under way.
    func watch(_ board: ProgressBoard?) { state.withLock { $0.board = board } }

    /// Something was done.
    func sign() {
        let now = now()
        state.withLock { $0.pulse.sign(at: now) }
    }

    /// The loop waits.
    func waits(for duration: Duration) {
        let now = now()
        state.withLock { $0.pulse.waits(for: duration, at: now) }
    }

    /// How long there was no sign of life where one was to be expected.
    var silence: Duration {
        let now = now()
        let figures = state.withLock { $0.board }?.snapshot
        return state.withLock { state in
            if let figures { state.pulse.observe(figures, at: now) }
            return state.pulse.silence(at: now)
        }
    }

    /// Whether the loop lives.
    var isAlive: Bool { silence <= LoopPulse.patience }
}
