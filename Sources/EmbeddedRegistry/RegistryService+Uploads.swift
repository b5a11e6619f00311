import HTTPTypes
import ImageLayout
import NIOCore
import OCI

// Uploads (distribution-spec v1.1.1, Pushing blobs).
extension RegistryService {
    func startUpload(
        _ request: RegistryRequest, in name: Repository, _ query: QueryItems
    ) async throws -> RegistryAnswer {
        if let text = query["mount"] {
            let digest = try RegistryRoute.digest(text)
            // Without `from`, any repository may have it: automatic content discovery.
            let from = try query["from"].map { text throws(RegistryProblem) in
                do { return try Repository(text) } catch { throw RegistryProblem(.nameInvalid, "\(error)") }
            }
            let isMounted = try await patient.run { [layout] () throws(LayoutError) in
                try layout.mount(digest, from: from, to: name)
            }
            if isMounted { return Self.created(digest, in: name) }
        }
        let wanted = try query["digest"].map(RegistryRoute.digest)
        let algorithm = query["digest-algorithm"].flatMap { Digest.Algorithm(rawValue: $0) }
        let upload = try await patient.run { [layout] () throws(LayoutError) in
            guard try layout.uploadCount() < UploadSessions.limit else {
                throw LayoutError(
                    .tooMany, "there are \(UploadSessions.limit) unfinished uploads: try again later", at: name.name)
            }
            return try layout.startUpload(in: name, algorithm: wanted?.algorithm ?? algorithm ?? .sha256)
        }
        guard let wanted else {
            sessions.add(upload, interrupt: {})
            sessions.release(upload)
            return Self.progress(202, upload.name, name, offset: 0)
        }
        do {
            try await receive(request, into: upload)
        } catch {
            // There is nobody who knows the session's name.
            try await disk.run { upload.discard() }
            throw error
        }
        return try await commit(upload, as: wanted, in: name)
    }

    func uploadStatus(_ session: String, in name: Repository) async throws -> RegistryAnswer {
        let (session, offset) = try await standing(session, in: name)
        return Self.progress(204, session, name, offset: offset)
    }

    func patchUpload(
        _ request: RegistryRequest, _ session: String, in name: Repository
    ) async throws -> RegistryAnswer {
        let upload = try await acquire(session, request, in: name)
        defer { sessions.release(upload) }
        let count = try checkChunk(request, upload, in: name)
        try await receive(request, into: upload, count: count)
        try await patient.run { () throws(LayoutError) in try upload.synchronize() }
        return Self.progress(202, upload.name, name, offset: upload.offset)
    }

    func putUpload(
        _ request: RegistryRequest, _ session: String, in name: Repository, _ query: QueryItems
    ) async throws -> RegistryAnswer {
        guard let text = query["digest"] else {
            throw RegistryProblem(.digestInvalid, "the upload ends with ?digest=…, which is missing")
        }
        let digest = try RegistryRoute.digest(text)
        let upload = try await acquire(session, request, in: name)
        do {
            let count = try checkChunk(request, upload, in: name)
            try await receive(request, into: upload, count: count)
        } catch {
            sessions.release(upload)
            throw error
        }
        return try await commit(upload, as: digest, in: name)
    }

    func cancelUpload(_ session: String, in name: Repository) async throws -> RegistryAnswer {
        guard let session = UploadName(session) else { throw Self.unknown(session, name) }
        let upload = try await sessions.acquire(session, in: name, layout, disk, interrupt: {})
        sessions.remove(upload)
        try await disk.run { upload.discard() }
        return RegistryAnswer(204)
    }

    private func acquire(
        _ session: String, _ request: RegistryRequest, in name: Repository
    ) async throws -> LayoutUpload {
        guard let session = UploadName(session) else { throw Self.unknown(session, name) }
        return try await sessions.acquire(
            session, in: name, layout, disk, interrupt: { request.body.interrupt() })
    }

    private static func unknown(_ session: String, _ name: Repository) -> RegistryProblem {
        RegistryProblem(.blobUploadUnknown, "\(name) has no such upload: start a new one")
    }

