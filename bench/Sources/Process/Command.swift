import FoundationEssentials
import Glibc

/// A program with its arguments and the whole of its environment.
struct Command {
    /// The executable, searched in `PATH` where it holds no slash, and its arguments.
    var arguments: [String]
    /// Variables beside the minimal environment; the benchmark's own surroundings (proxies, credentials, settings of
    /// peers) are not inherited.
    var environment: [String: String] = [:]

    init(_ arguments: [String], environment: [String: String] = [:]) {
        self.arguments = arguments
        self.environment = environment
    }

    /// The command for a person to repeat.
    var text: String {
        let safe = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:@,")
        return arguments.map { word in
            !word.isEmpty && word.allSatisfy { safe.contains($0) } ? word : "'\(word.replacing("'", with: "'\\''"))'"
        }.joined(separator: " ")
    }

    /// Where an executable lies in `PATH`; `nil` where it is not there.
    static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        return searchPath.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }

    static let searchPath: String = {
        let own = getenv("PATH").map { String(cString: $0) } ?? ""
        return own + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    }()

    /// What a command that has run to its end said.
    struct Answer {
        let ending: Ending
        let output: String
        /// The end of its standard error, on one line.
        let errors: String
    }

    /// Runs the command to its end, at most a minute unless said, however it ends.
    ///
    /// - Throws: `BenchError` where it cannot be started, or is not finished in time
    func answer(in namespace: Namespace? = nil, timeout: Double = 60) throws -> Answer {
        let (ending, output, errors) = try finish(in: namespace, timeout: timeout)
        guard !ending.timedOut else { throw BenchError(.command, "\(text) \(ending.words): \(errors)") }
        return Answer(ending: ending, output: String(decoding: output, as: UTF8.self), errors: errors)
    }

    /// Runs the command to its end, at most a minute unless said, and returns its standard output.
    ///
    /// - Throws: `BenchError` with the end of its standard error where it does not exit with 0
    @discardableResult
    func run(in namespace: Namespace? = nil, timeout: Double = 60) throws -> [UInt8] {
        let (ending, output, errors) = try finish(in: namespace, timeout: timeout)
        guard ending.isSuccess else { throw BenchError(.command, "\(text) \(ending.words): \(errors)") }
        return output
    }

    private func finish(in namespace: Namespace?, timeout: Double) throws -> (Ending, [UInt8], String) {
        let directory = try Scratch.directory("command")
        defer { Scratch.remove(directory) }
        let child = try Child(self, in: namespace, output: "\(directory)/output", errors: "\(directory)/errors")
        let ending = child.wait(timeout: timeout)
        let output = [UInt8]((try? Data(contentsOf: URL(filePath: "\(directory)/output"))) ?? Data())
        return (ending, output, Scratch.tail(of: "\(directory)/errors"))
    }
}
