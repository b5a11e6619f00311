public import OCI

extension ScriptedRegistry {
    /// Stores a blob and returns its descriptor.
    @discardableResult
    public func store(
        _ content: Content, in repository: String, mediaType: String = "application/octet-stream",
        algorithm: Digest.Algorithm = .sha256
    ) -> Descriptor {
        let digest =
            switch content {
            case .bytes(let bytes): Digest(of: bytes, algorithm: algorithm)
            case .generated(let generated): generated.digest(algorithm)
            }
        store(content, as: digest, in: repository)
        return Descriptor(mediaType: MediaType(mediaType), digest: digest, size: content.count)
    }

    /// Stores content under a digest, whether it is its own or not: what a registry with bit-rot holds.
    public func store(_ content: Content, as digest: Digest, in repository: String) {
        state.update { state in
            state.contents[digest] = content
            state.repositories[repository, default: Repository()].blobs.insert(digest)
        }
    }

    /// Stores a manifest as it is, with nothing checked, and returns its descriptor.
    @discardableResult
    public func storeManifest(
        _ bytes: [UInt8], type: MediaType = .ociManifest, in repository: String, tag: String? = nil,
        as digest: Digest? = nil
    ) -> Descriptor {
        let digest = digest ?? Digest(of: bytes)
        state.update { state in
            state.repositories[repository, default: Repository()].manifests[digest] = (type.name, bytes)
            if let tag { state.repositories[repository, default: Repository()].tags[tag] = digest }
        }
        return Descriptor(mediaType: type, digest: digest, size: Int64(bytes.count))
    }

    /// Stores an image with all its blobs.
    public func store(_ image: TestImage, in repository: String, tag: String? = nil) {
        for blob in image.blobs { store(blob.content, as: blob.descriptor.digest, in: repository) }
        for child in image.children { store(child, in: repository) }
        storeManifest(
            image.manifest, type: image.descriptor.mediaType, in: repository, tag: tag, as: image.descriptor.digest)
    }

    /// A blob's content, as far as a repository holds it.
    public func blob(_ digest: Digest, in repository: String) -> Content? {
        state.read { state in
            state.repositories[repository]?.blobs.contains(digest) == true ? state.contents[digest] : nil
        }
    }

    /// A manifest's bytes, as far as a repository holds it.
    public func manifest(_ digest: Digest, in repository: String) -> [UInt8]? {
        state.read { $0.repositories[repository]?.manifests[digest]?.bytes }
    }

    /// What a tag points to.
    public func tag(_ tag: String, in repository: String) -> Digest? {
        state.read { $0.repositories[repository]?.tags[tag] }
    }

    /// The digests of the blobs in a repository.
    public func blobs(in repository: String) -> Set<Digest> {
        state.read { $0.repositories[repository]?.blobs ?? [] }
    }

    /// The digests of the manifests in a repository.
    public func manifests(in repository: String) -> Set<Digest> {
        state.read { Set($0.repositories[repository]?.manifests.keys.map { $0 } ?? []) }
    }

    /// Removes a blob or a manifest from a repository.
    public func remove(_ digest: Digest, from repository: String) {
        state.update { state in
            state.repositories[repository]?.blobs.remove(digest)
            state.repositories[repository]?.manifests[digest] = nil
        }
    }
}
