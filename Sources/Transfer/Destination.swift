import HTTP
import OCI
import Registry

/// The registry that content is brought to, under the names that the mapping gives its repositories.
struct Destination: Sendable {
    let client: RegistryClient
    let mapping: RepositoryMapping

    func name(of repository: Repository) throws(TransferError) -> Repository {
        do {
            return try mapping.destination(of: repository)
        } catch {
            throw TransferError(.destinationFailed, "\(error)")
        }
    }

    /// Mounts a blob from another repository; `false` where the registry does not, for whatever reason.
    func mount(_ digest: Digest, from: Repository, to: Repository) async -> Bool {
        guard let from = try? name(of: from), let to = try? name(of: to) else { return false }
        if from == to { return true }
        guard let result = try? await client.mountBlob(digest, from: from, to: to) else { return false }
        switch result {
        case .mounted: return true
        case .session(let session):
            await client.cancel(session)
            return false
        case .refused: return false
        }
    }

    /// Whether the destination has an entry. Blobs by HEAD; manifests by HEAD of their digest.
    func has(_ entry: ClosureEntry) async throws(TransferError) -> Bool {
        let repository = try name(of: entry.repository)
        do {
            switch entry.kind {
            case .blob:
                guard let size = try await client.blobSize(repository, entry.digest) else { return false }
                return size == entry.size
            case .manifest:
                guard let found = try await client.manifestHead(repository, .digest(entry.digest)) else { return false }
                return found.digest == entry.digest
            }
        } catch {
            throw TransferError(destination: error)
        }
    }

    /// Whether the destination has an entry, and whether a tag names it: one question where it does, since who resolves
    /// the tag to a manifest serves that manifest.
    func has(_ entry: ClosureEntry, taggedAs tag: Tag?) async throws(TransferError) -> (isPresent: Bool, isTagged: Bool)
    {
        guard let tag else { return (try await has(entry), false) }
        let repository = try name(of: entry.repository)
        do {
            if try await client.manifestHead(repository, .tag(tag))?.digest == entry.digest { return (true, true) }
        } catch {
            throw TransferError(destination: error)
        }
        return (try await has(entry), false)
    }

    /// Pushes a manifest, byte for byte: under a tag that it may have, otherwise by its digest.
    ///
    /// A registry that refuses the tag, for a rule of its own, gets the manifest all the same; what became of the tag is
    /// another question.
    func push(
        _ manifest: FetchedManifest, _ entry: ClosureEntry, tag: TagAssignment? = nil
    ) async throws(TransferError) {
        let repository = try name(of: entry.repository)
        do throws(RegistryError) {
            if let tag, try await mayAssign(tag, in: repository) {
                do throws(RegistryError) {
                    return try await put(manifest, at: .tag(tag.tag), in: repository)
                } catch {
                    guard !error.isTransient, error.code != .cancelled else { throw error }
                }
            }
            try await put(manifest, at: .digest(entry.digest), in: repository)
        } catch {
            throw TransferError(destination: error)
        }
    }

    private func mayAssign(_ tag: TagAssignment, in repository: Repository) async throws(RegistryError) -> Bool {
        if tag.moves { return true }
        return try await client.manifestHead(repository, .tag(tag.tag)) == nil
    }

    private func put(
        _ manifest: FetchedManifest, at reference: ManifestReference, in repository: Repository
    ) async throws(RegistryError) {
        _ = try await client.putManifest(
            repository, reference, bytes: manifest.bytes, mediaType: manifest.manifest.mediaType)
    }

    /// Points a tag at a manifest that is here already.
    func assign(_ tag: TagAssignment) async throws(TransferError) {
        let repository = try name(of: tag.repository)
        do {
            let current = try await client.manifestHead(repository, .tag(tag.tag))
            guard current?.digest != tag.digest, current == nil || tag.moves else { return }
            let manifest = try await client.manifest(repository, .digest(tag.digest))
            _ = try await client.putManifest(
                repository, .tag(tag.tag), bytes: manifest.bytes, mediaType: manifest.manifest.mediaType)
        } catch {
            throw TransferError(destination: error)
        }
    }
}
