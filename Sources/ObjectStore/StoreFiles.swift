import CGlibc
import Glibc
import OCI

/// The directory store's file operations, blocking.
struct StoreFiles: Sendable {
    /// The root's absolute path.
    let root: String
    /// How long a writer waits for the lock, which others hold for one rename: 30 seconds unless a test says less.
    var patience: Duration = .seconds(30)
    /// When the file of a writer that crashed is deleted: after an hour, far longer than any write takes.
    static let leftoverAge = 3600

    private var lockPath: String { "\(root)/~lock" }
    private var incomingPath: String { "\(root)/~incoming" }
    private func path(_ key: ObjectKey) -> String { "\(root)/\(key.path)" }

    // MARK: Reading

    func get(
        _ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int = ObjectStoreLimit.objectSize
    ) throws(ObjectStoreError) -> GetOutcome {
        guard let bytes = try read(key, limit: limit) else { return .absent }
        let current = ETag(contentOf: bytes)
        return current == etag ? .notModified : .found(StoredObject(bytes: bytes, etag: current))
    }

    /// The object's bytes; `nil` where there is none.
    private func read(
        _ key: ObjectKey, limit: Int = ObjectStoreLimit.objectSize
    ) throws(ObjectStoreError) -> [UInt8]? {
        let path = path(key)
        // Without O_NONBLOCK a pipe in the place of an object would block for ever.
        guard let file = try OpenFile(path, O_RDONLY | O_NONBLOCK, doing: "read") else {
            try requireRoot()
            return nil
        }
        let status = try file.status()
        guard status.isRegular else { return nil }
        guard status.size <= min(limit, ObjectStoreLimit.objectSize) else {
            throw ObjectStoreError(
                .tooLarge, "the object has \(status.size) bytes; at most \(limit) are read",
                at: path)
        }
        return try file.read(count: Int(status.size))
    }

    /// Tells an object that is absent from a store that is.
    private func requireRoot() throws(ObjectStoreError) {
        var status = stat()
        if stat(root, &status) == 0, status.isDirectory { return }
        let code = errno
        guard code == 0 || code == ENOENT || code == ENOTDIR || !status.isDirectory else {
            throw .from(errno: code, doing: "open the object store", at: root)
        }
        throw ObjectStoreError(
            .missingRoot,
            "the object store's directory does not exist: check the path and its mount, or create the directory",
            at: root)
    }

    func list(below prefix: ObjectKey?) throws(ObjectStoreError) -> [ObjectKey] {
        var keys: [ObjectKey] = []
        if try !collect(below: prefix?.path, into: &keys) { try requireRoot() }
        return keys.sorted()
    }

    /// Walks one directory. Names outside the key grammar are not objects; symbolic links are not followed, since they
    /// could lead in circles.
    ///
    /// - Returns: `false` where the directory does not exist
    private func collect(below prefix: String?, into keys: inout [ObjectKey]) throws(ObjectStoreError) -> Bool {
        let directory = prefix.map { "\(root)/\($0)" } ?? root
        guard let entries = try DirectoryEntry.all(of: directory) else { return false }
        for entry in entries {
            // A path that is too long or too deep for a key is no object either.
            guard let key = try? ObjectKey(prefix.map { "\($0)/\(entry.name)" } ?? entry.name) else { continue }
            switch entry.kind {
            case .directory: _ = try collect(below: key.path, into: &keys)
            case .file: keys.append(key)
            case .other: continue
            }
            guard keys.count <= ObjectStoreLimit.listedKeys else {
                throw ObjectStoreError(.tooLarge, "more than \(ObjectStoreLimit.listedKeys) objects", at: directory)
            }
        }
        return true
    }

    // MARK: Writing

    func put(_ bytes: [UInt8], at key: ObjectKey, condition: PutCondition) throws(ObjectStoreError) -> PutOutcome {
        guard bytes.count <= ObjectStoreLimit.objectSize else {
            throw ObjectStoreError(
                .tooLarge, "the object has \(bytes.count) bytes; at most \(ObjectStoreLimit.objectSize) are stored",
                at: path(key))
        }
        // Only spares the work: what decides is the check under the lock.
        guard try holds(condition, of: key) else { return .conflict }

        let incoming = try writeIncoming(bytes)
        // Of what was renamed nothing is left there; nobody else takes the name.
        defer { unlink(incoming) }
        let directory = try makeDirectories(of: key)
        let isWritten = try locked { () throws(ObjectStoreError) in
            if condition == .ifAbsent { return try create(path(key), from: incoming) }
            guard try holds(condition, of: key) else { return false }
            guard rename(incoming, path(key)) == 0 else { throw .from(errno: errno, doing: "write", at: path(key)) }
            return true
        }
        guard isWritten else { return .conflict }
        // Outside the lock: a later rename is never durable without this one, so others need not wait for the disk.
        try synchronize(directory: directory)
        return .stored(ETag(contentOf: bytes))
    }

