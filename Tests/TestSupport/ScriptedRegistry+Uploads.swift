import OCI

extension ScriptedRegistry {
    func startUpload(_ exchange: Exchange, _ repository: String) throws -> Response {
        let request = exchange.request
        guard request.method == "POST" else { return .failure(405, "UNSUPPORTED") }
        if let mounted = request.queryValue("mount").flatMap({ try? Digest($0) }) {
            switch behaviour.mounting {
            case .unauthorized: return .failure(401, "UNAUTHORIZED")
            case .session: break
            case .allowed:
                if let source = request.queryValue("from"), blob(mounted, in: source) != nil {
                    state.update { _ = $0.repositories[repository, default: Repository()].blobs.insert(mounted) }
                    return created(mounted, repository)
                }
            }
        }
        let session = state.update { state in
            state.nextUpload += 1
            // Two of a kind in a name that no client should build itself.
            let session = "session-\(state.nextUpload)"
            state.uploads[session] = Upload(repository: repository)
            return session
        }
        if let digest = request.queryValue("digest") { return try commit(exchange, session, digest) }
        return progress(session, 202)
    }

    func continueUpload(_ exchange: Exchange, _ repository: String, _ session: String) throws -> Response {
        let request = exchange.request
        guard let upload = state.read({ $0.uploads[session] }), upload.repository == repository else {
            return .failure(404, "BLOB_UPLOAD_UNKNOWN")
        }
        switch request.method {
        case "GET":
            return behaviour.reportsUploadStatus ? progress(session, 204) : .failure(404, "BLOB_UPLOAD_UNKNOWN")
        case "DELETE":
            state.update { $0.uploads[session] = nil }
            return Response(204)
        case "PATCH", "PUT":
            // The state is the session's latest `Location`; an older one is out of date, as at distribution.
            guard request.queryValue("_state") == "\(upload.turn)+/=" else {
                return .failure(404, "BLOB_UPLOAD_INVALID")
            }
            if let wrong = wrongOffset(request, upload, session) { return wrong }
            if request.method == "PUT" {
                guard let digest = request.queryValue("digest") else { return .failure(400, "DIGEST_INVALID") }
                return try commit(exchange, session, digest)
            }
            try append(exchange, to: session)
            return progress(session, behaviour.patchStatus)
        default:
            return .failure(405, "UNSUPPORTED")
        }
    }

    private func wrongOffset(_ request: Request, _ upload: Upload, _ session: String) -> Response? {
        guard let range = request.header("Content-Range") else { return nil }
        // `A-B`, without `bytes` and without a total: distribution-spec, Pushing a blob in chunks.
        let ends = range.split(separator: "-", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1],
            request.contentLength.map({ $0 == last - first + 1 }) ?? true
        else { return .failure(400, "RANGE_INVALID") }
        if first == Int64(upload.bytes.count) { return nil }
        if behaviour.endsSessionOnWrongOffset {
            state.update { $0.uploads[session] = nil }
            return .failure(404, "BLOB_UPLOAD_INVALID")
        }
        var response = progress(session, 416)
        response.body = Response.failure(416, "RANGE_INVALID").body
        return response
    }

    /// Takes bytes as they come: where the connection breaks, those that came are kept.
    private func append(_ exchange: Exchange, to session: String) throws {
        var taken: Int64 = 0
        while true {
            let piece = try exchange.readPiece()
            guard !piece.isEmpty else { break }
            taken += Int64(piece.count)
            try state.update { state in
                guard let count = state.uploads[session]?.bytes.count else { return }
                guard count + piece.count <= 64 << 20 else {
                    throw TestSupportError("an upload over 64 MiB: use a RealRegistry")
                }
                state.uploads[session]?.bytes += piece
            }
        }
        guard taken > 0 else { return }
        state.update { state in
            let first = state.uploads[session]?.firstChunk ?? Int(taken)
            state.uploads[session]?.firstChunk = first
        }
    }

    private func commit(_ exchange: Exchange, _ session: String, _ text: String) throws -> Response {
        guard let digest = try? Digest(text) else { return .failure(400, "DIGEST_INVALID") }
        try append(exchange, to: session)
        guard let upload = state.update({ $0.uploads.removeValue(forKey: session) }) else {
            return .failure(404, "BLOB_UPLOAD_UNKNOWN")
        }
        guard Digest(of: upload.bytes, algorithm: digest.algorithm) == digest else {
            return .failure(400, "DIGEST_INVALID")
        }
        store(.bytes(upload.bytes), as: digest, in: upload.repository)
        return created(digest, upload.repository)
    }

    private func created(_ digest: Digest, _ repository: String) -> Response {
        var response = Response(201, ["Location": location("/v2/\(repository)/blobs/\(digest)")])
        if behaviour.sendsContentDigest { response.setHeader("Docker-Content-Digest", "\(digest)") }
        return response
    }

    private func progress(_ session: String, _ status: Int) -> Response {
        let upload: Upload? = state.update { state in
            state.uploads[session]?.turn += 1
            return state.uploads[session]
        }
        guard let upload else { return .failure(404, "BLOB_UPLOAD_UNKNOWN") }
        // The opaque query holds what a decoder would change.
        let path = "/v2/\(upload.repository)/blobs/uploads/\(session)?_state=\(upload.turn)%2B%2F%3D&x=a+b"
        var response = Response(status, ["Location": location(path), "Docker-Upload-UUID": session])
        let count = upload.bytes.count
        switch behaviour.uploadRange {
        case .exact: response.setHeader("Range", "0-\(max(count - 1, 0))")
        case .quay: response.setHeader("Range", status == 204 ? "bytes=0-\(count)" : "bytes=0-\(count - 1)")
        case .firstChunk: response.setHeader("Range", "0-\(max((upload.firstChunk ?? 0) - 1, 0))")
        case .missing: break
        }
        if let minimum = behaviour.chunkMinimum { response.setHeader("OCI-Chunk-Min-Length", "\(minimum)") }
        return response
    }
}
