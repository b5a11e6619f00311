import Glibc
import OCI

/// What a collection of garbage came to.
public struct GarbageReport: Sendable, Hashable {
    /// Blobs that a repository no longer has; one blob of two repositories counts twice.
    public var names = 0
    /// Blobs that left the disk.
    public var blobs = 0
    /// The bytes that are free now.
    public var bytes: Int64 = 0
    /// Upload sessions that nobody continued.
    public var uploads = 0
    /// Repositories that were left alone, with the reason: without its index, or with a manifest that is damaged or gone,
    /// what a repository needs is not known.
    public var skipped: [String] = []
}

extension ImageLayout {
    /// How old garbage must be, in seconds: a day, longer than a push takes.
    public static let gracePeriod: Int64 = 86_400

    /// Removes what no manifest of its repository names: mark and sweep, beside running servers and transfers.
    ///
    /// It never takes what a push in progress relies on: a blob that was committed, mounted or asked for by a writer less
    /// than the grace period ago stays, and both that and the sweep happen under the repository's lock, where the marks
    /// are brought up to date before the sweep begins. A manifest is accepted under the same lock, and only if what it
    /// names is there. A repository of which something is not known that could name a blob is left alone.
    ///
    /// - Parameters:
    ///   - olderThan: seconds that garbage is left alone for
    ///   - isDry: whether to count only
    ///   - isCancelled: asked again and again; the collection stops where it is `true`, and the next one goes on
    /// - Throws: also `LayoutError.cancelled`
    public func collectGarbage(
        olderThan grace: Int64 = ImageLayout.gracePeriod, isDry: Bool = false, isCancelled: () -> Bool = { false }
    ) throws(LayoutError) -> GarbageReport {
        var report = GarbageReport()
        let deadline = Int64(time(nil)) - max(0, grace)
        for repository in try repositories() {
            do throws(LayoutError) {
                try sweep(repository, deadline, isDry, &report, isCancelled)
            } catch {
                guard error.code == .damaged else { throw error }
                report.skipped.append("\(error)")
            }
        }
        try sweepShared(isDry, &report, isCancelled)
        try sweepUploads(deadline, isDry, &report)
        if !isDry { try sweepIncoming() }
        return report
    }

    private func sweep(
        _ repository: Repository, _ deadline: Int64, _ isDry: Bool, _ report: inout GarbageReport,
        _ isCancelled: () -> Bool
    ) throws(LayoutError) {
        var reach = Reach()
        // Most of the reading happens before the lock.
        try reach.extend(over: knownIndex(of: repository), in: repository, of: self, isCancelled: isCancelled)
        let kept = reach
        let swept = try locked(repository, LOCK_EX, isCancelled: isCancelled) { () throws(LayoutError) in
            var reach = kept
            // What was pushed meanwhile. What was deleted meanwhile is garbage of the next time.
            try reach.extend(over: knownIndex(of: repository), in: repository, of: self, isCancelled: isCancelled)
            if let unreadable = reach.unreadable {
                throw LayoutError(
                    .damaged,
                    "the manifest \(unreadable) is damaged or gone, so its blobs are not known: nothing is collected"
                        + " here; push it again, or delete it", at: repository.name)
            }
            var swept: [Digest.Algorithm: Int] = [:]
            for algorithm in Digest.Algorithm.all {
                let directory = paths.blobDirectory(algorithm, in: repository)
                for entry in try DirectoryEntry.all(of: directory) where entry.isFile {
                    guard let digest = try? Digest("\(algorithm.rawValue):\(entry.name)"),
                        !reach.digests.contains(digest), let status = try status("\(directory)/\(entry.name)"),
                        status.changed <= deadline
                    else { continue }
                    guard !isCancelled() else { throw .cancelled(at: repository.name) }
                    swept[algorithm, default: 0] += 1
                    if !isDry, unlink("\(directory)/\(entry.name)") != 0, errno != ENOENT {
                        throw .from(errno: errno, doing: "delete", at: "\(directory)/\(entry.name)")
                    }
                }
            }
            return swept
        }
        report.names += swept.values.reduce(0, +)
        guard !isDry else { return }
        // Another program's layout has no directory for an algorithm that it does not use.
        for algorithm in swept.keys { try synchronize(directory: paths.blobDirectory(algorithm, in: repository)) }
    }

    /// Removes files whose only name is the one in the store. They need no grace: no repository shows them, and whoever
    /// is about to give one a name keeps it by that name, or finds it gone and sends it again.
    private func sweepShared(
        _ isDry: Bool, _ report: inout GarbageReport, _ isCancelled: () -> Bool
    ) throws(LayoutError) {
        for algorithm in Digest.Algorithm.all {
            let directory = paths.sharedBlobDirectory(algorithm)
            for entry in try DirectoryEntry.all(of: directory) where entry.isFile {
                let path = "\(directory)/\(entry.name)"
                guard let status = try status(path), status.st_nlink == 1 else { continue }
                guard !isCancelled() else { throw .cancelled(at: paths.root) }
                report.blobs += 1
                report.bytes += Int64(status.st_size)
                guard !isDry else { continue }
                guard unlink(path) == 0 || errno == ENOENT else { throw .from(errno: errno, doing: "delete", at: path) }
            }
        }
    }

    private func sweepUploads(
        _ deadline: Int64, _ isDry: Bool, _ report: inout GarbageReport
    ) throws(LayoutError) {
        for entry in try DirectoryEntry.all(of: paths.uploads) where entry.isFile {
            if entry.name.hasSuffix(".json"), let name = UploadName(entry.name.dropLast(5)) {
                let record = uploadRecordPath(name)
                // A session has its data before its record, and to its end: without them, nobody can continue it.
                guard try status(uploadDataPath(name)) == nil, let status = try status(record),
                    status.changed <= deadline
                else { continue }
                report.uploads += 1
                if !isDry { unlink(record) }
            }
            guard entry.name.hasSuffix(".data"), let name = UploadName(entry.name.dropLast(5)) else { continue }
            let path = uploadDataPath(name)
            guard let file = try OpenFile(path, O_RDWR, doing: "read"), try file.status().changed <= deadline,
                // Somebody has it open: it is in use, however slowly.
                file.lockIfFree()
            else { continue }
            report.uploads += 1
            report.bytes += Int64(try file.status().st_size)
            guard !isDry else { continue }
            unlink(uploadRecordPath(name))
            unlink(path)
        }
    }

    /// Removes what interrupted writes left: an hour is far longer than any of them takes.
    private func sweepIncoming() throws(LayoutError) {
        let deadline = Int64(time(nil)) - 3600
        for entry in try DirectoryEntry.all(of: paths.incoming) where entry.isFile {
            let path = "\(paths.incoming)/\(entry.name)"
            if let status = try status(path), status.changed < deadline { unlink(path) }
        }
    }
}
