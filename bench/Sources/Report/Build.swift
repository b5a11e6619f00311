import FoundationEssentials
import Glibc

/// What was measured: of which commit, and how it was built.
enum Build {
    /// The commit that is checked out where the benchmark runs, with a sign where files differ from it; what
    /// `ROLLCALL_COMMIT` says instead, and `nil` where neither is known.
    static var commit: String? {
        if let commit = getenv("ROLLCALL_COMMIT").map({ String(cString: $0) }), !commit.isEmpty { return commit }
        guard FileManager.default.fileExists(atPath: "bench/Sources") else { return nil }
        // The checkout is seldom root's, and nothing of it is to become so.
        func git(_ words: String...) -> String? {
            let command = Command(["git", "-c", "safe.directory=*"] + words, environment: ["GIT_OPTIONAL_LOCKS": "0"])
            return (try? command.run(timeout: 20)).map { String(decoding: $0, as: UTF8.self) }
        }
        guard let head = git("rev-parse", "--short=12", "HEAD")?.filter({ !$0.isNewline }) else { return nil }
        let changes = git("status", "--porcelain", "--untracked-files=no") ?? ""
        return changes.isEmpty ? head : "\(head) with changes"
    }

    /// The kind of build of the executables in a directory: this one's where they lie beside it, or else what the
    /// directory's name says, as the package manager gives them.
    ///
    /// - Parameters:
    ///   - directory: where they lie, an absolute path without links
    ///   - own: where this executable lies
    ///   - ownKind: the kind of its build
    static func kind(of directory: String, own: String, ownKind: String) -> String {
        if directory == own { return ownKind }
        let names = directory.split(separator: "/")
        return names.last { $0 == "debug" || $0 == "release" }.map(String.init) ?? "unknown"
    }

    /// The kind of build of the executables in a directory.
    static func kind(of directory: String) -> String {
        guard let resolved = realpath(directory, nil) else { return "unknown" }
        defer { free(resolved) }
        return kind(of: String(cString: resolved), own: ListCommand.ownDirectory, ownKind: MicroThresholds.build)
    }
}
