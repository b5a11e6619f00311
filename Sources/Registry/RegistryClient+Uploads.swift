public import HTTP
public import OCI

/// What became of a cross-repository mount.
public enum MountOutcome: Sendable {
    /// The repository has the blob.
    case mounted
    /// Not mounted, but an upload session was started: use it.
    case session(UploadSession)
    /// Refused: start an upload. Any 4xx means no more than that (Harbor answers 401 for a project it does not know,
    /// goharbor/harbor#17097).
    case refused(RegistryError)
}

/// The registry's answer to a chunk.
public struct ChunkReceipt: Sendable, Hashable {
    /// The session to go on with.
    public let session: UploadSession
    /// How the offset that the registry named compares with what was sent.
    public let agreement: UploadRange.Agreement
}

extension RegistryClient {
    /// Asks the registry to make a blob of another of its repositories available in this one.
    ///
    /// - Parameters:
    ///   - digest: the blob
    ///   - source: a repository of the same registry that holds it
    ///   - repository: the repository that shall hold it
    /// - Throws: `RegistryError` for failures that say nothing of the mount: network, 429, 5xx.
    public func mountBlob(_ digest: Digest, from source: Repository, to repository: Repository)
        async throws(RegistryError) -> MountOutcome
    {
        let url = endpoint.api(
            "\(repository)/blobs/uploads/", query: "mount=\(digest)&from=\(source.name.queryEncoded)")
        let reply: Reply
        do {
            reply = try await perform(
                Exchange(.post, url, accepts: [201, 202]), scopes: [.push(repository), .pull(source)])
        } catch {
            // Also a token server may refuse the source's scope.
            if let status = error.status, (400...499).contains(status), !error.isTransient { return .refused(error) }
            throw error
        }
        if reply.status == 202 { return .session(try session(reply, repository: repository)) }
        if let found = Self.announcedDigest(reply.head), found.algorithm == digest.algorithm, found != digest {
            throw mismatch(expected: digest, found: found, reply)
        }
        return .mounted
    }

    /// Starts an upload.
    ///
    /// - Parameters:
    ///   - repository: the repository that will hold the blob
    ///   - algorithm: the digest's algorithm; others than SHA-256 are announced, as the specification's main branch has it
    /// - Throws: `RegistryError`
    public func startUpload(_ repository: Repository, algorithm: Digest.Algorithm = .sha256) async throws(RegistryError)
        -> UploadSession
    {
        let query = algorithm == .sha256 ? nil : "digest-algorithm=\(algorithm.rawValue)"
        let url = endpoint.api("\(repository)/blobs/uploads/", query: query)
        let reply = try await perform(Exchange(.post, url, accepts: [202]), scopes: [.push(repository)])
        return try session(reply, repository: repository)
    }

    /// Sends a whole blob in one request, which also commits it.
    ///
    /// The body is sent once. If the reply is lost, the registry is asked whether it has the blob before the upload
    /// counts as failed.
    ///
    /// - Parameters:
    ///   - session: a session to which nothing was sent
    ///   - digest: the blob's digest
    ///   - length: its length in bytes
    ///   - source: its bytes; not read where `length` is 0
    /// - Throws: `RegistryError`; with `isTransient`, a fresh session may succeed.
    public func uploadMonolithic(
        _ session: UploadSession, digest: Digest, length: Int64, source: any BodySource
    ) async throws(RegistryError) {
        var exchange = try exchange(.put, session, query: "digest=\(digest)", accepts: [200, 201, 202, 204])
        exchange.headers["Content-Type"] = "application/octet-stream"
        exchange.timeouts = commitTimeouts
        exchange.lane = .upload
        if length > 0 { exchange.body = .source(source, length: length) }
        try await commit(exchange, session, digest: digest, size: length)
    }

    /// Sends the next bytes of a blob.
    ///
    /// Not every registry takes chunks (GAR, and GHCR above 4 MiB, do not), and what an interrupted chunk leaves differs:
    /// ask `status` before going on.
    ///
    /// - Parameters:
    ///   - session: the latest state; the chunk starts at its offset
    ///   - length: the chunk's length in bytes, at least 1
    ///   - source: its bytes
    /// - Returns: the session to go on with
    /// - Throws: `RegistryError`: `.rangeInvalid` where the registry is at another offset, `.uploadUnknown`; with
    ///   `isTransient`, the session may still live.
    public func uploadChunk(_ session: UploadSession, length: Int64, source: any BodySource)
        async throws(RegistryError) -> ChunkReceipt
    {
        let (end, overflow) = session.offset.addingReportingOverflow(length)
        guard session.offset >= 0, length > 0, !overflow else {
            throw RegistryError(
                .rangeInvalid, "a chunk of \(length) bytes at \(session.offset)", url: session.description)
        }
        // ECR answers 201, some others 204.
        var exchange = try exchange(.patch, session, accepts: [201, 202, 204])
        exchange.headers["Content-Type"] = "application/octet-stream"
        // Without unit and total: ACR rejects the form that RFC 9110 has (dotnet/sdk-container-builds#258).
        exchange.headers["Content-Range"] = "\(session.offset)-\(end - 1)"
        exchange.timeouts = bodyTimeouts
        exchange.lane = .upload
        exchange.body = .source(source, length: length)
        let reply = try await performInSession(exchange, session)
        let (offset, agreement) = UploadRange.chunkOffset(
            reply.head.headers["Range"], previous: session.offset, sent: end)
        return ChunkReceipt(
            session: try next(reply, of: session, offset: offset), agreement: agreement)
    }

