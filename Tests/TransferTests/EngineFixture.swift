import HTTP
import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// Two scripted registries with an engine between them.
struct EngineFixture {
    let source: ScriptedRegistry
    let destination: ScriptedRegistry
    let directory: TemporaryDirectory
    let http: HTTPClient

    /// Where every test's image is.
    static let repository = "platform/api"

    func client(_ registry: ScriptedRegistry, stall: Int = 60) throws -> RegistryClient {
        var configuration = RegistryClient.Configuration(
            gates: HostGates(),
            retry: RetryPolicy(attempts: 3, firstWait: .milliseconds(1), longestWait: .milliseconds(5)),
            certificates: CertificateDirectory(paths: []))
        configuration.stall = stall
        return RegistryClient(
            try RegistryEndpoint(registry.origin), http: http,
            credentials: CredentialStore(authFile: directory.file("auth.json"), environment: [:]),
            configuration: configuration)
    }

    /// - Parameters:
    ///   - isOrdered: whether the sources are for one after the other, not equals
    ///   - speed: how many seconds pass for the engine in one of ours, so that tests need not wait for its patience
    ///   - stall: seconds of silence after which a source's body is given up
    ///   - uploadStall: the same of what the destination is sent
    func engine(
        sources: [ScriptedRegistry]? = nil, isOrdered: Bool = false, limits: TransferLimits = TransferLimits(),
        mapping: RepositoryMapping = RepositoryMapping(), speed: Double = 1, stall: Int = 60, uploadStall: Int = 60
    ) throws -> TransferEngine {
        let clock = FastClock(speed: speed)
        return try TransferEngine(
            sources: (sources ?? [source]).enumerated().map { index, source in
                TransferSource(
                    name: source.authority, client: try client(source, stall: stall), priority: isOrdered ? index : 1)
            },
            destination: try client(destination, stall: uploadStall), mapping: mapping,
            spool: directory.file("spool"), limits: limits, clock: { clock.seconds }, chance: { 0 },
            patience: .seconds(100))
    }

    func entries(_ images: [(Repository, TestImage)]) async throws -> [ClosureEntry] {
        let walk = ClosureWalk(source: try client(source))
        var entries: [ClosureEntry] = []
        for (repository, image) in images {
            for walked in try await walk.images(repository, .digest(image.descriptor.digest)) {
                entries += walked.entries
            }
        }
        return Closure(entries).entries
    }

    /// Everything that an image needs, without asking anyone: what the destination lacks.
    func missing(_ image: TestImage) throws -> Inventory {
        let repository = try Repository(Self.repository)
        func entries(_ image: TestImage) -> [ClosureEntry] {
            [
                ClosureEntry(
                    repository: repository, digest: image.descriptor.digest, size: image.descriptor.size,
                    kind: .manifest, mediaType: image.descriptor.mediaType)
            ]
                + image.blobs.map {
                    ClosureEntry(
                        repository: repository, digest: $0.descriptor.digest, size: $0.descriptor.size, kind: .blob,
                        mediaType: $0.descriptor.mediaType)
                } + image.children.flatMap(entries)
        }
        return Inventory(present: [], missing: Closure(entries(image)).entries)
    }

    /// Stores an image at the source, and at others.
    func store(_ image: TestImage, at others: [ScriptedRegistry] = []) {
        for registry in [source] + others { registry.store(image, in: Self.repository, tag: "1") }
    }

    /// Whether the destination has exactly the image: each manifest's bytes, each blob's bytes.
    func expectComplete(_ image: TestImage, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(
            destination.manifest(image.descriptor.digest, in: Self.repository) == image.manifest,
            sourceLocation: sourceLocation)
        for blob in image.blobs {
            let size = destination.blob(blob.descriptor.digest, in: Self.repository)?.count
            #expect(size == blob.descriptor.size, sourceLocation: sourceLocation)
        }
        for child in image.children { expectComplete(child, sourceLocation: sourceLocation) }
        expectOnlyVerified(sourceLocation: sourceLocation)
    }

    /// Whether nothing was ever offered to the destination that is not what it is called, and no manifest before what it
    /// names. The scripted registry would refuse it; others might not.
    func expectOnlyVerified(sourceLocation: SourceLocation = #_sourceLocation) {
        for request in destination.requests where request.method == "PUT" {
            guard let digest = request.queryValue("digest"), request.bodyLength > 0, let sent = request.bodyDigest
            else {
                continue
            }
            #expect("\(sent)" == digest, "a whole body of other bytes was sent", sourceLocation: sourceLocation)
        }
        for request in destination.requests where request.method == "PUT" && request.path.contains("/manifests/") {
            // 404 MANIFEST_BLOB_UNKNOWN, or 400 for other bytes.
            #expect(
                request.status.map { $0 != 404 && $0 != 400 } ?? true,
                "\(request.target) came before what it names", sourceLocation: sourceLocation)
        }
        for digest in destination.blobs(in: Self.repository) {
            guard case .bytes(let bytes) = destination.blob(digest, in: Self.repository) else { continue }
            #expect(Digest(of: bytes, algorithm: digest.algorithm) == digest, sourceLocation: sourceLocation)
        }
    }

    /// Whether the blob's failure says at which host and why; which content it is, its entry says.
    func expectClear(
        _ report: TransferReport, of blob: Digest, host: String, _ reason: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let errors = report.failures.filter { $0.entry.digest == blob }.map(\.error.message)
        #expect(errors.count == 1, sourceLocation: sourceLocation)
        for error in errors {
            #expect(error.contains(host), sourceLocation: sourceLocation)
            #expect(error.contains(reason), sourceLocation: sourceLocation)
        }
        // What needed it is held back, and says so.
        for failure in report.failures where failure.entry.kind == .manifest {
            #expect(failure.error.code == .missingDependency, sourceLocation: sourceLocation)
        }
        #expect(destination.manifests(in: Self.repository).isEmpty, sourceLocation: sourceLocation)
        expectOnlyVerified(sourceLocation: sourceLocation)
    }
}

func withFixture(
    source: ScriptedRegistry.Behaviour = .init(), destination: ScriptedRegistry.Behaviour = .init(),
    _ body: (EngineFixture) async throws -> Void
) async throws {
    try await withScriptedRegistry(source) { source in
        try await withScriptedRegistry(destination) { destination in
            try await withTemporaryDirectory("transfer") { directory in
                // user:password
                let auth = "{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}"
                try directory.write(
                    "auth.json",
                    "{\"auths\":{\"\(source.authority)\":\(auth),\"\(destination.authority)\":\(auth)}}")
                let http = HTTPClient()
                defer { http.shutdown() }
                try await body(
                    EngineFixture(source: source, destination: destination, directory: directory, http: http))
            }
        }
    }
}

extension ScriptedServer.Request {
    /// A request for a blob's bytes.
    var fetchesBlob: Bool { method == "GET" && path.contains("/blobs/sha") }
    /// A request that starts an upload.
    var startsUpload: Bool { method == "POST" && path.hasSuffix("/blobs/uploads/") }
    /// A request that sends and commits a blob, or commits one.
    var commitsBlob: Bool { method == "PUT" && path.contains("/blobs/uploads/") }
    /// A request that sends a chunk.
    var sendsChunk: Bool { method == "PATCH" }
    /// A request that publishes a manifest.
    var putsManifest: Bool { method == "PUT" && path.contains("/manifests/") }
}

extension TransferProgress {
    /// The sources that served bytes which do not hash to what was asked for.
    var corruptSources: Set<String> { Set(sourceFaults.filter { $0.value.corruptBlobs > 0 }.keys) }
}
