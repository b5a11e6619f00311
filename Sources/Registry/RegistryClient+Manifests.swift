import HTTP
public import OCI

/// A manifest as a registry served it.
public struct FetchedManifest: Sendable, Hashable {
    /// The bytes, exactly.
    public let bytes: [UInt8]
    /// The digest of the bytes, computed here.
    public let digest: Digest
    /// What the bytes say.
    public let manifest: Manifest

    /// - Parameters:
    ///   - bytes: the bytes, exactly
    ///   - digest: what they hash to
    ///   - manifest: what they say
    public init(bytes: [UInt8], digest: Digest, manifest: Manifest) {
        self.bytes = bytes
        self.digest = digest
        self.manifest = manifest
    }
}

/// What a registry says of a manifest without sending it.
public struct ManifestHead: Sendable, Hashable {
    /// The digest.
    public let digest: Digest
    /// The length in bytes.
    public let size: Int64
    /// The type, where it is said.
    public let mediaType: MediaType?

    /// - Parameters:
    ///   - digest: the digest
    ///   - size: the length in bytes
    ///   - mediaType: the type, where it is said
    public init(digest: Digest, size: Int64, mediaType: MediaType?) {
        self.digest = digest
        self.size = size
        self.mediaType = mediaType
    }
}

/// The registry's answer to a pushed manifest.
public struct ManifestReceipt: Sendable, Hashable {
    /// The digest of the bytes sent.
    public let digest: Digest
    /// Whether the registry lists the manifest among its subject's referrers (`OCI-Subject`); if not, and there is a
    /// subject, the tag that stands in for the list is the client's to keep.
    public let acknowledgesSubject: Bool

    /// - Parameters:
    ///   - digest: the digest of the bytes sent
    ///   - acknowledgesSubject: whether the manifest is listed among its subject's referrers
    public init(digest: Digest, acknowledgesSubject: Bool) {
        self.digest = digest
        self.acknowledgesSubject = acknowledgesSubject
    }
}

extension RegistryClient {
    /// Fetches a manifest and verifies it.
    ///
    /// - Parameters:
    ///   - repository: the repository
    ///   - reference: tag or digest
    /// - Throws: `RegistryError`: `.notFound`, `.digestMismatch` where the bytes differ from the digest asked for or
    ///   announced, `.unsupported` for schema 1 and unknown types, `.protocolViolation` for what is no manifest,
    ///   `.tooLarge` above `Manifest.maximumSize`.
    public func manifest(_ repository: Repository, _ reference: ManifestReference) async throws(RegistryError)
        -> FetchedManifest
    {
        var exchange = Exchange(.get, manifestURL(repository, reference), headers: Self.acceptManifests, accepts: [200])
        exchange.bodyLimit = Manifest.maximumSize
        exchange.judge = { head in .take(length: head.contentLength) }
        let reply = try await perform(exchange, scopes: [.pull(repository)])
        let announced = Self.announcedDigest(reply.head)
        let expected: Digest?
        if case .digest(let digest) = reference { expected = digest } else { expected = announced }
        let digest = Digest(of: reply.body, algorithm: expected?.algorithm ?? .sha256)
        if let expected, digest != expected { throw mismatch(expected: expected, found: digest, reply) }
        do {
            let type = reply.head.headers["Content-Type"].map { MediaType($0) }
            return FetchedManifest(
                bytes: reply.body, digest: digest, manifest: try Manifest(parsing: reply.body, contentType: type))
        } catch {
            let code: RegistryError.Code = error.code == .unsupportedMediaType ? .unsupported : .protocolViolation
            throw RegistryError(code, error.message, url: reply.url.redacted, status: reply.status)
        }
    }

