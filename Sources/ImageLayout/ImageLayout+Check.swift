import Glibc
import OCI

/// What a check of a layout found.
public struct CheckReport: Sendable, Hashable {
    /// The repositories.
    public var repositories = 0
    /// The manifests of all repositories.
    public var manifests = 0
    /// The blobs on the disk, manifests included, each once.
    public var blobs = 0
    /// Their bytes.
    public var bytes: Int64 = 0
    /// What is wrong, a line each.
    public var problems: [String] = []
    /// What was taken away because its bytes are wrong.
    public var removed = 0
}

extension ImageLayout {
    /// Looks at everything: whether each index can be read, each manifest and what it names is there with its size, and
    /// each file's bytes hash to its name.
    ///
    /// - Parameters:
    ///   - readsContents: whether blobs are read; manifests always are
    ///   - removesDamaged: whether files whose bytes are wrong are taken away, so that they can be fetched again
    ///   - progress: called with the bytes that were read so far; every MiB or so
    public func check(
        readsContents: Bool = true, removesDamaged: Bool = false, progress: (Int64) -> Void = { _ in }
    ) throws(LayoutError) -> CheckReport {
        var report = CheckReport()
        // By file, not by name: what several repositories have is read once.
        var files: [UInt64: Bool] = [:]
        for repository in try repositories() {
            report.repositories += 1
            var damaged: Set<Digest> = []
            for algorithm in Digest.Algorithm.all {
                let directory = paths.blobDirectory(algorithm, in: repository)
                for entry in try DirectoryEntry.all(of: directory) where entry.isFile {
                    guard let digest = try? Digest("\(algorithm.rawValue):\(entry.name)") else {
                        report.problems.append("\(directory)/\(entry.name): no blob has such a name: remove the file")
                        continue
                    }
                    guard readsContents else { continue }
                    if try !isIntact(digest, in: repository, &files, &report, progress) {
                        damaged.insert(digest)
                    }
                }
            }
            for digest in damaged.sorted() {
                let path = paths.blob(digest, in: repository)
                guard removesDamaged else {
                    report.problems.append(
                        "\(path): the bytes are not those of the digest: run 'registry check --remove-damaged', then"
                            + " fetch them again")
                    continue
                }
                report.removed += 1
                unlink(path)
                // Others would be given it by a mount.
                if try hash(paths.sharedBlob(digest), digest.algorithm) != digest { unlink(paths.sharedBlob(digest)) }
            }
            do throws(LayoutError) {
                try checkIndex(of: repository, damaged: removesDamaged ? [] : damaged, &report)
            } catch {
                guard error.code == .damaged else { throw error }
                report.problems.append("\(error)")
            }
        }
        return report
    }

    private func isIntact(
        _ digest: Digest, in repository: Repository, _ files: inout [UInt64: Bool], _ report: inout CheckReport,
        _ progress: (Int64) -> Void
    ) throws(LayoutError) -> Bool {
        let path = paths.blob(digest, in: repository)
        // Collected meanwhile.
        guard let status = try status(path) else { return true }
        if let known = files[UInt64(status.st_ino)] { return known }
        let isIntact = try hash(path, digest.algorithm) == digest
        files[UInt64(status.st_ino)] = isIntact
        report.blobs += 1
        report.bytes += Int64(status.st_size)
        progress(report.bytes)
        return isIntact
    }

    private func checkIndex(
        of repository: Repository, damaged: Set<Digest>, _ report: inout CheckReport
    ) throws(LayoutError) {
        guard let index = try index(of: repository) else {
            report.problems.append("\(paths.index(of: repository)): the repository has lost its index")
            return
        }
        for digest in index.digests {
            guard let entry = index.entry(.digest(digest)), !damaged.contains(digest) else { continue }
            report.manifests += 1
            guard let size = try blobSize(digest, in: repository) else {
                report.problems.append("\(repository)@\(digest): the manifest's bytes are not there: push it again")
                continue
            }
            guard let manifest = try parsed(digest, in: repository, type: entry.mediaType), size == entry.size else {
                report.problems.append("\(repository)@\(digest): the file is no manifest of \(entry.size) bytes")
                continue
            }
            for child in manifest.manifests + manifest.blobs where !child.mediaType.isNondistributable {
                guard let size = try blobSize(child.digest, in: repository) else {
                    report.problems.append(
                        "\(repository)@\(digest): \(child.digest), which it names, is not there: push it again")
                    continue
                }
                if size != child.size {
                    report.problems.append(
                        "\(repository)@\(digest): \(child.digest) has \(size) bytes, not \(child.size): push it again")
                }
            }
        }
    }
}
