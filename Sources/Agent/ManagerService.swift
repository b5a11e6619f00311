import HTTP
import Logging
import ServiceLifecycle
import Serving
import Synchronization

/// Tells the service manager (systemd) how the agent is: started, alive, stopping, and in one line what it does.
///
/// That it is alive is said only while the loop of passes shows signs of life.
struct ManagerService: Service {
    /// The longest time between two looks.
    static let longestInterval = Duration.seconds(10)

    let manager: ServiceManager
    let heartbeat: Heartbeat
    let status: AgentStatus
    /// What must have started first.
    let start: StartSignal
    let timing: Timing
    let logger: Logger

    func run() async throws {
        guard manager.isThere else {
            try? await gracefulShutdown()
            status.update { $0.isStopping = true }
            return
        }
        await cancelWhenGracefulShutdown {
            await start.wait()
            guard !Task.isCancelled else { return }
            var line = summary
            manager.tell(.ready, .status(line))
            var wasAlive = true
            while !Task.isCancelled {
                let isAlive = heartbeat.isAlive
                if isAlive {
                    manager.tell(.watchdog)
                } else if wasAlive {
                    logger.critical(
                        "the loop shows no sign of life: the service manager's watchdog will end this process",
                        metadata: ["silence": "\(heartbeat.silence)"])
                }
                wasAlive = isAlive
                if summary != line {
                    line = summary
                    manager.tell(.status(line))
                }
                guard (try? await timing.sleep(interval)) != nil else { break }
            }
        }
        status.update { $0.isStopping = true }
        manager.tell(.stopping, .status("stopping"))
    }

    /// Twice as often as the manager wants to hear, so that one late wake-up does no harm.
    private var interval: Duration {
        min(manager.watchdogInterval.map { $0 / 2 } ?? Self.longestInterval, Self.longestInterval)
    }

    private var summary: String { status.current.summary }
}

extension AgentStatus.State {
    /// What the agent does, in one line.
    var summary: String {
        if let refusal = settings.refusal { return "settings refused: \(refusal.text)" }
        if let running { return "pass \(running.number) since \(running.startedAt): \(running.reason)" }
        return finished.map { "pass \($0.number) at \($0.at): \($0.outcome.rawValue): \($0.text)" } ?? "starting"
    }
}

/// Opens when everything that it waits for has happened.
final class StartSignal: Sendable {
    private struct State {
        var open: Int
        var waiting: [CheckedContinuation<Void, Never>] = []
    }
    private let state: Mutex<State>

    /// - Parameter count: how many things must happen
    init(count: Int) { state = Mutex(State(open: count)) }

    /// One of them has happened.
    func signal() {
        let ready = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.open -= 1
            guard state.open <= 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in ready { continuation.resume() }
    }

    /// Waits until all of them have happened, or the task is cancelled.
    func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOpen = state.withLock { state in
                    if state.open <= 0 || Task.isCancelled { return true }
                    state.waiting.append(continuation)
                    return false
                }
                if isOpen { continuation.resume() }
            }
        } onCancel: {
            let all = state.withLock { state in
                defer { state.waiting = [] }
                return state.waiting
            }
            for continuation in all { continuation.resume() }
        }
    }
}
