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
/// The bound on files holds for all that lie here, also for those that wait for a later pass, and some of those go where a
/// blob needs room (`WaitingFiles`).
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
    private let state = Mutex(State())
    /// Seconds since 1970.
    private let now: @Sendable () -> Int64
    /// Opens large files, and reads what of them is good: that may take minutes, and Swift's own threads must not wait.
    private let disks = DispatchQueue(label: "rollcall.spool", qos: .utility, attributes: .concurrent)

    private struct State {
        /// The files that no transfer has in hand.
        var waiting = WaitingFiles()
        /// Those that one has: as many as blobs with a file are on their way.
        var inHand: [(name: String, size: Int64)] = []

        var bytesInHand: Int64 { inHand.reduce(0) { $0.saturatingAdding($1.size) } }
    }

    /// Blobs of at most this many bytes stay in memory, unless said otherwise: a file costs more than fetching them again.
    static let memoryBlobSize: Int64 = 128 << 10
    /// A file that no run has touched for this many seconds is of a list that is gone.
    static let staleAfter: Int64 = 14 * 86_400
    /// Files of at most this many bytes are opened without a change of threads.
    static let quickSize: Int64 = 8 << 20
    /// The longest extent that is read back, in bytes: earlier versions recorded segments of 256 KiB.
    static let longestExtent = max(SegmentPool.segmentSize, 256 << 10)
    /// Extents that are in memory at once: of a blob of 10 GiB there are 163,840.
    static let extentsAtOnce = 2048

    /// Opens the directory, and removes files that the journal does not know or that are stale.
    ///
    /// - Parameters:
    ///   - path: an existing directory, or one whose parent exists
    ///   - memoryLimit: bytes of blobs in memory at once
    ///   - diskLimit: bytes of spool files at once
    ///   - smallBlobSize: blobs of at most this many bytes stay in memory
    ///   - keepsFiles: whether its files become the blobs at the destination
    ///   - lock: the lock of who used the directory in this process before
    ///   - now: seconds since 1970
    /// - Throws: `TransferError.spoolFailed` when the directory cannot be written
    init(
        path: String, memoryLimit: Int64, diskLimit: Int64, smallBlobSize: Int64, keepsFiles: Bool = false,
        lock taken: SpoolLock? = nil, now: @escaping @Sendable () -> Int64 = { Int64(time(nil)) }
    ) throws(TransferError) {
        self.path = path
        self.now = now
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
            takeInHand(name, descriptor.size)
            do throws(TransferError) {
                let (file, present) = try await open(name, descriptor)
                let result = try await body(
                    SpooledBlob(digest: descriptor.digest, storage: .file(file), present: present, journal: journal))
                await putDown(name, descriptor)
                return result
            } catch {
                await putDown(name, descriptor)
                throw error
            }
        }
    }

    /// Takes a blob's file from those that wait, and makes room for it where that needs some.
    private func takeInHand(_ name: String, _ size: Int64) {
        state.withLock { state in
            state.waiting.take(name)
            state.inHand.append((name, size))
            // Under the lock: a file that somebody takes in hand is not removed.
            for name in state.waiting.drop(toFit: disk.limit - state.bytesInHand) { remove(name, state) }
        }
    }

    /// Keeps the file of a blob that is not brought yet for a later pass, if there is anything in it.
    private func putDown(_ name: String, _ descriptor: Descriptor) async {
        var status = stat()
        let isThere = lstat("\(path)/\(name)", &status) == 0
        let isKept: Bool
        if isThere {
            // Before the lock is taken, since it waits for the disk. Where the journal cannot say, the bytes may be good.
            isKept = await aside { [journal] in journal.isEmpty(of: descriptor.digest) != true }
        } else {
            isKept = false
        }
        state.withLock { state in
            if let index = state.inHand.firstIndex(where: { $0.name == name }) { state.inHand.remove(at: index) }
            if isKept {
                state.waiting.add(name, size: descriptor.size, since: now())
            } else if isThere {
                remove(name, state)
            }
        }
    }

    /// Removes a file that neither waits nor is in hand any more, with the lock held. What the journal says of its digest
    /// goes too, unless there is a file of another length that it says it of.
    private func remove(_ name: String, _ state: State) {
        if let digest = Self.digest(ofFile: name) {
            let others = Self.fileNames(of: digest)
            let isShared = (state.waiting.names + state.inHand.map(\.name)).contains { $0.hasPrefix(others) }
            if !isShared { journal.forget(digest) }
        }
        unlink("\(path)/\(name)")
    }

    /// Removes some of the files that wait.
    ///
    /// - Returns: whether there were any
    @discardableResult
    private func drop(_ choose: (inout WaitingFiles) -> [String]) -> Bool {
        state.withLock { state in
            let names = choose(&state.waiting)
            for name in names { remove(name, state) }
            return !names.isEmpty
        }
    }

    /// Does what waits for the disk on a thread that may.
    private func aside<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            disks.async { continuation.resume(returning: work()) }
        }
    }

    /// Opens a blob's file, and finds out what an earlier run left in it.
    ///
    /// - Throws: also `TransferError.cancelled`
    private func open(
        _ name: String, _ descriptor: Descriptor
    ) async throws(TransferError) -> (file: SpoolFile, present: ByteRanges) {
        let isCancelled = Flag()
        let work: @Sendable () -> Result<(file: SpoolFile, present: ByteRanges), TransferError> = {
            Result { () throws(TransferError) in
                let file = try self.file(name, descriptor.size)
                return (file, try self.intactRanges(of: descriptor, in: file, unless: isCancelled))
            }
        }
        guard descriptor.size > Self.quickSize else { return try work().get() }
        let result = await withTaskCancellationHandler {
            await aside(work)
        } onCancel: {
            isCancelled.set()
        }
        return try result.get()
    }

    /// Opens a blob's file. On a full disk, what waits for a later pass makes room.
    private func file(_ name: String, _ size: Int64) throws(TransferError) -> SpoolFile {
        let path = "\(path)/\(name)"
        do throws(TransferError) {
            return try SpoolFile(path: path, size: size, isKept: keepsFiles)
        } catch {
            guard error.code == .spoolFull, drop({ $0.drop(toFit: 0) }) else { throw error }
            return try SpoolFile(path: path, size: size, isKept: keepsFiles)
        }
    }

    /// Bytes of all files that lie here, in hand or waiting.
    var bytesOfFiles: Int64 { state.withLock { $0.waiting.bytes.saturatingAdding($0.bytesInHand) } }

    /// The digests whose files wait.
    func leftovers() -> Set<Digest> { Set(state.withLock { $0.waiting.names }.compactMap { Self.digest(ofFile: $0) }) }

    /// Removes files that no run has touched for long.
    func removeStale() {
        let oldest = now() - Self.staleAfter
        drop { $0.drop(olderThan: oldest) }
    }

    /// Removes what is left of a blob that needs no transfer any more: of a run that was killed after the registry had
    /// taken it, and before it could tidy up.
    func discard(_ digest: Digest) {
        let names = Self.fileNames(of: digest)
        drop { waiting in
            let found = waiting.names.filter { $0.hasPrefix(names) }
            for name in found { waiting.take(name) }
            return found
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
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.longestExtent, alignment: 4096)
        defer { buffer.deallocate() }
        var extents = journal.extents(of: descriptor.digest, atMost: Self.extentsAtOnce)
        while let last = extents.last {
            for extent in extents
            where extent.range.upperBound <= descriptor.size && extent.range.count <= buffer.count {
                guard !isCancelled.isSet else { throw TransferError(.cancelled, "the transfer was stopped") }
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<extent.range.count])
                guard (try? file.read(into: room, at: extent.range.lowerBound)) != nil,
                    RangeChecksum.of(UnsafeRawBufferPointer(room)) == extent.checksum
                else { continue }
                intact.insert(extent.range)
            }
            extents = journal.extents(
                of: descriptor.digest, from: last.range.lowerBound + 1, atMost: Self.extentsAtOnce)
        }
        return intact
    }

    private func removeLeftovers() {
        let known = journal.digests()
        let oldest = now() - Self.staleAfter
        var found: [(name: String, size: Int64, modified: Int64)] = []
        for name in files() {
            guard let digest = Self.digest(ofFile: name), let size = Self.size(ofFile: name) else { continue }
            var status = stat()
            guard known.contains(digest.description), lstat("\(path)/\(name)", &status) == 0,
                status.st_mtim.tv_sec >= oldest
            else {
                unlink("\(path)/\(name)")
                continue
            }
            found.append((name, size, Int64(status.st_mtim.tv_sec)))
        }
        found.sort { $0.modified < $1.modified }
        let kept = Set(found.compactMap { Self.digest(ofFile: $0.name)?.description })
        for name in known where !kept.contains(name) {
            if let digest = try? Digest(name) { journal.forget(digest) }
        }
        drop { [found] waiting in
            for file in found { waiting.addLeft(file.name, size: file.size, since: file.modified) }
            // The bound may have become a smaller one.
            return waiting.drop(toFit: disk.limit)
        }
    }

    /// The names of the files of blobs.
    private func files() -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { !$0.hasPrefix("journal.") }
    }

    private static func fileName(_ descriptor: Descriptor) -> String {
        "\(fileNames(of: descriptor.digest))\(descriptor.size)"
    }

    /// What the names of all of a digest's files begin with.
    private static func fileNames(of digest: Digest) -> String { "\(digest.algorithm.rawValue)-\(digest.hex)-" }

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

