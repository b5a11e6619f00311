public import OCI

/// A named, immutable set of images pinned by digest, with all that they need.
///
/// Its generation is the SHA-256 of its canonical bytes: the list as compact JSON with sorted keys, without the field
/// `generation` itself. Anyone can compute it: `jq -cjS 'del(.generation)' LIST.json | sha256sum`.
public struct ImageList: Hashable, Sendable {
    /// The most entries that a list's closure may have.
    public static let maximumEntries = 1_000_000
    /// The largest list that is read, in bytes: 256 MiB.
    public static let maximumSize = 256 << 20

    /// One image of the list: what a tag pointed to when the list was resolved.
    public struct Image: Hashable, Sendable {
        /// The repository's name at the source.
        public let repository: Repository
        /// The tag that was resolved, where the image was not named by digest; sites serve it too.
        public let tag: Tag?
        /// The manifest's or index's digest.
        public let digest: Digest
        /// The manifest's type.
        public let mediaType: MediaType
        /// The manifest's length in bytes.
        public let size: Int64
        /// The platform, where the image was picked out of an index.
        public let platform: Platform?

        /// - Parameters:
        ///   - repository: the repository's name at the source
        ///   - tag: the tag that was resolved
        ///   - digest: the manifest's or index's digest
        ///   - mediaType: the manifest's type
        ///   - size: the manifest's length in bytes
        ///   - platform: the platform, where the image was picked out of an index
        public init(
            repository: Repository, tag: Tag?, digest: Digest, mediaType: MediaType, size: Int64,
            platform: Platform? = nil
        ) {
            self.repository = repository
            self.tag = tag
            self.digest = digest
            self.mediaType = mediaType
            self.size = size
            self.platform = platform
        }

        /// `REPOSITORY:TAG@DIGEST`, without the tag where there is none.
        public var reference: String { "\(repository)\(tag.map { ":\($0)" } ?? "")@\(digest)" }

        /// The image's manifest as an entry of the closure.
        var entry: ClosureEntry {
            ClosureEntry(repository: repository, digest: digest, size: size, kind: .manifest, mediaType: mediaType)
        }

        private var sortingKey: (String, String, String, String) {
            (repository.name, tag?.name ?? "", digest.description, platform?.description ?? "")
        }

        static func precedes(_ left: Image, _ right: Image) -> Bool { left.sortingKey < right.sortingKey }
    }

    /// The list's name, under which its generations follow each other.
    public let name: ListName
    /// The URL of the registry that the images were resolved at.
    public let source: String
    /// The images, sorted by repository, tag, digest and platform; none twice.
    public let images: [Image]
    /// All that the images need, each image's own manifest included.
    public let closure: Closure
    /// The SHA-256 of the canonical bytes.
    public let generation: Digest

    /// Sorts the images and computes the generation.
    ///
    /// - Parameters:
    ///   - name: the list's name
    ///   - source: the URL of the registry that the images were resolved at
    ///   - images: in any order; repetitions are dropped
    ///   - closure: all that the images need
    /// - Throws: `ReadinessError.invalidList` for an empty list, one over its bounds, an image whose manifest is not in
    ///   the closure, or text that JSON would have to escape.
    public init(name: ListName, source: String, images: [Image], closure: Closure) throws(ReadinessError) {
        self.name = name
        self.source = source
        self.images = Set(images).sorted(by: Image.precedes)
        self.closure = closure
        try Self.validate(source: source, images: self.images, closure: closure)
        generation = Digest(
            of: Self.text(name: name, source: source, images: self.images, closure: closure, generation: nil))
    }

    /// What the canonical form rests on: no text needs an escape, so that there is one way to write it.
    private static func validate(
        source: String, images: [Image], closure: Closure
    ) throws(ReadinessError) {
        func refuse(_ message: String) -> ReadinessError { ReadinessError(.invalidList, message) }
        guard !images.isEmpty else { throw refuse("the list has no images") }
        guard closure.entries.count <= maximumEntries, images.count <= maximumEntries else {
            throw refuse("the list has \(closure.entries.count) entries: at most \(maximumEntries) are read")
        }
        guard isPlain(source), source.utf8.count <= 2048, !source.contains("@") else {
            throw refuse("'source' is not the URL of a registry: write https://HOST[:PORT], without a user name")
        }
        for entry in closure.entries {
            guard isPlain(entry.mediaType.name) else {
                throw refuse("the media type of \(entry.repository)@\(entry.digest) is malformed")
            }
            guard (0...Descriptor.maximumSize).contains(entry.size) else {
                throw refuse("the size of \(entry.repository)@\(entry.digest) is \(entry.size) bytes")
            }
        }
        let manifests = Dictionary(
            closure.entries.lazy.filter { $0.kind == .manifest }.map { ($0.identity, $0.size) },
            uniquingKeysWith: { first, _ in first })
        for image in images {
            guard manifests[image.entry.identity] == image.size else {
                throw refuse("the manifest of \(image.reference) is not in the closure, or of another size there")
            }
            guard isPlain(image.mediaType.name), image.platform.map({ isPlain($0.description) }) ?? true else {
                throw refuse("the media type or platform of \(image.reference) is malformed")
            }
        }
    }

    /// Printable ASCII that JSON writes as it is.
    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
            }
    }
}
