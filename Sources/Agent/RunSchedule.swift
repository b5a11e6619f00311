/// When `run` makes a pass, and how long it waits: a pure value.
struct RunSchedule {
    /// The mean wait between two readings of the environment's record.
    let interval: Duration
    /// How long a complete pass is left alone.
    let verifyInterval: Duration
    private var lastPass: (at: ContinuousClock.Instant, complete: Bool)?

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
        return changed || !lastPass.complete || now - lastPass.at >= verifyInterval
    }

    /// Records the end of a pass. One that failed as a whole is not complete.
    mutating func finished(at now: ContinuousClock.Instant, complete: Bool) {
        lastPass = (now, complete)
    }

    /// How long to wait: at random from half to one and a half of the interval, so that agents that were started
    /// together do not stay together.
    ///
    /// - Parameter chance: a random number in `0..<1`
    func wait(chance: Double) -> Duration { interval * (0.5 + chance) }
}
