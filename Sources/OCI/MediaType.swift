/// The media type of a manifest, config or layer. Unknown types are kept as they are: arbitrary artifacts copy.
public struct MediaType: Hashable, Sendable, Codable, CustomStringConvertible {
    /// The type, without parameters.
    public let name: String

    /// Takes a media type or a `Content-Type` value; parameters after `;` are dropped and case is folded, as RFC 9110
    /// section 8.3.1 has it.
    public init(_ name: String) {
        self.name = String(name.prefix { $0 != ";" }.filter { !$0.isWhitespace }).lowercased()
    }

    /// OCI image index.
    public static let ociIndex = MediaType("application/vnd.oci.image.index.v1+json")
    /// OCI image manifest.
    public static let ociManifest = MediaType("application/vnd.oci.image.manifest.v1+json")
    /// Docker manifest list, version 2.
    public static let dockerList = MediaType("application/vnd.docker.distribution.manifest.list.v2+json")
    /// Docker image manifest, version 2 schema 2.
    public static let dockerManifest = MediaType("application/vnd.docker.distribution.manifest.v2+json")
    /// The withdrawn OCI artifact manifest, which some registries still hold.
    public static let ociArtifact = MediaType("application/vnd.oci.artifact.manifest.v1+json")

    /// Every type that a manifest request accepts, for one `Accept` header.
    ///
    /// All of them, always: without the Docker list, distribution silently answers with the amd64 child under another
    /// digest; without the OCI types it answers 404 (distribution, registry/handlers/manifests.go).
    public static let manifests = [ociIndex, ociManifest, dockerList, dockerManifest]

    /// An index or manifest list: a manifest whose children are manifests.
    public var isIndex: Bool { self == .ociIndex || self == .dockerList }

    /// One of the manifest types that Rollcall copies.
    public var isManifest: Bool { Self.manifests.contains(self) }

    /// Docker schema 1, signed or not: refused, since its digest does not cover the bytes that registries serve.
    public var isSchema1: Bool {
        name == "application/vnd.docker.distribution.manifest.v1+json"
            || name == "application/vnd.docker.distribution.manifest.v1+prettyjws"
    }

    /// A layer that its publisher does not let registries hold; fetched from `urls`, and skipped here.
    public var isNondistributable: Bool {
        name.contains(".nondistributable.") || name.contains(".foreign.")
    }

    public var description: String { name }

    public init(from decoder: any Decoder) throws {
        self.init(try decoder.singleValueContainer().decode(String.self))
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(name)
    }
}
