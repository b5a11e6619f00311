import Dispatch
import ImageLayout
import OCI
import Registry

/// An image layout as a destination: a blob's verified spool file becomes the blob, without a copy and without a request.
struct LayoutStore: DestinationStore {
    let layout: ImageLayout

    func mountBlob(
        _ digest: Digest, from source: Repository, to repository: Repository
    ) async throws(RegistryError) -> MountOutcome {
        let isMounted = try await perform { layout throws(LayoutError) in
            try layout.mount(digest, from: source, to: repository)
        }
        return isMounted
            ? .mounted
            : .refused(RegistryError(.notFound, "\(source) has no blob \(digest)", url: layout.path))
    }

    func blobSize(_ repository: Repository, _ digest: Digest) async throws(RegistryError) -> Int64? {
        // Who asks relies on the answer: the blob is not brought again, and a manifest will name it.
        try await perform { layout throws(LayoutError) in
            try layout.blobSize(digest, in: repository, keeping: true)
        }
    }

    func manifestHead(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> ManifestHead? {
        try await perform { layout throws(LayoutError) in try layout.manifestEntry(reference, in: repository) }
            .map { ManifestHead(digest: $0.digest, size: $0.size, mediaType: $0.mediaType) }
    }

    func manifest(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> FetchedManifest {
        let stored = try await perform { layout throws(LayoutError) in try layout.manifest(reference, in: repository) }
        guard let stored else {
            throw RegistryError(.notFound, "\(repository) has no manifest \(reference)", url: layout.path)
        }
        do {
            return FetchedManifest(
                bytes: stored.bytes, digest: stored.entry.digest,
                manifest: try Manifest(parsing: stored.bytes, contentType: stored.entry.mediaType))
        } catch {
            throw RegistryError(.protocolViolation, error.message, url: layout.path)
        }
    }

    func putManifest(
        _ repository: Repository, _ reference: ManifestReference, bytes: [UInt8], mediaType: MediaType
    ) async throws(RegistryError) -> ManifestReceipt {
        let digest = try await perform { layout throws(LayoutError) in
            try layout.putManifest(bytes, type: mediaType, as: reference, in: repository).entry.digest
        }
        return ManifestReceipt(digest: digest, acknowledgesSubject: true)
    }

    /// There are no sessions to give up: nothing of a blob is in the layout before all of it is.
    func cancel(_ session: UploadSession) async {}

    func take(
        _ descriptor: Descriptor, into repository: Repository, from pump: BlobPump, _ spooled: SpooledBlob,
        _ context: TransferContext
    ) async throws(TransferError) {
        guard case .verified = await pump.result() else {
            throw TransferError(.cancelled, "\(descriptor.digest) did not arrive")
        }
        let digest = descriptor.digest
        do throws(RegistryError) {
            switch spooled.storage {
            case .file(let file):
                try await perform { layout throws(LayoutError) in
                    try layout.adopt(file.path, as: digest, in: repository)
                }
            case .memory:
                let bytes = await pump.contents()
                try await perform { layout throws(LayoutError) in
                    try layout.putBlob(bytes, as: digest, in: repository)
                }
            }
        } catch {
            throw TransferError(destination: error)
        }
    }

    /// The disk blocks its thread: not one of the few that all tasks share, but one of Dispatch's (64 at most).
    private func perform<Value: Sendable>(
        _ work: @escaping @Sendable (ImageLayout) throws(LayoutError) -> Value
    ) async throws(RegistryError) -> Value {
        let layout = layout
        let result: Result<Value, LayoutError> = await withCheckedContinuation { continuation in
            Self.queue.async {
                do throws(LayoutError) {
                    continuation.resume(returning: .success(try work(layout)))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
        }
        do {
            return try result.get()
        } catch {
            throw RegistryError(error)
        }
    }

    private static let queue = DispatchQueue(label: "rollcall.layout", attributes: .concurrent)
}

extension RegistryError {
    /// What a layout did not do, in the words of a registry.
    fileprivate init(_ error: LayoutError) {
        let code: Code =
            switch error.code {
            case .blobUnknown, .manifestUnknown: .notFound
            case .missingContent: .blobUnknown
            case .digestMismatch: .digestMismatch
            case .invalidManifest, .sizeMismatch, .damaged: .protocolViolation
            case .permissionDenied: .denied
            case .tooMany: .tooLarge
            default: .unavailable
            }
        self.init(code, error.message, url: error.location)
    }
}