    private func standing(_ text: String, in name: Repository) async throws -> (UploadName, Int64) {
        guard let session = UploadName(text) else { throw Self.unknown(text, name) }
        if let offset = sessions.offset(of: session, in: name) { return (session, offset) }
        let upload = try await sessions.acquire(session, in: name, layout, disk, interrupt: {})
        defer { sessions.release(upload) }
        return (session, upload.offset)
    }

    /// Refuses bytes that do not follow on what is there, before any of them is read.
    ///
    /// - Returns: how many bytes are announced; `nil` where that is not said
    private func checkChunk(
        _ request: RegistryRequest, _ upload: LayoutUpload, in name: Repository
    ) throws(RegistryProblem) -> Int64? {
        guard let header = request.headers[.contentRange] else { return nil }
        guard let range = ChunkRange(header), request.contentLength == nil || request.contentLength == range.count
        else { throw Self.unlike(header) }
        guard range.first == upload.offset || range.count == 0 else {
            var problem = RegistryProblem(
                .rangeInvalid, "the upload has \(upload.offset) bytes, and the chunk begins at \(range.first)")
            problem.headers = Self.progress(416, upload.name, name, offset: upload.offset).headers
            throw problem
        }
        return range.count
    }

    private static func unlike(_ range: String) -> RegistryProblem {
        RegistryProblem(.blobUploadInvalid, "'Content-Range: \(range)' is not FIRST-LAST of as many bytes as are sent")
    }

    /// Writes a request's body to its session: what has arrived is written and hashed while more arrives.
    ///
    /// - Parameter count: how many bytes `Content-Range` announces, which a body in chunks does not say itself
    private func receive(_ request: RegistryRequest, into upload: LayoutUpload, count: Int64? = nil) async throws {
        let unlike = Self.unlike(request.headers[.contentRange] ?? "")
        guard request.hasBody else {
            guard count ?? 0 == 0 else { throw unlike }
            return
        }
        var received: Int64 = 0
        uploadBudget.begin()
        defer { uploadBudget.end() }
        // They take turns: one is written while the other gathers.
        var (piece, other) = (Piece(), Piece())
        var writing: Task<Void, any Error>?
        func write() async throws {
            try await writing?.value
            writing = Task { [disk, piece] in
                try await disk.run { () throws(LayoutError) in try piece.drain(into: upload) }
            }
            swap(&piece, &other)
        }
        piece.clear(capacity: Int(uploadBudget.pieceSize))
        do {
            try await request.body.forEach { buffer in
                received += Int64(buffer.readableBytes)
                guard received <= count ?? .max else { throw unlike }
                var buffer = buffer
                piece.append(&buffer)
                guard piece.buffer.readableBytes >= uploadBudget.pieceSize else { return }
                try await write()
                piece.clear(capacity: Int(uploadBudget.pieceSize))
            }
            guard received == count ?? received else { throw unlike }
        } catch {
            // The client's bytes end here. What has arrived counts: it goes on from there.
            if piece.buffer.readableBytes > 0 { try await write() }
            try await writing?.value
            throw error
        }
        if piece.buffer.readableBytes > 0 { try await write() }
        try await writing?.value
    }

    private func commit(
        _ upload: LayoutUpload, as digest: Digest, in name: Repository
    ) async throws -> RegistryAnswer {
        defer { sessions.remove(upload) }
        try await patient.run { () throws(LayoutError) in try upload.commit(as: digest) }
        return Self.created(digest, in: name)
    }

    private static func created(_ digest: Digest, in name: Repository) -> RegistryAnswer {
        RegistryAnswer(201, [.location: "/v2/\(name)/blobs/\(digest)", .contentDigest: "\(digest)"])
    }

    private static func progress(
        _ status: Int, _ session: UploadName, _ name: Repository, offset: Int64
    ) -> RegistryAnswer {
        RegistryAnswer(
            status,
            [
                .location: "/v2/\(name)/blobs/uploads/\(session)", .uploadUUID: "\(session)",
                // `0-0` stands for no byte and for one, as at distribution: the spec has no form for none.
                .range: "0-\(max(0, offset - 1))",
            ])
    }
}
