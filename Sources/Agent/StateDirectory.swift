import Console
import FoundationEssentials
import Glibc
import Readiness

/// The directory that one agent at a time keeps its state in.
///
/// | file | content |
/// |---|---|
/// | `lock` | locked (`flock`) by the agent that uses the directory; holds its process id |
/// | `pass` | locked by the pass, or the pruning, that is under way |
/// | `sequence` | the sequence number of the cache manifest that was issued last |
/// | `audit-head` | the furthest end of the audit chain that was seen |
/// | `recorded` | what the last audit record of the agent was about, as a hash |
/// | `proved` | when a pass published the site's cache manifest last, in seconds since 1970 |
/// | `requests/` | passes that somebody asks of the agent, and its answers |
///
/// It is one user's: what another one leaves there, root included, the agent could not read any more.
final class StateDirectory: Sendable {
    /// The directory's path.
    let path: String
    private let lock: Int32

    /// Takes the directory for this process, for as long as the value lives; creates it where it is not there.
    ///
    /// - Throws: `AgentError.stateLocked` while another process has it; `.stateUnusable` where it cannot be created or
    ///   written, or is another user's.
    init(path: String) throws(AgentError) {
        self.path = path
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            // What is wrong with the path shows, in one form, when it is opened below.
        }
        try Self.requireOwner(of: path)
        let descriptor = open("\(path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.unusable("\(path)/lock", errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let number = errno
            close(descriptor)
            guard number == EWOULDBLOCK else { throw Self.unusable("\(path)/lock", number) }
            let holder = Self.holder(of: path).process
            throw AgentError(
                .stateLocked,
                "\(path): another rollcall-agent\(holder.isEmpty ? "" : " (process \(holder))") uses this state directory, as"
                    + " one at a time may: wait until it has ended, or stop it")
        }
        lock = descriptor
        describe("\(getpid())\n")
    }

    /// The process's id, and what it says of itself: for people, and for those who want something of it. The lock is what
    /// counts.
    private func describe(_ text: String) {
        let bytes = Array(text.utf8)
        if ftruncate(lock, 0) == 0 { _ = pwrite(lock, bytes, bytes.count, 0) }
    }

    /// From now on whoever finds the directory taken may ask this process for a pass.
    func takeRequests() { describe("\(getpid()) run\n") }

    /// Who has the directory, as its lock says.
    static func holder(of path: String) -> (process: String, takesRequests: Bool) {
        let words = ((try? read("\(path)/lock")) ?? "").split(whereSeparator: \.isWhitespace)
        return (words.first.map { $0.filter(\.isNumber) } ?? "", words.dropFirst().first == "run")
    }

    /// Refuses to be another user than the one whose the directory is.
    ///
    /// - Parameter user: who this is
    /// - Throws: `AgentError.stateUnusable`
    static func requireOwner(of path: String, user: uid_t = geteuid()) throws(AgentError) {
        var status = stat()
        // The lock is its first user's. Before there is one, a volume may be root's, and its agent another user's who may
        // write there by a group (`fsGroup` in Kubernetes).
        guard stat("\(path)/lock", &status) == 0 || (user == 0 && stat(path, &status) == 0), status.st_uid != user
        else { return }
        let owner = Product.name(ofUser: status.st_uid)
        throw AgentError(
            .stateUnusable,
            "\(path): this state directory belongs to the user '\(owner)', and what '\(Product.name(ofUser: user))' leaves there"
                + " the agent could not read any more: run the same as that user (runuser -u \(owner) -- rollcall-agent …)"
        )
    }

    /// Sees that what is in the directory can be read and written.
    ///
    /// - Throws: `AgentError.stateUnusable` for the first file that cannot
    static func requireUsableFiles(in path: String) throws(AgentError) {
        for directory in [path, "\(path)/spool", "\(path)/requests"] {
            for name in ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted() {
                let file = "\(directory)/\(name)"
                guard access(file, R_OK | W_OK) == 0 || errno == ENOENT else { throw unusable(file, errno) }
            }
        }
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
        get throws(AgentError) { try Self.auditHead(in: path) }
    }

    /// The same, for who does not have the directory.
    static func auditHead(in path: String) throws(AgentError) -> AuditHead? {
        try read("\(path)/audit-head").flatMap { try? AuditHead($0.filter { !$0.isWhitespace }) }
    }

    /// Remembers the furthest end of the audit chain.
    func remember(auditHead: AuditHead) throws(AgentError) {
        try Self.replace("\(path)/audit-head", with: "\(auditHead)\n")
    }

    /// When a pass published the site's cache manifest last; `nil` where that is not known.
    var provedAt: Timestamp? {
        guard let text = try? Self.read("\(path)/proved") else { return nil }
        return Int64(text.filter { !$0.isWhitespace }).map { Timestamp(seconds: $0) }
    }

    /// Remembers when a pass published the site's cache manifest.
    func remember(provedAt time: Timestamp) throws(AgentError) {
        try Self.replace("\(path)/proved", with: "\(time.seconds)\n")
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
        let advice =
            switch number {
            case EACCES, EPERM: "give it, and all that is in it, to the agent's user (chown -R)"
            case EROFS: "under systemd, name it as ReadWritePaths= of the unit (systemctl edit rollcall-agent)"
            case ENOSPC, EDQUOT: "free space there"
            default: "check its path, its permissions and the disk's free space"
            }
        return AgentError(
            .stateUnusable, "\(path): cannot use the state directory: \(String(cString: strerror(number))): \(advice)")
    }
}
