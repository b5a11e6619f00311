import Dispatch
import FoundationEssentials
import Glibc
import HTTP

/// Runs `docker-credential-NAME get`: the server's name on standard input, JSON on standard output
/// (docker/docker-credential-helpers, README). Bounded in time and output; the secret never is an argument.
struct CredentialHelper: Sendable {
    /// What a helper says.
    struct Answer: Sendable {
        let username: String
        let secret: Secret
    }

    /// The directories of `PATH`.
    let searchPath: String
    /// Milliseconds for one run; cloud helpers ask the network.
    var timeout: Int32 = 30_000
    /// The most bytes of its output.
    static let maximumOutput = 64 << 10

    /// - Returns: `nil` where the helper has no credentials for the server, which is no failure.
    /// - Throws: `RegistryError.credentialsUnreadable` naming the helper and the file that names it.
    func get(_ name: String, server: String, path: String) async throws(RegistryError) -> Answer? {
        func failure(_ words: String) -> RegistryError {
            RegistryError(.credentialsUnreadable, "credential helper 'docker-credential-\(name)' \(words)", url: path)
        }
        let isPlain = { (byte: UInt8) in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte.asciiLowercased)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "-_.".utf8.contains(byte)
        }
        // The name becomes part of a command: a slash would leave the search path.
        guard !name.isEmpty, name.utf8.count <= 64, name.utf8.allSatisfy(isPlain) else {
            throw RegistryError(
                .credentialsUnreadable, "a credential helper's name holds letters, digits, '-', '_' and '.' only",
                url: path)
        }
        let program = "docker-credential-\(name)"
        guard let executable = locate(program) else {
            throw failure("is not in PATH: install it, or remove it from this file")
        }
        let timeout = timeout
        // A thread of its own queue waits for the process: the concurrency pool must not block for seconds.
        let run = await withCheckedContinuation { continuation in
            DispatchQueue.global().async {
                continuation.resume(returning: Process.run(executable, input: server, timeout: timeout))
            }
        }
        switch run {
        case .notStarted(let number): throw failure("cannot be started: \(String(cString: strerror(number)))")
        case .timedOut: throw failure("did not answer within \(timeout / 1000) s")
        case .tooMuch: throw failure("wrote more than \(Self.maximumOutput) bytes")
        case .ended(let status, let output):
            if status == 0, let document = try? JSONDecoder().decode(Document.self, from: Data(output)) {
                return Answer(username: document.Username, secret: Secret(document.Secret))
            }
            // The one message of the protocol that is an answer rather than a failure.
            if String(decoding: output, as: UTF8.self).contains("credentials not found") { return nil }
            throw failure(
                status == 0 ? "wrote something other than Username and Secret" : "failed with status \(status)")
        }
    }

    private func locate(_ program: String) -> String? {
        searchPath.split(separator: ":").lazy.map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    private struct Document: Decodable {
        let Username: String  // swift-format-ignore: AlwaysUseLowerCamelCase
        let Secret: String  // swift-format-ignore: AlwaysUseLowerCamelCase
    }
}

/// One run of a helper. Blocks its thread.
private enum Process {
    enum Outcome {
        case notStarted(Int32)
        case timedOut
        case tooMuch
        case ended(status: Int32, output: [UInt8])
    }

    static func run(_ executable: String, input: String, timeout: Int32) -> Outcome {
        // A socket, not a pipe: a helper that exits without reading must not raise SIGPIPE here.
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            return .notStarted(errno)
        }
        defer { close(ends[0]) }
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        // A group of its own, so that a helper that hangs is ended with whatever it started.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        posix_spawnattr_setpgroup(&attributes, 0)
        var process: pid_t = 0
        let arguments = [strdup(executable), strdup("get"), nil]
        defer { for argument in arguments { free(argument) } }
        let started = posix_spawn(&process, executable, &actions, &attributes, arguments, environ)
        close(ends[1])
        guard started == 0 else { return .notStarted(started) }

        let line = Array("\(input)\n".utf8)
        _ = send(ends[0], line, line.count, Int32(MSG_NOSIGNAL))
        shutdown(ends[0], Int32(SHUT_WR))
        let deadline = ContinuousClock.now + .milliseconds(Int64(timeout))
        var (output, end) = collect(ends[0], deadline: deadline)
        var status: Int32 = 0
        // It may have closed its output without ending.
        while end == nil, waitpid(process, &status, WNOHANG) == 0 {
            if ContinuousClock.now > deadline { end = .timedOut }
            usleep(2000)
        }
        if let end {
            kill(-process, SIGKILL)
            while waitpid(process, &status, 0) < 0, errno == EINTR {}
            return end
        }
        let signal = status & 0x7F
        return .ended(status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, output: output)
    }

    /// Reads until the other end closes; the outcome where it goes on for too long, or says too much.
    private static func collect(_ descriptor: Int32, deadline: ContinuousClock.Instant) -> ([UInt8], Outcome?) {
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let left = ContinuousClock.now.duration(to: deadline) / .milliseconds(1)
            guard left > 0 else { return (output, .timedOut) }
            var poller = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&poller, 1, Int32(min(left.rounded(.up), 1000))) > 0 else { continue }
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return (output, nil) }
            output += chunk[..<count]
            if output.count > CredentialHelper.maximumOutput { return ([], .tooMuch) }
        }
    }
}
