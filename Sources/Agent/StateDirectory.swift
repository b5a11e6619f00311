import FoundationEssentials
import Glibc
import Readiness

/// The directory that one agent at a time keeps its state in.
///
/// | file | content |
/// |---|---|
/// | `lock` | locked (`flock`) by the agent that uses the directory; holds its process id |
/// | `sequence` | the sequence number of the cache manifest that was issued last |
/// | `audit-head` | the furthest end of the audit chain that was seen |
/// | `recorded` | what the last audit record of the agent was about, as a hash |
final class StateDirectory: Sendable {
    /// The directory's path.
    let path: String
    private let lock: Int32

    /// Takes the directory for this process, for as long as the value lives; creates it where it is not there.
    ///
    /// - Throws: `AgentError.stateLocked` while another process has it; `.stateUnusable` where it cannot be created or
    ///   written.
    init(path: String) throws(AgentError) {
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            // What is wrong with the path shows, in one form, when it is opened below.
        }
        let descriptor = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.unusable("\(path)/lock", errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            close(descriptor)
            guard number == EWOULDBLOCK else { throw Self.unusable("\(path)/lock", number) }
            let holder = (try? Self.read("\(path)/lock")).map { $0.filter(\.isNumber) } ?? ""
            throw AgentError(
                .stateLocked,
                "\(path): another rollcall-agent\(holder.isEmpty ? "" : " (process \(holder))") uses this state directory: stop it,"
                    + " or give this one a directory of its own")
        }
        let holder = Array("\(getpid())\n".utf8)
        // For people only: the lock is what counts.
        if ftruncate(descriptor, 0) == 0 { _ = pwrite(descriptor, holder, holder.count, 0) }
        lock = descriptor
    }

    deinit {
        // Closing alone leaves the lock to a child process that another thread is just starting, until it has executed its
        // program: the lock belongs to all copies of the descriptor, and so does its release.
        flock(lock, LOCK_UN)
        close(lock)
    }

    /// Takes the next sequence number, and remembers it before anyone sees it.
    ///
    /// - Parameter published: the number of the site's manifest in the central store, so that an agent whose state was
    ///   lost does not go back
    /// - Throws: `AgentError.stateUnusable`, also for a number that cannot be read: guessing could go back.
    func nextSequence(after published: Int64?) throws(AgentError) -> Int64 {
        let file = "\(path)/sequence"
        var last: Int64 = 0
        if let text = try Self.read(file) {
            guard let number = Int64(text.filter { !$0.isWhitespace }), number >= 0 else {
                throw AgentError(.stateUnusable, "\(file): not a sequence number: delete the file")
            }
            last = number
        }
        let (next, overflow) = max(last, published ?? 0).addingReportingOverflow(1)
        guard !overflow else { throw AgentError(.stateUnusable, "\(file): there is no sequence number left") }
        try Self.replace(file, with: "\(next)\n")
        return next
    }

    /// What the last audit record was about; `nil` before the first.
    var recordedOutcome: String? {
        get throws(AgentError) { try Self.read("\(path)/recorded").map { $0.filter { !$0.isWhitespace } } }
    }

    /// Remembers what was recorded in the audit chain.
    func remember(outcome: String) throws(AgentError) { try Self.replace("\(path)/recorded", with: "\(outcome)\n") }

    /// The furthest end of the audit chain that was seen; `nil` before the first, and where it cannot be read.
    var auditHead: AuditHead? {
        get throws(AgentError) {
            try Self.read("\(path)/audit-head").flatMap { try? AuditHead($0.filter { !$0.isWhitespace }) }
        }
    }

    /// Remembers the furthest end of the audit chain.
    func remember(auditHead: AuditHead) throws(AgentError) {
        try Self.replace("\(path)/audit-head", with: "\(auditHead)\n")
    }

    /// Removes the directory with all that is in it, once nothing is to be continued.
    func remove() { try? FileManager.default.removeItem(atPath: path) }

    /// The text of a small file; `nil` where there is none. Longer content than a number is cut.
    private static func read(_ file: String) throws(AgentError) -> String? {
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw unusable(file, errno)
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        guard count >= 0 else { throw unusable(file, errno) }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// Replaces a file so that after a crash either the old or the new content is there.
    private static func replace(_ file: String, with text: String) throws(AgentError) {
        let temporary = "\(file).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw unusable(temporary, errno) }
        let bytes = Array(text.utf8)
        let written = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let number = errno
        close(descriptor)
        guard written else { throw unusable(temporary, number) }
        guard rename(temporary, file) == 0 else { throw unusable(file, errno) }
        let directory = open(String(file[..<(file.lastIndex(of: "/") ?? file.startIndex)]), O_RDONLY | O_DIRECTORY)
        guard directory >= 0 else { throw unusable(file, errno) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw unusable(file, errno) }
    }

    private static func unusable(_ path: String, _ number: Int32) -> AgentError {
        AgentError(
            .stateUnusable,
            "\(path): cannot use the state directory: \(String(cString: strerror(number))): check its path, its permissions"
                + " and the disk's free space")
    }
}
