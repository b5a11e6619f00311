import OCI

/// What a repository's manifests name, and they themselves: the mark of mark and sweep.
struct Reach {
    /// Every digest that is reached.
    private(set) var digests: Set<Digest> = []
    /// Manifests that are there and cannot be read: what they name is not known.
    private(set) var unreadable: [Digest] = []
    /// A blob's digest may be a manifest's too, which is followed all the same.
    private var followed: Set<Digest> = []

    /// Follows every manifest of an index that was not followed before, through indexes within indexes. What else an index
    /// names, as BuildKit's cache has its layers in one, is content like a layer, and nothing to follow.
    mutating func extend(
        over index: RepositoryIndex, in repository: Repository, of layout: ImageLayout
    ) throws(LayoutError) {
        var next = index.digests.map { ($0, MediaType?.none) }
        while let (digest, claimed) = next.popLast() {
            guard followed.insert(digest).inserted else { continue }
            digests.insert(digest)
            // The type that it was pushed with, whatever an index says that it is.
            let type = index.entry(.digest(digest))?.mediaType ?? claimed
            guard let manifest = try layout.parsed(digest, in: repository, type: type) else {
                if try layout.blobSize(digest, in: repository) != nil { unreadable.append(digest) }
                continue
            }
            digests.formUnion((manifest.blobs + manifest.manifests).map(\.digest))
            next += manifest.manifests.filter(\.mediaType.isManifest).map { ($0.digest, $0.mediaType) }
        }
    }
}
