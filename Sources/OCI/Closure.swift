/// One piece of content that an image list needs, in the repository that must serve it.
///
/// Registries answer for content per repository, so a layer shared by two repositories is two entries.
public struct ClosureEntry: Hashable, Sendable, Codable {
    /// How a registry serves the content.
    public enum Kind: String, Sendable, Codable {
        /// Through the manifests endpoint: an image manifest or index.
        case manifest
        /// Through the blobs endpoint: a config or layer.
        case blob
    }

    /// The repository's name at the source.
    public let repository: Repository
    /// The content's digest.
    public let digest: Digest
    /// The content's length in bytes.
    public let size: Int64
    /// How a registry serves the content.
    public let kind: Kind
    /// The media type it is served or referenced with.
    public let mediaType: MediaType

    /// - Parameters:
    ///   - repository: the repository's name at the source
    ///   - digest: the content's digest
    ///   - size: the content's length in bytes
    ///   - kind: how a registry serves it
    ///   - mediaType: the type it is served or referenced with
    public init(repository: Repository, digest: Digest, size: Int64, kind: Kind, mediaType: MediaType) {
        self.repository = repository
        self.digest = digest
        self.size = size
        self.kind = kind
        self.mediaType = mediaType
    }

    /// What makes two entries the same. The media type is not part of it: one layer may be referenced by two manifests
    /// under an OCI and a Docker type.
    public var identity: Identity { Identity(repository: repository, digest: digest, kind: kind) }

    /// The key of an entry within a closure.
    public struct Identity: Hashable, Sendable, Comparable {
        /// The repository's name at the source.
        public let repository: Repository
        /// The content's digest.
        public let digest: Digest
        /// How a registry serves the content.
        public let kind: Kind

        /// - Parameters:
        ///   - repository: the repository's name at the source
        ///   - digest: the content's digest
        ///   - kind: how a registry serves the content
        public init(repository: Repository, digest: Digest, kind: Kind) {
            self.repository = repository
            self.digest = digest
            self.kind = kind
        }

        public static func < (left: Identity, right: Identity) -> Bool {
            (left.repository, left.kind.rawValue, left.digest) < (right.repository, right.kind.rawValue, right.digest)
        }
    }

    /// The line that the closure root hashes: `REPOSITORY KIND DIGEST SIZE\n`.
    var canonicalLine: String { "\(repository) \(kind.rawValue) \(digest) \(size)\n" }
}

extension ClosureEntry {
    /// - Throws: `DecodingError`, or `OCIError` for a value outside its grammar or a size outside
    ///   `0...Descriptor.maximumSize`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        repository = try container.decode(Repository.self, forKey: .repository)
        digest = try container.decode(Digest.self, forKey: .digest)
        size = try container.decode(Int64.self, forKey: .size)
        kind = try container.decode(Kind.self, forKey: .kind)
        mediaType = try container.decode(MediaType.self, forKey: .mediaType)
        guard (0...Descriptor.maximumSize).contains(size) else {
            throw OCIError(.invalidManifest, "an entry of \(repository) claims \(size) bytes")
        }
    }
}

/// All that an image list needs, sorted and without repetition.
public struct Closure: Sendable, Hashable {
    /// The entries, sorted by repository, kind and digest; one for each identity.
    public let entries: [ClosureEntry]
    /// The closure root: SHA-256 over the entries' canonical lines. Two closures are equal exactly when their roots are.
    public let root: Digest

    /// Sorts, removes repetitions and computes the root.
    ///
    /// - Parameter entries: in any order; of entries with the same identity, the one with the smallest size and then the
    ///   first media type is kept, so that neither the root nor the canonical list depends on the order of a walk
    public init(_ entries: some Sequence<ClosureEntry>) {
        let sorted = entries.sorted {
            ($0.identity, $0.size, $0.mediaType.name) < ($1.identity, $1.size, $1.mediaType.name)
        }
        var unique: [ClosureEntry] = []
        for entry in sorted where entry.identity != unique.last?.identity { unique.append(entry) }
        self.entries = unique
        let computation = DigestComputation(.sha256)
        for entry in self.entries {
            var line = entry.canonicalLine
            line.withUTF8 { computation.update(UnsafeRawBufferPointer($0)) }
        }
        root = computation.finish()
    }

    /// The sum of the distinct digests' sizes in bytes: what has to cross the network once.
    public var uniqueBytes: Int64 {
        var seen: Set<Digest> = []
        return entries.reduce(0) { seen.insert($1.digest).inserted ? $0 + $1.size : $0 }
    }

    public static func == (left: Closure, right: Closure) -> Bool { left.root == right.root }

    public func hash(into hasher: inout Hasher) { hasher.combine(root) }
}
