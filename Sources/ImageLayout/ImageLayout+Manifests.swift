import FoundationEssentials
import Glibc
public import OCI

/// A manifest as a repository holds it.
public struct StoredManifest: Sendable {
    /// Its type, digest and length.
    public let entry: RepositoryIndex.Entry
    /// Its bytes.
    public let bytes: [UInt8]
}

extension ImageLayout {
    /// A repository's index; `nil` where there is no such repository.
    public func index(of repository: Repository) throws(LayoutError) -> RepositoryIndex? {
        try versionedIndex(of: repository)?.index
    }

    /// The index of a repository that is there.
    ///
    /// - Throws: `LayoutError.damaged` where it is gone: an empty one in its place would make everything garbage
    func knownIndex(of repository: Repository) throws(LayoutError) -> RepositoryIndex {
        guard let index = try index(of: repository) else {
            throw LayoutError(
                .damaged,
                "the repository has lost its index: restore the file; or remove '\(LayoutPaths.layoutFile)' beside it, so"
                    + " that the next push begins the repository anew", at: paths.index(of: repository))
        }
        return index
    }

    func versionedIndex(
        of repository: Repository
    ) throws(LayoutError) -> (index: RepositoryIndex, version: FileVersion)? {
        let path = paths.index(of: repository)
        guard let file = try OpenFile(path, O_RDONLY, doing: "read") else { return nil }
        let version = FileVersion(try file.status())
        if let index = indexes.index(of: repository, version) { return (index, version) }
        let index = try RepositoryIndex(parsing: file.readAll(limit: RepositoryIndex.maximumSize), path: path)
        indexes.keep(index, of: repository, version)
        return (index, version)
    }

    /// A manifest's descriptor; `nil` where the repository does not have it, or has lost its bytes.
    public func manifestEntry(
        _ reference: ManifestReference, in repository: Repository
    ) throws(LayoutError) -> RepositoryIndex.Entry? {
        guard let entry = try index(of: repository)?.entry(reference),
            try blobSize(entry.digest, in: repository) == entry.size
        else { return nil }
        return entry
    }

    /// A manifest; `nil` where the repository does not have it.
    ///
    /// - Throws: `LayoutError.damaged` where its bytes are not what they were: they are hashed
    public func manifest(
        _ reference: ManifestReference, in repository: Repository
    ) throws(LayoutError) -> StoredManifest? {
        guard let entry = try index(of: repository)?.entry(reference) else { return nil }
        let path = paths.blob(entry.digest, in: repository)
        guard let file = try OpenFile(path, O_RDONLY, doing: "read") else { return nil }
        let bytes = try file.readAll(limit: Manifest.maximumSize)
        guard Digest(of: bytes, algorithm: entry.digest.algorithm) == entry.digest else {
            throw LayoutError(
                .damaged, "the manifest's bytes have changed on the disk: run 'rollcall-agent registry check'", at: path
            )
        }
        return StoredManifest(entry: entry, bytes: bytes)
    }

    /// Stores a manifest, and points a tag at it.
    ///
    /// - Parameters:
    ///   - bytes: the manifest
    ///   - mediaType: the type it is said to be of; its own field must say the same
    ///   - reference: its tag, or its digest
    /// - Returns: its descriptor, and what it is attached to
    /// - Throws: `LayoutError.invalidManifest`; `.digestMismatch`; `.missingContent` where the repository lacks what it
    ///   names, a nondistributable layer or a subject apart; `.sizeMismatch`; `.damaged` where its index is gone
    @discardableResult
    public func putManifest(
        _ bytes: [UInt8], type mediaType: MediaType?, as reference: ManifestReference, in repository: Repository
    ) throws(LayoutError) -> (entry: RepositoryIndex.Entry, subject: Digest?) {
        let manifest: Manifest
        do {
            manifest = try Manifest(parsing: bytes, contentType: mediaType)
        } catch {
            throw LayoutError(.invalidManifest, "\(error)", at: "\(repository):\(reference)")
        }
        if let mediaType, manifest.mediaType != mediaType {
            throw LayoutError(
                .invalidManifest,
                "the manifest is of type '\(manifest.mediaType)' and was sent as '\(mediaType)'",
                at: "\(repository):\(reference)")
        }
        let digest: Digest
        var tag: Tag?
        switch reference {
        case .digest(let wanted):
            try requireDigest(bytes, wanted)
            digest = wanted
        case .tag(let name):
            digest = Digest(of: bytes)
            tag = name
        }
        let entry = RepositoryIndex.Entry(
            mediaType: manifest.mediaType, digest: digest, size: Int64(bytes.count), tag: tag)
        // Before the lock: it waits for the disk.
        try putBlob(bytes, as: digest, in: repository)
        try changeIndex(of: repository) { index throws(LayoutError) in
            try requireContent(of: manifest, digest, in: repository, index)
            guard index.entries.count < RepositoryIndex.maximumEntries else {
                throw LayoutError(
                    .tooMany,
                    "the repository has \(RepositoryIndex.maximumEntries) manifests and tags, and takes no more",
                    at: repository.name)
            }
            return index.put(entry, tag: tag)
        }
        return (entry, manifest.subject?.digest)
    }

    /// Takes a tag away; the manifest stays.
    ///
    /// - Throws: `LayoutError.manifestUnknown`
    public func deleteTag(_ tag: Tag, in repository: Repository) throws(LayoutError) {
        let unknown = LayoutError(.manifestUnknown, "the repository has no tag '\(tag)'", at: repository.name)
        guard has(repository) else { throw unknown }
        try changeIndex(of: repository) { index throws(LayoutError) in
            guard index.remove(tag) else { throw unknown }
            return true
        }
    }

