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

    /// What came of a mount.
    enum Mounting: Sendable {
        case mounted
        /// It is to be uploaded: in this session, where the registry began one.
        case refused(UploadSession?)
    }

    /// Mounts a blob from another repository, where the registry does that.
    func mount(_ digest: Digest, from: Repository, to: Repository) async -> Mounting {
        guard let from = try? name(of: from), let to = try? name(of: to) else { return .refused(nil) }
        if from == to { return .mounted }
        guard let result = try? await client.mountBlob(digest, from: from, to: to) else { return .refused(nil) }
        switch result {
        case .mounted: return .mounted
        case .session(let session): return .refused(session)
        case .refused: return .refused(nil)
        }
    }

    /// Whether the destination serves an entry, and not only says that it has it.
    func proof(of entry: ClosureEntry) async throws(TransferError) -> ContentProof {
        let repository = try name(of: entry.repository)
        do {
            return switch entry.kind {
            case .blob: try await client.proof(ofBlob: entry.digest, in: repository, size: entry.size)
            case .manifest: try await client.proof(ofManifest: entry.digest, in: repository, at: nil)
            }
        } catch {
            if error.status == 500 { throw TransferError(.destinationUnreadable, "\(error)") }
            throw TransferError(destination: error)
        }
    }

    /// The same, and whether a tag names it: one question where it does.
    func proof(
        of entry: ClosureEntry, taggedAs tag: Tag?
    ) async throws(TransferError) -> (proof: ContentProof, isTagged: Bool) {
        guard let tag, entry.kind == .manifest else { return (try await proof(of: entry), false) }
        let repository = try name(of: entry.repository)
        do {
            if case .shown = try await client.proof(ofManifest: entry.digest, in: repository, at: tag) {
                return (.shown, true)
            }
        } catch {
            // What the tag names may be damaged; the manifest itself is asked for then.
            if error.status != 500 { throw TransferError(destination: error) }
        }
        return (try await proof(of: entry), false)
    }

    /// Pushes a manifest, byte for byte: under a tag that it may have, otherwise by its digest.
    ///
    /// A registry that refuses the tag, for a rule of its own, gets the manifest all the same; what became of the tag is
    /// another question.
    ///
    /// - Returns: whether it was pushed under the tag
    @discardableResult
    func push(
        _ manifest: FetchedManifest, _ entry: ClosureEntry, tag: TagAssignment? = nil
    ) async throws(TransferError) -> Bool {
        let repository = try name(of: entry.repository)
        do throws(RegistryError) {
            if let tag, try await mayAssign(tag, in: repository) {
                do throws(RegistryError) {
                    try await put(manifest, at: .tag(tag.tag), in: repository)
                    return true
                } catch {
                    guard !error.isTransient, error.code != .cancelled else { throw error }
                }
            }
            try await put(manifest, at: .digest(entry.digest), in: repository)
            return false
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
