import Glibc
public import OCI
import Synchronization

/// The content of a registry on disk: below one root, an OCI image layout (image-spec v1.1.1, image-layout.md) for each
/// repository, whose blobs are hard links into one store.
///
/// - *Membership.* A repository has a blob exactly when its layout has a file for it. A mount is a link; a blob that two
///   repositories have is on the disk once.
/// - *Visible means whole.* A blob gets its name in `blobs` after it was verified and synchronized; `index.json` is
///   written aside, synchronized and renamed. A crash leaves files in `_uploads` and `_incoming`, and nothing else.
/// - *Several processes* may work on one layout: an agent that serves it, commands that check it or collect its garbage.
///   The directory of a repository is locked (`flock`), shared while a blob gets its name, exclusively while its index
///   is replaced or its garbage is swept. Reading takes no lock.
///
/// Every operation blocks its thread on the disk; `perform` runs some on threads that may.
public final class ImageLayout: Sendable {
    let paths: LayoutPaths
    let indexes: IndexCache

    /// The root's absolute path.
    public var path: String { paths.root }
    /// A directory on the layout's file system for blobs under way, which `adopt` takes over without copying.
    public var spoolPath: String { paths.spool }

    /// Opens a layout; creates it in an empty directory, or where only the directory's parent exists.
    ///
    /// - Throws: `LayoutError.missingRoot`; `.notALayout` for a directory that holds something else; `.permissionDenied`;
    ///   `.unavailable` for a file system without hard links
    public convenience init(path: String) throws(LayoutError) { try self.init(path, creates: true) }

    /// Opens a layout that is there.
    ///
    /// - Throws: as `init(path:)`; `LayoutError.notALayout` for an empty directory too
    public convenience init(existing path: String) throws(LayoutError) { try self.init(path, creates: false) }

    private init(_ path: String, creates: Bool) throws(LayoutError) {
        var root = path
        while root.count > 1, root.hasSuffix("/") { root.removeLast() }
        if !root.hasPrefix("/"), let current = getcwd(nil, 0) {
            root = "\(String(cString: current))/\(root)"
            free(current)
        }
        paths = LayoutPaths(root: root)
        indexes = IndexCache()
        if creates {
            try prepare()
        } else {
            var status = stat()
            guard stat(paths.sharedBlobs, &status) == 0, status.isDirectory else {
                throw LayoutError(
                    .notALayout, "there is no registry: check the path, and that you may read it", at: root)
            }
        }
    }

    private func prepare() throws(LayoutError) {
        if mkdir(paths.root, 0o755) != 0 {
            let code = errno
            if code == ENOENT {
                throw LayoutError(
                    .missingRoot,
                    "neither the layout nor its parent directory exists: check the path and its mount, or create it",
                    at: paths.root)
            }
            guard code == EEXIST else { throw .from(errno: code, doing: "create the layout", at: paths.root) }
        }
        var status = stat()
        guard stat(paths.root, &status) == 0, status.isDirectory else {
            throw LayoutError(.notALayout, "this is no directory", at: paths.root)
        }
        if access(paths.sharedBlobs, F_OK) != 0 {
            // A directory with other things in it is a mistyped path.
            let strangers = try DirectoryEntry.all(of: paths.root).filter { $0.name != "lost+found" }
            guard strangers.isEmpty else {
                throw LayoutError(
                    .notALayout,
                    "the directory holds '\(strangers[0].name)' and no registry: name an empty directory, or none",
                    at: paths.root)
            }
        }
        for directory in [paths.incoming, paths.uploads, paths.sharedBlobs] { try makeDirectory(directory) }
        for algorithm in Digest.Algorithm.all { try makeDirectory(paths.sharedBlobDirectory(algorithm)) }
        try probeLinks()
    }

    /// Fails early where the file system has no hard links.
    private func probeLinks() throws(LayoutError) {
        let first = newIncomingPath()
        let second = newIncomingPath()
        _ = try OpenFile(existing: first, O_WRONLY | O_CREAT | O_EXCL, doing: "write")
        defer {
            unlink(first)
            unlink(second)
        }
        guard link(first, second) == 0 else {
            throw LayoutError(
                .unavailable,
                "the file system makes no hard links (\(String(errno: errno))): put the layout on ext4, XFS, Btrfs or ZFS",
                at: paths.root)
        }
    }

    // MARK: Repositories

    /// Whether the layout has a repository.
    public func has(_ repository: Repository) -> Bool {
        access("\(paths.directory(of: repository))/\(LayoutPaths.layoutFile)", F_OK) == 0
    }

    /// The repositories' names, sorted; at most `limit` that come after `last`.
    public func repositories(after last: String = "", limit: Int = .max) throws(LayoutError) -> [Repository] {
        var found: [Repository] = []
        try collectRepositories(below: paths.root, prefix: "", into: &found)
        return Array(found.filter { $0.name > last }.sorted().prefix(max(0, limit)))
    }

