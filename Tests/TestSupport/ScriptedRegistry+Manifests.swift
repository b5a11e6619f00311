import FoundationEssentials
import OCI

extension ScriptedRegistry {
    func manifest(_ exchange: Exchange, _ repository: String, _ reference: String) throws -> Response {
        let request = exchange.request
        let digest = (try? Digest(reference)) ?? tag(reference, in: repository)
        switch request.method {
        case "PUT":
            return try putManifest(exchange, repository, reference)
        case "DELETE":
            guard let digest, manifest(digest, in: repository) != nil else { return .failure(404, "MANIFEST_UNKNOWN") }
            if digest.description == reference { remove(digest, from: repository) }
            state.update { state in
                for (tag, target) in state.repositories[repository]?.tags ?? [:]
                where tag == reference || target.description == reference {
                    state.repositories[repository]?.tags[tag] = nil
                }
            }
            return Response(202)
        case "GET", "HEAD":
            let stored = digest.flatMap { digest in state.read { $0.repositories[repository]?.manifests[digest] } }
            guard let digest, let stored else { return .failure(404, "MANIFEST_UNKNOWN") }
            var response = Response(200, ["Content-Type": stored.type])
            if behaviour.sendsContentDigest { response.setHeader("Docker-Content-Digest", "\(digest)") }
            response.body = .bytes(stored.bytes)
            return response
        default:
            return .failure(405, "UNSUPPORTED")
        }
    }

    private func putManifest(_ exchange: Exchange, _ repository: String, _ reference: String) throws -> Response {
        let bytes = try exchange.readBody()
        guard let type = exchange.request.header("Content-Type"),
            let manifest = try? Manifest(parsing: bytes, contentType: MediaType(type)),
            manifest.mediaType == MediaType(type)
        else { return .failure(400, "MANIFEST_INVALID") }
        let wanted = try? Digest(reference)
        let digest = Digest(of: bytes, algorithm: wanted?.algorithm ?? .sha256)
        guard wanted == nil || wanted == digest else { return .failure(400, "DIGEST_INVALID") }
        if !behaviour.acceptsDanglingManifests {
            let stored = state.read { $0.repositories[repository] ?? Repository() }
            guard manifest.blobs.allSatisfy({ $0.mediaType.isNondistributable || stored.blobs.contains($0.digest) })
            else { return .failure(404, "MANIFEST_BLOB_UNKNOWN") }
            guard manifest.manifests.allSatisfy({ stored.manifests[$0.digest] != nil }) else {
                return .failure(404, "MANIFEST_UNKNOWN")
            }
        }
        storeManifest(
            bytes, type: manifest.mediaType, in: repository, tag: wanted == nil ? reference : nil, as: digest)
        var response = Response(201, ["Location": location("/v2/\(repository)/manifests/\(digest)")])
        if behaviour.sendsContentDigest { response.setHeader("Docker-Content-Digest", "\(digest)") }
        if behaviour.hasReferrers, let subject = manifest.subject {
            response.setHeader("OCI-Subject", "\(subject.digest)")
        }
        return response
    }

    func tags(_ request: Request, _ name: String) -> Response {
        guard let repository = state.read({ $0.repositories[name] }) else { return .failure(404, "NAME_UNKNOWN") }
        let last = request.queryValue("last") ?? ""
        let rest = repository.tags.keys.filter { $0 > last }.sorted()
        let page = rest.prefix(min(request.queryValue("n").flatMap { Int($0) } ?? .max, behaviour.tagPage))
        let list = page.map { "\"\($0)\"" }.joined(separator: ",")
        var response = Response(
            200, ["Content-Type": "application/json"], text: "{\"name\":\"\(name)\",\"tags\":[\(list)]}")
        if page.count < rest.count, let last = page.last {
            response.setHeader("Link", "</v2/\(name)/tags/list?n=\(page.count)&last=\(last)>; rel=\"next\"")
        }
        return response
    }

    func referrers(_ name: String, _ subject: String) -> Response {
        guard behaviour.hasReferrers else { return .failure(404, "NOT_FOUND") }
        let stored = state.read { $0.repositories[name]?.manifests ?? [:] }
        let descriptors = stored.sorted { $0.key < $1.key }.compactMap { digest, manifest -> String? in
            guard let parsed = try? Manifest(parsing: manifest.bytes, contentType: MediaType(manifest.type)),
                parsed.subject?.digest.description == subject
            else { return nil }
            return "{\"mediaType\":\"\(manifest.type)\",\"digest\":\"\(digest)\",\"size\":\(manifest.bytes.count)}"
        }
        return Response(
            200, ["Content-Type": MediaType.ociIndex.name],
            text: "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":["
                + "\(descriptors.joined(separator: ","))]}")
    }

    func location(_ path: String) -> String { behaviour.relativeLocations ? path : origin + path }
}
