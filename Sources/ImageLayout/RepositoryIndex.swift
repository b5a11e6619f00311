import FoundationEssentials
public import OCI

/// A repository's `index.json` (image-spec v1.1.1, image-layout.md): one descriptor for each tag of a manifest, and one
/// for each manifest without a tag.
///
/// Every manifest of the repository is in it, the children of an index too: what is in `blobs` and not here is a blob,
/// or reachable from an index that another program wrote.
public struct RepositoryIndex: Sendable, Hashable {
    /// One descriptor.
    public struct Entry: Sendable, Hashable, Codable {
        /// The manifest's type.
        public var mediaType: MediaType
        /// The manifest's digest.
        public var digest: Digest
        /// The manifest's length in bytes.
        public var size: Int64
        /// The platform, where another program wrote one.
        public var platform: Platform?
        /// The artifact's type, where another program wrote one.
        public var artifactType: String?
        /// Among them the tag, as `org.opencontainers.image.ref.name`.
        public var annotations: [String: String]?

        init(mediaType: MediaType, digest: Digest, size: Int64, tag: Tag?) {
            self.mediaType = mediaType
            self.digest = digest
            self.size = size
            annotations = tag.map { [RepositoryIndex.refName: $0.name] }
        }

        /// The tag; `nil` where there is none, or a name that is none.
        public var tag: Tag? { annotations?[RepositoryIndex.refName].flatMap { try? Tag($0) } }
    }

    static let refName = "org.opencontainers.image.ref.name"
    /// The most entries of one repository.
    static let maximumEntries = 100_000
    /// The most bytes of one `index.json`.
    static let maximumSize = 64 << 20

    /// The descriptors, in the order of the file.
    public private(set) var entries: [Entry]
    private var manifests: [Digest: Int] = [:]
    private var tags: [Tag: Int] = [:]

    init(entries: [Entry] = []) {
        self.entries = entries
        reindex()
    }

    private mutating func reindex() {
        manifests = [:]
        tags = [:]
        for (position, entry) in entries.enumerated() {
            if manifests[entry.digest] == nil { manifests[entry.digest] = position }
            // Of two entries with one tag, skopeo takes the first.
            if let tag = entry.tag, tags[tag] == nil { tags[tag] = position }
        }
    }

    /// A manifest's descriptor; `nil` where the repository has no such manifest.
    public func entry(_ reference: ManifestReference) -> Entry? {
        switch reference {
        case .digest(let digest): manifests[digest].map { entries[$0] }
        case .tag(let tag): tags[tag].map { entries[$0] }
        }
    }

    /// The tags, sorted.
    public var sortedTags: [Tag] { tags.keys.sorted() }

    /// The manifests' digests, each once, in the order of the file.
    public var digests: [Digest] {
        var seen: Set<Digest> = []
        return entries.map(\.digest).filter { seen.insert($0).inserted }
    }

    /// Adds a manifest, and points a tag at it.
    ///
    /// - Returns: whether anything changed
    mutating func put(_ descriptor: Entry, tag: Tag?) -> Bool {
        guard let tag else {
            guard manifests[descriptor.digest] == nil else { return false }
            entries.append(descriptor)
            reindex()
            return true
        }
        guard entry(.tag(tag))?.digest != descriptor.digest else { return false }
        _ = remove(tag)
        if let position = entries.firstIndex(where: {
            $0.digest == descriptor.digest && $0.annotations?[Self.refName] == nil
        }) {
            entries[position] = descriptor
        } else {
            entries.append(descriptor)
        }
        reindex()
        return true
    }

    /// Takes a tag away; its manifest stays.
    ///
    /// - Returns: whether it was there
    mutating func remove(_ tag: Tag) -> Bool {
        guard let position = tags[tag] else { return false }
        let former = entries[position]
        entries.removeAll { $0.tag == tag }
        if !entries.contains(where: { $0.digest == former.digest }) {
            entries.append(Entry(mediaType: former.mediaType, digest: former.digest, size: former.size, tag: nil))
        }
        reindex()
        return true
    }

    /// Takes a manifest away, with all tags that point at it.
    ///
    /// - Returns: whether it was there
    mutating func remove(_ digest: Digest) -> Bool {
        guard manifests[digest] != nil else { return false }
        entries.removeAll { $0.digest == digest }
        reindex()
        return true
    }

    // MARK: The file

    private struct Document: Codable {
        var schemaVersion: Int
        var mediaType: MediaType?
        var manifests: [Entry]
    }

    /// Reads the file's bytes.
    init(parsing bytes: [UInt8], path: String) throws(LayoutError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(bytes))
        } catch {
            throw LayoutError(
                .damaged, "this is no index of an image layout: restore the file, or fetch the repository again",
                at: path)
        }
        guard document.schemaVersion == 2, document.manifests.count <= Self.maximumEntries else {
            throw LayoutError(
                .damaged,
                document.schemaVersion == 2
                    ? "the index has more than \(Self.maximumEntries) entries" : "the index has no schemaVersion 2",
                at: path)
        }
        self.init(entries: document.manifests)
    }

    /// The file's bytes.
    var encoded: [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings and numbers always encode.
        let data = try? encoder.encode(Document(schemaVersion: 2, mediaType: .ociIndex, manifests: entries))
        return [UInt8](data ?? Data())
    }
}
