import Glibc

/// Which content a path leads to: another identity means that the file was replaced or written to.
///
/// The change time moves with every write and cannot be set back, unlike the modification time.
public struct FileIdentity: Hashable, Sendable {
    private let device: UInt64
    private let inode: UInt64
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int

    /// `nil` where nothing can be reached at the path. Symbolic links are followed: a mounted secret is one.
    public init?(of path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_ctim.tv_sec
        nanoseconds = status.st_ctim.tv_nsec
    }
}

/// Reads a small file.
///
/// - Parameters:
///   - path: the file
///   - limit: the most bytes that it may have
/// - Throws: `FileFault`
public func smallFile(_ path: String, limit: Int) throws(FileFault) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw FileFault("\(path): cannot be read (\(String(cString: strerror(errno))))") }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while bytes.count <= limit {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count >= 0 else { throw FileFault("\(path): cannot be read (\(String(cString: strerror(errno))))") }
        if count == 0 { return bytes }
        bytes += buffer.prefix(count)
    }
    throw FileFault("\(path): has more than \(limit) bytes")
}

/// What is wrong with a file, in words, with its path.
public struct FileFault: Error, Sendable, CustomStringConvertible {
    /// What is wrong, with its path, and what to do.
    public let message: String

    /// - Parameter message: what is wrong, with its path, and what to do
    public init(_ message: String) { self.message = message }

    public var description: String { message }
}
