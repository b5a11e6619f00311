import FoundationEssentials
import Glibc
import TestSupport
import Testing

/// An executable of ours, run as a process, as its users run it.
enum Executable: String {
    case rollcall
    case agent = "rollcall-agent"

    /// The file beside the tests' own.
    var path: String {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return own.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/\(rawValue)"
    }

    /// Nothing of the machine's own settings: no credentials, no proxies, no caches, no fleet.
    static func environment(home: String) -> [String: String] {
        [
            "HOME": home, "XDG_RUNTIME_DIR": "\(home)/run", "XDG_CACHE_HOME": "\(home)/cache",
            "XDG_CONFIG_HOME": "\(home)/.config", "DOCKER_CONFIG": "\(home)/.docker", "REGISTRY_AUTH_FILE": "",
            "ROLLCALL_FLEET": "", "http_proxy": "", "https_proxy": "", "all_proxy": "", "no_proxy": "*",
        ]
    }

    /// Runs a command to its end, and expects what is true of every run: a documented exit code, complaints on standard
    /// error only and in our form, no crash.
    ///
    /// - Parameters:
    ///   - arguments: the command line after the executable
    ///   - directory: the working directory, and the home of all settings
    ///   - prefix: a command that runs this one
    func run(
        _ arguments: [String], in directory: TemporaryDirectory, prefix: [String] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> CommandResult {
        let result = try await runCommand(
            prefix + [path] + arguments, environment: Self.environment(home: directory.path),
            directory: directory.path)
        let line = Comment(rawValue: ([rawValue] + arguments).joined(separator: " ") + "\n\(result.errorText)")
        #expect([0, 1, 3, 64].contains(result.status), line, sourceLocation: sourceLocation)
        for trace in ["Fatal error", "Backtrace", "Crash", "Stack dump", "libswiftCore"] {
            #expect(!result.errorText.contains(trace), line, sourceLocation: sourceLocation)
        }
        return result
    }

    /// Starts a command that goes on by itself; its output goes to the two files.
    func start(
        _ arguments: [String], in directory: TemporaryDirectory, output: String = "/dev/null", errors: String
    ) throws -> ChildProcess {
        try ChildProcess(
            [path] + arguments, environment: Self.environment(home: directory.path), directory: directory.path,
            output: output, errors: errors)
    }
}

extension CommandResult {
    /// The complaints: the lines of standard error that bear the executable's name.
    func complaints(of executable: Executable) -> [String] {
        errorText.split(separator: "\n").map(String.init).filter { $0.hasPrefix("\(executable.rawValue): ") }
    }

    /// Expects a failure: the exit code, nothing on standard output, and one complaint that names all that is wanted, in one
    /// line at the end of standard error. Before it, the agent may have told its progress.
    func expectFailure(
        of executable: Executable, _ status: Int, naming words: [String],
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let shown = Comment(rawValue: "exit code \(self.status)\n\(text)\(errorText)")
        #expect(self.status == status, shown, sourceLocation: sourceLocation)
        #expect(text.isEmpty, shown, sourceLocation: sourceLocation)
        let complaints = complaints(of: executable)
        #expect(complaints.count == 1, shown, sourceLocation: sourceLocation)
        #expect(errorText.hasSuffix("\(complaints.last ?? "")\n"), shown, sourceLocation: sourceLocation)
        if executable == .rollcall {
            #expect(errorText == "\(complaints.last ?? "")\n", sourceLocation: sourceLocation)
        }
        for word in words {
            #expect(complaints.first?.contains(word) == true, shown, sourceLocation: sourceLocation)
        }
    }
}
