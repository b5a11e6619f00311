import Glibc

/// An open file descriptor, closed at the end of its owner's scope.
struct OpenFile: ~Copyable {
    private let descriptor: Int32
    private let path: String

    /// Opens a file.
    ///
    /// - Parameter action: what it is opened for, for the message: "read", "write"
    /// - Returns: `nil` where the file, or a directory on the way to it, does not exist
    init?(_ path: String, _ flags: Int32, doing action: String) throws(ObjectStoreError) {
        descriptor = open(path, flags | O_CLOEXEC, 0o666)
        self.path = path
        if descriptor < 0 {
            let code = errno
            if code == ENOENT || code == ENOTDIR { return nil }
            throw .from(errno: code, doing: action, at: path)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func status() throws(ObjectStoreError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .from(errno: errno, doing: "read", at: path) }
        return status
    }

    /// Reads a file of a known size.
    func read(count: Int) throws(ObjectStoreError) -> [UInt8] {
        var failure: ObjectStoreError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count, let base = buffer.baseAddress {
                let got = Glibc.read(descriptor, base + filled, count - filled)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else {
                    failure =
                        got < 0
                        ? .from(errno: errno, doing: "read", at: path)
                        : ObjectStoreError(
                            .unavailable, "the file became shorter while it was read: try again", at: path)
                    return
                }
                filled += got
            }
        }
        if let failure { throw failure }
        return bytes
    }

    func write(_ bytes: [UInt8]) throws(ObjectStoreError) {
        var written = 0
        while written < bytes.count {
            let put = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress.map { $0 + written }, buffer.count - written)
            }
            if put < 0 {
                if errno == EINTR { continue }
                throw .from(errno: errno, doing: "write", at: path)
            }
            written += put
        }
    }

    func synchronize() throws(ObjectStoreError) {
        guard fsync(descriptor) == 0 else { throw .from(errno: errno, doing: "synchronize", at: path) }
    }

    /// Takes the exclusive lock, which ends with this descriptor.
    ///
    /// Asks again and again instead of sleeping in the kernel: a holder that was stopped must not hang all the others.
    func lockExclusively(patience: Duration) throws(ObjectStoreError) {
        let start = ContinuousClock.now
        var pause: UInt32 = 500
        while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            guard code == EWOULDBLOCK else {
                throw ObjectStoreError(
                    .unavailable,
                    "cannot lock the file (\(String(errno: code))): the object store needs a file system with flock",
                    at: path)
            }
            guard start.duration(to: .now) < patience else {
                throw ObjectStoreError(
                    .busy, "another process has held the lock for \(patience): find it with 'fuser' or 'lslocks'",
                    at: path)
            }
            usleep(pause)
            pause = min(pause * 2, 20_000)
        }
    }
}

/// One name in a directory.
struct DirectoryEntry {
    enum Kind { case file, directory, other }

    let name: String
    let kind: Kind

    /// What a directory holds, in no order; `nil` where it does not exist. Names that are no part of a key are left out.
    static func all(of path: String) throws(ObjectStoreError) -> [DirectoryEntry]? {
        guard let stream = opendir(path) else {
            let code = errno
            if code == ENOENT || code == ENOTDIR { return nil }
            throw .from(errno: code, doing: "list", at: path)
        }
        defer { closedir(stream) }
        var entries: [DirectoryEntry] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else {
                let code = errno
                guard code == 0 else { throw .from(errno: code, doing: "list", at: path) }
                return entries
            }
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            guard ObjectKey.isSegment(bytes) else { continue }
            let name = String(decoding: bytes, as: UTF8.self)
            switch Int(entry.pointee.d_type) {
            case Int(DT_REG): entries.append(DirectoryEntry(name: name, kind: .file))
            case Int(DT_DIR): entries.append(DirectoryEntry(name: name, kind: .directory))
            case Int(DT_UNKNOWN):
                // Some file systems do not say.
                var status = stat()
                guard lstat("\(path)/\(name)", &status) == 0 else { continue }
                entries.append(
                    DirectoryEntry(
                        name: name, kind: status.isRegular ? .file : status.isDirectory ? .directory : .other))
            default: entries.append(DirectoryEntry(name: name, kind: .other))
            }
        }
    }
}

extension stat {
    var isRegular: Bool { st_mode & S_IFMT == S_IFREG }
    var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
    var size: Int64 { Int64(st_size) }
    /// Seconds since 1970.
    var modified: Int { st_mtim.tv_sec }
}

extension ObjectStoreError {
    /// What the operating system said, with what to do about it.
    static func from(errno code: Int32, doing action: String, at path: String) -> ObjectStoreError {
        switch code {
        case EACCES, EPERM:
            ObjectStoreError(
                .permissionDenied,
                "cannot \(action) (\(String(errno: code))): give the user that runs this access to the directory",
                at: path)
        case EROFS:
            ObjectStoreError(
                .permissionDenied,
                "cannot \(action) (\(String(errno: code))): the file system is mounted for reading only, or this process may"
                    + " not write there: under systemd, name the store's directory as ReadWritePaths= of the unit"
                    + " (systemctl edit)",
                at: path)
        case ENOSPC, EDQUOT, EFBIG:
            ObjectStoreError(
                .full, "cannot \(action) (\(String(errno: code))): free space there, then run this again", at: path)
        default:
            ObjectStoreError(
                .unavailable, "cannot \(action) (\(String(errno: code))): check the disk and its mount", at: path)
        }
    }
}

extension String {
    /// The operating system's words for an error number.
    init(errno code: Int32) {
        var buffer = [CChar](repeating: 0, count: 256)
        // glibc's strerror_r is the XSI one for Swift, which fills the buffer.
        _ = strerror_r(code, &buffer, buffer.count)
        self = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
