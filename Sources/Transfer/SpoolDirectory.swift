import Dispatch
import FoundationEssentials
import Glibc
import OCI
import Registry
import Synchronization

/// Where blobs under way are kept: small ones in memory, large ones each in a file, within a bound on bytes of each.
///
/// Files outlive the process: the journal says which of their bytes are good, and the next run goes on from there.
///
/// A file is named by digest and length. Lists may claim several lengths for one digest, and each claim is a transfer of
/// its own, of which at most one succeeds: they must not write into the same file. The journal is of digests alone, since
/// its checksums tell what a file holds.
///
/// The bound on files holds for all that lie here, also for those that wait for a later pass: where a blob needs room, the
/// ones that have waited longest go.
final class SpoolDirectory: Sendable {
    let path: String
    private let memory: ByteBudget
    private let disk: ByteBudget
    private let smallBlobSize: Int64
    private let keepsFiles: Bool
    private let journal: ResumeJournal
    /// Where files become blobs. Elsewhere the directory is a part of the agent's state, of which the agent sees to it that
    /// nobody else uses it.
    let lock: SpoolLock?
    /// The files that no transfer has in hand.
    private let waiting = Mutex(WaitingFiles())
    /// Opens large files, and reads what of them is good: that may take minutes, and Swift's own threads must not wait.
    private let disks = DispatchQueue(label: "rollcall.spool", qos: .utility, attributes: .concurrent)

    /// Blobs of at most this many bytes stay in memory, unless said otherwise: a file costs more than fetching them again.
    static let memoryBlobSize: Int64 = 128 << 10
    /// A file that no run has touched for this many seconds is of a list that is gone.
    static let staleAfter: TimeInterval = 14 * 86_400
    /// Files of at most this many bytes are opened without a change of threads.
    static let quickSize: Int64 = 8 << 20

