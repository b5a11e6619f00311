import Glibc
import OCI

/// Where blobs under way are kept: small ones in memory, large ones each in a file, within a bound on bytes of each.
final class SpoolDirectory: Sendable {
    private let path: String
    private let memory: ByteBudget
    private let disk: ByteBudget
    private let smallBlobSize: Int64

    /// - Parameters:
    ///   - path: an existing or creatable directory
    ///   - memoryLimit: bytes of blobs in memory at once
    ///   - diskLimit: bytes of spool files at once
    ///   - smallBlobSize: blobs of at most this many bytes stay in memory
    init(path: String, memoryLimit: Int64, diskLimit: Int64, smallBlobSize: Int64) throws(TransferError) {
        self.path = path
        memory = ByteBudget(limit: memoryLimit)
        disk = ByteBudget(limit: diskLimit)
        self.smallBlobSize = smallBlobSize
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw TransferError(.spoolFailed, "cannot create the spool directory \(path): \(String(cString: strerror(errno)))")
        }
    }

    /// Keeps room for a blob for the length of `body`.
    ///
    /// - Throws: `TransferError.spoolFull` for a blob above the bound or a full disk
    func withStorage<Result>(
        for descriptor: Descriptor, _ body: (SpooledBlob) async throws(TransferError) -> Result
    ) async throws(TransferError) -> Result {
        if descriptor.size <= smallBlobSize {
            return try await memory.withBytes(descriptor.size) { () async throws(TransferError) in
                try await body(SpooledBlob(storage: .memory, present: ByteRanges(), record: { _, _ in }, discard: {}))
            }
        }
        guard descriptor.size <= disk.limit else {
            throw TransferError(
                .spoolFull,
                "\(descriptor.digest) has \(descriptor.size) bytes, more than the spool's bound of \(disk.limit):"
                    + " raise 'limits.spool'")
        }
        return try await disk.withBytes(descriptor.size) { () async throws(TransferError) in
            let file = try SpoolFile(path: "\(path)/\(descriptor.digest.algorithm.rawValue)-\(descriptor.digest.hex)", size: descriptor.size)
            return try await body(
                SpooledBlob(storage: .file(file), present: ByteRanges(), record: { _, _ in }, discard: { file.discard() }))
        }
    }
}

/// One blob's place in the spool.
struct SpooledBlob: Sendable {
    let storage: BlobPump.Storage
    /// What an earlier run left behind, verified against its checksums.
    let present: ByteRanges
    /// Records bytes that are in the file.
    let record: @Sendable (_ range: Range<Int64>, _ checksum: UInt64) -> Void
    /// Removes the file and what the journal says of it.
    let discard: @Sendable () -> Void
}
