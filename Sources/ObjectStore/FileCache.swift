import Glibc
import OCI

/// Objects in files, one each, between processes: `SHA-256(KEY)` holds the object's ETag, the SHA-256 of its content, and
/// the content.
///
/// Several processes may use one directory: files are replaced whole. What cannot be read or written is not kept, and what
/// does not have its hash is not believed.
struct FileCache: Sendable {
    /// The longest ETag that is kept, in bytes.
    private static let maximumTag = 1000

    let directory: String
    let limit: Int

    private func path(of key: ObjectKey) -> String { "\(directory)/\(Digest(of: Array(key.path.utf8)).hex)" }

    func object(_ key: ObjectKey) -> StoredObject? {
        let path = path(of: key)
        guard let file = try? OpenFile(path, O_RDONLY | O_NONBLOCK, doing: "read"), let status = try? file.status(),
            status.isRegular, status.size <= ObjectStoreLimit.objectSize + 2 * Self.maximumTag,
            let bytes = try? file.read(count: Int(status.size))
        else { return nil }
        let parts = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, let tag = String(validating: parts[0], as: UTF8.self) else { return nil }
        let content = Array(parts[2])
        guard Array(parts[1]) == Array(Digest(of: content).hex.utf8) else { return nil }
        // What is used stays: the oldest go first.
        utimensat(AT_FDCWD, path, nil, 0)
        return StoredObject(bytes: content, etag: ETag(tag))
    }

    func keep(_ object: StoredObject, of key: ObjectKey) {
        let tag = object.etag.text
        guard object.bytes.count <= limit / 4, tag.utf8.count <= Self.maximumTag, !tag.contains("\n") else {
            return forget(key)
        }
        makePrivateDirectory(directory)
        let temporary = "\(path(of: key))-\(getpid())-\(String(UInt64.random(in: .min ... .max), radix: 16))"
        let head = Array("\(tag)\n\(Digest(of: object.bytes).hex)\n".utf8)
        guard let file = try? OpenFile(temporary, O_WRONLY | O_CREAT | O_EXCL, doing: "write") else { return }
        guard (try? file.write(head + object.bytes)) != nil, rename(temporary, path(of: key)) == 0 else {
            unlink(temporary)
            return
        }
        // Looking at every file costs more than writing one: small ones are added up by chance.
        if object.bytes.count > limit / 256 || Int.random(in: 0..<64) == 0 { tidy() }
    }

    func forget(_ key: ObjectKey) { unlink(path(of: key)) }

    /// Removes the files that were used longest ago while there is too much. In between, the bound may be exceeded by some
    /// objects.
    private func tidy() {
        var files: [(path: String, size: Int, used: Int)] = []
        for entry in (try? DirectoryEntry.all(of: directory)) ?? [] {
            var status = stat()
            let path = "\(directory)/\(entry.name)"
            guard lstat(path, &status) == 0, status.isRegular else { continue }
            files.append((path, Int(status.size), status.modified))
        }
        var total = files.reduce(0) { $0 + $1.size }
        guard total > limit else { return }
        for file in files.sorted(by: { $0.used < $1.used }) where total > limit / 4 * 3 {
            unlink(file.path)
            total -= file.size
        }
    }
}
