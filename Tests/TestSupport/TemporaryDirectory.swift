import FoundationEssentials
import Glibc

/// A directory that exists as long as the test's body runs.
public struct TemporaryDirectory: Sendable {
    /// The absolute path.
    public let path: String

    /// Creates an empty directory that only this user can read.
    ///
    /// - Parameter name: a prefix of its name, to recognise it by
    public init(_ name: String = "test") throws {
        var template = Array("\(FileManager.default.temporaryDirectory.path)/rollcall-\(name)-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw TestSupportError.system("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The absolute path of a file in it.
    public func file(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file and returns its path; directories on the way are created.
    @discardableResult
    public func write(_ name: String, _ text: String) throws -> String { try write(name, Array(text.utf8)) }

    /// Writes a file and returns its path; directories on the way are created.
    @discardableResult
    public func write(_ name: String, _ bytes: [UInt8]) throws -> String {
        let url = URL(filePath: file(name))
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: url)
        return file(name)
    }

    /// A file's bytes.
    public func read(_ name: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: file(name)))) }

    /// Removes it with all it holds.
    public func remove() { try? FileManager.default.removeItem(atPath: path) }
}

/// Runs `body` with a directory that is removed afterwards.
public func withTemporaryDirectory<Result>(
    _ name: String = "test", _ body: (TemporaryDirectory) async throws -> Result
) async throws -> Result {
    let directory = try TemporaryDirectory(name)
    defer { directory.remove() }
    return try await body(directory)
}
