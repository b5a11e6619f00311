import AgentServer
import HTTP
import Readiness
import Synchronization
import Transfer

/// Everything that can be told of the agent, at one moment.
struct AgentView: Sendable {
    let at: Timestamp
    let state: AgentStatus.State
    /// How long the loop showed no sign of life where one was to be expected.
    let silence: Duration
    let transfer: TransferProgress
    let sources: [SourceStanding]
    let hosts: [String: HostLedger.Standing]
    let disks: [DiskSpace]
    /// When transfers may run.
    var windows = TransferWindows()
}

/// Answers what is asked of the agent over HTTP.
final class AgentTeller: AgentAnswers {
    private let known: AgentStatus
    private let heartbeat: Heartbeat
    private let figures: AgentFigures
    private let ledger: HostLedger
    private let version: String
    /// What changes with the settings.
    private let engine = Mutex<(engine: TransferEngine, surroundings: Surroundings, windows: TransferWindows)?>(nil)

    init(status: AgentStatus, heartbeat: Heartbeat, ledger: HostLedger, version: String) {
        known = status
        self.heartbeat = heartbeat
        self.ledger = ledger
        self.version = version
        figures = AgentFigures(version: version)
    }

    /// Other settings are in use.
    func follow(_ engine: TransferEngine, _ surroundings: Surroundings, _ windows: TransferWindows) {
        self.engine.withLock { $0 = (engine, surroundings, windows) }
        heartbeat.watch(engine.progress)
    }

    var view: AgentView {
        let current = engine.withLock { $0 }
        return AgentView(
            at: known.now(), state: known.current, silence: heartbeat.silence,
            transfer: current?.engine.progress.snapshot ?? TransferProgress(),
            sources: current?.engine.sourceStandings ?? [], hosts: ledger.hosts,
            disks: current?.surroundings.disks ?? [], windows: current?.windows ?? TransferWindows())
    }

    var health: ProbeAnswer {
        let silence = heartbeat.silence
        guard silence > LoopPulse.patience else { return ProbeAnswer([]) }
        return ProbeAnswer(["the loop of passes has shown no sign of life for \(silence.rounded)"])
    }

    var readiness: ProbeAnswer {
        let now = known.now()
        return ProbeAnswer(health.faults + known.current.faults(at: now))
    }

    var status: String { StatusDocument(view, version: version, readiness: readiness.faults).text }
    var metrics: String { figures.text { view } }
}
