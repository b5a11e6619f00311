import Glibc
import Synchronization

/// What must be undone however the benchmark ends: namespaces, servers, scratch files.
///
/// A signal that ends the process runs the same undoing on a thread of its own. A benchmark that was killed outright
/// leaves its namespaces and scratch behind; they carry its process id, and the next one removes them.
enum Cleanup {
    private struct State {
        var actions: [(id: Int, undo: @Sendable () -> Void)] = []
        var next = 0
        var isEnding = false
    }

    private static let state = Mutex(State())

    /// Whether a signal is ending the benchmark: what its children do from now on is no figure.
    static var isEnding: Bool { state.withLock { $0.isEnding } }

    /// Undoes everything because a signal ends the benchmark.
    private static func end(by signal: Int32) {
        state.withLock { $0.isEnding = true }
        warn("ended by signal \(signal); removing namespaces and scratch files")
        runAll()
    }

    /// Notes how something is undone.
    ///
    /// - Returns: the note's id, for `run`
    static func add(_ undo: @escaping @Sendable () -> Void) -> Int {
        state.withLock { state in
            state.next += 1
            state.actions.append((state.next, undo))
            return state.next
        }
    }

    /// Undoes one thing now, once.
    static func run(_ id: Int) {
        let action = state.withLock { state in
            state.actions.firstIndex { $0.id == id }.map { state.actions.remove(at: $0) }
        }
        action?.undo()
    }

    /// Undoes everything, the latest first.
    static func runAll() {
        while let last = state.withLock({ $0.actions.popLast() }) { last.undo() }
    }

    /// Lets SIGINT, SIGTERM and SIGHUP end the process through `runAll`. To be called first, while there is one thread:
    /// the threads started later inherit that these signals are blocked, children do not (`bench_spawn`).
    static func onSignals() {
        // Whoever reads our output may stop doing so; a write then fails instead of ending the process uncleanly.
        signal(SIGPIPE, SIG_IGN)
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { _ in
                var signals = sigset_t()
                sigemptyset(&signals)
                for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&signals, number) }
                var number: Int32 = 0
                sigwait(&signals, &number)
                Cleanup.end(by: number)
                _exit(128 + number)
            }, nil)
        if code == 0 { pthread_detach(thread) }
    }
}
