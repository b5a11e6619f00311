import CGlibc
import FoundationEssentials
import Glibc
public import OCI
import Synchronization

/// The name of an upload session: 32 hex digits at random, which nobody guesses.
public struct UploadName: Hashable, Sendable, CustomStringConvertible {
    /// The digits.
    public let text: String

    /// - Returns: `nil` for text that is no such name
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count == 32,
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (97...102).contains($0) })
        else { return nil }
        self.text = String(text)
    }

    init() { text = .random() }

    public var description: String { text }
}

/// An upload session: a file that grows, and what its bytes hash to.
///
/// | file in `_uploads` | content |
/// |---|---|
/// | `NAME.data` | the bytes; locked (`flock`) by who has the session open |
/// | `NAME.json` | repository, algorithm, and how many bytes a power loss cannot take |
///
/// After `kill -9` the file's length is where the session stands. After a power loss the file may be longer than what
/// reached the disk: then it stands where it was synchronized last.
///
/// One owner uses it at a time, and every operation blocks on the disk; only `offset` may be read by anyone. Bytes are
/// hashed as they are written; those of an earlier process are read back once.
public final class LayoutUpload: @unchecked Sendable {
    /// The session's name.
    public let name: UploadName
    /// The repository that the blob is for.
    public let repository: Repository

    private let layout: ImageLayout
    private let algorithm: Digest.Algorithm
    private let file: OpenFileBox
    private let length: Atomic<Int64>

    // The owner's.
    /// Over the first `hashed` bytes.
    private var computation: DigestComputation?
    private var hashed: Int64 = 0
    /// Up to where the kernel was asked to write.
    private var flushed: Int64 = 0

    /// Writing to the disk begins after this many bytes, so that there is little to wait for at the end.
    private static let writeback: Int64 = 8 << 20

    /// What `NAME.json` says.
    fileprivate struct Record: Codable {
        let repository: Repository
        let algorithm: String
        let durable: Int64
        let boot: String
    }

    fileprivate init(
        _ layout: ImageLayout, _ name: UploadName, _ repository: Repository, _ algorithm: Digest.Algorithm,
        _ file: OpenFileBox, offset: Int64
    ) {
        self.layout = layout
        self.name = name
        self.repository = repository
        self.algorithm = algorithm
        self.file = file
        length = Atomic(offset)
    }

    /// How many bytes the session holds.
    public var offset: Int64 { length.load(ordering: .relaxed) }

    /// Adds bytes at the end.
    ///
    /// - Throws: `LayoutError.full`, `.unavailable`; then the session stands where it stood
    public func append(_ bytes: UnsafeRawBufferPointer) throws(LayoutError) {
        let offset = offset
        let end = offset + Int64(bytes.count)
        guard end <= Descriptor.maximumSize else {
            throw LayoutError(.tooMany, "a blob has at most \(Descriptor.maximumSize) bytes", at: repository.name)
        }
        try file.file.write(bytes, at: offset)
        if hashed == offset {
            if computation == nil { computation = DigestComputation(algorithm) }
            computation?.update(bytes)
            hashed = end
        }
        length.store(end, ordering: .relaxed)
        if end - flushed >= Self.writeback {
            rollcall_start_writeback(file.file.descriptor, Int(flushed), Int(end - flushed))
            flushed = end
        }
    }

    /// Makes what the session holds survive a power loss.
    public func synchronize() throws(LayoutError) {
        try file.file.synchronize()
        try layout.write(
            Record(
                repository: repository, algorithm: algorithm.rawValue, durable: offset, boot: ImageLayout.bootID),
            of: name)
    }

    /// Makes the session's bytes the blob of a digest, and ends the session, whatever comes of it.
    ///
    /// - Throws: `LayoutError.digestMismatch`
    public func commit(as digest: Digest) throws(LayoutError) {
        defer { discard() }
        let actual: Digest
        if digest.algorithm == algorithm, hashed == offset, let running = computation.take() {
            actual = running.finish()
        } else {
            actual = try layout.hash(file.file, upTo: offset, DigestComputation(digest.algorithm)).finish()
        }
        guard actual == digest else {
            throw LayoutError(
                .digestMismatch, "the upload hashes to \(actual), not to \(digest): start again", at: repository.name,
                digests: [digest])
        }
        try layout.adopt(
            file.file.path, verified: FileIdentity(try file.file.status()), as: digest, in: repository)
    }

