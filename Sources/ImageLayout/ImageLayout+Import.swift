import Glibc
public import OCI

/// What an import brought.
public struct ImportReport: Sendable, Hashable {
    /// The images: what the source's index names.
    public var images: [Digest] = []
    /// Blobs and manifests that were not in the repository before.
    public var contents = 0
    /// Their bytes.
    public var bytes: Int64 = 0
}

extension ImageLayout {
    /// Copies what another OCI image layout holds into a repository: with what skopeo, podman or a build wrote to a medium,
    /// a site without a network gets its images. Everything is hashed on the way.
    ///
    /// - Parameters:
    ///   - path: the layout's directory
    ///   - repository: the repository that gets its images
    ///   - tag: what the image is called here; without it, as it is called there
    /// - Throws: `LayoutError.notALayout`; `.invalidManifest` for several images under one tag, or types that are not
    ///   copied; `.blobUnknown`, `.digestMismatch` where the layout is damaged
    public func importImages(
        from path: String, to repository: Repository, tag: Tag? = nil
    ) throws(LayoutError) -> ImportReport {
        guard access("\(path)/\(LayoutPaths.layoutFile)", F_OK) == 0 else {
            throw LayoutError(.notALayout, "this is no OCI image layout: there is no 'oci-layout' in it", at: path)
        }
        let indexPath = "\(path)/\(LayoutPaths.indexFile)"
        let index = try RepositoryIndex(
            parsing: OpenFile(existing: indexPath, O_RDONLY, doing: "read").readAll(limit: RepositoryIndex.maximumSize),
            path: indexPath)
        guard tag == nil || index.digests.count == 1 else {
            throw LayoutError(
                .invalidManifest,
                "the layout holds \(index.digests.count) images, of which one only can have the tag: leave the tag out",
                at: path)
        }
        var report = ImportReport()
        var seen: Set<Digest> = []
        for entry in index.entries {
            let source = Source(path: path, repository: repository)
            try bring(entry.digest, entry.mediaType, as: tag ?? entry.tag, from: source, &seen, &report)
            if !report.images.contains(entry.digest) { report.images.append(entry.digest) }
        }
        return report
    }

    private struct Source {
        let path: String
        let repository: Repository

        func file(_ digest: Digest) -> String {
            "\(path)/\(LayoutPaths.blobs)/\(digest.algorithm.rawValue)/\(digest.hex)"
        }
    }

    /// Brings a manifest after all that it names.
    private func bring(
        _ digest: Digest, _ type: MediaType, as tag: Tag?, from source: Source, _ seen: inout Set<Digest>,
        _ report: inout ImportReport, depth: Int = 0
    ) throws(LayoutError) {
        // An index cannot hold itself, since it would hold its own hash; but a file may be made to be read for long.
        guard depth < 8, seen.count < 10_000 else {
            throw LayoutError(.invalidManifest, "the image is nested deeper than 8 indexes", at: source.path)
        }
        guard seen.insert(digest).inserted || tag != nil else { return }
        guard let file = try OpenFile(source.file(digest), O_RDONLY, doing: "read") else {
            throw LayoutError(.blobUnknown, "the manifest is not there", at: source.file(digest), digests: [digest])
        }
        let bytes = try file.readAll(limit: Manifest.maximumSize)
        let manifest: Manifest
        do {
            manifest = try Manifest(parsing: bytes, contentType: type)
        } catch {
            throw LayoutError(.invalidManifest, "\(error)", at: source.file(digest))
        }
        for blob in manifest.blobs where !blob.mediaType.isNondistributable {
            try copy(blob.digest, from: source, &report)
        }
        for child in manifest.manifests where !child.mediaType.isNondistributable {
            if child.mediaType.isManifest {
                try bring(child.digest, child.mediaType, as: nil, from: source, &seen, &report, depth: depth + 1)
            } else {
                // As in an index that BuildKit's cache is: a layer.
                try copy(child.digest, from: source, &report)
            }
        }
        let isHeld = try manifestEntry(.digest(digest), in: source.repository) != nil
        let isIntact = try intactManifest(digest, in: source.repository) != nil
        if !isHeld || !isIntact {
            report.contents += 1
            report.bytes += Int64(bytes.count)
            try putManifest(bytes, type: manifest.mediaType, as: .digest(digest), in: source.repository)
        }
        guard let tag else { return }
        try putManifest(bytes, type: manifest.mediaType, as: .tag(tag), in: source.repository)
    }

    private func copy(
        _ digest: Digest, from source: Source, _ report: inout ImportReport
    ) throws(LayoutError) {
        if try mount(digest, from: nil, to: source.repository) { return }
        guard let file = try OpenFile(source.file(digest), O_RDONLY, doing: "read") else {
            throw LayoutError(.blobUnknown, "the blob is not there", at: source.file(digest), digests: [digest])
        }
        let upload = try startUpload(in: source.repository, algorithm: digest.algorithm)
        do throws(LayoutError) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
            defer { buffer.deallocate() }
            while true {
                let count = try file.read(into: buffer, at: upload.offset)
                guard count > 0 else { break }
                try upload.append(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            }
        } catch {
            upload.discard()
            throw error
        }
        let size = upload.offset
        try upload.commit(as: digest)
        report.contents += 1
        report.bytes += size
    }
}
