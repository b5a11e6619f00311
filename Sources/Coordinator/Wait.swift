import ObjectStore
import Readiness

/// Asking again until the answer is ready or the time is over.
struct Wait: Sendable {
    /// How long at most.
    let timeout: Duration
    /// How long between two looks.
    let interval: Duration

    /// - Parameters:
    ///   - clock: the time that passes
    ///   - progress: takes the lines of a look whenever something has changed
    ///   - look: one look
    /// - Returns: the last answer: ready, or blocked when the time was over
    /// - Throws: what the last look threw, when the time was over. A store that is out of reach for a while does not end
    ///   the wait; whatever else is thrown ends it at once, since waiting does not mend a file.
    func untilReady<C: Clock<Duration>>(
        clock: C, progress: (String) -> Void, look: () async throws -> Verdict
    ) async throws -> Verdict {
        let end = clock.now.advanced(by: timeout)
        var said: [String] = []
        var outlook = Outlook()
        while true {
            let answer: Result<Verdict, ObjectStoreError>
            do {
                answer = .success(try await look())
            } catch let error as ObjectStoreError {
                answer = .failure(error)
            }
            if case .success(let verdict) = answer, verdict.isReady { return verdict }
            guard clock.now < end else { return try answer.get() }
            let lines =
                switch answer {
                case .failure(let error): ["waiting: \(error)"]
                case .success(let verdict): outlook.lines(verdict)
                }
            if lines != said { lines.forEach(progress) }
            said = lines
            try await clock.sleep(until: min(end, clock.now.advanced(by: interval)), tolerance: nil)
        }
    }
}
