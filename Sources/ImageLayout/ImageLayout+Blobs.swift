import Glibc
public import OCI

/// Content that is open for reading. It stays readable while it is, whatever happens to its name.
public final class OpenBlob: Sendable {
    private let file: OpenFileBox
    /// The length in bytes.
    public let size: Int64

    fileprivate init(_ file: consuming OpenFile, size: Int64) {
        self.file = OpenFileBox(file)
        self.size = size
    }

    /// The file's descriptor, for the length of this value.
    public var descriptor: Int32 { file.file.descriptor }

    /// Fills a buffer from an offset. Blocks on the disk.
    ///
    /// - Returns: how many bytes were read; fewer than asked for only at the end
    public func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(LayoutError) -> Int {
        try file.file.read(into: buffer, at: offset)
    }
}

/// Carries an `OpenFile` where only copyable values can go.
final class OpenFileBox: Sendable {
    let file: OpenFile
    init(_ file: consuming OpenFile) { self.file = file }
}

extension ImageLayout {
    /// How old, in seconds, a blob's name may be before a question for the blob makes it young again: see `collect`.
    static let touchAfter: Int64 = 3600
    /// A mount hashes what it gives up to this many bytes.
    static let mountReads: Int64 = 1 << 20

    /// Opens a blob.
    ///
    /// - Returns: `nil` where the repository does not have it
    public func openBlob(_ digest: Digest, in repository: Repository) throws(LayoutError) -> OpenBlob? {
        guard let file = try OpenFile(paths.blob(digest, in: repository), O_RDONLY, doing: "read") else { return nil }
        let status = try file.status()
        guard status.isRegular else { return nil }
        return OpenBlob(file, size: Int64(status.st_size))
    }

    /// The size of a blob in bytes; `nil` where the repository does not have it.
    ///
    /// - Parameter keeping: whether the asker will rely on it, by naming it in a manifest: then garbage collection leaves
    ///   it alone for another grace period
    public func blobSize(
        _ digest: Digest, in repository: Repository, keeping: Bool = false
    ) throws(LayoutError) -> Int64? {
        let path = paths.blob(digest, in: repository)
        guard let status = try status(path), status.isRegular else { return nil }
        if keeping, Int64(time(nil)) - status.changed > Self.touchAfter {
            let isThere = try locked(repository, LOCK_SH) { () throws(LayoutError) in try touch(path) }
            guard isThere else { return nil }
        }
        return Int64(status.st_size)
    }

    /// Gives a blob that some repository has to another one, without moving a byte.
    ///
    /// A damaged file is given to nobody, and does not count as being there: who asked then brings the blob, which replaces
    /// it. So a small file is hashed. A large one is believed, as it is where it is asked for and served: it was hashed
    /// before it got its name, and to read it would cost what a mount is to save. But where the two repositories have
    /// different files of one digest, one of them was brought because the other was damaged, and the bytes decide.
    ///
    /// - Parameters:
    ///   - from: the repository that has it; `nil` for any
    ///   - to: the repository that gets it; created where it is not there
    /// - Returns: `false` where it is not there, or is damaged
    public func mount(_ digest: Digest, from: Repository?, to: Repository) throws(LayoutError) -> Bool {
        try mount(digest, from: from, to: to, reads: Self.mountReads)
    }

    /// - Parameter limit: files of at most this many bytes are hashed
    private func mount(
        _ digest: Digest, from: Repository?, to: Repository, reads limit: Int64
    ) throws(LayoutError) -> Bool {
        let source = from.map { paths.blob(digest, in: $0) } ?? paths.sharedBlob(digest)
        let target = paths.blob(digest, in: to)
        let offered = try status(source).flatMap { $0.isRegular ? $0 : nil }
        let present = try status(target).flatMap { $0.isRegular ? $0 : nil }
        if let present {
            let isOther = offered.map { $0.st_ino != present.st_ino } ?? false
            if try isIntact(target, digest, present, reads: isOther ? .max : limit) {
                if try blobSize(digest, in: to, keeping: true) != nil { return true }
            } else if !isOther {
                return false
            }
        }
        guard let given = offered, try isIntact(source, digest, given, reads: present == nil ? limit : .max) else {
            return false
        }
        try create(to)
        return try place(source, digest, in: to)
    }

