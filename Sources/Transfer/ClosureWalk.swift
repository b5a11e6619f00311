public import OCI
public import Registry

/// An image to walk: by tag, which is pinned on the way, or by digest.
public struct WalkedImage: Sendable {
    /// The repository.
    public let repository: Repository
    /// What the image's root manifest was asked for by.
    public let reference: ManifestReference
    /// The root manifest: its type, digest and size.
    public let root: Descriptor
    /// Everything that the image needs, the root included; sorted as in a closure.
    public let entries: [ClosureEntry]
}

/// Finds out what images need, by reading their manifests at a source: index, manifests, configs and layers.
///
/// Nondistributable layers are left out: their publishers do not let registries hold them, and an image that names one
/// is complete at a registry without it (distribution-spec v1.1.1; image-spec v1.1.1, layer.md).
public struct ClosureWalk: Sendable {
    private let source: RegistryClient

    /// Indexes within indexes, at most.
    static let depthLimit = 8
    /// Manifests of one image, at most.
    static let manifestLimit = 2_000
    /// Bytes of the manifests of one image, at most.
    static let byteLimit = 64 << 20
    /// Requests at once.
    static let requestsAtOnce = 8

    /// - Parameter source: the registry to read from
    public init(source: RegistryClient) {
        self.source = source
    }

    /// Walks one image. With platforms, an index is replaced by its children for those, each an image of its own.
    ///
    /// - Parameters:
    ///   - repository: the image's repository
    ///   - reference: its tag or digest
    ///   - platforms: the platforms wanted; empty for the image as it is
    /// - Returns: one image, or one for each wanted platform
    /// - Throws: `RegistryError` for what the registry refuses, `OCIError` for a platform that the image lacks or content
    ///   that is not copied
    public func images(
        _ repository: Repository, _ reference: ManifestReference, platforms: [Platform] = []
    ) async throws -> [WalkedImage] {
        let root = try await source.manifest(repository, reference)
        guard !platforms.isEmpty, root.manifest.mediaType.isIndex else {
            return [try await walk(repository, reference, root)]
        }
        var images: [WalkedImage] = []
        for platform in platforms {
            let matching = root.manifest.manifests.filter { $0.platform?.matches(platform) == true }
            guard !matching.isEmpty else {
                let offered = root.manifest.manifests.compactMap { $0.platform?.description }.joined(separator: ", ")
                throw OCIError(
                    .invalidManifest,
                    "\(repository)@\(root.digest) has no manifest for \(platform): it offers \(offered)")
            }
            for child in matching where !images.contains(where: { $0.root.digest == child.digest }) {
                let manifest = try await source.manifest(repository, .digest(child.digest))
                images.append(try await walk(repository, .digest(child.digest), manifest, platform: child.platform))
            }
        }
        return images
    }

    private func walk(
        _ repository: Repository, _ reference: ManifestReference, _ root: FetchedManifest, platform: Platform? = nil
    ) async throws -> WalkedImage {
        var entries: [ClosureEntry] = []
        var seen: Set<Digest> = [root.digest]
        var level = [WalkedManifest(root)]
        var bytes = root.bytes.count
        var depth = 0
        while !level.isEmpty {
            var children: [Digest] = []
            for manifest in level {
                entries.append(
                    ClosureEntry(
                        repository: repository, digest: manifest.digest, size: Int64(manifest.size),
                        kind: .manifest, mediaType: manifest.manifest.mediaType))
                for blob in manifest.manifest.blobs where !blob.mediaType.isNondistributable {
                    entries.append(
                        ClosureEntry(
                            repository: repository, digest: blob.digest, size: blob.size, kind: .blob,
                            mediaType: blob.mediaType))
                }
                children += manifest.manifest.manifests.map(\.digest).filter { seen.insert($0).inserted }
            }
            depth += 1
            // Before any of them is fetched.
            guard children.isEmpty || depth < Self.depthLimit, seen.count <= Self.manifestLimit else {
                throw OCIError(
                    .invalidManifest,
                    "\(repository)@\(root.digest) is nested deeper than \(Self.depthLimit) indexes or has more than"
                        + " \(Self.manifestLimit) manifests")
            }
            let source = source
            let answers = await bounded(children, atOnce: Self.requestsAtOnce) { digest in
                await Result { WalkedManifest(try await source.manifest(repository, .digest(digest))) }
            } stopWhen: { answer in
                if case .failure = answer { true } else { false }
            }
            level = []
            // The failure that stopped the others, not one of those that it stopped.
            for case .failure(let error) in answers.compactMap({ $0 })
            where (error as? RegistryError)?.code != .cancelled {
                throw error
            }
            for answer in answers {
                guard let answer else { throw CancellationError() }
                let manifest = try answer.get()
                bytes += manifest.size
                level.append(manifest)
            }
            guard bytes <= Self.byteLimit else {
                throw OCIError(
                    .invalidManifest,
                    "the manifests of \(repository)@\(root.digest) have more than \(Self.byteLimit >> 20) MiB together")
            }
        }
        return WalkedImage(
            repository: repository, reference: reference,
            root: Descriptor(
                mediaType: root.manifest.mediaType, digest: root.digest, size: Int64(root.bytes.count),
                platform: platform),
            entries: Closure(entries).entries)
    }
}

/// What of a manifest is needed once it was read: not its bytes.
private struct WalkedManifest: Sendable {
    let digest: Digest
    /// Its length in bytes.
    let size: Int
    let manifest: Manifest

    init(_ fetched: FetchedManifest) {
        (digest, size, manifest) = (fetched.digest, fetched.bytes.count, fetched.manifest)
    }
}

extension Result where Failure == any Error {
    fileprivate init(_ body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
