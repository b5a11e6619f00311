import Dispatch
public import ImageLayout
public import OCI
public import Registry

/// An image layout as a destination: a blob's verified spool file becomes the blob, without a copy and without a request.
public struct LayoutStore: DestinationStore {
    let layout: ImageLayout

    /// - Parameter layout: the layout
    public init(_ layout: ImageLayout) { self.layout = layout }

    var keepsSpoolFiles: Bool { true }

    public func tags(_ repository: Repository) async throws(RegistryError) -> [Tag] {
        let index = try await perform { layout throws(LayoutError) in try layout.index(of: repository) }
        guard let index else {
            throw RegistryError(.notFound, "there is no repository \(repository)", url: layout.path)
        }
        return index.sortedTags
    }

    public func deleteManifest(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) {
        try await perform { layout throws(LayoutError) in
            switch reference {
            case .tag(let tag): try layout.deleteTag(tag, in: repository)
            case .digest(let digest): try layout.deleteManifest(digest, in: repository)
            }
        }
    }

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

    /// By the file's size, which the file system answers for; what it holds, `readBack` shows.
    func proof(
        ofBlob digest: Digest, in repository: Repository, size: Int64
    ) async throws(RegistryError) -> ContentProof {
        let found = try await perform { layout throws(LayoutError) in
            // Who asks relies on the answer: the blob is not brought again, and a manifest will name it.
            try layout.blobSize(digest, in: repository, keeping: true)
        }
        guard let found else { return .absent }
        return found == size ? .shown : .broken("\(layout.path) has \(found) bytes of \(digest), which has \(size)")
    }

    var place: String { layout.path }

    func proof(
        ofManifest digest: Digest, in repository: Repository, at tag: Tag?
    ) async throws(RegistryError) -> ContentProof {
        do throws(RegistryError) {
            let manifest = try await perform { layout throws(LayoutError) in
                try layout.manifest(tag.map { .tag($0) } ?? .digest(digest), in: repository)
            }
            guard let manifest else { return .absent }
            return manifest.entry.digest == digest ? .shown : .broken("\(layout.path) has another manifest")
        } catch {
            guard error.code == .protocolViolation else { throw error }
            return .broken("\(error)")
        }
    }

    func readBack(
        _ digest: Digest, of size: Int64, in repository: Repository, meter: any ByteMeter
    ) async throws(TransferError) -> ContentProof {
        do throws(RegistryError) {
            let blob = try await perform { layout throws(LayoutError) in try layout.openBlob(digest, in: repository) }
            guard let blob else { return .absent }
            let hash = FileHash(blob, digest.algorithm)
            if let found = try await read(hash, meter) {
                return found == digest
                    ? .shown : .broken("\(layout.path) has bytes of \(digest) that hash to \(found)")
            }
        } catch {
            throw TransferError(destination: error)
        }
        guard case .stopped(let pause) = meter.standing else {
            throw TransferError(.cancelled, "reading \(digest) back was stopped")
        }
        throw .pausedReading(pause)
    }

    /// - Returns: `nil` where the meter or a cancellation stopped it
    private func read(_ hash: FileHash, _ meter: any ByteMeter) async throws(RegistryError) -> Digest? {
        let (turns, resume) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let flow = MeteredFlow { resume.yield() }
        var turn = turns.makeAsyncIterator()
        while hash.left > 0 {
            guard !Task.isCancelled else { return nil }
            switch meter.admit(min(FileHash.piece, Int(clamping: hash.left)), of: flow) {
            case .now: try await perform { _ throws(LayoutError) in try hash.advance() }
            case .later: _ = await turn.next()
            case .stop: return nil
            }
        }
        return hash.finish()
    }

    func uploadAsBlob(_ bytes: [UInt8], digest: Digest, to repository: Repository) async throws(RegistryError) {
        try await perform { layout throws(LayoutError) in try layout.putBlob(bytes, as: digest, in: repository) }
    }

    public func manifestHead(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> ManifestHead? {
        try await perform { layout throws(LayoutError) in try layout.manifestEntry(reference, in: repository) }
            .map { ManifestHead(digest: $0.digest, size: $0.size, mediaType: $0.mediaType) }
    }

    public func manifest(
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
        offered: UploadSession?, _ context: TransferContext
    ) async throws(TransferError) {
        guard case .verified = await pump.result() else {
            throw TransferError(.cancelled, "\(descriptor.digest) did not arrive")
        }
        let digest = descriptor.digest
        do throws(RegistryError) {
            switch spooled.storage {
            case .file(let file):
                try await perform { layout throws(LayoutError) in
                    try layout.adopt(file.path, verified: file.identity(), as: digest, in: repository)
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

/// Hashes a file piece by piece; one owner at a time.
private final class FileHash: @unchecked Sendable {
    /// Bytes at a time: what a meter is used to.
    static let piece = 16 << 10

    private let blob: OpenBlob
    private let algorithm: Digest.Algorithm
    private var computation: DigestComputation?
    private var hashed: Int64 = 0
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece, alignment: 16)

    init(_ blob: OpenBlob, _ algorithm: Digest.Algorithm) {
        self.blob = blob
        self.algorithm = algorithm
        computation = DigestComputation(algorithm)
    }

    deinit { buffer.deallocate() }

    /// Bytes that are not hashed yet.
    var left: Int64 { blob.size - hashed }

    /// Hashes the next piece. Blocks on the disk.
    func advance() throws(LayoutError) {
        let count = try blob.read(into: buffer, at: hashed)
        guard count > 0 else {
            throw LayoutError(.damaged, "the file became shorter while it was read", at: "blob")
        }
        computation?.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        hashed += Int64(count)
    }

    /// The digest of all bytes. Once.
    func finish() -> Digest { computation.take()?.finish() ?? Digest(of: [], algorithm: algorithm) }
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
            case .permissionDenied, .inUse: .denied
            case .tooMany: .tooLarge
            default: .unavailable
            }
        self.init(code, error.message, url: error.location)
    }
}