    func delete(_ key: ObjectKey) throws(ObjectStoreError) {
        // Under the lock, so that no compare-and-swap brings a deleted object back.
        try requireRoot()
        try locked { () throws(ObjectStoreError) in
            guard unlink(path(key)) == 0 || errno == ENOENT || errno == ENOTDIR else {
                throw .from(errno: errno, doing: "delete", at: path(key))
            }
        }
        let parent = parent(of: path(key))
        var status = stat()
        if stat(parent, &status) == 0 { try synchronize(directory: parent) }
    }

    private func holds(_ condition: PutCondition, of key: ObjectKey) throws(ObjectStoreError) -> Bool {
        switch condition {
        case .none: return true
        case .ifAbsent: return try !isThere(path(key))
        // Opened by its name, and not only looked at: so a client of NFS asks the server.
        case .ifMatch(let etag): return try read(key).map(ETag.init(contentOf:)) == etag
        }
    }

    /// Whether there is a file of this name, as far as this host knows.
    private func isThere(_ path: String) throws(ObjectStoreError) -> Bool {
        var status = stat()
        if lstat(path, &status) == 0 { return true }
        let code = errno
        guard code == ENOENT || code == ENOTDIR else { throw .from(errno: code, doing: "read", at: path) }
        return false
    }

    /// Gives a file another name, unless there is a file of that name.
    ///
    /// The file system decides, on NFS the server. Its clients may believe for a minute that a name is not there that another
    /// one has made (nfs(5), lookupcache), also under the lock, and a rename would replace it.
    ///
    /// - Returns: whether there was none
    func create(_ path: String, from incoming: String) throws(ObjectStoreError) -> Bool {
        if link(incoming, path) == 0 { return true }
        let code = errno
        switch code {
        case EEXIST:
            // A server whose first reply was lost finds its own (open(2) on O_EXCL): the file then has a second name.
            guard let file = try OpenFile(incoming, O_RDONLY, doing: "read") else { return false }
            return try file.status().st_nlink > 1
        case EPERM, EOPNOTSUPP, ENOSYS: return try createByRenaming(path, from: incoming)
        default: throw .from(errno: code, doing: "write", at: path)
        }
    }

    /// The same on a file system without hard links: by a rename that replaces nothing; and where there is none of those
    /// either, by looking first, which is enough among those whose looks are true under the lock.
    func createByRenaming(_ path: String, from incoming: String) throws(ObjectStoreError) -> Bool {
        if rollcall_rename_unless_there(incoming, path) == 0 { return true }
        let code = errno
        switch code {
        case EEXIST: return false
        case EINVAL, EOPNOTSUPP, ENOSYS:
            guard try !isThere(path) else { return false }
            guard rename(incoming, path) == 0 else { throw .from(errno: errno, doing: "write", at: path) }
            return true
        default: throw .from(errno: code, doing: "write", at: path)
        }
    }

