import Glibc

/// Which file it is, whatever its path leads to by now: what was verified through a descriptor is this file and no other.
public struct FileIdentity: Hashable, Sendable {
    let device: UInt64
    let inode: UInt64
    let size: Int64

    /// - Parameter descriptor: an open file's
    /// - Throws: `LayoutError.unavailable` where the system cannot tell
    public init(of descriptor: Int32) throws(LayoutError) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw .from(errno: errno, doing: "read", at: "\(descriptor)") }
        self.init(status)
    }

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
    }
}
