import HTTP
import OCI
import ObjectStore
import Readiness
import Synchronization
import Transfer

/// What the agent knows of itself: written by the loop and those beside it, read by `/status`, `/metrics` and the probes.
final class AgentStatus: Sendable {
    /// How a pass ended.
    enum Outcome: String, CaseIterable {
        /// Nothing is missing.
        case complete
        /// Something is missing.
        case incomplete
        /// Something waits for the next window, day or month.
        case paused
        /// Nothing could be said about the site.
        case failed
    }

    /// Something that happened, in words.
    struct Note: Hashable {
        let at: Timestamp
        let text: String
    }

    /// A pass that is under way.
    struct Running: Hashable {
        let number: Int
        let startedAt: Timestamp
        let reason: String
    }

    /// A pass that has ended.
    struct Finished: Hashable {
        let number: Int
        let at: Timestamp
        let seconds: Double
        let outcome: Outcome
        /// What it came to, or why it failed.
        let text: String
        var entries = 0
        var bytes: Int64 = 0
        var missing = 0
        var missingBytes: Int64 = 0
        var damaged = 0
        var postponed = 0
    }

    /// The settings in use, and those that are not.
    struct Settings: Hashable {
        var file = ""
        var loadedAt: Timestamp
        /// Why what is on the disk is not what is in use; `nil` where it is.
        var refusal: Note?
        var applied = 0
        var refused = 0
    }

    /// All of it, at one moment.
    struct State {
        var site = ""
        var environment = ""
        let startedAt: Timestamp
        var settings: Settings
        var passes: [Outcome: Int] = [:]
        var running: Running?
        var finished: Finished?
        /// What the last pass that did not fail verified.
        var holdings: [CacheManifest.Holding] = []
        var completeAt: Timestamp?
        var provedAt: Timestamp?
        var storeReachedAt: Timestamp?
        var storeFault: Note?
        /// Why the object store cannot be relied on; `nil` while it can, as far as is known.
        var storeRefusal: Note?
        /// How often the record is read, on average.
        var interval = Duration.seconds(60)
        var disks: [DiskSpace] = []
        /// Why this machine's clock must be wrong; `nil` while it need not be.
        var clockFault: String?
        /// Since when each pass has failed; `nil` where the last one did not.
        var failingSince: Timestamp?
        var isStopping = false
    }

    let now: @Sendable () -> Timestamp
    private let state: Mutex<State>

    init(now: @escaping @Sendable () -> Timestamp = { Timestamp(.system) }) {
        self.now = now
        let start = now()
        state = Mutex(State(startedAt: start, settings: Settings(loadedAt: start)))
    }

    /// What is known now.
    var current: State { state.withLock { $0 } }

    func update(_ change: (inout State) -> Void) { state.withLock { change(&$0) } }

    // MARK: The loop

    /// - Returns: the pass's number, by which its log lines are found
    func passStarted(_ reason: String) -> Int {
        let now = now()
        return state.withLock { state in
            let number = state.passes.values.reduce(0, +) + 1
            state.running = Running(number: number, startedAt: now, reason: reason)
            return number
        }
    }

    func passFinished(_ report: PassReport) {
        let now = now()
        state.withLock { state in
            let outcome: Outcome = report.isComplete ? .complete : report.pause == nil ? .incomplete : .paused
            state.end(outcome, report.summary, at: now) { finished in
                finished.entries = report.closure.entries.count
                finished.bytes = report.closure.uniqueBytes
                finished.missing = report.missing.count
                finished.missingBytes = Closure(report.missing).uniqueBytes
                finished.damaged = report.damaged.count
                finished.postponed = report.postponed
            }
            state.holdings = report.holdings
            state.provedAt = now
            state.storeRefusal = nil
            if outcome == .complete { state.completeAt = now }
        }
    }

    func passFailed(_ error: any Error) {
        let now = now()
        state.withLock { state in
            guard state.running != nil else { return }
            state.storeRefusal =
                (error as? ObjectStoreError)?.code == .unsupportedStore ? Note(at: now, text: "\(error)") : nil
            let before = state.finished
            state.end(.failed, "\(error)", at: now) { finished in
                // What was missing before still is, for all that is known.
                finished.entries = before?.entries ?? 0
                finished.bytes = before?.bytes ?? 0
                finished.missing = before?.missing ?? 0
                finished.missingBytes = before?.missingBytes ?? 0
                finished.damaged = before?.damaged ?? 0
            }
        }
    }

    /// A pass was given up for new settings, or for the end.
    func passAbandoned() { state.withLock { $0.running = nil } }

    func storeReached() {
        let now = now()
        state.withLock { state in
            state.storeReachedAt = now
            state.storeFault = nil
        }
    }

    func storeFailed(_ error: any Error) {
        let now = now()
        state.withLock { $0.storeFault = Note(at: now, text: "\(error)") }
    }

    // MARK: Settings

    func settingsLoaded(_ site: SiteName, _ environment: EnvironmentName, file: String, interval: Duration) {
        let now = now()
        state.withLock { state in
            state.site = site.text
            state.environment = environment.text
            state.interval = interval
            state.settings.file = file
            state.settings.loadedAt = now
            state.settings.refusal = nil
            state.storeRefusal = nil
            state.settings.applied += 1
        }
    }

    func settingsRefused(_ error: any Error) {
        let now = now()
        state.withLock { state in
            state.settings.refusal = Note(at: now, text: "\(error)")
            state.settings.refused += 1
        }
    }

    /// What is on the disk is again what is in use.
    func settingsAsBefore() { state.withLock { $0.settings.refusal = nil } }
}

extension AgentStatus.State {
    fileprivate mutating func end(
        _ outcome: AgentStatus.Outcome, _ text: String, at now: Timestamp,
        _ fill: (inout AgentStatus.Finished) -> Void
    ) {
        let started = running
        running = nil
        passes[outcome, default: 0] += 1
        var finished = AgentStatus.Finished(
            number: started?.number ?? 0, at: now,
            seconds: started.map { max(0, now.since($0.startedAt).seconds) } ?? 0, outcome: outcome, text: text)
        fill(&finished)
        self.finished = finished
        failingSince = outcome == .failed ? failingSince ?? now : nil
    }

    /// How long the store may be out of reach, or passes fail, before the agent no longer does its work.
    var patience: Duration { max(.seconds(300), interval * 3) }

    /// Why the agent does not do its work, one line each.
    func faults(at now: Timestamp) -> [String] {
        var faults: [String] = []
        if isStopping { faults.append("it stops") }
        if let refusal = settings.refusal {
            faults.append("the settings on the disk are wrong, those before are in use: \(refusal.text)")
        }
        if let storeReachedAt {
            let age = now.since(storeReachedAt)
            if age > patience {
                faults.append(
                    "the object store was reached \(age.rounded) ago"
                        + (storeFault.map { ": \($0.text)" } ?? ""))
            }
        } else {
            faults.append("the object store was not reached yet" + (storeFault.map { ": \($0.text)" } ?? ""))
        }
        if let storeRefusal { faults.append("no pass is made with this object store: \(storeRefusal.text)") }
        if let failingSince, let finished, now.since(failingSince) > patience {
            faults.append("every pass since \(failingSince) has failed, the last one so: \(finished.text)")
        }
        if let clockFault { faults.append(clockFault) }
        faults += disks.filter(\.isShort).map(\.warning)
        return faults
    }
}
