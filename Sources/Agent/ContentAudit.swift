import ConfigurationFiles
import HTTP
import Logging
import OCI
import Readiness
import Registry
import ServiceLifecycle
import Synchronization
import Transfer

/// Reads content back and hashes it, oldest first, on a budget, beside the passes.
///
/// What is found damaged is written down, and the next pass reports it as missing and brings it again.
final class ContentAudit: Service {
    /// How long to wait after a question that got no answer, and at most between two looks at the schedule.
    static let recheck = Duration.seconds(60)

    private struct State {
        var schedule: ContentSchedule
        /// Counts the schedules: what was read for one is not ticked off in another.
        var number = 0
        var hasNews = false
        /// Why the budget is not enough, as it was said last.
        var shortfall: String?
    }

    private let registry: any SiteRegistry
    private let journal: ProofJournal
    private let budget: ReadBudget
    private let settings: AgentFile.Audit
    private let timing: Timing
    private let logger: Logger
    private let shard: Shard?
    private let state: Mutex<State>

    init(
        registry: any SiteRegistry, journal: ProofJournal, budget: ReadBudget, settings: AgentFile.Audit,
        timing: Timing, logger: Logger, shard: Shard? = nil
    ) {
        self.registry = registry
        self.journal = journal
        self.budget = budget
        self.settings = settings
        self.timing = timing
        self.logger = logger
        self.shard = shard
        state = Mutex(State(schedule: ContentSchedule(period: settings.period ?? .seconds(0))))
    }

    /// Whether damage was found since this was asked last.
    func takeNews() -> Bool {
        state.withLock { state in
            defer { state.hasNews = false }
            return state.hasNews
        }
    }

    /// Takes up what the site needs now, after a pass, which may have found that content is new, or was lost.
    func update(_ closure: Closure) throws {
        guard let period = settings.period else { return }
        try journal.forgetReadings(after: { Timestamp(timing) })
        let readings = try journal.readings()
        // Of several agents each reads what is its own.
        let closure = shard.map { shard in Closure(closure.entries.filter { shard.owns($0.digest) }) } ?? closure
        // What is known is known by the registry's names.
        let places = try Dictionary(
            closure.entries.map { (try registry.place(of: $0.identity), $0.identity) },
            uniquingKeysWith: { first, _ in first })
        let schedule = ContentSchedule(
            period: period, closure: closure,
            readings: readings.reduce(into: [:]) { result, reading in
                let kinds: [ClosureEntry.Kind] = [.blob, .manifest]
                let entry = kinds.lazy.compactMap { kind in
                    places[.init(repository: reading.value.repository, digest: reading.key, kind: kind)]
                }.first
                result[reading.key] = (entry, reading.value.at)
            })
        try journal.keepReadings(of: Set(closure.entries.map(\.digest)))
        let shortfall = schedule.shortfall(rate: settings.rate, perDay: settings.quotaPerDay)
        let isNew = state.withLock { state in
            defer { state.shortfall = shortfall }
            state.schedule = schedule
            state.number += 1
            return state.shortfall != shortfall
        }
        if let shortfall, isNew {
            logger.warning("not all content will be read back in time", metadata: ["reason": "\(shortfall)"])
        }
    }

    func run() async throws {
        guard settings.period != nil else {
            try? await gracefulShutdown()
            return
        }
        try? await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let wait = await self.step()
                if wait > .zero { try await self.timing.sleep(wait) }
            }
        }
    }

    /// Reads one content, if one is due.
    ///
    /// - Returns: how long to wait before the next step
    func step() async -> Duration {
        let now = Timestamp(timing)
        let (item, number, wait) = state.withLock { ($0.schedule.due(at: now), $0.number, $0.schedule.wait(at: now)) }
        guard let item, let entry = item.entries.first else { return min(wait ?? Self.recheck, Self.recheck) }
        do {
            let isRight = try await look(at: entry)
            // What another repository has may be the same file.
            if !isRight {
                for other in item.entries.dropFirst() { _ = try await look(at: other) }
            }
        } catch {
            if let until = budget.pausedUntil {
                return .seconds(max(1, min(Double(until) - timing.unixTime(), 3600)))
            }
            if !Task.isCancelled {
                logger.warning("content was not read back", metadata: ["reason": "\(error)"])
            }
            return Self.recheck
        }
        state.withLock { state in
            // Unless there is something else to read by now.
            if state.number == number { state.schedule.looked(at: now) }
        }
        return .zero
    }

    /// Reads everything, whenever it was read last.
    ///
    /// - Throws: at the first content of which nothing is known, and where the day's budget is used up
    func readAll(_ closure: Closure) async throws {
        for entries in Dictionary(grouping: closure.entries, by: \.digest).values.sorted(by: {
            $0[0].digest < $1[0].digest
        }) {
            for entry in entries {
                // One that is right stands for the others: registries keep one copy of a digest.
                if try await look(at: entry) { break }
            }
        }
    }

    private func look(at entry: ClosureEntry) async throws -> Bool {
        let place = try registry.place(of: entry.identity)
        let reading = journal.beginReading(of: entry.digest, at: Timestamp(timing))
        defer { journal.end(reading) }
        let reason: String
        switch try await registry.readBack(entry, isBudgeted: true) {
        case .shown:
            try journal.record(reading, in: place.repository)
            return true
        case .absent: reason = "it is no longer there"
        case .broken(let what): reason = what
        }
        logger.error(
            "damaged content", metadata: ["entry": "\(place.repository)@\(place.digest)", "reason": "\(reason)"])
        try journal.recordFault(place, reason: reason)
        state.withLock { $0.hasNews = true }
        return false
    }
}