    private func collectRepositories(
        below directory: String, prefix: String, into found: inout [Repository]
    ) throws(LayoutError) {
        for entry in try DirectoryEntry.all(of: directory) where entry.isDirectory {
            guard let component = LayoutPaths.component(ofDirectory: entry.name),
                // A name that is too long or outside the grammar is of no repository, and neither is what lies below.
                let repository = try? Repository(prefix + component)
            else { continue }
            if access("\(directory)/\(entry.name)/\(LayoutPaths.layoutFile)", F_OK) == 0 { found.append(repository) }
            try collectRepositories(below: "\(directory)/\(entry.name)", prefix: "\(repository)/", into: &found)
        }
    }

    /// Makes a repository's layout where it is not there yet, and the directories for blobs that another program, which made
    /// the layout, had no use for.
    func create(_ repository: Repository) throws(LayoutError) {
        var directory = paths.root
        let whole = paths.directory(of: repository)
        let blobs = "\(whole)/\(LayoutPaths.blobs)"
        guard !has(repository) else {
            if try makeBlobDirectories(of: repository) { try synchronize(directory: blobs) }
            return
        }
        for component in whole.dropFirst(paths.root.count).split(separator: "/") {
            let parent = directory
            directory += "/\(component)"
            if try makeDirectory(directory) { try synchronize(directory: parent) }
        }
        try makeDirectory(blobs)
        try makeBlobDirectories(of: repository)
        try synchronize(directory: blobs)
        try writeOnce(RepositoryIndex().encoded, at: paths.index(of: repository))
        // Last: with this file the directory is a layout.
        try writeOnce(
            Array(#"{"imageLayoutVersion":"1.0.0"}"#.utf8), at: "\(whole)/\(LayoutPaths.layoutFile)")
        try synchronize(directory: whole)
    }

    /// - Returns: whether one was not there before
    @discardableResult
    private func makeBlobDirectories(of repository: Repository) throws(LayoutError) -> Bool {
        var isNew = false
        for algorithm in Digest.Algorithm.all {
            if try makeDirectory(paths.blobDirectory(algorithm, in: repository)) { isNew = true }
        }
        return isNew
    }

    // MARK: Files

    /// A path for a file on its way, which nothing else has.
    func newIncomingPath() -> String { "\(paths.incoming)/\(getpid())-\(String.random())" }

    /// Writes a small file that did not exist; one that somebody else wrote meanwhile stays.
    private func writeOnce(_ bytes: [UInt8], at path: String) throws(LayoutError) {
        let incoming = try writeIncoming(bytes)
        defer { unlink(incoming) }
        guard link(incoming, path) == 0 || errno == EEXIST else { throw .from(errno: errno, doing: "write", at: path) }
    }

    /// Writes and synchronizes a file that has no name in any repository yet.
    ///
    /// - Returns: its path
    func writeIncoming(_ bytes: [UInt8]) throws(LayoutError) -> String {
        let path = newIncomingPath()
        let file = try OpenFile(existing: path, O_WRONLY | O_CREAT | O_EXCL, doing: "write")
        do throws(LayoutError) {
            var failure: LayoutError?
            bytes.withUnsafeBytes { buffer in
                do throws(LayoutError) { try file.write(buffer, at: 0) } catch { failure = error }
            }
            if let failure { throw failure }
            try file.synchronize()
        } catch {
            unlink(path)
            throw error
        }
        return path
    }

    /// - Returns: whether it was not there before
    @discardableResult
    func makeDirectory(_ path: String) throws(LayoutError) -> Bool {
        if mkdir(path, 0o755) == 0 { return true }
        guard errno == EEXIST else { throw .from(errno: errno, doing: "create the directory", at: path) }
        return false
    }

    /// Makes creations, renames and deletions in a directory survive a power loss.
    func synchronize(directory: String) throws(LayoutError) {
        try OpenFile(existing: directory, O_RDONLY | O_DIRECTORY, doing: "synchronize").synchronize()
    }

    /// Runs `body` while the repository is locked.
    ///
    /// - Parameters:
    ///   - kind: `LOCK_SH` to give a blob its name, `LOCK_EX` to replace the index or to sweep
    ///   - isCancelled: whether to wait for it no longer
    func locked<Result>(
        _ repository: Repository, _ kind: Int32, isCancelled: () -> Bool = { false },
        _ body: () throws(LayoutError) -> Result
    ) throws(LayoutError) -> Result {
        let directory = try OpenFile(
            existing: paths.directory(of: repository), O_RDONLY | O_DIRECTORY, doing: "lock")
        try directory.lock(kind, isCancelled: isCancelled)
        let result: Swift.Result<Result, LayoutError>
        do throws(LayoutError) {
            result = .success(try body())
        } catch {
            result = .failure(error)
        }
        // Closing releases the lock.
        _ = consume directory
        return try result.get()
    }
}

extension String {
    /// 128 random bits in hex digits.
    static func random() -> String {
        (0..<2).map { _ in
            let digits = String(UInt64.random(in: .min ... .max), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
