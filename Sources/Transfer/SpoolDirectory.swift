import FoundationEssentials
import Glibc
import OCI
import Registry

/// Where blobs under way are kept: small ones in memory, large ones each in a file, within a bound on bytes of each.
///
/// Files outlive the process: the journal says which of their bytes are good, and the next run goes on from there.
///
/// A file is named by digest and length. Lists may claim several lengths for one digest, and each claim is a transfer of
/// its own, of which at most one succeeds: they must not write into the same file. The journal is of digests alone, since
/// its checksums tell what a file holds.
final class SpoolDirectory: Sendable {
    private let path: String
    private let memory: ByteBudget
    private let disk: ByteBudget
    private let smallBlobSize: Int64
    private let keepsFiles: Bool
    private let journal: ResumeJournal
    /// Held as long as the directory is used, where files become blobs: two who wrote to one file would spoil each other's
    /// bytes. Elsewhere the directory is a part of the agent's state, of which the agent sees to that.
    private let lock: Int32

    /// Blobs of at most this many bytes stay in memory, unless said otherwise: a file costs more than fetching them again.
    static let memoryBlobSize: Int64 = 128 << 10
    /// A file that no run has touched for this many seconds is of a list that is gone.
    static let staleAfter: TimeInterval = 14 * 86_400

    /// Opens the directory, and removes files that the journal does not know or that are stale.
    ///
    /// - Parameters:
    ///   - path: an existing directory, or one whose parent exists
    ///   - memoryLimit: bytes of blobs in memory at once
    ///   - diskLimit: bytes of spool files at once
    ///   - smallBlobSize: blobs of at most this many bytes stay in memory
    ///   - keepsFiles: whether its files become the blobs at the destination
    /// - Throws: `TransferError.spoolFailed` when the directory cannot be written
    init(path: String, memoryLimit: Int64, diskLimit: Int64, smallBlobSize: Int64, keepsFiles: Bool = false)
        throws(TransferError)
    {
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
        lock = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard !keepsFiles || lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            if lock >= 0 { close(lock) }
            throw TransferError(
                .spoolFailed,
                code == EWOULDBLOCK
                    ? "another process uses the spool directory \(path): end it, or give each its own"
                    : "cannot lock the spool directory \(path): \(String(cString: strerror(code))): it needs a file"
                        + " system with flock")
        }
        do {
            journal = try ResumeJournal(path: "\(path)/journal.sqlite")
        } catch {
            if lock >= 0 { close(lock) }
            throw error
        }
        removeLeftovers()
    }

    deinit { if lock >= 0 { close(lock) } }

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
            let digest = descriptor.digest
            let file = try SpoolFile(
                path: "\(path)/\(Self.fileName(descriptor))", size: descriptor.size, isKept: keepsFiles)
            let present = intactRanges(of: descriptor, in: file)
            return try await body(
                SpooledBlob(digest: digest, storage: .file(file), present: present, journal: journal))
        }
    }

    /// The digests that earlier runs left bytes of.
    func leftovers() -> Set<String> { journal.digests() }

    /// Removes what is left of a blob that needs no transfer any more: of a run that was killed after the registry had
    /// taken it, and before it could tidy up.
    func discard(_ digest: Digest) {
        journal.forget(digest)
        for name in files() where Self.digest(ofFile: name) == digest { unlink("\(path)/\(name)") }
    }

    /// Waits until the journal holds everything recorded so far.
    func flush() {
        journal.flush()
    }

    /// The bytes that the journal vouches for and whose checksums hold: a torn or lost write is fetched again.
    private func intactRanges(of descriptor: Descriptor, in file: SpoolFile) -> ByteRanges {
        var intact = ByteRanges()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: SegmentPool.segmentSize, alignment: 4096)
        defer { buffer.deallocate() }
        for extent in journal.extents(of: descriptor.digest)
        where extent.range.upperBound <= descriptor.size && extent.range.count <= buffer.count {
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
        let files = files()
        for name in files {
            guard let digest = Self.digest(ofFile: name) else { continue }
            let modified = (try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)"))?[.modificationDate]
            let isStale = (modified as? Date).map { $0.timeIntervalSinceNow < -Self.staleAfter } ?? true
            guard !known.contains(digest.description) || isStale else { continue }
            journal.forget(digest)
            unlink("\(path)/\(name)")
        }
        let kept = Set(files.compactMap { Self.digest(ofFile: $0) })
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
