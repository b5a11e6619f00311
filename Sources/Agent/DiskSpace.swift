import Console
import Glibc

/// The space of the file system under a directory, and how much of it will be needed.
struct DiskSpace: Hashable, Sendable {
    /// What must be free whatever is to come: journals, ledgers and what other programs write. 1 GiB, or a twentieth of a
    /// small file system.
    static let reserve: Int64 = 1 << 30

    /// The directory.
    let path: String
    /// Bytes that this user may still write.
    let available: Int64
    /// Bytes of the whole file system.
    let total: Int64
    /// Bytes that are to come, as far as is known.
    var needed: Int64 = 0

    /// Reads the file system's figures; `nil` where there is nothing at the path.
    init?(of path: String, needed: Int64 = 0) {
        var figures = statvfs()
        guard statvfs(path, &figures) == 0 else { return nil }
        let block = Int64(clamping: figures.f_frsize)
        self.init(
            path: path,
            available: Int64(clamping: figures.f_bavail).multipliedReportingOverflow(by: block).partialValue,
            total: Int64(clamping: figures.f_blocks).multipliedReportingOverflow(by: block).partialValue,
            needed: needed)
    }

    init(path: String, available: Int64, total: Int64, needed: Int64 = 0) {
        self.path = path
        self.available = available
        self.total = total
        self.needed = needed
    }

    /// Whether what is to come does not fit, or hardly.
    var isShort: Bool { available < needed + min(Self.reserve, total / 20) }

    /// What is wrong, and what to do.
    var warning: String {
        "\(path): \(Quantity.bytes(available)) are free, and \(Quantity.bytes(needed)) are to come: free space, or move the"
            + " directory to a larger disk"
    }
}