/// The files of blobs that no transfer has in hand. A pure value.
///
/// Passes go through what is missing in the same order. Where that is more than there is room for, and nothing of it is taken
/// by the registry, dropping what has waited longest would drop each file just before its turn. So of what this process
/// has put down, the latest goes first, and what lies here otherwise is found again; what an earlier process left goes before
/// that, the oldest first: nobody has asked for it yet.
struct WaitingFiles {
    private struct File {
        let name: String
        /// Bytes.
        let size: Int64
        /// When it was touched last, in seconds since 1970.
        let since: Int64
    }

    /// What an earlier process left, in the order in which it was touched.
    private var left: [File] = []
    /// What this one has put down, in that order.
    private var putDown: [File] = []
    /// Their lengths together, in bytes.
    private(set) var bytes: Int64 = 0

    /// Their names: those of an earlier process first, each in the order in which they came.
    var names: [String] { (left + putDown).map(\.name) }

    /// Adds a file that was put down, behind all others.
    ///
    /// - Parameters:
    ///   - size: bytes
    ///   - since: when, in seconds since 1970
    mutating func add(_ name: String, size: Int64, since: Int64) {
        take(name)
        putDown.append(File(name: name, size: size, since: since))
        bytes = bytes.saturatingAdding(size)
    }

    /// Adds a file that an earlier process left, behind those that were touched before it.
    ///
    /// - Parameters:
    ///   - size: bytes
    ///   - since: when it was touched last, in seconds since 1970
    mutating func addLeft(_ name: String, size: Int64, since: Int64) {
        left.append(File(name: name, size: size, since: since))
        bytes = bytes.saturatingAdding(size)
    }

    /// Takes a file out, if it is among them.
    mutating func take(_ name: String) {
        if let index = left.firstIndex(where: { $0.name == name }) {
            bytes -= left.remove(at: index).size
        } else if let index = putDown.firstIndex(where: { $0.name == name }) {
            bytes -= putDown.remove(at: index).size
        }
    }

    /// Takes files out until the rest fits.
    ///
    /// - Parameter limit: bytes that the rest may have
    /// - Returns: their names
    mutating func drop(toFit limit: Int64) -> [String] {
        var dropped: [String] = []
        while bytes > max(0, limit), let next = left.first ?? putDown.last {
            dropped.append(next.name)
            take(next.name)
        }
        return dropped
    }

    /// Takes out those that were touched last before a time.
    ///
    /// - Parameter time: seconds since 1970
    /// - Returns: their names
    mutating func drop(olderThan time: Int64) -> [String] {
        let dropped = (left + putDown).filter { $0.since < time }.map(\.name)
        for name in dropped { take(name) }
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
