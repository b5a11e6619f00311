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
        var files: [FileVersion: Bool] = [:]
        for repository in try repositories() {
            report.repositories += 1
            var damaged: [Digest: FileVersion] = [:]
            for algorithm in Digest.Algorithm.all {
                let directory = paths.blobDirectory(algorithm, in: repository)
                for entry in try DirectoryEntry.all(of: directory) where entry.isFile {
                    guard let digest = try? Digest("\(algorithm.rawValue):\(entry.name)") else {
                        report.problems.append("\(directory)/\(entry.name): no blob has such a name: remove the file")
                        continue
                    }
                    guard readsContents else { continue }
                    if let version = try damagedVersion(digest, in: repository, &files, &report, progress) {
                        damaged[digest] = version
                    }
                }
            }
            for (digest, version) in damaged.sorted(by: { $0.key < $1.key }) {
                guard removesDamaged else {
                    report.problems.append(
                        "\(paths.blob(digest, in: repository)): the bytes are not those of the digest: run 'registry"
                            + " check --remove-damaged', then fetch them again")
                    continue
                }
                if try removeDamaged(digest, version, in: repository) { report.removed += 1 }
            }
            do throws(LayoutError) {
                try checkIndex(of: repository, damaged: removesDamaged ? [] : Set(damaged.keys), &report)
            } catch {
                guard error.code == .damaged else { throw error }
                report.problems.append("\(error)")
            }
        }
        return report
    }

    /// Reads a blob, unless it is known under another name.
    ///
    /// - Returns: which file it was whose bytes are wrong; `nil` where they are right, or the file is gone
    private func damagedVersion(
        _ digest: Digest, in repository: Repository, _ files: inout [FileVersion: Bool], _ report: inout CheckReport,
        _ progress: (Int64) -> Void
    ) throws(LayoutError) -> FileVersion? {
        // Collected meanwhile.
        guard let file = try OpenFile(paths.blob(digest, in: repository), O_RDONLY, doing: "read") else { return nil }
        let status = try file.status()
        let version = FileVersion(status)
        if let isIntact = files[version] { return isIntact ? nil : version }
        let isIntact = try hash(file, upTo: .max, DigestComputation(digest.algorithm)).finish() == digest
        files[version] = isIntact
        report.blobs += 1
        report.bytes += Int64(status.st_size)
        progress(report.bytes)
        return isIntact ? nil : version
    }

    /// Takes a damaged file away, unless another one has its name by now: somebody may just have brought it again.
    private func removeDamaged(
        _ digest: Digest, _ version: FileVersion, in repository: Repository
    ) throws(LayoutError) -> Bool {
        // Blobs get their names under the shared lock.
        let isRemoved = try locked(repository, LOCK_EX) { () throws(LayoutError) in
            try remove(paths.blob(digest, in: repository), ifStill: version)
        }
        // Others would be given it by a mount. The store has no lock; a good file that came in this very moment would
        // lose this name only, and its repositories have it by theirs.
        let shared = paths.sharedBlob(digest)
        guard let file = try OpenFile(shared, O_RDONLY, doing: "read") else { return isRemoved }
        let sharedVersion = FileVersion(try file.status())
        if try hash(file, upTo: .max, DigestComputation(digest.algorithm)).finish() != digest {
            _ = try remove(shared, ifStill: sharedVersion)
        }
        return isRemoved
    }

    private func remove(_ path: String, ifStill version: FileVersion) throws(LayoutError) -> Bool {
        guard let status = try status(path), FileVersion(status) == version else { return false }
        guard unlink(path) == 0 || errno == ENOENT else { throw .from(errno: errno, doing: "delete", at: path) }
        return true
    }

    private func checkIndex(
        of repository: Repository, damaged: Set<Digest>, _ report: inout CheckReport
    ) throws(LayoutError) {
        let index = try knownIndex(of: repository)
        for digest in index.digests {
            guard let entry = index.entry(.digest(digest)), !damaged.contains(digest) else { continue }
            report.manifests += 1
            guard let size = try blobSize(digest, in: repository) else {
                report.problems.append("\(repository)@\(digest): the manifest's bytes are not there: push it again")
                continue
            }
            guard let manifest = try parsed(digest, in: repository, type: entry.mediaType), size == entry.size else {
                report.problems.append(
                    "\(repository)@\(digest): the file is not the manifest of \(entry.size) bytes that was pushed: push it"
                        + " again")
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
