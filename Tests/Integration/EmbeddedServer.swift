import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

/// `rollcall-agent registry serve` as a process.
final class EmbeddedServer: Sendable {
    let directory: TemporaryDirectory
    /// The layout's directory.
    let layout: String
    /// `127.0.0.1:PORT`.
    let authority: String
    /// `http://127.0.0.1:PORT`.
    var origin: String { "http://\(authority)" }
    private let process: ChildProcess

    /// Starts a server over a directory, and waits until it listens.
    ///
    /// - Parameters:
    ///   - directory: where its files are
    ///   - layout: the layout's name there
    ///   - arguments: further arguments; anyone may push and delete unless said otherwise
    init(
        in directory: TemporaryDirectory, layout: String = "registry",
        arguments: [String] = ["--anonymous-push", "--allow-delete"]
    ) async throws {
        self.directory = directory
        self.layout = directory.file(layout)
        let log = directory.file("\(layout).log")
        unlink(log)
        process = try Executable.agent.start(
            ["registry", "serve", "--layout", self.layout, "--listen", "127.0.0.1:0"] + arguments, in: directory,
            errors: log)
        while true {
            let text = (try? Data(contentsOf: URL(filePath: log))).map { String(decoding: $0, as: UTF8.self) } ?? ""
            if let range = text.firstRange(of: "\"address\":\"") {
                authority = String(text[range.upperBound...].prefix { $0 != "\"" })
                return
            }
            guard process.isRunning else { throw TestSupportError("the registry ended at once:\n\(text)") }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Ends the process at this very moment.
    func kill() async {
        process.signal(SIGKILL)
        _ = await process.ended()
    }

    /// Ends the process in order.
    ///
    /// - Returns: its exit code
    func stop() async -> Int {
        process.signal(SIGTERM)
        return await process.ended()
    }

    /// The most bytes of memory that the process has had at once (`VmHWM`).
    func peakMemory() throws -> Int64 {
        let status = String(decoding: try Data(contentsOf: URL(filePath: "/proc/\(process.pid)/status")), as: UTF8.self)
        let words =
            status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace) ?? []
        guard words.count >= 2, let kilobytes = Int64(words[1]) else {
            throw TestSupportError("the kernel does not say how much memory the server has had")
        }
        return kilobytes << 10
    }

    /// Looks at everything that the layout holds, as its users do.
    func expectSound(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let result = try await Executable.agent.run(["registry", "check", "--layout", layout], in: directory)
        #expect(result.status == 0, "\(result.errorText)", sourceLocation: sourceLocation)
    }
}

/// Runs `body` with a registry in a process of its own.
///
/// - Parameter arguments: the arguments, once the files that they name are in the directory
func withEmbeddedServer(
    arguments: (TemporaryDirectory) async throws -> [String] = { _ in ["--anonymous-push", "--allow-delete"] },
    _ body: (EmbeddedServer) async throws -> Void
) async throws {
    try await withTemporaryDirectory("embedded") { directory in
        let server = try await EmbeddedServer(in: directory, arguments: try await arguments(directory))
        do {
            try await body(server)
        } catch {
            await server.kill()
            throw error
        }
        #expect(await server.stop() == 0)
        try await server.expectSound()
    }
}