    /// Asks how far an upload got.
    ///
    /// distribution 2.8 answers 404 to an outdated location, as if the session were gone: pass the latest.
    ///
    /// - Parameters:
    ///   - session: the latest state
    ///   - sent: the most bytes that may have reached the registry
    /// - Throws: `RegistryError`: `.uploadUnknown` where the session is gone, `.unsupported` where the registry does not
    ///   tell.
    public func status(_ session: UploadSession, sent: Int64) async throws(RegistryError) -> UploadSession {
        let exchange = try exchange(.get, session, accepts: [200, 202, 204])
        let reply = try await performInSession(exchange, session)
        guard let offset = UploadRange.statusOffset(reply.head.headers["Range"], sent: sent) else {
            throw .violation("the upload's status has a Range that cannot be read", reply.url, status: reply.status)
        }
        return try next(reply, of: session, offset: offset)
    }

    /// Ends an upload whose bytes were all sent as chunks.
    ///
    /// - Parameters:
    ///   - session: the latest state
    ///   - digest: the digest of all bytes, verified by the caller
    ///   - size: how many they are
    /// - Throws: `RegistryError`: `.digestMismatch` where the registry computed another digest, `.uploadUnknown`.
    public func commit(_ session: UploadSession, digest: Digest, size: Int64) async throws(RegistryError) {
        var exchange = try exchange(.put, session, query: "digest=\(digest)", accepts: [200, 201, 202, 204])
        exchange.headers["Content-Type"] = "application/octet-stream"
        exchange.timeouts = commitTimeouts
        try await commit(exchange, session, digest: digest, size: size)
    }

    /// Gives an upload up. Failures do not matter: registries forget sessions by themselves (GHCR answers 405).
    public func cancel(_ session: UploadSession) async {
        guard let exchange = try? exchange(.delete, session, accepts: [200, 202, 204]) else { return }
        _ = try? await perform(exchange, scopes: [.push(session.repository)])
    }

    /// Sends what commits, and where its answer is lost or odd, lets the blob's presence decide.
    private func commit(_ exchange: Exchange, _ session: UploadSession, digest: Digest, size: Int64)
        async throws(RegistryError)
    {
        do throws(RegistryError) {
            let reply = try await performInSession(exchange, session)
            if let found = Self.announcedDigest(reply.head), found.algorithm == digest.algorithm, found != digest {
                throw mismatch(expected: digest, found: found, reply)
            }
            if reply.status == 201 { return }
        } catch {
            // A commit sent again finds no session where the first one came through.
            let mayBeThere = (error.isTransient && error.code != .unauthorized) || error.code == .uploadUnknown
            guard mayBeThere, (try? await blobSize(session.repository, digest)) == size else { throw error }
            return
        }
        guard try await blobSize(session.repository, digest) == size else {
            throw .violation("the registry accepted the upload, but does not have the blob", exchange.url)
        }
    }

    private func exchange(_ method: HTTPMethod, _ session: UploadSession, query: String? = nil, accepts: Set<Int>)
        throws(RegistryError) -> Exchange
    {
        // A journal is outside input too.
        var url = try location(session.location, against: endpoint.url)
        if let query { url = url.appendingQuery(query) }
        return Exchange(method, url, accepts: accepts)
    }

    private func session(_ reply: Reply, repository: Repository) throws(RegistryError) -> UploadSession {
        guard let text = reply.head.headers["Location"] else {
            throw .violation("the registry started an upload without saying where (no Location)", reply.url)
        }
        return UploadSession(
            repository: repository, location: try location(text, against: reply.url).description,
            minimumChunk: reply.head.headers["OCI-Chunk-Min-Length"]?.trimmed.decimal)
    }

    /// The latest `Location`, relative ones included (GHCR); where there is none (Quay's status), the one before stays.
    private func next(_ reply: Reply, of session: UploadSession, offset: Int64) throws(RegistryError) -> UploadSession {
        var latest = session.location
        if let text = reply.head.headers["Location"] { latest = try location(text, against: reply.url).description }
        return UploadSession(
            repository: session.repository, location: latest, offset: offset, minimumChunk: session.minimumChunk)
    }

    private func location(_ text: String, against url: HTTPURL) throws(RegistryError) -> HTTPURL {
        let location = try transport.resolve(text, against: url)
        if let reason = TargetPolicy.refusal(of: location, from: endpoint.url) {
            throw .violation(
                "refused the upload location at \(location.scheme)://\(location.authority): \(reason); a proxy before the"
                    + " registry may have to say X-Forwarded-Proto", url)
        }
        return location
    }

    /// A 404 on a session is the session's end, whatever the body says (ACR, after an interrupted chunk:
    /// Azure/azure-sdk-for-net#35322).
    private func performInSession(_ exchange: Exchange, _ session: UploadSession) async throws(RegistryError) -> Reply {
        do {
            return try await perform(exchange, scopes: [.push(session.repository)])
        } catch {
            guard error.code == .notFound else { throw error }
            var unknown = RegistryError(.uploadUnknown, error.message, url: error.url, status: error.status)
            unknown.details = error.details
            throw unknown
        }
    }
}
