public import OCI

/// A small image or index made in memory: real manifests over generated layers.
public struct TestImage: Sendable {
    /// A config or a layer.
    public struct Blob: Sendable {
        /// How the manifest refers to it.
        public let descriptor: Descriptor
        /// Its bytes.
        public let content: ScriptedRegistry.Content
    }

    /// How an index, or a pull by digest, refers to it.
    public let descriptor: Descriptor
    /// The manifest's bytes.
    public let manifest: [UInt8]
    /// Config and layers; empty for an index.
    public let blobs: [Blob]
    /// The images of an index.
    public let children: [TestImage]

    /// An image for one platform.
    ///
    /// - Parameters:
    ///   - seed: equal seeds and sizes make equal images
    ///   - layers: the layers' sizes in bytes; layer n of equal seeds and sizes is the same blob
    ///   - platform: what the config and an index say; linux/amd64 unless said
    ///   - isDocker: with Docker's media types instead of OCI's
    ///   - subject: what it is attached to
    ///   - artifactType: what kind of artifact it is
    public init(
        seed: UInt64, layers: [Int64] = [1000, 200_000], platform: String = "linux/amd64", isDocker: Bool = false,
        subject: Descriptor? = nil, artifactType: String? = nil
    ) {
        let parts = platform.split(separator: "/")
        let variant = parts.count > 2 ? ",\"variant\":\"\(parts[2])\"" : ""
        let config = Array(
            """
            {"architecture":"\(parts.count > 1 ? parts[1] : "amd64")","os":"\(parts.first ?? "linux")"\(variant),\
            "config":{},"rootfs":{"type":"layers","diff_ids":[]},"created":"2026-01-01T00:00:00Z","seed":"\(seed)"}
            """.utf8)
        let types =
            isDocker
            ? (
                manifest: MediaType.dockerManifest, config: MediaType("application/vnd.docker.container.image.v1+json"),
                layer: MediaType("application/vnd.docker.image.rootfs.diff.tar.gzip")
            )
            : (
                manifest: MediaType.ociManifest, config: MediaType("application/vnd.oci.image.config.v1+json"),
                layer: MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
            )
        var blobs = [
            Blob(
                descriptor: Descriptor(
                    mediaType: types.config, digest: Digest(of: config), size: Int64(config.count)),
                content: .bytes(config))
        ]
        for (index, size) in layers.enumerated() {
            let content = GeneratedBytes(count: size, seed: seed &* 1000 &+ UInt64(index))
            blobs.append(
                Blob(
                    descriptor: Descriptor(mediaType: types.layer, digest: content.digest(), size: size),
                    content: .generated(content)))
        }
        var fields = ["\"schemaVersion\":2", "\"mediaType\":\"\(types.manifest)\""]
        if let artifactType { fields.append("\"artifactType\":\"\(artifactType)\"") }
        fields.append("\"config\":\(Self.json(blobs[0].descriptor))")
        fields.append("\"layers\":[\(blobs.dropFirst().map { Self.json($0.descriptor) }.joined(separator: ","))]")
        if let subject { fields.append("\"subject\":\(Self.json(subject))") }
        // The odd blanks make sure that nobody gets away with writing the JSON anew.
        manifest = Array("{ \(fields.joined(separator: ",\n   ")) }\n".utf8)
        self.blobs = blobs
        children = []
        descriptor = Descriptor(
            mediaType: types.manifest, digest: Digest(of: manifest), size: Int64(manifest.count),
            platform: Platform(platform))
    }

    /// An index over images.
    ///
    /// - Parameters:
    ///   - children: the images
    ///   - isDocker: with Docker's media type instead of OCI's
    public init(index children: [TestImage], isDocker: Bool = false) {
        let type = isDocker ? MediaType.dockerList : .ociIndex
        manifest = Array(
            """
            { "schemaVersion":2, "mediaType":"\(type)",
               "manifests":[\(children.map { Self.json($0.descriptor) }.joined(separator: ", "))] }

            """.utf8)
        blobs = []
        self.children = children
        descriptor = Descriptor(mediaType: type, digest: Digest(of: manifest), size: Int64(manifest.count))
    }

    /// Every manifest and blob with it, itself included, without repetition.
    public var allDigests: Set<Digest> {
        children.reduce(into: Set([descriptor.digest] + blobs.map(\.descriptor.digest))) { $0.formUnion($1.allDigests) }
    }

    private static func json(_ descriptor: Descriptor) -> String {
        var fields = [
            "\"mediaType\":\"\(descriptor.mediaType)\"", "\"digest\":\"\(descriptor.digest)\"",
            "\"size\":\(descriptor.size)",
        ]
        if let platform = descriptor.platform {
            let variant = platform.variant.map { ",\"variant\":\"\($0)\"" } ?? ""
            fields.append(
                "\"platform\":{\"architecture\":\"\(platform.architecture)\",\"os\":\"\(platform.os)\"\(variant)}")
        }
        return "{\(fields.joined(separator: ","))}"
    }
}
