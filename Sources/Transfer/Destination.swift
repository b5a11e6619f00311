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

    /// Whether the destination serves an entry, and not only says that it has it.
    func proof(of entry: ClosureEntry) async throws(TransferError) -> ContentProof {
        let repository = try name(of: entry.repository)
        do {
            return switch entry.kind {
            case .blob: try await client.proof(ofBlob: entry.digest, in: repository, size: entry.size)
            case .manifest: try await client.proof(ofManifest: entry.digest, in: repository)
            }
        } catch {
            if error.status == 500 { throw TransferError(.destinationUnreadable, "\(error)") }
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
    ///
    /// - Returns: whether it was changed: not where it points there already, or must not be moved
    func assign(_ tag: TagAssignment) async throws(TransferError) -> Bool {
        let repository = try name(of: tag.repository)
        do {
            let current = try await client.manifestHead(repository, .tag(tag.tag))
            guard current?.digest != tag.digest, current == nil || tag.moves else { return false }
            let manifest = try await client.manifest(repository, .digest(tag.digest))
            _ = try await client.putManifest(
                repository, .tag(tag.tag), bytes: manifest.bytes, mediaType: manifest.manifest.mediaType)
            return true
        } catch {
            throw TransferError(destination: error)
        }
    }
}
