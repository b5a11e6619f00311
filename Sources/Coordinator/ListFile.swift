import FoundationEssentials
import Glibc
import Readiness

/// LIST.json on disk.
enum ListFile {
    /// - Throws: `UsageError` for a file that cannot be read or is no image list
    static func read(_ path: String) throws(UsageError) -> ImageList {
        let bytes: [UInt8]
        do {
            bytes = try contents(of: path)
        } catch {
            throw UsageError("\(path): \(error)")
        }
        do {
            return try ImageList(parsing: bytes, in: path)
        } catch {
            throw UsageError("\(error)")
        }
    }

    private struct Unreadable: Error, CustomStringConvertible { let description: String }

    private static func contents(of path: String) throws(Unreadable) -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw Unreadable(description: "cannot read the image list (\(lastError))") }
        defer { close(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = Glibc.read(file, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Unreadable(description: "cannot read the image list (\(lastError))") }
            if count == 0 { return bytes }
            bytes += buffer.prefix(count)
            guard bytes.count <= ImageList.maximumSize else {
                throw Unreadable(description: "an image list has at most \(ImageList.maximumSize) bytes")
            }
        }
    }

    /// Writes the file whole, or not at all.
    ///
    /// - Throws: `OutputError` for a place that cannot be written
    static func write(_ list: ImageList, to path: String) throws(OutputError) {
        try OutputFile.write(list.documentBytes, "the image list", to: path)
    }

    private static var lastError: String { String(cString: strerror(errno)) }
}

/// A file that an option names for a result.
enum OutputFile {
    /// Writes the file whole, or not at all.
    ///
    /// - Parameters:
    ///   - bytes: the content
    ///   - title: what it is, for messages
    ///   - path: where to
    /// - Throws: `OutputError` for a place that cannot be written
    static func write(_ bytes: [UInt8], _ title: String, to path: String) throws(OutputError) {
        do {
            try Data(bytes).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw OutputError(
                "\(path): cannot write \(title) (\(String(cString: strerror(errno)))): check the directory and its space"
            )
        }
    }
}