    /// Asks for a manifest's digest and length; `nil` where there is no such manifest.
    ///
    /// A registry whose HEAD lacks either, or that does not know HEAD here, is asked with GET: digest and length are
    /// then of the bytes.
    ///
    /// - Throws: `RegistryError`; `.digestMismatch` where the registry answers with another manifest than asked for, as
    ///   distribution does with an index for clients that do not accept its type.
    public func manifestHead(_ repository: Repository, _ reference: ManifestReference) async throws(RegistryError)
        -> ManifestHead?
    {
        let exchange = Exchange(
            .head, manifestURL(repository, reference), headers: Self.acceptManifests, accepts: [200, 404, 405])
        let reply = try await perform(exchange, scopes: [.pull(repository)])
        if reply.status == 404 { return nil }
        var digest = Self.announcedDigest(reply.head)
        if case .digest(let wanted) = reference {
            if let digest, digest.algorithm == wanted.algorithm, digest != wanted {
                throw mismatch(expected: wanted, found: digest, reply)
            }
            digest = wanted
        }
        if reply.status == 200, let digest, let size = reply.head.contentLength, size > 0 {
            let type = reply.head.headers["Content-Type"].map { MediaType($0) }
            return ManifestHead(digest: digest, size: size, mediaType: type)
        }
        do {
            let fetched = try await manifest(repository, reference)
            return ManifestHead(
                digest: fetched.digest, size: Int64(fetched.bytes.count), mediaType: fetched.manifest.mediaType)
        } catch {
            if error.code == .notFound { return nil }
            throw error
        }
    }

    /// Pushes a manifest's bytes, exactly, and compares what the registry says of them.
    ///
    /// - Parameters:
    ///   - repository: the repository
    ///   - reference: the tag, or the digest of the bytes
    ///   - bytes: the manifest
    ///   - mediaType: the type it declares
    /// - Throws: `RegistryError`: `.digestMismatch` where `reference` is not the bytes' digest, or the registry stored
    ///   something else; `.blobUnknown` where the registry lacks what the manifest names; `.tooLarge`.
    public func putManifest(
        _ repository: Repository, _ reference: ManifestReference, bytes: [UInt8], mediaType: MediaType
    ) async throws(RegistryError) -> ManifestReceipt {
        let url = manifestURL(repository, reference)
        var algorithm = Digest.Algorithm.sha256
        if case .digest(let digest) = reference { algorithm = digest.algorithm }
        let digest = Digest(of: bytes, algorithm: algorithm)
        if case .digest(let wanted) = reference, wanted != digest {
            throw RegistryError(
                .digestMismatch, "the manifest to push hashes to \(digest), not to \(wanted): nothing was sent",
                url: url.redacted)
        }
        var exchange = Exchange(.put, url, headers: ["Content-Type": mediaType.name], accepts: [200, 201, 202])
        exchange.body = .bytes(bytes)
        let reply = try await perform(exchange, scopes: [.push(repository)])
        if let stored = Self.announcedDigest(reply.head), stored.algorithm == algorithm, stored != digest {
            throw mismatch(expected: digest, found: stored, reply)
        }
        return ManifestReceipt(digest: digest, acknowledgesSubject: reply.head.headers["OCI-Subject"] != nil)
    }

    /// Deletes a manifest, or a tag where the registry knows that.
    ///
    /// - Throws: `RegistryError`: `.notFound`, `.unsupported` where the registry does not delete.
    public func deleteManifest(_ repository: Repository, _ reference: ManifestReference) async throws(RegistryError) {
        let exchange = Exchange(.delete, manifestURL(repository, reference), accepts: [200, 202, 204])
        _ = try await perform(exchange, scopes: [.delete(repository)])
    }

    /// All four types in one header: registries differ in whether they join several.
    static let acceptManifests: HTTPHeaders = [
        "Accept": MediaType.manifests.map(\.name).joined(separator: ", "), "Accept-Encoding": "identity",
    ]

    /// `Docker-Content-Digest`, where there is one that can be read.
    static func announcedDigest(_ head: HTTPResponseHead) -> Digest? {
        head.headers["Docker-Content-Digest"].flatMap { try? Digest($0.trimmed) }
    }

    func mismatch(expected: Digest, found: Digest, _ reply: Reply) -> RegistryError {
        RegistryError(
            .digestMismatch,
            "\(reply.url.authority) has \(found) where \(expected) was expected: its content is corrupt or was replaced",
            url: reply.url.redacted, status: reply.status)
    }

    private func manifestURL(_ repository: Repository, _ reference: ManifestReference) -> HTTPURL {
        endpoint.api("\(repository)/manifests/\(reference)")
    }
}
