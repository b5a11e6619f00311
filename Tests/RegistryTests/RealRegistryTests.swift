import HTTP
import OCI
import Registry
import TestSupport
import Testing

/// The whole protocol against Debian's docker-registry (distribution 2.8).
@Suite(.timeLimit(.minutes(5)))
struct RealRegistryTests {
    private let repository: Repository
    private let tag: OCI.Tag

    init() throws {
        repository = try Repository("team/app")
        tag = try OCI.Tag("1.0")
    }

    private func push(_ image: TestImage, _ client: RegistryClient, inChunks: Bool) async throws {
        for blob in image.blobs {
            let size = blob.descriptor.size
            guard case .generated(let content) = blob.content else {
                guard case .bytes(let bytes) = blob.content else { continue }
                let session = try await client.startUpload(repository)
                try await client.uploadMonolithic(
                    session, digest: blob.descriptor.digest, length: size, source: BytesSource(bytes))
                continue
            }
            var session = try await client.startUpload(repository)
            if inChunks {
                while session.offset < size {
                    let end = min(session.offset + 65_537, size)
                    let receipt = try await client.uploadChunk(
                        session, length: end - session.offset,
                        source: BytesSource(content.bytes(session.offset..<end)))
                    #expect(receipt.agreement == .agrees)
                    session = receipt.session
                    let status = try await client.status(session, sent: size)
                    #expect(status.offset == session.offset)
                    session = status
                }
                try await client.commit(session, digest: blob.descriptor.digest, size: size)
            } else {
                try await client.uploadMonolithic(
                    session, digest: blob.descriptor.digest, length: size, source: BytesSource(content.all))
            }
        }
        let type = image.descriptor.mediaType
        _ = try await client.putManifest(
            repository, .digest(image.descriptor.digest), bytes: image.manifest, mediaType: type)
        _ = try await client.putManifest(repository, .tag(tag), bytes: image.manifest, mediaType: type)
    }

    private func pull(_ image: TestImage, _ client: RegistryClient) async throws {
        let fetched = try await client.manifest(repository, .tag(tag))
        #expect(fetched.bytes == image.manifest)
        let head = try await client.manifestHead(repository, .digest(image.descriptor.digest))
        #expect(head?.size == image.descriptor.size)
        for descriptor in fetched.manifest.blobs {
            let size = try await client.blobSize(repository, descriptor.digest)
            #expect(size == descriptor.size)
            let whole = CollectingSink()
            _ = try await client.fetchBlob(repository, descriptor.digest, size: descriptor.size, into: whole)
            #expect(Digest(of: whole.bytes) == descriptor.digest)
            let part = CollectingSink()
            _ = try await client.fetchBlob(
                repository, descriptor.digest, range: 10...19, size: descriptor.size, into: part)
            #expect(part.bytes == Array(whole.bytes[10...19]))
        }
    }

