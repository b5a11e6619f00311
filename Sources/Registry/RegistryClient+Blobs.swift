public import HTTP
public import OCI

/// What is known after a blob, or a range of it, was delivered.
public struct BlobDelivery: Sendable, Hashable {
    /// The whole blob's length in bytes, where the source says it.
    public let totalSize: Int64?
    /// Body bytes delivered.
    public let receivedBytes: Int64
    /// `HOST[:PORT]` that served the bytes: the registry, or the storage it redirects to.
    public let servedBy: String
}

extension RegistryClient {
    /// Asks whether a repository holds a blob.
    ///
    /// - Returns: the length in bytes; `nil` where it is not there
    /// - Throws: `RegistryError`; `.protocolViolation` where the blob is there and its length is not said.
    public func blobSize(_ repository: Repository, _ digest: Digest) async throws(RegistryError) -> Int64? {
        let url = blobURL(repository, digest)
        let headers: HTTPHeaders = ["Accept-Encoding": "identity"]
        let reply = try await perform(
            Exchange(.head, url, headers: headers, accepts: [200, 404, 405]), scopes: [.pull(repository)])
        if reply.status == 404 { return nil }
        if reply.status == 200, let size = reply.head.contentLength { return size }
        // HEAD may lack the length, or be unknown: the head of a GET says it, and the body is left.
        var exchange = Exchange(.get, url, headers: headers, accepts: [200, 404])
        exchange.judge = { _ in .abandon }
        let second = try await perform(exchange, scopes: [.pull(repository)])
        if second.status == 404 { return nil }
        guard let size = second.head.contentLength else {
            throw .violation("the registry has the blob, but does not say how long it is", second.url)
        }
        return size
    }

    /// Fetches a blob, or a closed range of it, into a sink. Nothing is verified but the length: the caller hashes.
    ///
    /// The sink sees the body of an answer that fits the question, and no other: errors, redirects, a 200 to a range
    /// request and a 206 of another range never reach it. Nothing is retried here: the caller continues with another
    /// range, connection or source, which asks the registry anew. A 429 or 503 pauses the host for everyone all the same.
    ///
    /// - Parameters:
    ///   - repository: the repository
    ///   - digest: the blob's digest
    ///   - range: the first and last position; `nil` for the whole blob
    ///   - size: the whole blob's length in bytes as its descriptor says, to refuse a wrong one before any byte
    ///   - sink: where the bytes go
    ///   - readSize: how many bytes are read at once, 1 KiB to 256 KiB
    ///   - receiveBuffer: bytes that the kernel may receive ahead, where a connection is opened for it; `nil` for the client's
    /// - Throws: `RegistryError`: `.notFound`; `.rangeIgnored` where the source answers with the whole blob;
    ///   `.rangeInvalid`; `.protocolViolation` for a wrong length, another range or an encoded body; `.network` with
    ///   `isTransient` for a body that broke off.
    public func fetchBlob(
        _ repository: Repository, _ digest: Digest, range: ClosedRange<Int64>? = nil, size: Int64? = nil,
        into sink: any BodySink, readSize: Int = 256 << 10, receiveBuffer: Int? = nil
    ) async throws(RegistryError) -> BlobDelivery {
        var exchange = Exchange(.get, blobURL(repository, digest), accepts: range == nil ? [200] : [200, 206])
        // An encoded body has other bytes than the digest covers.
        exchange.headers = ["Accept-Encoding": "identity"]
        if let range { exchange.headers["Range"] = "bytes=\(range.lowerBound)-\(range.upperBound)" }
        exchange.lane = .download
        exchange.timeouts = bodyTimeouts
        exchange.sink = sink
        exchange.readSize = readSize
        exchange.receiveBuffer = receiveBuffer
        exchange.judge = { head in
            switch BlobAnswer(head, range: range, size: size) {
            case .fits(let length, _): .take(length: length)
            case .rangeIgnored, .violates: .abandon
            }
        }
        let reply = try await perform(exchange, scopes: [.pull(repository)])
        switch BlobAnswer(reply.head, range: range, size: size) {
        case .fits(_, let total):
            return BlobDelivery(
                totalSize: total, receivedBytes: reply.receivedBytes, servedBy: reply.url.authority)
        case .rangeIgnored:
            throw RegistryError(
                .rangeIgnored, "\(reply.url.authority) ignores range requests: ask for whole blobs",
                url: reply.url.redacted, status: 200)
        case .violates(let reason):
            throw .violation(reason, reply.url, status: reply.status)
        }
    }

    func blobURL(_ repository: Repository, _ digest: Digest) -> HTTPURL {
        endpoint.api("\(repository)/blobs/\(digest)")
    }
}

/// Whether the head of a successful response fits the blob request. Pure.
///
/// `Accept-Ranges` is not looked at: registries serve ranges without it, and say it where they do not (Quay).
enum BlobAnswer: Equatable {
    /// The body has `length` bytes, where known, of a blob of `total` bytes.
    case fits(length: Int64?, total: Int64?)
    /// The whole blob in answer to a range.
    case rangeIgnored
    /// Not to be used, and why.
    case violates(String)

    init(_ head: HTTPResponseHead, range: ClosedRange<Int64>?, size: Int64?) {
        if let encoding = head.headers["Content-Encoding"], !encoding.trimmed.equalsIgnoringCase("identity") {
            self = .violates(
                "the blob is served with an encoding, so that its digest cannot be verified: a proxy does that")
            return
        }
        guard let range else {
            let length = head.contentLength
            if let size, let length, length != size {
                self = .violates("the blob has \(length) bytes, its descriptor says \(size)")
            } else {
                self = .fits(length: length ?? size, total: length ?? size)
            }
            return
        }
        guard head.status == 206 else {
            self = .rangeIgnored
            return
        }
        let values = head.headers.all("Content-Range")
        guard values.count == 1, let found = ContentRange(values[0]) else {
            self = .violates("a partial response without one readable Content-Range")
            return
        }
        guard found.bytes == range else {
            self = .violates(
                "asked for bytes \(range.lowerBound)-\(range.upperBound), got"
                    + " \(found.bytes.lowerBound)-\(found.bytes.upperBound)")
            return
        }
        if let size, let total = found.total, total != size {
            self = .violates("the blob has \(total) bytes, its descriptor says \(size)")
            return
        }
        let length = range.upperBound - range.lowerBound + 1
        if let announced = head.contentLength, announced != length {
            self = .violates("a range of \(length) bytes is announced with \(announced)")
            return
        }
        self = .fits(length: length, total: found.total ?? size)
    }
}
