import FoundationEssentials

/// A pointer to content: media type, digest and size in bytes (image-spec v1.1.1, descriptor.md).
public struct Descriptor: Hashable, Sendable, Codable {
    /// What the content is.
    public let mediaType: MediaType
    /// The content's digest.
    public let digest: Digest
    /// The content's length in bytes.
    public let size: Int64
    /// The platform, in an index.
    public let platform: Platform?
    /// Where a nondistributable layer is to be had.
    public let urls: [String]?

    /// - Parameters:
    ///   - mediaType: what the content is
    ///   - digest: the content's digest
    ///   - size: the content's length in bytes
    ///   - platform: the platform, in an index
    public init(mediaType: MediaType, digest: Digest, size: Int64, platform: Platform? = nil) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.platform = platform
        self.urls = nil
    }

    /// The largest size a descriptor may claim: 4 TiB, so that sums over a million entries cannot overflow.
    public static let maximumSize: Int64 = 1 << 42

    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        mediaType = try container.decode(MediaType.self, forKey: .mediaType)
        digest = try container.decode(Digest.self, forKey: .digest)
        size = try container.decode(Int64.self, forKey: .size)
        // Artifact indexes carry empty or partial platforms; such an entry matches no wanted platform, but copies.
        platform = try? container.decodeIfPresent(Platform.self, forKey: .platform)
        urls = try container.decodeIfPresent([String].self, forKey: .urls)
        guard (0...Self.maximumSize).contains(size) else {
            throw OCIError(.invalidManifest, "a descriptor claims \(size) bytes")
        }
    }
}

/// What a manifest's bytes say, reduced to what copying needs: its children.
///
/// Covers OCI image manifests and indexes (image-spec v1.1.1, manifest.md and image-index.md) and Docker's version 2
/// schema 2 manifests and lists. Unknown fields are ignored; the bytes themselves are what is copied.
public struct Manifest: Sendable, Hashable {
    /// The largest manifest that is read, in bytes. distribution stores at most 4 MiB; other registries allow more.
    public static let maximumSize = 16 << 20
    /// The most descriptors one manifest may hold.
    public static let maximumChildren = 10_000

    /// The type by which the manifest is served and pushed.
    public let mediaType: MediaType
    /// Child manifests; empty unless this is an index.
    public let manifests: [Descriptor]
    /// Config and layers, in order; empty for an index.
    public let blobs: [Descriptor]
    /// What an artifact is attached to.
    public let subject: Descriptor?

    /// Reads a manifest's bytes.
    ///
    /// - Parameters:
    ///   - bytes: the manifest as served
    ///   - contentType: the type it was served with, if any; the `mediaType` field inside wins, as the specification
    ///     says, and a type is inferred from the fields where neither is said
    /// - Throws: `OCIError.unsupportedMediaType` for schema 1 and unknown types, `OCIError.invalidManifest` otherwise.
    public init(parsing bytes: [UInt8], contentType: MediaType? = nil) throws(OCIError) {
        let document: Document
        do {
            document = try JSONDecoder().decode(Document.self, from: Data(bytes))
        } catch let error as OCIError {
            throw OCIError(.invalidManifest, "the manifest is malformed: \(error)")
        } catch {
            throw OCIError(.invalidManifest, "the manifest is not valid JSON of an image manifest or index")
        }
        let type = document.mediaType ?? contentType.flatMap { $0.isManifest || $0.isSchema1 ? $0 : nil }
        if document.schemaVersion == 1 || type?.isSchema1 == true {
            throw OCIError(
                .unsupportedMediaType,
                "the manifest is of Docker schema 1, which has no stable digest: rebuild the image as schema 2 or OCI")
        }
        guard document.schemaVersion == 2 else {
            throw OCIError(.invalidManifest, "the manifest has no schemaVersion 2")
        }
        if let type, !type.isManifest {
            throw OCIError(.unsupportedMediaType, "the manifest's type '\(type)' is not an image manifest or index")
        }
        mediaType = type ?? (document.manifests != nil ? .ociIndex : .ociManifest)
        // A document that reads as both is how CVE-2021-41190 confused types: refuse it.
        guard document.manifests == nil || (document.layers == nil && document.config == nil) else {
            throw OCIError(.invalidManifest, "the manifest has both 'manifests' and 'layers': refused as ambiguous")
        }
        if mediaType.isIndex {
            guard let manifests = document.manifests else {
                throw OCIError(.invalidManifest, "the index has no 'manifests'")
            }
            self.manifests = manifests
            blobs = []
        } else {
            guard let config = document.config else {
                throw OCIError(.invalidManifest, "the manifest has no 'config'")
            }
            manifests = []
            blobs = [config] + (document.layers ?? [])
        }
        subject = document.subject
        guard manifests.count + blobs.count <= Self.maximumChildren else {
            throw OCIError(.invalidManifest, "the manifest has more than \(Self.maximumChildren) descriptors")
        }
    }

    private struct Document: Decodable {
        let schemaVersion: Int?
        let mediaType: MediaType?
        let manifests: [Descriptor]?
        let config: Descriptor?
        let layers: [Descriptor]?
        let subject: Descriptor?
    }
}
