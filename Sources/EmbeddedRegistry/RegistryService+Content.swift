import HTTPTypes
import ImageLayout
import Logging
import OCI

// Manifests and blobs.
extension RegistryService {
    func manifest(_ name: Repository, _ reference: ManifestReference, isHead: Bool) async throws -> RegistryAnswer {
        let unknown = RegistryProblem(.manifestUnknown, "\(name) has no manifest \(reference)")
        if isHead {
            let entry = try await disk.run { [layout] () throws(LayoutError) in
                try layout.manifestEntry(reference, in: name)
            }
            guard let entry else { throw unknown }
            var headers = Self.headers(of: entry)
            headers[.contentLength] = "\(entry.size)"
            return RegistryAnswer(200, headers)
        }
        let manifest = try await disk.run { [layout] () throws(LayoutError) in
            try layout.manifest(reference, in: name)
        }
        guard let manifest else { throw unknown }
        return RegistryAnswer(200, Self.headers(of: manifest.entry), .bytes(manifest.bytes))
    }

    private static func headers(of entry: RepositoryIndex.Entry) -> HTTPFields {
        [
            .contentType: entry.mediaType.name, .contentDigest: "\(entry.digest)", .eTag: "\"\(entry.digest)\"",
        ]
    }

    func putManifest(
        _ request: RegistryRequest, _ name: Repository, _ reference: ManifestReference, by user: String?
    ) async throws -> RegistryAnswer {
        if let length = request.contentLength, length > Self.manifestLimit {
            throw RegistryProblem(.manifestTooLarge, "a manifest has at most \(Self.manifestLimit) bytes here")
        }
        let type = request.headers[.contentType].map { MediaType($0) }
        let bytes = request.hasBody ? try await request.body.collect(limit: Self.manifestLimit) : []
        let stored = try await patient.run { [layout] () throws(LayoutError) in
            let (entry, subject) = try layout.putManifest(bytes, type: type, as: reference, in: name)
            return (digest: entry.digest, subject: subject)
        }
        log("manifest pushed", name, user, ["reference": "\(reference)", "digest": "\(stored.digest)"])
        var headers: HTTPFields = [
            .location: "/v2/\(name)/manifests/\(stored.digest)", .contentDigest: "\(stored.digest)",
        ]
        if let subject = stored.subject { headers[.subject] = "\(subject)" }
        return RegistryAnswer(201, headers)
    }

    func deleteManifest(
        _ name: Repository, _ reference: ManifestReference, by user: String?
    ) async throws -> RegistryAnswer {
        try await patient.run { [layout] () throws(LayoutError) in
            switch reference {
            case .tag(let tag): try layout.deleteTag(tag, in: name)
            case .digest(let digest): try layout.deleteManifest(digest, in: name)
            }
        }
        log("manifest deleted", name, user, ["reference": "\(reference)"])
        return RegistryAnswer(202)
    }

    func blob(_ request: RegistryRequest, _ name: Repository, _ digest: Digest) async throws -> RegistryAnswer {
        let blob = try await disk.run { [layout] () throws(LayoutError) in try layout.openBlob(digest, in: name) }
        guard let blob else { throw RegistryProblem(.blobUnknown, "\(name) has no blob \(digest)") }
        var headers = Self.headers(ofBlob: digest)
        // The content behind a digest never changes: a condition holds for this one tag, or never.
        let isSame = request.headers[.ifRange].map { $0 == headers[.eTag] } ?? true
        switch BlobRange(header: isSame ? request.headers[.range] : nil, size: blob.size) {
        case .whole:
            return RegistryAnswer(200, headers, .file(blob, 0..<blob.size))
        case .part(let range):
            headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(blob.size)"
            return RegistryAnswer(206, headers, .file(blob, range))
        case .unsatisfiable:
            var problem = RegistryProblem(.rangeInvalid, "the blob has \(blob.size) bytes, and none of those")
            problem.headers[.contentRange] = "bytes */\(blob.size)"
            throw problem
        }
    }

    func blobHead(_ name: Repository, _ digest: Digest) async throws -> RegistryAnswer {
        // Who pushes asks first, and relies on the answer, which may take the lock.
        let keeping = access.allowsPush
        let size = try await (keeping ? patient : disk).run { [layout] () throws(LayoutError) in
            try layout.blobSize(digest, in: name, keeping: keeping)
        }
        guard let size else { throw RegistryProblem(.blobUnknown, "\(name) has no blob \(digest)") }
        var headers = Self.headers(ofBlob: digest)
        headers[.contentLength] = "\(size)"
        return RegistryAnswer(200, headers)
    }

    private static func headers(ofBlob digest: Digest) -> HTTPFields {
        [
            .contentType: "application/octet-stream", .contentDigest: "\(digest)", .eTag: "\"\(digest)\"",
            .acceptRanges: "bytes",
        ]
    }

    func deleteBlob(_ name: Repository, _ digest: Digest, by user: String?) async throws -> RegistryAnswer {
        try await patient.run { [layout] () throws(LayoutError) in try layout.deleteBlob(digest, in: name) }
        log("blob deleted", name, user, ["digest": "\(digest)"])
        return RegistryAnswer(202)
    }

    /// What changes the registry is logged, with who did it.
    func log(_ message: String, _ name: Repository, _ user: String?, _ fields: [String: String]) {
        logger.info(
            "\(message)",
            metadata: .init(uniqueKeysWithValues: fields.map { ($0.key, .string($0.value)) })
                .merging(["repository": "\(name)", "user": "\(user ?? "-")"]) { $1 })
    }
}
