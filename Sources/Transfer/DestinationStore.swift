import HTTP
public import OCI
public import Registry

/// What a registry over the network and a layout on this machine's disk are asked alike, to see what is there and to
/// remove it.
public protocol RegistryContents: Sendable {
    /// A repository's tags.
    ///
    /// - Throws: `RegistryError.notFound` where there is no such repository
    func tags(_ repository: Repository) async throws(RegistryError) -> [Tag]

    /// A manifest's digest and length; `nil` where it is not there.
    func manifestHead(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> ManifestHead?

    /// A manifest, verified.
    func manifest(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> FetchedManifest

    /// Deletes a manifest, or a tag.
    ///
    /// - Throws: `RegistryError.notFound`
    func deleteManifest(_ repository: Repository, _ reference: ManifestReference) async throws(RegistryError)
}

/// What content is brought to: a registry over the network, or an image layout on this machine's disk.
///
/// A layout answers in a registry's words, so that nothing else of a pass asks which of the two it is.
protocol DestinationStore: RegistryContents {
    /// How messages call it: a host, or a path.
    var place: String { get }

    /// Asks for a blob of another repository to be made available in this one.
    func mountBlob(
        _ digest: Digest, from source: Repository, to repository: Repository
    ) async throws(RegistryError) -> MountOutcome

    /// Whether a blob is shown, and not only said to be there.
    func proof(
        ofBlob digest: Digest, in repository: Repository, size: Int64
    ) async throws(RegistryError) -> ContentProof

    /// Whether a manifest is shown, and hashes to its digest; with a tag, whether that names it.
    func proof(
        ofManifest digest: Digest, in repository: Repository, at tag: Tag?
    ) async throws(RegistryError) -> ContentProof

    /// Reads a whole blob back and hashes it, as fast as a meter lets it.
    ///
    /// - Throws: `TransferError.destinationFailed` where nothing is known; `.paused` where the meter stops it; `.cancelled`
    func readBack(
        _ digest: Digest, of size: Int64, in repository: Repository, meter: any ByteMeter
    ) async throws(TransferError) -> ContentProof

    /// Stores a manifest, byte for byte.
    func putManifest(
        _ repository: Repository, _ reference: ManifestReference, bytes: [UInt8], mediaType: MediaType
    ) async throws(RegistryError) -> ManifestReceipt

    /// Stores a manifest's bytes as a blob of their own.
    func uploadAsBlob(_ bytes: [UInt8], digest: Digest, to repository: Repository) async throws(RegistryError)

    /// Gives up an upload.
    func cancel(_ session: UploadSession) async

    /// Whether a spool file becomes the blob there, and not only its source.
    var keepsSpoolFiles: Bool { get }

    /// Brings one blob to one repository, following its pump: nothing is published before the digest is verified.
    ///
    /// - Parameter offered: an upload session that is there already; taken over, to be used or cancelled
    /// - Throws: `TransferError.destinationFailed`, `.cancelled`
    func take(
        _ descriptor: Descriptor, into repository: Repository, from pump: BlobPump, _ spooled: SpooledBlob,
        offered: UploadSession?, _ context: TransferContext
    ) async throws(TransferError)
}

extension RegistryClient: RegistryContents, DestinationStore {
    var keepsSpoolFiles: Bool { false }

    var place: String { endpoint.name }

    func take(
        _ descriptor: Descriptor, into repository: Repository, from pump: BlobPump, _ spooled: SpooledBlob,
        offered: UploadSession?, _ context: TransferContext
    ) async throws(TransferError) {
        try await BlobUpload(
            descriptor: descriptor, repository: repository, client: self, pump: pump, spooled: spooled,
            context: context
        ).run(in: offered)
    }

    func readBack(
        _ digest: Digest, of size: Int64, in repository: Repository, meter: any ByteMeter
    ) async throws(TransferError) -> ContentProof {
        var last = "\(endpoint.name) did not serve \(digest) to its end"
        // A connection that broke for a reason of its own is no proof of anything: the registry has a second chance.
        for _ in 0..<2 {
            let sink = HashSink(digest.algorithm, meter: meter)
            do throws(RegistryError) {
                _ = try await fetchBlob(repository, digest, size: size, into: sink)
                let found = sink.finish()
                if found == digest { return .shown }
                return .broken("\(endpoint.name) serves bytes for \(digest) that hash to \(found)")
            } catch {
                if sink.isStopped, case .stopped(let pause) = meter.standing { throw .pausedReading(pause) }
                switch error.code {
                case .notFound: return .absent
                case .protocolViolation: return .broken("\(error)")
                case .network where [.truncatedBody, .connectionReset].contains(error.transport): last = "\(error)"
                case _ where error.status == 500: last = "\(error)"
                default: throw TransferError(destination: error)
                }
            }
        }
        return .broken(last)
    }
}

extension TransferError {
    static func pausedReading(_ pause: TransferPause) -> TransferError {
        TransferError(.paused, "the budget for reading back is used up: \(pause)")
    }
}

/// Hashes a body as it arrives, on the event-loop thread: 16 KiB take ten microseconds, and the meter keeps it slow.
private final class HashSink: BodySink, @unchecked Sendable {
    private let meter: any ByteMeter
    private let algorithm: Digest.Algorithm
    // Event-loop thread only, and after the request's end its owner's.
    private var computation: DigestComputation?
    private var flow: MeteredFlow?
    /// Whether the budget ended it.
    private(set) var isStopped = false

    init(_ algorithm: Digest.Algorithm, meter: any ByteMeter) {
        self.meter = meter
        self.algorithm = algorithm
        computation = DigestComputation(algorithm)
    }

    func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition {
        flow = MeteredFlow { control.resume() }
        return .stream
    }

    func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
        guard let flow else { return .refuse }
        switch meter.admit(bytes.count, of: flow) {
        case .now: break
        case .later: return .pause
        case .stop:
            isStopped = true
            return .refuse
        }
        computation?.update(bytes)
        return .consumed
    }

    /// The digest of all bytes. Once.
    func finish() -> Digest {
        computation.take()?.finish() ?? Digest(of: [], algorithm: algorithm)
    }
}