    /// Whether a file is what its name says, as far as that is looked at.
    ///
    /// - Parameter limit: a file of at most this many bytes is hashed
    private func isIntact(
        _ path: String, _ digest: Digest, _ status: stat, reads limit: Int64
    ) throws(LayoutError) -> Bool {
        guard Int64(status.st_size) <= limit else { return true }
        return try hash(path, digest.algorithm) == digest
    }

    /// Takes over a file that was verified: it becomes the blob, without a copy. The file must lie on the layout's file
    /// system (`spoolPath`) and must not be written to any more; its own name stays the caller's to remove.
    ///
    /// - Parameter verified: the file whose bytes were hashed, all of them
    /// - Throws: `LayoutError.unavailable` for a file on another file system, and where the path leads to another file
    public func adopt(
        _ path: String, verified: FileIdentity, as digest: Digest, in repository: Repository
    ) throws(LayoutError) {
        let file = try OpenFile(existing: path, O_RDONLY, doing: "adopt")
        guard FileIdentity(try file.status()) == verified else { throw Self.disappeared(path) }
        try adopt(path, as: digest, in: repository)
    }

    /// The same for a file that nobody else knows of.
    private func adopt(_ path: String, as digest: Digest, in repository: Repository) throws(LayoutError) {
        try create(repository)
        let shared = paths.sharedBlob(digest)
        // One file on the disk for all repositories; but what is there is older than what was just verified.
        let known = try hash(shared, digest.algorithm)
        if known == digest, try place(shared, digest, in: repository) { return }
        let file = try OpenFile(existing: path, O_RDWR, doing: "adopt")
        guard fchmod(file.descriptor, 0o444) == 0 else { throw .from(errno: errno, doing: "adopt", at: path) }
        try file.synchronize()
        var source = path
        if known != nil, known != digest {
            guard try rename(linkOf: path, to: shared) else { throw Self.disappeared(path) }
        } else if Glibc.link(path, shared) != 0 {
            switch errno {
            // Somebody else has verified the same content in this very moment.
            case EEXIST: source = shared
            case ENOENT: throw Self.disappeared(path)
            case EXDEV: throw otherFileSystem(path)
            case let code: throw .from(errno: code, doing: "link", at: path)
            }
        }
        if try !place(source, digest, in: repository) {
            // What somebody else had put there was collected: ours is still here.
            guard try place(path, digest, in: repository) else { throw Self.disappeared(path) }
        }
        try synchronize(directory: paths.sharedBlobDirectory(digest.algorithm))
    }

    private static func disappeared(_ path: String) -> LayoutError {
        LayoutError(.unavailable, "the file disappeared while it was adopted: try again", at: path)
    }

    private func otherFileSystem(_ path: String) -> LayoutError {
        LayoutError(.unavailable, "the file is on another file system than the layout \(paths.root)", at: path)
    }

    /// What a file's bytes hash to; `nil` where it does not exist.
    func hash(_ path: String, _ algorithm: Digest.Algorithm) throws(LayoutError) -> Digest? {
        guard let file = try OpenFile(path, O_RDONLY, doing: "read") else { return nil }
        return try hash(file, upTo: .max, DigestComputation(algorithm)).finish()
    }

