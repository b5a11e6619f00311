import Glibc
import OCI

/// That writers raced at a store, and one of them won each time: a file on this machine, named after the server, the bucket
/// and the prefix. It holds for 30 days, since stores are upgraded. Without it, or where it cannot be written, they race
/// again.
struct RaceNote {
    /// How long the note spares the race, in seconds.
    static let life: Double = 30 * 86_400

    private let directory: String
    private let path: String

    /// - Returns: `nil` where the store was opened without a place for notes
    init?(of store: S3Store) {
        guard let directory = store.transport.access.notes else { return nil }
        self.directory = directory
        let bucket = store.transport.bucket
        path = "\(directory)/raced-\(Digest(of: Array("\(bucket.url) \(bucket.prefix)".utf8)).hex.prefix(32))"
    }

    /// - Parameter now: the time, in seconds since 1970
    func isThere(at now: Double) -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0, status.isRegular else { return false }
        return abs(now - Double(status.modified)) < Self.life
    }

    func write() {
        makePrivateDirectory(directory)
        unlink(path)
        _ = try? OpenFile(path, O_WRONLY | O_CREAT | O_EXCL, doing: "write")
    }
}

/// A directory with those that it lies in, for its owner alone.
func makePrivateDirectory(_ directory: String) {
    var position = directory.startIndex
    while let slash = directory[position...].dropFirst().firstIndex(of: "/") {
        mkdir(String(directory[..<slash]), 0o700)
        position = slash
    }
    mkdir(directory, 0o700)
}
