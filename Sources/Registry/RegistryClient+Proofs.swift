import HTTP
public import OCI

/// What a registry can show of content, beyond saying that it has it.
public enum ContentProof: Sendable, Hashable {
    /// It serves it, as far as it was looked at.
    case shown
    /// It does not have it.
    case absent
    /// It says that it has it, and does not serve it; why, in words.
    case broken(String)
}

extension RegistryClient {
    /// Asks a registry for a blob's last byte: the cheapest question that cannot be answered from memory.
    ///
    /// A HEAD can. distribution keeps descriptors of blobs in a cache and answers from it for as long as the process
    /// lives, although the file is gone, cut short or empty; for a GET it opens the file. So one byte, the last one, shows
    /// that the content is there in its full length. It does not show that the bytes are the right ones.
    ///
    /// A registry that ignores ranges is left after the first byte of the whole blob, which shows less: that there is a
    /// beginning, and the length that the registry says.
    ///
    /// - Parameters:
    ///   - repository: the repository
    ///   - digest: the blob's digest
    ///   - size: its length in bytes as its descriptor says
    /// - Throws: `RegistryError` where nothing is known: network, 401, 403, 429, 5xx. Also a 500, with its status, that
    ///   stays for this one blob: distribution answers so where a file cannot be read.
    public func proof(ofBlob digest: Digest, in repository: Repository, size: Int64) async throws(RegistryError)
        -> ContentProof
    {
        guard size > 0 else {
            guard let found = try await blobSize(repository, digest) else { return .absent }
            return found == 0 ? .shown : .broken("\(endpoint.name) has \(found) bytes where there should be none")
        }
        var answer = try await askForLastByte(of: digest, in: repository, size: size)
        // A connection that broke for a reason of its own looks the same: the registry has a second chance to show it.
        if case .broken = answer { answer = try await askForLastByte(of: digest, in: repository, size: size) }
        return answer
    }

    private func askForLastByte(of digest: Digest, in repository: Repository, size: Int64) async throws(RegistryError)
        -> ContentProof
    {
        var exchange = Exchange(
            .get, blobURL(repository, digest),
            headers: ["Accept-Encoding": "identity", "Range": "bytes=\(size - 1)-\(size - 1)"],
            accepts: [200, 206, 404, 416])
        exchange.judge = { head in [200, 206].contains(head.status) ? .peek(1) : .take(length: nil) }
        let reply = try await perform(exchange, scopes: [.pull(repository)])
        switch reply.status {
        case 404: return .absent
        case 416: return .broken("\(reply.url.authority) has fewer than the \(size) bytes of \(digest)")
        default: break
        }
        let range = reply.head.headers["Content-Range"].flatMap { ContentRange($0) }
        // Of an encoded body neither the length nor a range says anything about the blob.
        let isEncoded =
            reply.head.headers["Content-Encoding"].map { !$0.trimmed.equalsIgnoringCase("identity") } ?? false
        let length = reply.status == 206 ? range?.total : isEncoded ? nil : reply.head.contentLength
        if let length, length != size {
            return .broken("\(reply.url.authority) has \(length) bytes of \(digest), which has \(size)")
        }
        guard !reply.body.isEmpty else {
            return .broken("\(reply.url.authority) says that it has \(digest), and serves no byte of it")
        }
        return .shown
    }

    /// Reads a manifest and hashes it: it is small, and a registry reads it for a HEAD as well.
    ///
    /// - Parameters:
    ///   - digest: the manifest's digest
    ///   - repository: the repository
    ///   - tag: asks for what the tag names instead; another manifest is `broken` then
    /// - Throws: as `proof(ofBlob:in:size:)`
    public func proof(
        ofManifest digest: Digest, in repository: Repository, at tag: Tag? = nil
    ) async throws(RegistryError) -> ContentProof {
        let reference = tag?.name ?? digest.description
        var exchange = Exchange(
            .get, endpoint.api("\(repository)/manifests/\(reference)"), headers: Self.acceptManifests,
            accepts: [200, 404])
        exchange.bodyLimit = Manifest.maximumSize
        exchange.judge = { head in .take(length: head.contentLength) }
        let reply = try await perform(exchange, scopes: [.pull(repository)])
        if reply.status == 404 { return .absent }
        let found = Digest(of: reply.body, algorithm: digest.algorithm)
        return found == digest
            ? .shown : .broken("\(reply.url.authority) serves bytes for the manifest \(digest) that hash to \(found)")
    }

    /// Uploads a manifest's bytes as a blob of their own.
    ///
    /// distribution does not write a manifest again that its cache still knows, although the file behind it is gone: a
    /// push is answered with 201 and changes nothing. An upload looks at the file itself, and manifests and blobs lie in
    /// the same place.
    ///
    /// - Throws: `RegistryError`
    public func uploadAsBlob(_ bytes: [UInt8], digest: Digest, to repository: Repository) async throws(RegistryError) {
        let session = try await startUpload(repository, algorithm: digest.algorithm)
        try await uploadMonolithic(
            session, digest: digest, length: Int64(bytes.count), source: BytesSource(bytes))
    }
}

/// A body of bytes that are in memory.
final class BytesSource: BodySource {
    private let bytes: [UInt8]
    // Event-loop thread only.
    nonisolated(unsafe) private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func begin(_ control: TransferControl) {}

    func read(into buffer: UnsafeMutableRawBufferPointer) -> BodySourceAnswer {
        let count = min(buffer.count, bytes.count - position)
        guard count > 0 else { return .fail }
        buffer.copyBytes(from: bytes[position..<position + count])
        position += count
        return .bytes(count)
    }
}
