public import HTTP
public import OCI
public import Readiness

/// The images file: what an image list is resolved from.
public struct ImagesFile: Hashable, Sendable {
    /// One image of the file.
    public struct Image: Hashable, Sendable {
        /// The repository at the source.
        public let repository: Repository
        /// The tag to resolve; beside a digest, a tag that the digest is known by.
        public let tag: Tag?
        /// The digest, where the file pins one: it is what counts, whatever the tag says.
        public let digest: Digest?
        /// The platforms to take out of an index; `nil` for all of them.
        public let platforms: [Platform]?
        /// The line of the file that the image starts on, for messages.
        public let line: Int

        /// What the source is asked for: the digest, or else the tag.
        public let reference: ManifestReference
    }

    /// The list's name.
    public let name: ListName
    /// The URL of the registry that holds the images.
    public let source: HTTPURL
    /// The images, in the file's order; at least one.
    public let images: [Image]
    /// The file as the user named it, for messages.
    public let path: String

    /// Reads an images file of at most 16 MiB.
    ///
    /// - Throws: `ConfigurationError`
    public init(path: String) throws(ConfigurationError) {
        try self.init(
            Document(path: path, title: Self.title, limit: Document.imagesLimit), path: path)
    }

    /// Reads an images file's text.
    ///
    /// - Parameters:
    ///   - text: the content
    ///   - path: the name by which messages call it
    init(text: String, path: String) throws(ConfigurationError) {
        try self.init(Document(text: text, path: path, title: Self.title), path: path)
    }

    enum Key: String, MappingKey {
        case name, source, images

        var setting: Setting {
            switch self {
            case .name:
                Setting(
                    .text("a name"), .required, example: "platform-4.17.3",
                    "The list's name: its generations follow each other under it.")
            case .source:
                Setting(
                    .text("`https://HOST[:PORT]`"), .required, example: "https://registry.central.example",
                    """
                    The URL of the registry that holds the images. Plain HTTP is spoken only where it says `http://`.
                    """)
            case .images:
                Setting(
                    .list(of: .section(ImageKey.self)), .required,
                    "At least one image; the same repository and tag only once.")
            }
        }
    }

    enum ImageKey: String, MappingKey {
        case repository, tag, digest, platforms

        var setting: Setting {
            switch self {
            case .repository:
                Setting(.text("a repository"), .required, example: "platform/api", "The repository at the source.")
            case .tag:
                Setting(
                    .text("a tag"), .requiredUnless("digest"), example: #""4.17.3""#,
                    """
                    Pinned to the digest that the tag has when the list is resolved. Beside `digest`, a tag that it is \
                    known by: the digest is what counts.
                    """)
            case .digest:
                Setting(
                    .text("a digest"), .requiredUnless("tag"),
                    example: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "The digest of the image's manifest or index.")
            case .platforms:
                Setting(
                    .list(of: .text("`os/architecture[/variant]`")), .otherwise("all of them"),
                    example: "[linux/amd64, linux/arm64/v8]",
                    """
                    The platforms to take out of an index. What is taken is each platform's own manifest, not the index \
                    ([why](decisions/0003-platforms-are-images.md)).
                    """)
            }
        }
    }

    private static let title = "the images file"

    private init(_ document: Document, path: String) throws(ConfigurationError) {
        let file = try document.root.mapping(Key.self, title: Self.title)
        name = try file.value(.name).parsed(ListName.init(_:))
        source = try file.value(.source).registryURL().url
        let list = try file.value(.images)
        var images: [Image] = []
        // A tag can be of one digest only; the same digest twice says nothing new and harms nothing.
        var lines: [String: Int] = [:]
        for value in try list.list() {
            let image = try Image(value)
            if let tag = image.tag {
                let name = "\(image.repository):\(tag)"
                if let first = lines.updateValue(image.line, forKey: name) {
                    throw value.error(.invalidValue, "'\(name)' is listed twice: first on line \(first)")
                }
            }
            images.append(image)
        }
        guard !images.isEmpty else { throw list.error(.invalidValue, "'images' is empty: list at least one image") }
        self.images = images
        self.path = path
    }
}

extension ImagesFile.Image {
    fileprivate init(_ value: Value) throws(ConfigurationError) {
        let keys = try value.mapping(ImagesFile.ImageKey.self, title: "image")
        repository = try keys.value(.repository).parsed(Repository.init(_:))
        tag = try keys[.tag]?.parsed(Tag.init(_:))
        digest = try keys[.digest]?.parsed(Digest.init(_:))
        if let digest {
            reference = .digest(digest)
        } else if let tag {
            reference = .tag(tag)
        } else {
            throw value.error(.missingKey, "the image '\(repository)' has neither 'tag' nor 'digest'")
        }
        var platforms: [Platform]?
        if let list = keys[.platforms] {
            var wanted: [Platform] = []
            for entry in try list.list() {
                let text = try entry.string()
                guard let platform = Platform(text) else {
                    throw entry.error(
                        .invalidValue, "'\(text.shown)' is not a platform: write it as linux/amd64 or linux/arm64/v8")
                }
                wanted.append(platform)
            }
            guard !wanted.isEmpty else {
                throw list.error(.invalidValue, "'platforms' is empty: leave the key out to take all platforms")
            }
            platforms = wanted
        }
        self.platforms = platforms
        line = value.location.line
    }
}