    /// Opens the directory, and removes files that the journal does not know or that are stale.
    ///
    /// - Parameters:
    ///   - path: an existing directory, or one whose parent exists
    ///   - memoryLimit: bytes of blobs in memory at once
    ///   - diskLimit: bytes of spool files at once
    ///   - smallBlobSize: blobs of at most this many bytes stay in memory
    ///   - keepsFiles: whether its files become the blobs at the destination
    ///   - lock: the lock of who used the directory in this process before
    /// - Throws: `TransferError.spoolFailed` when the directory cannot be written
    init(
        path: String, memoryLimit: Int64, diskLimit: Int64, smallBlobSize: Int64, keepsFiles: Bool = false,
        lock taken: SpoolLock? = nil
    ) throws(TransferError) {
        self.path = path
        memory = ByteBudget(limit: memoryLimit)
        disk = ByteBudget(limit: diskLimit)
        self.smallBlobSize = smallBlobSize
        self.keepsFiles = keepsFiles
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw TransferError(
                .spoolFailed,
                "cannot create the spool directory \(path): \(String(cString: strerror(errno))): check its parent directory"
            )
        }
        if !keepsFiles {
            lock = nil
        } else if let taken, taken.path == path {
            lock = taken
        } else {
            lock = try SpoolLock(path: path)
        }
        journal = try ResumeJournal(path: "\(path)/journal.sqlite")
        removeLeftovers()
    }

    /// Keeps room for a blob for the length of `body`.
    ///
    /// - Throws: `TransferError.spoolFull` for a blob above the bound or a full disk
    func withStorage<Result>(
        for descriptor: Descriptor, _ body: (SpooledBlob) async throws(TransferError) -> Result
    ) async throws(TransferError) -> Result {
        if descriptor.size <= smallBlobSize {
            return try await memory.withBytes(descriptor.size) { () async throws(TransferError) in
                try await body(
                    SpooledBlob(
                        digest: descriptor.digest, storage: .memory, present: ByteRanges(), journal: journal))
            }
        }
        guard descriptor.size <= disk.limit else {
            throw TransferError(
                .spoolFull,
                "\(descriptor.digest) has \(descriptor.size) bytes, more than the spool's bound of \(disk.limit):"
                    + " raise 'limits.spool'")
        }
        return try await disk.withBytes(descriptor.size) { () async throws(TransferError) in
            let name = Self.fileName(descriptor)
            takeInHand(name)
            defer { putDown(name, descriptor) }
            let (file, present) = try await open(name, descriptor)
            return try await body(
                SpooledBlob(digest: descriptor.digest, storage: .file(file), present: present, journal: journal))
        }
    }

    /// Takes a blob's file from those that wait, and makes room for it where that needs some.
    private func takeInHand(_ name: String) {
        let inHand = disk.limit - disk.free
        waiting.withLock { waiting in
            waiting.take(name)
            // Under the lock: a file that somebody takes in hand is not removed.
            for name in waiting.drop(toFit: disk.limit - inHand) { remove(name) }
        }
    }

    /// Keeps the file of a blob that is not brought yet for a later pass, if there is anything in it.
    private func putDown(_ name: String, _ descriptor: Descriptor) {
        var status = stat()
        guard lstat("\(path)/\(name)", &status) == 0 else { return }
        waiting.withLock { waiting in
            if journal.isEmpty(of: descriptor.digest) {
                remove(name)
            } else {
                waiting.add(name, size: descriptor.size)
            }
        }
    }

    private func remove(_ name: String) {
        if let digest = Self.digest(ofFile: name) { journal.forget(digest) }
        unlink("\(path)/\(name)")
    }

    /// Opens a blob's file, and finds out what an earlier run left in it.
    ///
    /// - Throws: also `TransferError.cancelled`
    private func open(
        _ name: String, _ descriptor: Descriptor
    ) async throws(TransferError) -> (file: SpoolFile, present: ByteRanges) {
        let path = "\(path)/\(name)"
        let isKept = keepsFiles
        let isCancelled = Flag()
        let work: @Sendable () -> Result<(file: SpoolFile, present: ByteRanges), TransferError> = {
            Result { () throws(TransferError) in
                let file = try SpoolFile(path: path, size: descriptor.size, isKept: isKept)
                return (file, try self.intactRanges(of: descriptor, in: file, unless: isCancelled))
            }
        }
        guard descriptor.size > Self.quickSize else { return try work().get() }
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                disks.async { continuation.resume(returning: work()) }
            }
        } onCancel: {
            isCancelled.set()
        }
        return try result.get()
    }

    /// Bytes of all files that lie here, in hand or waiting.
    var bytesOfFiles: Int64 { waiting.withLock { $0.bytes }.saturatingAdding(disk.limit - disk.free) }

    /// The digests that earlier runs left bytes of.
    func leftovers() -> Set<String> { journal.digests() }

    /// Removes what is left of a blob that needs no transfer any more: of a run that was killed after the registry had
    /// taken it, and before it could tidy up.
    func discard(_ digest: Digest) {
        journal.forget(digest)
        waiting.withLock { waiting in
            for name in files() where Self.digest(ofFile: name) == digest {
                waiting.take(name)
                unlink("\(path)/\(name)")
            }
        }
    }

    /// Waits until the journal holds everything recorded so far.
    func flush() {
        journal.flush()
    }

    /// The bytes that the journal vouches for and whose checksums hold: a torn or lost write is fetched again.
    private func intactRanges(
        of descriptor: Descriptor, in file: SpoolFile, unless isCancelled: Flag
    ) throws(TransferError) -> ByteRanges {
        var intact = ByteRanges()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentPool.segmentSize, alignment: 4096)
        defer { buffer.deallocate() }
        for extent in journal.extents(of: descriptor.digest)
        where extent.range.upperBound <= descriptor.size && extent.range.count <= buffer.count {
            guard !isCancelled.isSet else { throw TransferError(.cancelled, "the transfer was stopped") }
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<extent.range.count])
            guard (try? file.read(into: room, at: extent.range.lowerBound)) != nil,
                RangeChecksum.of(UnsafeRawBufferPointer(room)) == extent.checksum
            else { continue }
            intact.insert(extent.range)
        }
        return intact
    }

    private func removeLeftovers() {
        let known = journal.digests()
        var found: [(name: String, size: Int64, modified: Date)] = []
        for name in files() {
            guard let digest = Self.digest(ofFile: name), let size = Self.size(ofFile: name) else { continue }
            let modified = (try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)"))?[.modificationDate]
            guard known.contains(digest.description), let modified = modified as? Date,
                modified.timeIntervalSinceNow >= -Self.staleAfter
            else {
                remove(name)
                continue
            }
            found.append((name, size, modified))
        }
        found.sort { $0.modified < $1.modified }
        waiting.withLock { waiting in
            for file in found { waiting.add(file.name, size: file.size) }
            // The bound may have become a smaller one.
            for name in waiting.drop(toFit: disk.limit) { remove(name) }
        }
        let kept = Set(found.compactMap { Self.digest(ofFile: $0.name) })
        for name in known {
            guard let digest = try? Digest(name), !kept.contains(digest) else { continue }
            journal.forget(digest)
        }
    }

    /// The names of the files of blobs.
    private func files() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { !$0.hasPrefix("journal.") }
    }

    private static func fileName(_ descriptor: Descriptor) -> String {
        "\(descriptor.digest.algorithm.rawValue)-\(descriptor.digest.hex)-\(descriptor.size)"
    }

    /// Whose file it is; `nil` for one of another name.
    private static func digest(ofFile name: String) -> Digest? {
        let parts = name.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, Int64(parts[2]) != nil else { return nil }
        return try? Digest("\(parts[0]):\(parts[1])")
    }

    private static func size(ofFile name: String) -> Int64? {
        name.split(separator: "-").last.flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }
}

