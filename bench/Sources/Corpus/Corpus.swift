import OCI

/// Images in a registry's storage, with what a destination must serve once they were copied.
struct Corpus {
    /// A manifest or a blob.
    struct Content: Hashable {
        let digest: String
        let size: Int
    }

    /// One image.
    struct Image {
        let repository: String
        let tag: String
        let manifest: Content
        /// The configuration and the layers.
        let blobs: [Content]
    }

    let images: [Image]
    /// Images of the release before.
    let previous: [Image]
    /// The root directory for a registry's filesystem storage.
    let storage: RegistryStorage

    /// Every blob once.
    var blobs: [Content] {
        var seen: Set<String> = []
        return images.flatMap(\.blobs).filter { seen.insert($0.digest).inserted }
    }

    /// Every blob once, and the manifests, in bytes.
    var bytes: Int { needed(.nothing).reduce(0) { $0 + $1.size } }

    /// What has to come to a destination that has something already: every blob once, and every manifest.
    func needed(_ there: Scenario.There) -> [Content] {
        let present =
            switch there {
            case .nothing: [] as [Image]
            case .previous: previous
            case .everything: images
            }
        var seen = Set(present.flatMap { $0.blobs + [$0.manifest] }.map(\.digest))
        return images.flatMap { $0.blobs + [$0.manifest] }.filter { seen.insert($0.digest).inserted }
    }

    /// Makes the plan's images.
    ///
    /// - Parameters:
    ///   - plan: which images
    ///   - directory: an empty directory for the storage
    /// - Throws: `BenchError` where files cannot be written
    init(_ plan: CorpusPlan, in directory: String) throws {
        let storage = RegistryStorage(root: directory)
        let layers = try plan.layers.enumerated().map { index, size in
            let path = "\(directory)/layer"
            var writer = LayerWriter(seed: plan.seed &* 1_000_003 &+ UInt64(index))
            let layer = try writer.write(size, name: "usr/share/bench/layer-\(index).bin", to: path)
            try storage.move(path, in: layer.digest)
            return layer
        }
        func make(_ images: [CorpusPlan.Image]) throws -> [Image] {
            try images.enumerated().map { index, image in
                try Self.write(image, number: index, layers: image.layers.map { layers[$0] }, to: storage)
            }
        }
        images = try make(plan.images)
        previous = try make(plan.previous)
        self.storage = storage
    }

    private static func write(
        _ plan: CorpusPlan.Image, number: Int, layers: [LayerWriter.Layer], to storage: RegistryStorage
    ) throws -> Image {
        let differences = layers.map { "\"\($0.diffID)\"" }.joined(separator: ",")
        let config = try storage.put(
            """
            {"architecture":"amd64","os":"linux","created":"2024-01-01T00:00:00Z",\
            "config":{"Labels":{"number":"\(number)"}},\
            "rootfs":{"type":"layers","diff_ids":[\(differences)]}}
            """)
        let prefix = "application/vnd.oci.image"
        let descriptors = layers.map {
            "{\"mediaType\":\"\(prefix).layer.v1.tar+gzip\",\"digest\":\"\($0.digest)\",\"size\":\($0.size)}"
        }.joined(separator: ",")
        let manifest = try storage.put(
            """
            {"schemaVersion":2,"mediaType":"\(prefix).manifest.v1+json",\
            "config":{"mediaType":"\(prefix).config.v1+json","digest":"\(config.digest)","size":\(config.size)},\
            "layers":[\(descriptors)]}
            """)
        let blobs = [config] + layers.map { Content(digest: $0.digest, size: $0.size) }
        for blob in blobs { try storage.link(blob.digest, in: plan.repository) }
        try storage.link(manifest: manifest.digest, tag: plan.tag, in: plan.repository)
        return Image(repository: plan.repository, tag: plan.tag, manifest: manifest, blobs: blobs)
    }
}
