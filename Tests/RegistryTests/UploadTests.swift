import FoundationEssentials
import HTTP
import OCI
import Registry
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5)))
struct UploadTests {
    private let repository: Repository
    private let bytes = GeneratedBytes(count: 300_000, seed: 6).all
    private let digest: Digest

    init() throws {
        repository = try Repository("team/app")
        digest = Digest(of: bytes)
    }

    private func withUpload<Result>(
        _ change: (inout ScriptedRegistry.Behaviour) -> Void = { _ in },
        _ body: (ScriptedRegistry, RegistryClient) async throws -> Result
    ) async throws -> Result {
        var behaviour = ScriptedRegistry.Behaviour()
        change(&behaviour)
        return try await withScriptedRegistry(behaviour) { registry in
            try await withClient(registry.origin) { try await body(registry, $0) }
        }
    }

    private func isStored(_ registry: ScriptedRegistry) -> Bool { registry.blob(digest, in: "team/app") != nil }

    private func upload(_ client: RegistryClient, to session: UploadSession? = nil) async throws {
        var session = session
        if session == nil { session = try await client.startUpload(repository) }
        guard let session else { return }
        try await client.uploadMonolithic(
            session, digest: digest, length: Int64(bytes.count), source: BytesSource(bytes))
    }

    /// GHCR's locations are relative; the query is opaque and must arrive as it was sent.
    @Test(arguments: [false, true])
    func oneRequest(relativeLocations: Bool) async throws {
        try await withUpload({ $0.relativeLocations = relativeLocations }) { registry, client async throws in
            try await upload(client)
            #expect(isStored(registry))
            let put = registry.requests.last { $0.method == "PUT" }
            #expect(put?.query == "_state=1%2B%2F%3D&x=a+b&digest=\(digest)")
            #expect(put?.header("Content-Length") == "300000")
            #expect(put?.header("Transfer-Encoding") == nil)
            #expect(put?.header("Expect") == nil)
        }
    }

    @Test func anEmptyBlobHasNoBody() async throws {
        try await withUpload { registry, client async throws in
            let empty = Digest(of: [])
            let session = try await client.startUpload(repository)
            try await client.uploadMonolithic(session, digest: empty, length: 0, source: BytesSource([]))
            #expect(registry.blob(empty, in: "team/app") != nil)
        }
    }

    @Test func anotherAlgorithmIsAnnounced() async throws {
        try await withUpload { registry, client async throws in
            let digest = Digest(of: bytes, algorithm: .sha512)
            let session = try await client.startUpload(repository, algorithm: .sha512)
            #expect(registry.requests.last?.query == "digest-algorithm=sha512")
            try await client.uploadMonolithic(
                session, digest: digest, length: Int64(bytes.count), source: BytesSource(bytes))
            #expect(registry.blob(digest, in: "team/app") != nil)
        }
    }

    /// Chunks with every way in which registries report their offset, and the agreements found.
    @Test(arguments: [
        (ScriptedRegistry.UploadRange.exact, 202, [UploadRange.Agreement.agrees, .agrees, .agrees]),
        (.quay, 202, [.agrees, .agrees, .agrees]),
        (.missing, 204, [.agrees, .agrees, .agrees]),
        // ECR: 201, and the first chunk's range for ever.
        (.firstChunk, 201, [.agrees, .stuck, .stuck]),
    ])
    func inChunks(range: ScriptedRegistry.UploadRange, status: Int, agreements: [UploadRange.Agreement]) async throws {
        try await withUpload({
            $0.uploadRange = range
            $0.patchStatus = status
            $0.chunkMinimum = 1000
            $0.relativeLocations = true
        }) { registry, client async throws in
            var session = try await client.startUpload(repository)
            #expect(session.minimumChunk == 1000)
            var found: [UploadRange.Agreement] = []
            for start in stride(from: 0, to: 300_000, by: 100_000) {
                let receipt = try await client.uploadChunk(
                    session, length: 100_000, source: BytesSource(bytes[start..<start + 100_000]))
                found.append(receipt.agreement)
                session = receipt.session
                #expect(session.offset == Int64(start + 100_000))
                #expect(session.minimumChunk == 1000)
            }
            #expect(found == agreements)
            // No unit, no total: ACR rejects them.
            let patches = registry.requests.filter { $0.method == "PATCH" }
            #expect(patches.compactMap { $0.header("Content-Range") } == ["0-99999", "100000-199999", "200000-299999"])
            try await client.commit(session, digest: digest, size: 300_000)
            #expect(isStored(registry))
        }
    }

