import OCI
import Registry

/// What content is brought to: a registry over the network, or an image layout on this machine's disk.
///
/// A layout answers in a registry's words, so that nothing else of a pass asks which of the two it is.
protocol DestinationStore: Sendable {
    /// Asks for a blob of another repository to be made available in this one.
    func mountBlob(
        _ digest: Digest, from source: Repository, to repository: Repository
    ) async throws(RegistryError) -> MountOutcome

    /// The size of a blob in bytes; `nil` where it is not there.
    func blobSize(_ repository: Repository, _ digest: Digest) async throws(RegistryError) -> Int64?

    /// A manifest's digest and length; `nil` where it is not there.
    func manifestHead(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> ManifestHead?

    /// A manifest, verified.
    func manifest(
        _ repository: Repository, _ reference: ManifestReference
    ) async throws(RegistryError) -> FetchedManifest

    /// Stores a manifest, byte for byte.
    func putManifest(
        _ repository: Repository, _ reference: ManifestReference, bytes: [UInt8], mediaType: MediaType
    ) async throws(RegistryError) -> ManifestReceipt

    /// Gives up an upload.
    func cancel(_ session: UploadSession) async

    /// Brings one blob to one repository, following its pump: nothing is published before the digest is verified.
    ///
    /// - Throws: `TransferError.destinationFailed`, `.cancelled`
    func take(
        _ descriptor: Descriptor, into repository: Repository, from pump: BlobPump, _ spooled: SpooledBlob,
        _ context: TransferContext
    ) async throws(TransferError)
}

extension RegistryClient: DestinationStore {
    func take(
        _ descriptor: Descriptor, into repository: Repository, from pump: BlobPump, _ spooled: SpooledBlob,
        _ context: TransferContext
    ) async throws(TransferError) {
        try await BlobUpload(
            descriptor: descriptor, repository: repository, client: self, pump: pump, spooled: spooled,
            context: context
        ).run()
    }
}