    @Test(arguments: [false, true])
    func pushesAndPulls(inChunks: Bool) async throws {
        let image = TestImage(seed: 3, layers: [1000, 300_000])
        try await withRealRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                try await push(image, client, inChunks: inChunks)
                try await pull(image, client)
                let tags = try await client.tags(repository)
                #expect(tags == [tag])
                // 2.8 has no referrers API.
                let referrers = try await client.referrers(repository, of: image.descriptor.digest)
                #expect(referrers.descriptors.isEmpty)
                try await client.deleteManifest(repository, .digest(image.descriptor.digest))
                let gone = try await client.manifestHead(repository, .tag(tag))
                #expect(gone == nil)
            }
        }
    }

    @Test func withPassword() async throws {
        let image = TestImage(seed: 3)
        var configuration = RealRegistry.Configuration()
        configuration.user = ("robot", "hunter2")
        try await withRealRegistry(configuration) { registry in
            try await withClient(registry.origin, user: ("robot", "hunter2")) { client async throws in
                try await push(image, client, inChunks: false)
                try await pull(image, client)
            }
            for wrong in [nil, ("robot", "wrong")] as [(String, String)?] {
                try await withClient(registry.origin, user: wrong.map { (name: $0.0, password: $0.1) }) {
                    client async throws in
                    let error = try await registryError { _ = try await client.manifest(repository, .tag(tag)) }
                    #expect(error?.code == .unauthorized)
                    #expect(error.map { "\($0)".contains("wrong") } == false)
                }
            }
        }
    }

    @Test func withTLSAndClientCertificate() async throws {
        let image = TestImage(seed: 3)
        try await withTemporaryDirectory { directory in
            var configuration = RealRegistry.Configuration()
            let certificates = try await Certificates(in: directory)
            configuration.certificates = certificates
            configuration.demandsClientCertificate = true
            try await withRealRegistry(configuration) { registry in
                let tls = TLSConfiguration(
                    caFile: certificates.caFile, certificateFile: certificates.clientCertificateFile,
                    keyFile: certificates.clientKeyFile)
                try await withClient(registry.origin, tls: tls) { client async throws in
                    try await push(image, client, inChunks: true)
                    try await pull(image, client)
                }
                try await withClient(registry.origin, tls: TLSConfiguration(caFile: certificates.otherCAFile)) {
                    client async throws in
                    let error = try await registryError { _ = try await client.manifest(repository, .tag(tag)) }
                    #expect(error?.code == .network)
                    #expect(error?.transport == .untrustedCertificate)
                    #expect(error?.isTransient == false)
                }
            }
        }
    }

    @Test func mounts() async throws {
        let bytes = GeneratedBytes(count: 5000, seed: 1).all
        let digest = Digest(of: bytes)
        let other = try Repository("team/base")
        try await withRealRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let session = try await client.startUpload(other)
                try await client.uploadMonolithic(session, digest: digest, length: 5000, source: BytesSource(bytes))
                guard case .mounted = try await client.mountBlob(digest, from: other, to: repository) else {
                    Issue.record("not mounted")
                    return
                }
                let size = try await client.blobSize(repository, digest)
                #expect(size == 5000)
                let absent = Digest(of: [1])
                guard case .session(let started) = try await client.mountBlob(absent, from: other, to: repository)
                else {
                    Issue.record("no session")
                    return
                }
                try await client.uploadMonolithic(started, digest: absent, length: 1, source: BytesSource([1]))
            }
        }
    }

    /// A session outlives the registry's process: the journal's location and offset go on where they were.
    @Test func anUploadContinuesAfterARestart() async throws {
        let bytes = GeneratedBytes(count: 200_000, seed: 2).all
        let digest = Digest(of: bytes)
        try await withRealRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let session = try await client.startUpload(repository)
                let receipt = try await client.uploadChunk(
                    session, length: 100_000, source: BytesSource(bytes[..<100_000]))
                try await registry.restart(crashing: true)
                let status = try await client.status(receipt.session, sent: 200_000)
                #expect(status.offset == 100_000)
                let last = try await client.uploadChunk(
                    status, length: 100_000, source: BytesSource(bytes[100_000...]))
                try await client.commit(last.session, digest: digest, size: 200_000)
                let size = try await client.blobSize(repository, digest)
                #expect(size == 200_000)
            }
        }
    }

    /// distribution 2.8 compares the state within the location with the bytes it has, even where only the status is asked.
    @Test func anOutdatedLocationIsRefusedAndTheLatestGoesOn() async throws {
        let bytes = GeneratedBytes(count: 2000, seed: 2).all
        try await withRealRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let outdated = try await client.startUpload(repository)
                let latest = try await client.uploadChunk(outdated, length: 1000, source: BytesSource(bytes[..<1000]))
                let error = try await registryError { _ = try await client.status(outdated, sent: 2000) }
                #expect(error?.code == .uploadUnknown)
                let status = try await client.status(latest.session, sent: 2000)
                #expect(status.offset == 1000)
            }
        }
    }

    @Test func wrongBytesAreNotStored() async throws {
        let bytes: [UInt8] = [1, 2, 3]
        try await withRealRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let session = try await client.startUpload(repository)
                let error = try await registryError {
                    try await client.uploadMonolithic(
                        session, digest: Digest(of: [9]), length: 3, source: BytesSource(bytes))
                }
                #expect(error?.code == .digestMismatch)
                let receipt = try await registryError {
                    _ = try await client.putManifest(
                        repository, .tag(tag), bytes: TestImage(seed: 9).manifest, mediaType: .ociManifest)
                }
                #expect(receipt?.code == .blobUnknown)
            }
        }
    }

    @Test func aReadOnlyRegistry() async throws {
        var configuration = RealRegistry.Configuration()
        configuration.isReadOnly = true
        try await withRealRegistry(configuration) { registry in
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError { _ = try await client.startUpload(repository) }
                #expect(error?.code == .unsupported)
            }
        }
    }
}
