import FoundationEssentials
import Glibc

/// What a command left behind.
public struct CommandResult: Sendable {
    /// The exit code; 128 and the signal's number where a signal ended it, as shells have it.
    public let status: Int
    /// The first 16 MiB of standard output.
    public let output: [UInt8]
    /// The first 16 MiB of standard error.
    public let errors: [UInt8]

    /// Standard output as text.
    public var text: String { String(decoding: output, as: UTF8.self) }
    /// Standard error as text.
    public var errorText: String { String(decoding: errors, as: UTF8.self) }
}

/// Runs a command to its end.
///
/// - Parameters:
///   - command: the executable, searched in `PATH` where it holds no slash, and its arguments
///   - environment: variables set beside the inherited ones
///   - directory: the working directory; the test's own unless said
///   - input: standard input; empty unless said
///   - timeout: seconds after which the command is killed
/// - Throws: `TestSupportError` where it cannot be started or took too long
@discardableResult
public func runCommand(
    _ command: [String], environment: [String: String] = [:], directory: String? = nil, input: [UInt8] = [],
    timeout: Int = 120
) async throws -> CommandResult {
    try await withTemporaryDirectory("command") { files in
        let inputPath = try files.write("input", input)
        let child = try ChildProcess(
            command, environment: environment, directory: directory, input: inputPath, output: files.file("output"),
            errors: files.file("errors"))
        let timer = Task {
            try await Task.sleep(for: .seconds(timeout))
            // On a busy machine it may have ended long before anybody looks.
            return child.send(SIGKILL)
        }
        let status = await withTaskCancellationHandler {
            await child.ended()
        } onCancel: {
            child.signal(SIGKILL)
        }
        timer.cancel()
        if (try? await timer.value) == true {
            throw TestSupportError("\(command.joined(separator: " ")) took more than \(timeout) seconds")
        }
        try Task.checkCancellation()
        return CommandResult(
            status: status, output: try beginning(of: files.file("output")),
            errors: try beginning(of: files.file("errors")))
    }
}

/// The first 16 MiB of a file.
func beginning(of path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw TestSupportError.system("cannot read \(path)") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while bytes.count < 16 << 20 {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { break }
        bytes += buffer.prefix(count)
    }
    return bytes
}

/// A process that was started here and is ended by its own id only.
///
/// It dies with this process: `setpriv --pdeathsig` covers a test run that crashes or is killed.
public final class ChildProcess: Sendable {
    private struct State {
        var pid: pid_t?
        var failure: String?
        /// Set once the process has ended; its id may then belong to someone else.
        var status: Int?
    }

    private let state = Monitor(State())

    /// - Parameters:
    ///   - command: the executable, searched in `PATH` where it holds no slash, and its arguments
    ///   - environment: variables set beside the inherited ones
    ///   - directory: the working directory; the test's own unless said
    ///   - input: a file for standard input
    ///   - output: a file for standard output
    ///   - errors: a file for standard error
    /// - Throws: `TestSupportError` where it cannot be started
    public init(
        _ command: [String], environment: [String: String] = [:], directory: String? = nil,
        input: String = "/dev/null", output: String, errors: String
    ) throws {
        let variables = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        let arguments =
            ["setpriv", "--pdeathsig", "KILL", "--"] + (directory.map { ["env", "-C", $0] } ?? []) + command
        // The death signal follows the thread that started the process, so that thread stays until the end.
        try startThread { [state] in
            var pid: pid_t = 0
            let code = Self.spawn(&pid, arguments, variables, input: input, output: output, errors: errors)
            guard code == 0 else {
                return state.update { state in
                    state.failure = "cannot start \(command.joined(separator: " ")): \(String(cString: strerror(code)))"
                }
            }
            let started = pid
            state.update { $0.pid = started }
            var information = siginfo_t()
            while waitid(P_PID, id_t(pid), &information, WEXITED | WNOWAIT) != 0 && errno == EINTR {}
            state.update { state in
                var status: Int32 = 0
                while waitpid(started, &status, 0) < 0 && errno == EINTR {}
                let signal = Int(status & 0x7f)
                state.status = signal == 0 ? Int((status >> 8) & 0xff) : 128 + signal
            }
        }
        state.block { $0.pid != nil || $0.failure != nil }
        if let failure = state.current.failure { throw TestSupportError(failure) }
    }

    /// The process's id.
    public var pid: Int32 { state.current.pid ?? 0 }

    /// Whether it still runs.
    public var isRunning: Bool { state.current.status == nil }

    /// Sends a signal, unless the process has ended.
    public func signal(_ signal: Int32) { _ = send(signal) }

    /// The same.
    ///
    /// - Returns: whether it was sent
    func send(_ signal: Int32) -> Bool {
        // Under the lock: the id is reaped under the same lock, and cannot be another process's here.
        state.read { state in
            guard let pid = state.pid, state.status == nil else { return false }
            return kill(pid, signal) == 0
        }
    }

    /// Waits for the end and returns the exit code; 128 and the signal's number where a signal ended it.
    public func ended() async -> Int {
        // Where the task is cancelled the wait ends at once, and the caller must have sent a signal.
        try? await state.wait { $0.status != nil }
        if state.current.status == nil { state.block { $0.status != nil } }
        return state.current.status ?? -1
    }

    private static func spawn(
        _ pid: inout pid_t, _ arguments: [String], _ variables: [String], input: String, output: String,
        errors: String
    ) -> Int32 {
        let actions = UnsafeMutablePointer<posix_spawn_file_actions_t>.allocate(capacity: 1)
        posix_spawn_file_actions_init(actions)
        defer {
            posix_spawn_file_actions_destroy(actions)
            actions.deallocate()
        }
        posix_spawn_file_actions_addopen(actions, 0, input, O_RDONLY, 0)
        posix_spawn_file_actions_addopen(actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(actions, 2, errors, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        var argv = arguments.map { strdup($0) } + [nil]
        var envp = variables.map { strdup($0) } + [nil]
        defer { for pointer in argv + envp { free(pointer) } }
        return posix_spawnp(&pid, "setpriv", actions, nil, &argv, &envp)
    }
}
