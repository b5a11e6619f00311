import CLinux
import FoundationEssentials
import Glibc

/// How a process ended, and what it and the children it waited for have used.
struct Ending {
    /// The exit code; `nil` where a signal ended it.
    var code: Int32?
    /// The signal that ended it.
    var signal: Int32?
    /// Whether it was ended because its time was up.
    var timedOut = false
    /// Seconds from before its start to after its end.
    var wall = 0.0
    /// CPU seconds in user mode.
    var user = 0.0
    /// CPU seconds in the kernel.
    var system = 0.0
    /// The largest resident memory of any one of its processes, in bytes, without the benchmark's own (`MemoryWatch`).
    var peakMemory = 0

    var isSuccess: Bool { code == 0 && !timedOut }

    /// The ending in words, to follow the command's name.
    var words: String {
        if timedOut { return "was not finished after \(fixed(wall, 0)) s" }
        if let signal { return "was ended by signal \(signal)" }
        return "exited with \(code ?? -1)"
    }
}

/// A process that is measured and that this benchmark ends by its own id.
///
/// Started and waited for by the main thread: the kernel ends it together with the thread that started it.
final class Child {
    let pid: pid_t
    private let start: Double
    private let descriptor: Int32
    private var cleanup = 0
    private var memory: MemoryWatch
    private var ending: Ending?

    /// - Parameters:
    ///   - command: what to run
    ///   - namespace: the network it runs in; the benchmark's own unless said
    ///   - output: a file for standard output
    ///   - errors: a file for standard error
    /// - Throws: `BenchError` where it cannot be started
    init(_ command: Command, in namespace: Namespace? = nil, output: String, errors: String) throws {
        guard let name = command.arguments.first, let path = Command.find(name) else {
            throw BenchError(.command, "\(command.arguments.first ?? "") is not on PATH: install it")
        }
        let input = open("/dev/null", O_RDONLY | O_CLOEXEC)
        let output = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        let errors = open(errors, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        defer { for file in [input, output, errors] where file >= 0 { close(file) } }
        guard input >= 0, output >= 0, errors >= 0 else {
            throw BenchError(.system, "cannot open the files of \(name): \(errorText())")
        }
        var environment = ["PATH": Command.searchPath, "HOME": Scratch.root, "TMPDIR": Scratch.root, "LANG": "C"]
        environment.merge(command.environment) { $1 }
        let argv = command.arguments.map { strdup($0) } + [nil]
        let envp = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        start = monotonicSeconds()
        pid = path.withCString { path in
            argv.withUnsafeBufferPointer { argv in
                envp.withUnsafeBufferPointer { envp in
                    var launch = bench_launch(
                        path: path, arguments: argv.baseAddress, environment: envp.baseAddress,
                        network_namespace: namespace?.descriptor ?? -1, input: input, output: output, errors: errors)
                    return bench_spawn(&launch)
                }
            }
        }
        guard pid > 0 else { throw BenchError(.command, "cannot start \(path): \(errorText(-pid))") }
        // After the fork: whatever was copied is in it.
        memory = MemoryWatch(floor: MemoryWatch.highWater(kernelFile("/proc/self/status")))
        let descriptor = bench_pidfd_open(pid)
        guard descriptor >= 0 else {
            kill(-pid, SIGKILL)
            waitpid(pid, nil, 0)
            throw BenchError(
                .system, "cannot wait for \(path): \(errorText(-descriptor)); pidfd_open needs Linux 5.3 or newer")
        }
        self.descriptor = descriptor
        cleanup = Cleanup.add { [pid] in kill(-pid, SIGKILL) }
    }

    deinit {
        if ending == nil { _ = end(SIGKILL) }
    }

    /// Waits for the end.
    ///
    /// - Parameters:
    ///   - timeout: seconds since the start after which the process and its children are killed
    ///   - interval: seconds between two samples
    ///   - sample: called at each interval while the process runs
    func wait(timeout: Double, every interval: Double = 0.1, sample: () -> Void = {}) -> Ending {
        let last = start + timeout
        var next = start + interval
        while true {
            if hasEnded(by: min(next, last)) { return reap() }
            let now = monotonicSeconds()
            if now >= last {
                kill(-pid, SIGKILL)
                var ending = reap()
                // One that ended at that very moment has ended by itself.
                ending.timedOut = ending.signal == SIGKILL
                return ending
            }
            if now >= next {
                sample()
                next += interval
            }
        }
    }

    /// Waits until seconds have passed since the start. `false` when the process has ended before.
    func isRunning(at seconds: Double) -> Bool { !hasEnded(by: start + seconds) }

    /// Whether it has ended, found out without waiting.
    var hasEnded: Bool {
        var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&polled, 1, 0) > 0
    }

    /// Waits for the end, until a moment at most, and looks at the memory meanwhile. `true` when it has ended.
    private func hasEnded(by moment: Double) -> Bool {
        while true {
            watchMemory()
            let now = monotonicSeconds()
            let wait = min(moment, max(memory.due, now)) - now
            var polled = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&polled, 1, Int32(max(0, (wait * 1000).rounded(.up)))) > 0 { return true }
            guard monotonicSeconds() < moment else { return false }
        }
    }

    /// Looks at its memory where that is due: for whoever waits for several at once.
    func watchMemory() {
        if monotonicSeconds() >= memory.due { memory.look(at: pid) }
    }

    /// Ends the process and its children by a signal and waits for the end.
    func end(_ signal: Int32) -> Ending {
        // Its id may be another's by now.
        if let ending { return ending }
        memory.look(at: pid)
        kill(-pid, signal)
        return reap()
    }

    /// CPU seconds it has used so far, threads included.
    var cpu: Double {
        guard let bytes = try? Data(contentsOf: URL(filePath: "/proc/\(pid)/stat")) else { return 0 }
        // The second field is the name in parentheses and may hold anything.
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The largest resident memory that it has had so far, in bytes.
    var peakMemory: Int {
        MemoryWatch.highWater(kernelFile("/proc/\(pid)/status"))
    }

    private func reap() -> Ending {
        if let ending { return ending }
        var status: Int32 = 0
        var usage = rusage()
        while wait4(pid, &status, 0, &usage) < 0 && errno == EINTR {}
        // Killed because the benchmark is: there is nothing more to measure until the process ends.
        while Cleanup.isEnding { pause(milliseconds: 1000) }
        Cleanup.run(cleanup)
        close(descriptor)
        var ending = Ending(wall: monotonicSeconds() - start)
        let signal = status & 0x7f
        if signal == 0 { ending.code = (status >> 8) & 0xff } else { ending.signal = signal }
        ending.user = Double(usage.ru_utime.tv_sec) + Double(usage.ru_utime.tv_usec) / 1e6
        ending.system = Double(usage.ru_stime.tv_sec) + Double(usage.ru_stime.tv_usec) / 1e6
        ending.peakMemory = memory.total(reported: usage.ru_maxrss * 1024)
        self.ending = ending
        return ending
    }
}
