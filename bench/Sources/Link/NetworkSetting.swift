import FoundationEssentials
import Glibc

/// A setting of the network below `/proc/sys/net`, of the namespace that the calling thread is in.
enum NetworkSetting {
    /// A setting's value without its line end.
    static func read(_ path: String) -> String? {
        (try? Data(contentsOf: URL(filePath: path))).map {
            String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
    }

    /// Writes a setting in one call, as the kernel wants it.
    static func write(_ value: String, to path: String) -> Bool {
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return Glibc.write(file, value, value.utf8.count) == value.utf8.count
    }
}
