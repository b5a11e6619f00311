import Glibc

/// A directory for the benchmark's files, and what its file system has room for.
struct WorkPlace: Equatable {
    let directory: String
    /// The type of its file system, as the kernel calls it: tmpfs, ext4.
    let fileSystem: String
    /// Bytes that may be put there.
    let room: Int
    /// Whether the benchmark chose it itself, where everybody may write: then it must be this user's alone.
    let isShared: Bool

    /// Where files may go, the best first: where the user says, or else in memory, which takes the disk out of the figures,
    /// and on a disk where that has not the room.
    ///
    /// - Throws: `BenchError` where the directory that the user named cannot be made
    static func candidates(_ named: String?) throws -> [WorkPlace] {
        if let named {
            try Scratch.makeDirectory(named)
            guard let place = WorkPlace(named, on: named, isShared: false) else {
                throw BenchError(.system, "cannot use \(named): \(errorText()); choose another place with --work")
            }
            return [place]
        }
        return ["/dev/shm", "/var/tmp"].filter { (directory: String) in access(directory, W_OK | X_OK) == 0 }.compactMap
        {
            WorkPlace("\($0)/rollcall-bench-\(geteuid())", on: $0, isShared: true)
        }
    }

    /// - Parameters:
    ///   - directory: the directory, which need not be there yet
    ///   - path: what is there, on the same file system; `nil` is the answer where it is not
    ///   - isShared: whether everybody may write beside it
    private init?(_ directory: String, on path: String, isShared: Bool) {
        var figures = statvfs()
        guard statvfs(path, &figures) == 0, let resolved = realpath(path, nil) else { return nil }
        defer { free(resolved) }
        let fileSystem = Self.fileSystem(
            of: String(cString: resolved), in: kernelFile("/proc/self/mountinfo"))
        let bytes = Int(clamping: figures.f_bavail).multipliedReportingOverflow(by: Int(clamping: figures.f_frsize))
        self.init(
            directory: directory, fileSystem: fileSystem,
            room: Self.room(
                free: bytes.overflow ? Int.max : bytes.partialValue, fileSystem, memory: kernelFile("/proc/meminfo")),
            isShared: isShared)
    }

    init(directory: String, fileSystem: String, room: Int, isShared: Bool) {
        self.directory = directory
        self.fileSystem = fileSystem
        self.room = room
        self.isShared = isShared
    }

    /// Bytes that may be used of what a file system has free: of one in memory, no more than half of what that has left.
    ///
    /// - Parameter memory: the kernel's `meminfo`
    static func room(free: Int, _ fileSystem: String, memory: String) -> Int {
        guard fileSystem == "tmpfs" || fileSystem == "ramfs" else { return free }
        let line = memory.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        guard let kibibytes = line.flatMap({ Int($0.filter(\.isNumber)) }) else { return free }
        return min(free, kibibytes / 2 * 1024)
    }

    /// The type of the file system that a path lies on.
    ///
    /// - Parameters:
    ///   - path: an absolute path without links
    ///   - mounts: a process's mounts (proc(5), `mountinfo`)
    static func fileSystem(of path: String, in mounts: String) -> String {
        var best = (length: 0, type: "unknown")
        for line in mounts.split(separator: "\n") {
            let fields = line.split(separator: " ")
            // Behind the options come fields of any number, a dash, and the type.
            guard fields.count > 6, let dash = fields[6...].firstIndex(of: "-"), dash + 1 < fields.count else {
                continue
            }
            // Spaces and the like are in octal; only such paths are hidden by it.
            let point = fields[4].replacing("\\040", with: " ")
            let isAbove = point == "/" || path == point || path.hasPrefix("\(point)/")
            // Of two at one place the later covers the earlier.
            if isAbove, point.count >= best.length { best = (point.count, String(fields[dash + 1])) }
        }
        return best.type
    }

    /// Opens the best place that has room for so many bytes.
    ///
    /// - Parameters:
    ///   - named: the directory that the user named
    ///   - bytes: how many a place needs
    /// - Throws: `BenchError` where none has the room, or the files cannot be made there
    @discardableResult
    static func open(_ named: String?, for bytes: (WorkPlace) -> Int = { _ in 64 << 20 }) throws -> WorkPlace {
        let candidates = try Self.candidates(named)
        guard let place = candidates.first(where: { $0.room >= bytes($0) }) else {
            let needed = bytesText(candidates.map(bytes).max() ?? 0)
            throw BenchError(
                .unavailable,
                "its files take \(needed), and there is \(candidates.map(\.text).joined(separator: ", ")): free some, or name"
                    + " another place with --work")
        }
        try Scratch.open(in: place)
        return place
    }

    /// For a person.
    var text: String { "\(directory) (\(fileSystem), room for \(bytesText(room)))" }
}