    /// Takes a manifest away, with all tags that point at it. Its blobs become garbage.
    ///
    /// - Throws: `LayoutError.manifestUnknown`; `.inUse` while an index of the repository names it
    public func deleteManifest(_ digest: Digest, in repository: Repository) throws(LayoutError) {
        let unknown = LayoutError(.manifestUnknown, "the repository has no manifest \(digest)", at: repository.name)
        guard has(repository) else { throw unknown }
        let index = try knownIndex(of: repository)
        guard index.entry(.digest(digest)) != nil else { throw unknown }
        var looked: Set<Digest> = []
        // Before the lock: it reads every index, and all who push would wait.
        try requireNoIndex(over: digest, in: repository, index, &looked)
        let before = looked
        try changeIndex(of: repository) { index throws(LayoutError) in
            guard index.entry(.digest(digest)) != nil else { throw unknown }
            var looked = before
            // What was pushed meanwhile.
            try requireNoIndex(over: digest, in: repository, index, &looked)
            return index.remove(digest)
        }
    }

    /// Makes sure that no index of a repository names a manifest.
    ///
    /// - Parameter looked: the indexes that were looked at and do not name it: what an index says never changes
    private func requireNoIndex(
        over digest: Digest, in repository: Repository, _ index: RepositoryIndex, _ looked: inout Set<Digest>
    ) throws(LayoutError) {
        for parent in index.digests
        where parent != digest && !looked.contains(parent)
            && index.entry(.digest(parent))?.mediaType.isIndex == true
        {
            guard let manifest = try parsed(parent, in: repository) else { continue }
            guard !manifest.manifests.contains(where: { $0.digest == digest }) else {
                throw LayoutError(
                    .inUse, "the index \(parent) names \(digest): delete that first", at: repository.name)
            }
            looked.insert(parent)
        }
    }

    /// Reads the index, changes it and replaces the file, as one step among all threads and processes.
    ///
    /// - Parameter body: changes the index; whether it did
    private func changeIndex(
        of repository: Repository, _ body: (inout RepositoryIndex) throws(LayoutError) -> Bool
    ) throws(LayoutError) {
        try locked(repository, LOCK_EX) { () throws(LayoutError) in
            var index = try knownIndex(of: repository)
            guard try body(&index) else { return }
            let path = paths.index(of: repository)
            let bytes = index.encoded
            guard bytes.count <= RepositoryIndex.maximumSize else {
                // With what other programs have written there.
                throw LayoutError(
                    .tooMany, "the repository's index would have more than \(RepositoryIndex.maximumSize) bytes",
                    at: path)
            }
            let incoming = try writeIncoming(bytes)
            guard let status = try status(incoming), rename(incoming, path) == 0 else {
                let code = errno
                unlink(incoming)
                throw .from(errno: code, doing: "write", at: path)
            }
            indexes.keep(index, of: repository, FileVersion(status))
            try synchronize(directory: paths.directory(of: repository))
        }
    }

    /// Under the exclusive lock: what a manifest names is there, and stays until the manifest is in the index.
    private func requireContent(
        of manifest: Manifest, _ digest: Digest, in repository: Repository, _ index: RepositoryIndex
    ) throws(LayoutError) {
        var missing: [Digest] = []
        guard try blobSize(digest, in: repository) != nil else {
            throw LayoutError(
                .unavailable, "the manifest's bytes were removed meanwhile: send it again", at: repository.name)
        }
        for child in manifest.manifests + manifest.blobs where !child.mediaType.isNondistributable {
            // A child manifest that is only a blob could not be asked for.
            let isKnown =
                child.mediaType.isManifest && manifest.mediaType.isIndex
                ? index.entry(.digest(child.digest)) != nil : true
            guard isKnown, let size = try blobSize(child.digest, in: repository) else {
                missing.append(child.digest)
                continue
            }
            guard size == child.size else {
                throw LayoutError(
                    .sizeMismatch,
                    "the manifest says that \(child.digest) has \(child.size) bytes, and it has \(size)",
                    at: repository.name, digests: [child.digest])
            }
        }
        guard missing.isEmpty else {
            let named = missing.prefix(3).map(\.description).joined(separator: ", ")
            throw LayoutError(
                .missingContent,
                "the manifest names content that the repository does not hold: \(named)"
                    + (missing.count > 3 ? " and \(missing.count - 3) more" : "") + ": push that first",
                at: repository.name, digests: missing)
        }
    }

    /// What a manifest of a repository names; `nil` where its bytes are gone, are not those of its digest, or are no
    /// manifest. They are hashed: with one digit of a digest turned into another one, it would still be a manifest, and
    /// what it named before would pass for garbage.
    func parsed(_ digest: Digest, in repository: Repository, type: MediaType? = nil) throws(LayoutError) -> Manifest? {
        guard let bytes = try intactManifest(digest, in: repository) else { return nil }
        return try? Manifest(parsing: bytes, contentType: type)
    }

    /// A manifest's bytes; `nil` where they are gone, or are not those of its digest.
    func intactManifest(_ digest: Digest, in repository: Repository) throws(LayoutError) -> [UInt8]? {
        guard let file = try OpenFile(paths.blob(digest, in: repository), O_RDONLY, doing: "read"),
            try file.status().st_size <= Manifest.maximumSize
        else { return nil }
        let bytes = try file.readAll(limit: Manifest.maximumSize)
        return Digest(of: bytes, algorithm: digest.algorithm) == digest ? bytes : nil
    }
}
