/// When `run` makes a pass, and how long it waits: a pure value.
struct RunSchedule {
    /// The mean wait between two readings of the environment's record.
    let interval: Duration
    /// How long a complete pass is left alone.
    let verifyInterval: Duration
    private var lastPass: (at: ContinuousClock.Instant, complete: Bool, resumesAt: ContinuousClock.Instant?)?

    init(interval: Duration, verifyInterval: Duration) {
        self.interval = interval
        self.verifyInterval = verifyInterval
    }

    /// Whether a pass is due.
    ///
    /// - Parameters:
    ///   - changed: whether the record has changed since the last pass
    ///   - now: the time
    func isDue(changed: Bool, now: ContinuousClock.Instant) -> Bool {
        guard let lastPass else { return true }
        if changed || now - lastPass.at >= verifyInterval { return true }
        // While transfers are paused, what is missing stays missing.
        return !lastPass.complete && lastPass.resumesAt.map { now >= $0 } ?? true
    }

    /// Why a pass is due that nothing new asks for.
    func reason(now: ContinuousClock.Instant) -> String {
        guard let lastPass else { return "the agent has started" }
        return lastPass.complete || now - lastPass.at >= verifyInterval
            ? "verification is due" : "the last pass was not complete"
    }

    /// Records the end of a pass. One that failed as a whole is not complete.
    ///
    /// - Parameter resumesAt: when transfers may go on, where they are paused
    mutating func finished(
        at now: ContinuousClock.Instant, complete: Bool, resumesAt: ContinuousClock.Instant? = nil
    ) {
        lastPass = (now, complete, resumesAt)
    }

    /// The longest that a pass is put off, at random, after a pause of the transfers has ended: agents whose windows open
    /// together do not come together.
    static let spread = Duration.seconds(30)

    /// How long to wait: at random from half to one and a half of the interval, so that agents that were started
    /// together do not stay together; less where transfers go on before that.
    ///
    /// - Parameters:
    ///   - chance: a random number in `0..<1`
    ///   - now: the time
    func wait(chance: Double, now: ContinuousClock.Instant) -> Duration {
        let wait = interval * (0.5 + chance)
        guard let lastPass, !lastPass.complete, let resumesAt = lastPass.resumesAt, resumesAt > now else { return wait }
        return min(wait, (resumesAt - now) + Self.spread * chance)
    }
}
