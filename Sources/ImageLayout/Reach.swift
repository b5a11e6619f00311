import OCI

/// What a repository's manifests name, and they themselves: the mark of mark and sweep.
struct Reach {
    /// Every digest that is reached.
    private(set) var digests: Set<Digest> = []
    /// Manifests that are damaged, or that the repository's index names and that are gone, each with the type that another
    /// one claims: what they name is not known.
    private var unread: [(Digest, MediaType?)] = []
    /// A blob's digest may be a manifest's too, which is followed all the same.
    private var followed: Set<Digest> = []

    /// One of the manifests that cannot be read; `nil` where everything is known.
    var unreadable: Digest? { unread.first?.0 }

    /// Follows every manifest of an index that was not followed before, through indexes within indexes. What else an index
    /// names, as BuildKit's cache has its layers in one, is content like a layer, and nothing to follow.
    ///
    /// - Parameter isCancelled: asked before each manifest
    mutating func extend(
        over index: RepositoryIndex, in repository: Repository, of layout: ImageLayout,
        isCancelled: () -> Bool = { false }
    ) throws(LayoutError) {
        // What could not be read before may have been pushed again since, or deleted.
        followed.subtract(unread.map { $0.0 })
        var next = unread
        unread = []
        next += index.digests.map { ($0, MediaType?.none) }
        while let (digest, claimed) = next.popLast() {
            guard followed.insert(digest).inserted else { continue }
            guard !isCancelled() else { throw .cancelled(at: repository.name) }
            digests.insert(digest)
            // The type that it was pushed with, whatever an index says that it is.
            let entry = index.entry(.digest(digest))
            guard let manifest = try layout.parsed(digest, in: repository, type: entry?.mediaType ?? claimed) else {
                let isThere = try layout.blobSize(digest, in: repository) != nil
                // A child that was never brought names nothing here.
                if isThere || entry != nil { unread.append((digest, claimed)) }
                continue
            }
            digests.formUnion((manifest.blobs + manifest.manifests).map(\.digest))
            next += manifest.manifests.filter(\.mediaType.isManifest).map { ($0.digest, $0.mediaType) }
        }
    }
}