    /// Ends the session. Idempotent.
    public func discard() {
        // In this order: data without a record is garbage, a record without data would be a session.
        unlink(layout.uploadRecordPath(name))
        unlink(file.file.path)
    }
}

extension ImageLayout {
    /// Starts a session.
    ///
    /// - Parameters:
    ///   - repository: what the blob is for; created when the upload is committed
    ///   - algorithm: what the digest will be of, so that bytes are hashed once
    public func startUpload(
        in repository: Repository, algorithm: Digest.Algorithm = .sha256
    ) throws(LayoutError) -> LayoutUpload {
        while true {
            let name = UploadName()
            let file = try OpenFile(
                existing: uploadDataPath(name), O_RDWR | O_CREAT | O_EXCL, doing: "start an upload in")
            try file.lock(LOCK_EX)
            // Without a grace period, a collection may have had the lock first, and taken the file for one that nobody
            // continues. Not again and again: it looks at each name once.
            guard try file.status().st_nlink > 0 else { continue }
            try write(
                LayoutUpload.Record(
                    repository: repository, algorithm: algorithm.rawValue, durable: 0, boot: Self.bootID), of: name)
            return LayoutUpload(self, name, repository, algorithm, OpenFileBox(file), offset: 0)
        }
    }

    /// Opens a session of this or an earlier process.
    ///
    /// - Returns: `nil` where the repository has no such session
    /// - Throws: `LayoutError.uploadBusy` while somebody else has it open
    public func upload(_ name: UploadName, in repository: Repository) throws(LayoutError) -> LayoutUpload? {
        let recordPath = uploadRecordPath(name)
        guard let recordFile = try OpenFile(recordPath, O_RDONLY, doing: "read"),
            let file = try OpenFile(uploadDataPath(name), O_RDWR, doing: "continue an upload in")
        else { return nil }
        guard file.lockIfFree() else {
            throw LayoutError(.uploadBusy, "another request writes to the upload \(name)", at: repository.name)
        }
        // It was collected, or has ended, since it was opened.
        guard try file.status().st_nlink > 0 else { return nil }
        let bytes = try recordFile.readAll(limit: 64 << 10)
        guard let record = try? JSONDecoder().decode(LayoutUpload.Record.self, from: Data(bytes)),
            let algorithm = Digest.Algorithm(rawValue: record.algorithm), record.repository == repository
        else { return nil }
        var size = Int64(try file.status().st_size)
        if record.boot != Self.bootID, record.durable < size {
            // Beyond, a power loss may have left anything.
            size = max(0, record.durable)
            guard ftruncate(file.descriptor, off_t(size)) == 0 else {
                throw .from(errno: errno, doing: "continue an upload in", at: file.path)
            }
        }
        return LayoutUpload(self, name, repository, algorithm, OpenFileBox(file), offset: size)
    }

    /// The number of sessions.
    public func uploadCount() throws(LayoutError) -> Int {
        try DirectoryEntry.all(of: paths.uploads).count { $0.name.hasSuffix(".json") }
    }

    func uploadDataPath(_ name: UploadName) -> String { "\(paths.uploads)/\(name).data" }
    func uploadRecordPath(_ name: UploadName) -> String { "\(paths.uploads)/\(name).json" }

    fileprivate func write(_ record: LayoutUpload.Record, of name: UploadName) throws(LayoutError) {
        // Strings and numbers always encode.
        let incoming = try writeIncoming([UInt8]((try? JSONEncoder().encode(record)) ?? Data()))
        let path = uploadRecordPath(name)
        guard rename(incoming, path) == 0 else {
            let code = errno
            unlink(incoming)
            throw .from(errno: code, doing: "write", at: path)
        }
        try synchronize(directory: paths.uploads)
    }

    /// What differs after each start of the machine: only then may the page cache have been lost.
    static let bootID: String = {
        guard let file = try? OpenFile("/proc/sys/kernel/random/boot_id", O_RDONLY, doing: "read") else { return "" }
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = bytes.withUnsafeMutableBytes { (try? file.read(into: $0, at: 0)) ?? 0 }
        return String(decoding: bytes.prefix(count).filter { $0 > 0x20 }, as: UTF8.self)
    }()
}
