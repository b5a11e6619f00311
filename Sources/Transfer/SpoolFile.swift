import CGlibc
import Glibc
import ImageLayout
import OCI
import Synchronization

/// The file behind one large blob: reorder window, upload source and resume state at once.
///
/// Space is allocated when it is opened, so that a full disk is met before the first byte is fetched, and it is removed
/// with `discard()` once the blob is published. Reads and writes name their offset; two of them may run at once.
final class SpoolFile: Sendable {
    let path: String
    let size: Int64
    private let descriptor: Int32
    private let isKept: Bool
    private let unwritten = Atomic<Int64>(0)

    /// Of a file that will be kept, writing to the disk begins after this many bytes: what is left to wait for at the end
    /// is little.
    private static let writeback: Int64 = 8 << 20

    /// Opens or creates the file and allocates `size` bytes.
    ///
    /// - Parameters:
    ///   - path: the file
    ///   - size: the blob's length in bytes
    ///   - isKept: whether the file becomes the blob at the destination, and not only its source
    /// - Throws: `TransferError.spoolFull` for a full disk or quota, `TransferError.spoolFailed` otherwise
    init(path: String, size: Int64, isKept: Bool = false) throws(TransferError) {
        self.path = path
        self.size = size
        self.isKept = isKept
        var status = stat()
        // A file that a layout has taken over is what the layout serves: it must never be written to again.
        if lstat(path, &status) == 0, status.st_nlink > 1 { unlink(path) }
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure(errno, path: path, doing: "open") }
        // Leaves existing bytes alone. The length first, since the file may become the blob as it is.
        var code: Int32
        repeat { code = ftruncate(descriptor, off_t(size)) == 0 ? 0 : errno } while code == EINTR
        if code == 0 {
            repeat { code = posix_fallocate(descriptor, 0, off_t(size)) } while code == EINTR
        }
        if code != 0 {
            // Nothing of it is good, or it would have been allocated before. The descriptor is `deinit`'s to close, which
            // runs although this throws: closed twice, it might be another thread's by then.
            unlink(path)
            throw Self.failure(code, path: path, doing: "allocate \(size) bytes in")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Writes all bytes at an offset.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(TransferError) {
        var written = 0
        while written < bytes.count {
            guard let base = bytes.baseAddress else { return }
            let count = pwrite(descriptor, base + written, bytes.count - written, off_t(offset) + off_t(written))
            if count < 0 {
                if errno == EINTR { continue }
                throw Self.failure(errno, path: path, doing: "write")
            }
            written += count
        }
        guard isKept, unwritten.add(Int64(written), ordering: .relaxed).newValue >= Self.writeback else { return }
        unwritten.store(0, ordering: .relaxed)
        rollcall_start_writeback(descriptor, 0, 0)
    }

    /// Fills the buffer from an offset; a file that ends earlier is an error.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(TransferError) {
        var filled = 0
        while filled < buffer.count {
            guard let base = buffer.baseAddress else { return }
            let count = pread(descriptor, base + filled, buffer.count - filled, off_t(offset) + off_t(filled))
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(count == 0 ? EIO : errno, path: path, doing: "read") }
            filled += count
        }
    }

    /// Which file it is, for whoever takes it over by its path.
    func identity() throws(LayoutError) -> FileIdentity { try FileIdentity(of: descriptor) }

    /// Removes the file; the space is free once the last user closes it.
    func discard() {
        unlink(path)
    }

    private static func failure(_ code: Int32, path: String, doing what: String) -> TransferError {
        let reason = String(cString: strerror(code))
        switch code {
        case ENOSPC, EDQUOT:
            return TransferError(
                .spoolFull, "cannot \(what) \(path): \(reason): free some space there, or move 'state' to a larger disk"
            )
        default:
            return TransferError(.spoolFailed, "cannot \(what) \(path): \(reason): check the directory and its disk")
        }
    }
}
