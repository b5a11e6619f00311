import FoundationEssentials
import Glibc
import Synchronization

/// The directory of this run's files. It is removed at the end; what a killed run left is removed by the next one.
enum Scratch {
    private static let path = Mutex("/tmp")
    private static let counter = Atomic(0)

    /// The directory, once `open` has made it.
    static var root: String { path.withLock { $0 } }

    /// Makes this run's directory.
    ///
    /// - Parameter parent: where it goes
    /// - Throws: `BenchError` where it cannot be made
    static func open(in parent: String) throws {
        try makeDirectory(parent)
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            if let pid = pid_t(name.dropFirst("run-".count)), name.hasPrefix("run-"), !isRunning(pid) {
                remove("\(parent)/\(name)")
            }
        }
        let root = "\(parent)/run-\(getpid())"
        try makeDirectory(root)
        path.withLock { $0 = root }
        _ = Cleanup.add { remove(root) }
    }

    /// Makes a new directory in it.
    static func directory(_ name: String) throws -> String {
        let number = counter.add(1, ordering: .relaxed).newValue
        let directory = "\(root)/\(name)-\(number)"
        try makeDirectory(directory)
        return directory
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
