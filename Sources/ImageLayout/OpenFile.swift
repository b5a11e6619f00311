import Glibc

/// An open file descriptor, closed at the end of its owner's scope.
struct OpenFile: ~Copyable {
    let descriptor: Int32
    let path: String

    /// Opens a file. Symbolic links are not followed at the path's end, and pipes do not block.
    ///
    /// - Parameter action: what it is opened for, for the message: "read", "write"
    /// - Returns: `nil` where the file, or a directory on the way to it, does not exist
    init?(_ path: String, _ flags: Int32, doing action: String) throws(LayoutError) {
        descriptor = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o644)
        self.path = path
        if descriptor < 0 {
            let code = errno
            if code == ENOENT || code == ENOTDIR { return nil }
            throw .from(errno: code, doing: action, at: path)
        }
    }

    /// Opens a file that must be there, or is created by the flags.
    init(existing path: String, _ flags: Int32, doing action: String) throws(LayoutError) {
        guard let file = try OpenFile(path, flags, doing: action) else {
            throw .from(errno: ENOENT, doing: action, at: path)
        }
        self = file
    }

    deinit {
        guard descriptor >= 0 else { return }
        // Closing alone leaves a lock to a child process that another thread is just starting, until it has executed its
        // program: who comes next would find the file in use.
        flock(descriptor, LOCK_UN)
        close(descriptor)
    }

    func status() throws(LayoutError) -> stat {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .from(errno: errno, doing: "read", at: path) }
        return status
    }

    /// Reads at an offset until the buffer is full or the file ends.
    ///
    /// - Returns: how many bytes were read
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(LayoutError) -> Int {
        var filled = 0
        while filled < buffer.count, let base = buffer.baseAddress {
            let count = pread(descriptor, base + filled, buffer.count - filled, off_t(offset) + off_t(filled))
            if count < 0 {
                if errno == EINTR { continue }
                throw .from(errno: errno, doing: "read", at: path)
            }
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// The whole file.
    ///
    /// - Parameter limit: the most bytes that it may have
    func readAll(limit: Int) throws(LayoutError) -> [UInt8] {
        let size = try status().st_size
        guard size <= limit else {
            throw LayoutError(.damaged, "the file has \(size) bytes; at most \(limit) are read", at: path)
        }
        var failure: LayoutError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, filled in
            do throws(LayoutError) {
                filled = try read(into: UnsafeMutableRawBufferPointer(buffer), at: 0)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Writes all bytes at an offset.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(LayoutError) {
        var written = 0
        while written < bytes.count, let base = bytes.baseAddress {
            let count = pwrite(descriptor, base + written, bytes.count - written, off_t(offset) + off_t(written))
            if count < 0 {
                if errno == EINTR { continue }
                throw .from(errno: errno, doing: "write", at: path)
            }
            written += count
        }
    }

    /// Waits until the content, or a directory's names, would survive a power loss.
    func synchronize() throws(LayoutError) {
        guard fsync(descriptor) == 0 else { throw .from(errno: errno, doing: "synchronize", at: path) }
    }

    /// How long a lock is waited for: far longer than any is held.
    static let patience = Duration.seconds(30)

    /// Takes a lock (`flock`), which ends with this descriptor.
    ///
    /// Asks again and again instead of sleeping in the kernel: a holder that was stopped must not hang all the others.
    ///
    /// - Parameter isCancelled: whether to wait no longer
    func lock(_ kind: Int32, isCancelled: () -> Bool = { false }) throws(LayoutError) {
        let start = ContinuousClock.now
        var pause: UInt32 = 100
        while flock(descriptor, kind | LOCK_NB) != 0 {
            let code = errno
            if code == EINTR { continue }
            guard code == EWOULDBLOCK else {
                throw LayoutError(
                    .unavailable,
                    "cannot lock it (\(String(errno: code))): the layout needs a file system with flock", at: path)
            }
            guard start.duration(to: .now) < Self.patience else {
                throw LayoutError(
                    .busy, "another process has held the lock for \(Self.patience): find it with 'fuser' or 'lslocks'",
                    at: path)
            }
            guard !isCancelled() else { throw .cancelled(at: path) }
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
    }

    /// Takes the exclusive lock if nobody has it.
    func lockIfFree() -> Bool { flock(descriptor, LOCK_EX | LOCK_NB) == 0 }
}

/// What tells one version of a file from another: files of a layout are renamed into place, and not written to after.
struct FileVersion: Hashable {
    let inode: UInt64
    let size: Int64
    let seconds: Int64
    let nanoseconds: Int64

    init(_ status: stat) {
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = Int64(status.st_mtim.tv_sec)
        nanoseconds = Int64(status.st_mtim.tv_nsec)
    }
}

/// Names and their kinds in a directory.
struct DirectoryEntry {
    let name: String
    let isDirectory: Bool
    let isFile: Bool

    /// What a directory holds, in no order, without `.` and `..`; nothing where it does not exist. Names that are not
    /// UTF-8 are left out: no file of a layout has one.
    static func all(of path: String) throws(LayoutError) -> [DirectoryEntry] {
        guard let stream = opendir(path) else {
            let code = errno
            if code == ENOENT || code == ENOTDIR { return [] }
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
            guard let name = String(validating: bytes, as: UTF8.self), name != ".", name != ".." else { continue }
            switch Int(entry.pointee.d_type) {
            case Int(DT_REG): entries.append(DirectoryEntry(name: name, isDirectory: false, isFile: true))
            case Int(DT_DIR): entries.append(DirectoryEntry(name: name, isDirectory: true, isFile: false))
            case Int(DT_UNKNOWN):
                // Some file systems do not say.
                var status = stat()
                guard lstat("\(path)/\(name)", &status) == 0 else { continue }
                entries.append(
                    DirectoryEntry(name: name, isDirectory: status.isDirectory, isFile: status.isRegular))
            default: entries.append(DirectoryEntry(name: name, isDirectory: false, isFile: false))
            }
        }
    }
}

extension stat {
    var isRegular: Bool { st_mode & S_IFMT == S_IFREG }
    var isDirectory: Bool { st_mode & S_IFMT == S_IFDIR }
    /// When a name of the file was made or taken away, or its content or mode changed: seconds since 1970. Nothing can
    /// set it to a time of its choice.
    var changed: Int64 { Int64(st_ctim.tv_sec) }
}

extension LayoutError {
    static func cancelled(at path: String) -> LayoutError { LayoutError(.cancelled, "this was stopped", at: path) }

    /// What the operating system said, with what to do about it.
    static func from(errno code: Int32, doing action: String, at path: String) -> LayoutError {
        switch code {
        case EACCES, EPERM, EROFS:
            LayoutError(
                .permissionDenied,
                "cannot \(action) (\(String(errno: code))): give the user that runs this access to the directory",
                at: path)
        case ENOSPC, EDQUOT, EFBIG, EMLINK:
            LayoutError(
                .full, "cannot \(action) (\(String(errno: code))): free space there, then run this again", at: path)
        default:
            LayoutError(
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