/// The files of blobs that no transfer has in hand, the one that has waited longest first. A pure value.
struct WaitingFiles: Equatable {
    private var files: [(name: String, size: Int64)] = []
    /// Their lengths together, in bytes.
    private(set) var bytes: Int64 = 0

    static func == (one: WaitingFiles, other: WaitingFiles) -> Bool { one.names == other.names }

    /// Their names, the one that has waited longest first.
    var names: [String] { files.map(\.name) }

    /// Adds a file behind all others.
    mutating func add(_ name: String, size: Int64) {
        take(name)
        files.append((name, size))
        bytes = bytes.saturatingAdding(size)
    }

    /// Takes a file out, if it is among them.
    mutating func take(_ name: String) {
        guard let index = files.firstIndex(where: { $0.name == name }) else { return }
        bytes -= files.remove(at: index).size
    }

    /// Takes out those that have waited longest, until the rest fits.
    ///
    /// - Parameter limit: bytes that the rest may have
    /// - Returns: their names
    mutating func drop(toFit limit: Int64) -> [String] {
        var dropped: [String] = []
        while bytes > max(0, limit), let first = files.first {
            dropped.append(first.name)
            take(first.name)
        }
        return dropped
    }
}

/// The right to use a spool directory whose files become blobs, for as long as the value lives: two who wrote to one file
/// would spoil each other's bytes.
final class SpoolLock: Sendable {
    let path: String
    private let descriptor: Int32

    /// - Throws: `TransferError.spoolFailed` while another process has it, or where it cannot be had
    init(path: String) throws(TransferError) {
        self.path = path
        descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            // The descriptor is `deinit`'s to close, which runs although this throws.
            let code = errno
            throw TransferError(
                .spoolFailed,
                code == EWOULDBLOCK
                    ? "another process uses the spool directory \(path): end it, or give each its own"
                    : "cannot lock the spool directory \(path): \(String(cString: strerror(code))): it needs a file"
                        + " system with flock")
        }
    }

    deinit {
        guard descriptor >= 0 else { return }
        // Closing alone leaves the lock to a child process that another thread is just starting.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }
}

/// Says once and for all that something is not wanted any more, from any thread.
private final class Flag: Sendable {
    private let value = Atomic(false)

    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// One blob's place in the spool, and what the journal says of it.
struct SpooledBlob: Sendable {
    let digest: Digest
    let storage: BlobPump.Storage
    /// What an earlier run left behind, verified against its checksums.
    let present: ByteRanges
    private let journal: ResumeJournal

    init(digest: Digest, storage: BlobPump.Storage, present: ByteRanges, journal: ResumeJournal) {
        self.digest = digest
        self.storage = storage
        self.present = present
        self.journal = journal
    }

    private var isFile: Bool {
        if case .file = storage { true } else { false }
    }

    /// Records bytes that are in the file, with their checksum.
    func record(_ range: Range<Int64>, _ checksum: UInt64) {
        if isFile { journal.record(.init(range: range, checksum: checksum), of: digest) }
    }

    /// Removes the file and what the journal says of it.
    func discard() {
        guard case .file(let file) = storage else { return }
        // In this order: a file without a journal is removed at the next start, a journal without a file would promise
        // bytes that are not there.
        journal.forget(digest)
        file.discard()
    }

    /// Where an earlier upload to a repository stands.
    func session(_ repository: Repository, _ host: String) -> UploadSession? {
        isFile ? journal.session(of: digest, at: host, in: repository) : nil
    }

    /// Records where the upload stands.
    func recordSession(_ session: UploadSession, _ host: String) {
        if isFile { journal.record(session, of: digest, at: host) }
    }

    /// What is known of a host's uploads.
    func capability(_ host: String) -> UploadCapability {
        isFile ? journal.capability(of: host) : UploadCapability()
    }

    /// Records what was learned of a host's uploads.
    func learn(_ host: String, _ capability: UploadCapability) {
        journal.record(capability, of: host)
    }
}