    /// Adds a file's bytes to a computation.
    ///
    /// - Parameter end: where to stop; the file's end comes before
    func hash(
        _ file: borrowing OpenFile, upTo end: Int64, _ computation: consuming DigestComputation
    ) throws(LayoutError) -> DigestComputation {
        posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 << 10, alignment: 4096)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while offset < end {
            let room = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(end - offset, Int64(buffer.count)))])
            let count = try file.read(into: room, at: offset)
            guard count > 0 else { break }
            computation.update(UnsafeRawBufferPointer(rebasing: room[..<count]))
            offset += Int64(count)
        }
        return computation
    }

    /// Stores a blob that is in memory. What is there by its name counts only if its bytes are the same, and is replaced
    /// otherwise: so what was damaged on the disk is mended by bringing it again.
    ///
    /// - Throws: `LayoutError.digestMismatch`
    public func putBlob(_ bytes: [UInt8], as digest: Digest, in repository: Repository) throws(LayoutError) {
        try requireDigest(bytes, digest)
        try create(repository)
        if try mount(digest, from: nil, to: repository, reads: .max) { return }
        let incoming = try writeIncoming(bytes)
        defer { unlink(incoming) }
        try adopt(incoming, as: digest, in: repository)
    }

    /// Takes a blob away from a repository.
    ///
    /// - Throws: `LayoutError.blobUnknown`; `.inUse` while a manifest of the repository names it; `.damaged` where the
    ///   index or a manifest cannot be read, so that nobody knows
    public func deleteBlob(_ digest: Digest, in repository: Repository) throws(LayoutError) {
        let unknown = LayoutError(.blobUnknown, "the repository has no blob \(digest)", at: repository.name)
        guard try blobSize(digest, in: repository) != nil else { throw unknown }
        let named = LayoutError(
            .inUse, "a manifest of the repository names \(digest): delete that first", at: repository.name)
        var reach = Reach()
        // Before the lock: it reads every manifest, and all who push would wait.
        try reach.extend(over: knownIndex(of: repository), in: repository, of: self)
        guard !reach.digests.contains(digest) else { throw named }
        let kept = reach
        try locked(repository, LOCK_EX) { () throws(LayoutError) in
            var reach = kept
            // What was pushed meanwhile.
            try reach.extend(over: knownIndex(of: repository), in: repository, of: self)
            if let unreadable = reach.unreadable {
                throw LayoutError(
                    .damaged,
                    "the manifest \(unreadable) is damaged or gone, and may name \(digest): push it again, or delete it",
                    at: repository.name)
            }
            guard !reach.digests.contains(digest) else { throw named }
            guard unlink(paths.blob(digest, in: repository)) == 0 else {
                if errno == ENOENT { throw unknown }
                throw .from(errno: errno, doing: "delete", at: paths.blob(digest, in: repository))
            }
        }
        try synchronize(directory: paths.blobDirectory(digest.algorithm, in: repository))
    }

    func requireDigest(_ bytes: [UInt8], _ digest: Digest) throws(LayoutError) {
        let actual = Digest(of: bytes, algorithm: digest.algorithm)
        guard actual == digest else {
            throw LayoutError(
                .digestMismatch, "the content hashes to \(actual), not to \(digest): send it again", at: paths.root,
                digests: [digest])
        }
    }

    /// Makes a file the blob of a repository, and makes sure that it stays for a grace period.
    ///
    /// - Returns: `false` where the file is not there
    private func place(
        _ source: String, _ digest: Digest, in repository: Repository
    ) throws(LayoutError) -> Bool {
        let target = paths.blob(digest, in: repository)
        let isThere = try locked(repository, LOCK_SH) { () throws(LayoutError) in
            guard let status = try status(source) else { return false }
            if try self.status(target)?.st_ino == status.st_ino { return try touch(target) }
            // Also over a name that is there: that file is older than what was verified.
            return try rename(linkOf: source, to: target)
        }
        if isThere { try synchronize(directory: paths.blobDirectory(digest.algorithm, in: repository)) }
        return isThere
    }

    /// Gives a file another name, in the place of what had that name.
    ///
    /// - Returns: `false` where the file is not there
    private func rename(linkOf source: String, to target: String) throws(LayoutError) -> Bool {
        let incoming = newIncomingPath()
        guard link(source, incoming) == 0 else {
            let code = errno
            if code == ENOENT { return false }
            throw code == EXDEV ? otherFileSystem(source) : .from(errno: code, doing: "link", at: source)
        }
        // Renaming one name of a file onto another name of the same file leaves both.
        defer { unlink(incoming) }
        guard Glibc.rename(incoming, target) == 0 else { throw .from(errno: errno, doing: "rename", at: target) }
        return true
    }

    /// Sets a file's times to the present, and so the one that garbage collection looks at.
    private func touch(_ path: String) throws(LayoutError) -> Bool {
        if utimensat(AT_FDCWD, path, nil, 0) == 0 { return true }
        let code = errno
        if code == ENOENT { return false }
        throw .from(errno: code, doing: "touch", at: path)
    }

    func status(_ path: String) throws(LayoutError) -> stat? {
        var status = stat()
        if lstat(path, &status) == 0 { return status }
        let code = errno
        if code == ENOENT || code == ENOTDIR { return nil }
        throw .from(errno: code, doing: "read", at: path)
    }
}
