import FoundationEssentials
import Glibc

/// A network setting of the host that namespaces inherit when they are made, and that cannot be set in them later.
enum NetworkSetting {
    /// Runs `body` with the setting changed, and sets it back.
    static func with<Result>(_ key: String, _ value: String, _ body: () throws -> Result) throws -> Result {
        let path = "/proc/sys/net/\(key)"
        guard let before = read(path) else { throw BenchError(.system, "cannot read \(path): \(errorText())") }
        guard before != value else { return try body() }
        let restore = Cleanup.add { write(before, to: path) }
        defer { Cleanup.run(restore) }
        guard write(value, to: path) else {
            throw BenchError(.needsRoot, "cannot set \(path) to \(value): \(errorText()); run it as root")
        }
        return try body()
    }

    /// A setting's value without its line end.
    static func read(_ path: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path))).map {
            String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
    }

    /// Writes a setting in one call, as the kernel wants it.
    @discardableResult
    static func write(_ value: String, to path: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, value, value.utf8.count) == value.utf8.count
    }
}
