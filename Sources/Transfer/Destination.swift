import HTTP
import OCI
import Registry

/// The registry or layout that content is brought to, under the names that the mapping gives its repositories.
struct Destination: Sendable {
    let client: any DestinationStore
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

    /// Pushes a manifest by its digest, byte for byte.
    func push(_ manifest: FetchedManifest, _ entry: ClosureEntry) async throws(TransferError) {
        let repository = try name(of: entry.repository)
        do {
            _ = try await client.putManifest(
                repository, .digest(entry.digest), bytes: manifest.bytes, mediaType: manifest.manifest.mediaType)
        } catch {
            throw TransferError(destination: error)
        }
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