    @Test func continuesFromTheStatusAfterAnInterruptedChunk() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            let first = try await client.uploadChunk(
                session, length: 100_000, source: BytesSource(bytes[0..<100_000]))
            registry.answer(.init(202).failing(.reset, .requestBody(65_536)), times: 1) { $0.method == "PATCH" }
            let error = try await registryError {
                _ = try await client.uploadChunk(
                    first.session, length: 200_000, source: BytesSource(bytes[100_000...]))
            }
            #expect(error?.code == .network)
            #expect(error?.isTransient == true)
            let unmoved = try await client.status(first.session, sent: 300_000)
            #expect(unmoved.offset == 100_000)
            // What came before the connection breaks is kept.
            let source = BreakingSource(bytes[100_000..<200_000])
            async let stopped = registryError {
                _ = try await client.uploadChunk(unmoved, length: 200_000, source: source)
            }
            try await registry.server.until { $0.last { $0.method == "PATCH" }?.bodyLength == 100_000 }
            source.breakOff()
            #expect(try await stopped?.code == .stopped)
            try await registry.server.until { $0.last { $0.method == "PATCH" }?.outcome != nil }
            let resumed = try await client.status(unmoved, sent: 300_000)
            #expect(resumed.offset == 200_000)
            let last = try await client.uploadChunk(
                resumed, length: 300_000 - resumed.offset, source: BytesSource(bytes[Int(resumed.offset)...]))
            try await client.commit(last.session, digest: digest, size: 300_000)
            #expect(isStored(registry))
        }
    }

    /// Quay's status has no `Location`, a prefix, and counts one too many (endpoints/v2/blob.py).
    @Test func quaysStatus() async throws {
        try await withUpload({ $0.uploadRange = .quay }) { registry, client async throws in
            registry.intercept(where: { $0.method == "GET" && $0.path.contains("uploads") }) { _, answer in
                var response = try answer()
                response.setHeader("Location", nil)
                return response
            }
            let session = try await client.startUpload(repository)
            let receipt = try await client.uploadChunk(
                session, length: 1000, source: BytesSource(bytes[0..<1000]))
            let status = try await client.status(receipt.session, sent: 5000)
            #expect(status.offset == 1000)
            #expect(status.location == receipt.session.location)
        }
    }

    @Test func aChunkAtTheWrongOffset() async throws {
        for ends in [false, true] {
            try await withUpload({ $0.endsSessionOnWrongOffset = ends }) { registry, client async throws in
                let session = try await client.startUpload(repository)
                let wrong = UploadSession(repository: repository, location: session.location, offset: 10)
                let error = try await registryError {
                    _ = try await client.uploadChunk(wrong, length: 10, source: BytesSource(bytes[10..<20]))
                }
                // distribution 3 keeps the session; 2.8 ends it.
                #expect(error?.code == (ends ? .uploadUnknown : .rangeInvalid))
                #expect(error?.isTransient == false)
            }
        }
    }

    @Test func aForgottenSession() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            registry.forgetUploads()
            let codes = [
                try await registryError { _ = try await client.status(session, sent: 0) },
                try await registryError {
                    _ = try await client.uploadChunk(session, length: 5, source: BytesSource(bytes[0..<5]))
                },
                try await registryError { try await upload(client, to: session) },
                try await registryError { try await client.commit(session, digest: digest, size: 300_000) },
            ].map { $0?.code }
            #expect(codes == Array(repeating: .uploadUnknown, count: 4))
            await client.cancel(session)
        }
    }

    /// ACR answers 404 without a body that says more, after an interrupted chunk.
    @Test func aBare404EndsTheSession() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            registry.answer(.init(404)) { $0.method == "PATCH" }
            let error = try await registryError {
                _ = try await client.uploadChunk(session, length: 5, source: BytesSource(bytes[0..<5]))
            }
            #expect(error?.code == .uploadUnknown)
        }
    }

    @Test func aLostCommitReplyIsNoFailure() async throws {
        try await withUpload { registry, client async throws in
            registry.intercept(times: 1, where: { $0.method == "PUT" }) { _, answer in
                try answer().failing(.reset, .answer)
            }
            try await upload(client)
            #expect(isStored(registry))
            #expect(registry.requests.filter { $0.method == "PUT" }.count == 1)
        }
    }

    @Test func aLostReplyToTheCommitOfChunksIsNoFailure() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            let receipt = try await client.uploadChunk(session, length: 300_000, source: BytesSource(bytes))
            registry.intercept(times: 1, where: { $0.method == "PUT" }) { _, answer in
                try answer().failing(.reset, .answer)
            }
            try await client.commit(receipt.session, digest: digest, size: 300_000)
            #expect(isStored(registry))
        }
    }

    @Test func anUploadThatFailsSaysSo() async throws {
        try await withUpload { registry, client async throws in
            registry.answer(.init(500)) { $0.method == "PUT" }
            let error = try await registryError { try await upload(client) }
            #expect(error?.code == .unavailable)
            #expect(error?.isTransient == true)
            // A body that streams is sent once.
            #expect(registry.requests.filter { $0.method == "PUT" }.count == 1)
        }
    }

    @Test func aRefusalInMidBodyIsHeard() async throws {
        try await withUpload { registry, client async throws in
            registry.intercept(where: { $0.method == "PUT" }) { exchange, _ in
                try exchange.readBody(until: 1000)
                var response = ScriptedServer.Response(413, [:], text: "too large")
                // A server that closed at once would send a reset, which may overtake what it has said.
                response.bodyReading = .afterAnswer
                return response
            }
            let error = try await registryError { try await upload(client) }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test func otherBytesThanTheDigest() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            let error = try await registryError {
                try await client.uploadMonolithic(
                    session, digest: Digest(of: [1]), length: Int64(bytes.count), source: BytesSource(bytes))
            }
            #expect(error?.code == .digestMismatch)
        }
    }

    @Test func a202AtTheCommitIsCheckedByTheBlobsPresence() async throws {
        try await withUpload { registry, client async throws in
            registry.answer(.init(202)) { $0.method == "PUT" }
            let error = try await registryError { try await upload(client) }
            #expect(error?.code == .protocolViolation)
        }
    }

    @Test func cancels() async throws {
        try await withUpload { registry, client async throws in
            let session = try await client.startUpload(repository)
            #expect(registry.uploadCount == 1)
            await client.cancel(session)
            #expect(registry.uploadCount == 0)
            // GHCR answers 405; it does not matter.
            registry.answer(.init(405)) { $0.method == "DELETE" }
            await client.cancel(session)
        }
    }

    @Test func aSessionSurvivesAJournal() throws {
        let session = UploadSession(
            repository: repository, location: "https://r.example/x?_state=secret", offset: 5, minimumChunk: 7)
        let restored = try JSONDecoder().decode(UploadSession.self, from: JSONEncoder().encode(session))
        #expect(restored == session)
        #expect(!"\(session)".contains("secret"))
    }

    @Test(arguments: ["http://169.254.169.254/x", "file:///x", "http://u:p@127.0.0.1/"])
    func unsafeLocationsAreRefused(location: String) async throws {
        try await withUpload { registry, client async throws in
            registry.answer(.init(202, ["Location": location])) { $0.method == "POST" }
            let error = try await registryError { _ = try await client.startUpload(repository) }
            #expect(error?.code == .protocolViolation)
            let journalled = UploadSession(repository: repository, location: location)
            #expect(try await registryError { try await upload(client, to: journalled) }?.code == .protocolViolation)
        }
    }

    @Test func aStartWithoutLocationIsRefused() async throws {
        try await withUpload { registry, client async throws in
            registry.answer(.init(202)) { $0.method == "POST" }
            let error = try await registryError { _ = try await client.startUpload(repository) }
            #expect(error?.code == .protocolViolation)
        }
    }

    @Test func aLocationAtAnotherHostGetsNoCredentials() async throws {
        try await withScriptedServer({ _ in .init(201) }) { storage in
            var behaviour = ScriptedRegistry.Behaviour()
            behaviour.authorization = .basic(user: "u", password: "p")
            try await withScriptedRegistry(behaviour) { registry in
                registry.answer(.init(202, ["Location": "\(storage.origin)/up?sig=1"])) { $0.method == "POST" }
                try await withClient(registry.origin, user: ("u", "p")) { client async throws in
                    try await upload(client)
                    #expect(storage.requests.map(\.line) == ["PUT /up"])
                    #expect(storage.requests.first?.header("Authorization") == nil)
                }
            }
        }
    }

    // MARK: Mounts

    @Test func mounts() async throws {
        try await withUpload { registry, client async throws in
            registry.store(.bytes(bytes), in: "team/base")
            let base = try Repository("team/base")
            guard case .mounted = try await client.mountBlob(digest, from: base, to: repository) else {
                Issue.record("not mounted")
                return
            }
            #expect(isStored(registry))
        }
    }

    @Test func aMountThatBecomesASessionIsUsed() async throws {
        try await withUpload({ $0.mounting = .session }) { registry, client async throws in
            let base = try Repository("team/base")
            guard case .session(let session) = try await client.mountBlob(digest, from: base, to: repository) else {
                Issue.record("no session")
                return
            }
            try await upload(client, to: session)
            #expect(isStored(registry))
        }
    }

    /// Harbor answers 401 for a project it does not know (goharbor/harbor#17097).
    @Test func aRefusedMountIsNoFailure() async throws {
        try await withUpload({ $0.mounting = .unauthorized }) { registry, client async throws in
            let base = try Repository("team/base")
            guard case .refused(let error) = try await client.mountBlob(digest, from: base, to: repository) else {
                Issue.record("not refused")
                return
            }
            #expect(error.code == .unauthorized)
        }
    }
}