    /// How far the clock that files get their times from is ahead of this machine's, in whole seconds.
    func clockLead() throws(ObjectStoreError) -> Duration {
        try requireRoot()
        try makeDirectory(incomingPath)
        let (path, action) = (incomingName(), "write the file that tells the store's clock")
        let before = time(nil)
        guard let file = try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, doing: action) else {
            throw .from(errno: ENOENT, doing: action, at: path)
        }
        defer { unlink(path) }
        let modified = try file.status().modified
        // What it took to write the file is no difference of the clocks.
        return .seconds(modified - min(max(modified, before), time(nil)))
    }

    /// Sees that objects can be written below a key, by a file that no listing shows.
    func requireWritable(below prefix: ObjectKey) throws(ObjectStoreError) {
        try requireRoot()
        var directory = root
        for segment in prefix.path.split(separator: "/") {
            directory += "/\(segment)"
            try makeDirectory(directory)
        }
        let path = "\(directory)/~doctor-\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        guard try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, doing: "write") != nil else {
            throw .from(errno: ENOENT, doing: "write", at: path)
        }
        guard unlink(path) == 0 else { throw .from(errno: errno, doing: "delete", at: path) }
    }

    /// A name that nobody else takes.
    private func incomingName() -> String {
        "\(incomingPath)/\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 16))"
    }

    /// Writes and synchronizes a file that no key names, on the same file system as its final place.
    ///
    /// One directory for all of them, so that what crashed writers left is found without walking the store.
    ///
    /// - Returns: the file's path
    private func writeIncoming(_ bytes: [UInt8]) throws(ObjectStoreError) -> String {
        try requireRoot()
        try makeDirectory(incomingPath)
        let path = incomingName()
        guard let file = try OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, doing: "write") else {
            throw .from(errno: ENOENT, doing: "write", at: path)
        }
        do throws(ObjectStoreError) {
            share(path)
            try file.write(bytes)
            try file.synchronize()
            // The file's own time, not ours: on a shared file system the server's clock sets both.
            removeLeftovers(olderThan: try file.status().modified - Self.leftoverAge)
        } catch {
            unlink(path)
            throw error
        }
        return path
    }

    /// Removes what crashed writers left. Failing to is no reason to fail a write: another writer will try again.
    private func removeLeftovers(olderThan time: Int) {
        for entry in (try? DirectoryEntry.all(of: incomingPath)) ?? [] {
            var status = stat()
            let path = "\(incomingPath)/\(entry.name)"
            if lstat(path, &status) == 0, status.isRegular, status.modified < time { unlink(path) }
        }
    }

    /// Creates the directories that a key's file lies in, below the root.
    ///
    /// - Returns: the innermost one's path
    private func makeDirectories(of key: ObjectKey) throws(ObjectStoreError) -> String {
        var directory = root
        for segment in key.path.split(separator: "/").dropLast() {
            let parent = directory
            directory += "/\(segment)"
            if try makeDirectory(directory) { try synchronize(directory: parent) }
        }
        return directory
    }

    /// - Returns: whether it was not there before
    @discardableResult
    private func makeDirectory(_ path: String) throws(ObjectStoreError) -> Bool {
        if mkdir(path, 0o777) == 0 {
            share(path)
            return true
        }
        guard errno == EEXIST else { throw .from(errno: errno, doing: "create the directory", at: path) }
        return false
    }

    /// Gives what was made the root's permissions, whatever this process's umask is, where the root bears the set-group-ID
    /// bit: then it is shared by the users of a group, and the kernel has given it to that group already.
    ///
    /// Failing to is no reason to fail a write: whoever cannot read it says so.
    private func share(_ path: String) {
        var (shared, made) = (stat(), stat())
        guard stat(root, &shared) == 0, shared.st_mode & S_ISGID != 0, lstat(path, &made) == 0 else { return }
        // A directory's own set-group-ID bit must be named, or it is taken away. Files are not to be executed.
        let mode = made.isDirectory ? shared.st_mode & 0o2777 : shared.st_mode & 0o666
        if made.st_mode & 0o7777 != mode { chmod(path, mode) }
    }

    /// Makes creations, renames and deletions in a directory survive a power loss.
    private func synchronize(directory: String) throws(ObjectStoreError) {
        guard let file = try OpenFile(directory, O_RDONLY | O_DIRECTORY, doing: "synchronize") else {
            throw .from(errno: ENOENT, doing: "synchronize", at: directory)
        }
        try file.synchronize()
    }

    /// Runs a check and its write as one step among all threads and processes.
    ///
    /// The lock is a file of its own and outside the key space: a lock on the object's file would be a lock on the
    /// version that the rename replaces. The kernel releases it when its holder dies. It is held for one hash of a small
    /// object and one rename, so one lock serves the whole store.
    private func locked<Value>(
        _ body: () throws(ObjectStoreError) -> Value
    ) throws(ObjectStoreError) -> Value {
        guard let lock = try OpenFile(lockPath, O_RDWR | O_CREAT, doing: "lock") else {
            throw .from(errno: ENOENT, doing: "lock", at: lockPath)
        }
        share(lockPath)
        try lock.lockExclusively(patience: patience)
        let result = Result(catching: body)
        // Closing releases the lock.
        _ = consume lock
        return try result.get()
    }

    private func parent(of path: String) -> String { String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]) }
}

extension ETag {
    /// The directory store's tag: SHA-256 of the content, in hex.
    init(contentOf bytes: [UInt8]) { self.init(Digest(of: bytes).hex) }
}
