import FoundationEssentials
import Glibc
import Synchronization

/// The directories of this run's files. They are removed at the end; what a killed run left is removed by the next one.
enum Scratch {
    private struct State {
        var root = "/tmp"
        var opened: Set<String> = []
    }

    private static let state = Mutex(State())
    private static let counter = Atomic(0)

    /// The directory that is used at present; where the system keeps temporary files until `open` has made one.
    static var root: String { state.withLock { $0.root } }

    /// This run's directory in a place.
    static func root(in place: WorkPlace) -> String { "\(place.directory)/run-\(getpid())" }

    /// Makes this run's directory in a place, once, and uses it from now on. What is in another one stays there.
    ///
    /// - Throws: `BenchError` where it cannot be made, or where somebody else could change what is in it
    static func open(in place: WorkPlace) throws {
        let root = Self.root(in: place)
        let isOpen = state.withLock { state in
            if state.opened.contains(root) { state.root = root }
            return state.root == root
        }
        guard !isOpen else { return }
        if place.isShared { try makeOwn(place.directory) }
        removeAbandoned(in: place.directory)
        guard mkdir(root, 0o700) == 0 else {
            throw BenchError(.system, "cannot make \(root): \(errorText()); choose another place with --work")
        }
        state.withLock { state in
            state.opened.insert(root)
            state.root = root
        }
        _ = Cleanup.add { remove(root) }
    }

    /// Makes a directory that is this user's alone, or sees that it is: where everybody may write, somebody else may have
    /// been there first.
    static func makeOwn(_ path: String) throws {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw BenchError(.system, "cannot make \(path): \(errorText()); choose another place with --work")
        }
        guard isOwn(path, others: 0o022) else {
            throw BenchError(
                .system,
                "\(path) is no directory that only this user may change: remove it, or choose another place with --work"
            )
        }
    }

    /// Whether a path is a directory itself, no link to one, that belongs to this user.
    ///
    /// - Parameter others: permissions that nobody may have on it
    private static func isOwn(_ path: String, others: mode_t = 0) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == geteuid()
            && status.st_mode & others == 0
    }

    /// Removes what killed runs of this user have left.
    private static func removeAbandoned(in parent: String) {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] where name.hasPrefix("run-") {
            guard let pid = pid_t(name.dropFirst("run-".count)), !isRunning(pid), isOwn("\(parent)/\(name)") else {
                continue
            }
            remove("\(parent)/\(name)")
        }
    }

    /// Makes a new directory in it, for this user alone.
    static func directory(_ name: String) throws -> String {
        // A number may be taken by what an earlier process has left.
        for _ in 0..<1000 {
            let directory = "\(root)/\(name)-\(counter.add(1, ordering: .relaxed).newValue)"
            if mkdir(directory, 0o700) == 0 { return directory }
            guard errno == EEXIST else { break }
        }
        throw BenchError(
            .system, "cannot make a directory in \(root): \(errorText()); choose another place with --work")
    }

    /// Makes a directory with its parents.
    static func makeDirectory(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw BenchError(.system, "cannot make \(path): \(error); choose another place with --work")
        }
    }

    /// Writes a file.
    static func write(_ text: String, to path: String) throws {
        do {
            try Data(text.utf8).write(to: URL(filePath: path))
        } catch {
            throw BenchError(.system, "cannot write \(path): \(error)")
        }
    }

    /// Removes a file or a directory with all in it.
    static func remove(_ path: String) { try? FileManager.default.removeItem(atPath: path) }

    /// The last 400 bytes of a file as one line, for a message.
    static func tail(of path: String) -> String {
        let bytes = (try? Data(contentsOf: URL(filePath: path))) ?? Data()
        return String(decoding: bytes.suffix(400), as: UTF8.self).split(whereSeparator: \.isNewline)
            .joined(separator: " / ")
    }

    /// Whether a process with this id exists.
    static func isRunning(_ pid: pid_t) -> Bool { kill(pid, 0) == 0 || errno == EPERM }
}
