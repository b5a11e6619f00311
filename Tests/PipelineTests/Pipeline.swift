import EmbeddedRegistry
import FoundationEssentials
import HTTP
import ImageLayout
import OCI
import Registry
import TestRegistry
import TestSupport
import Testing

@testable import Transfer

/// The blob pipeline between two embedded registries, each with its faults.
struct Pipeline {
    let source: TestRegistry
    let destination: TestRegistry
    let directory: TemporaryDirectory
    let http: HTTPClient
    /// Where the image is, at both.
    let repository: Repository

    private func client(_ registry: TestRegistry, stall: Int) throws -> RegistryClient {
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

    /// Brings an image that the source has and the destination lacks.
    ///
    /// - Parameters:
    ///   - others: further sources, of lower priority
    ///   - speed: how many seconds pass for the engine in one of ours, so that tests need not wait for its patience
    ///   - stall: seconds of silence after which a body is given up
    func bring(
        _ image: TestImage, others: [TestRegistry] = [], speed: Double = 5, stall: Int = 60
    ) async throws -> (report: TransferReport, progress: TransferProgress) {
        for registry in [source] + others { try registry.layout.put(image, in: repository, as: "1") }
        let clock = FastClock(speed: speed)
        let engine = try TransferEngine(
            sources: ([source] + others).enumerated().map { priority, source in
                TransferSource(
                    name: source.authority, client: try client(source, stall: stall), priority: priority)
            },
            destination: try client(destination, stall: stall), mapping: RepositoryMapping(),
            spool: directory.file("spool"), limits: TransferLimits(),
            clock: { clock.seconds }, chance: { 0 })
        let report = await engine.bring(Inventory(present: [], missing: entries(image)))
        return (report, engine.progress.snapshot)
    }

    /// The engine that brings what the source has into a layout, as an agent with a registry of its own does.
    func engine(into layout: ImageLayout) throws -> TransferEngine {
        try TransferEngine(
            sources: [TransferSource(name: source.authority, client: try client(source, stall: 60))], layout: layout)
    }

    /// All that an image needs in a repository: in the pipeline's unless said.
    func entries(_ image: TestImage, in place: Repository? = nil) -> [ClosureEntry] {
        let repository = place ?? repository
        let manifest = ClosureEntry(
            repository: repository, digest: image.descriptor.digest, size: image.descriptor.size, kind: .manifest,
            mediaType: image.descriptor.mediaType)
        let blobs = image.blobs.map {
            ClosureEntry(
                repository: repository, digest: $0.descriptor.digest, size: $0.descriptor.size, kind: .blob,
                mediaType: $0.descriptor.mediaType)
        }
        return Closure([manifest] + blobs).entries
    }

    /// Whether the destination has the image and nothing else, every byte of it as its digest says.
    ///
    /// - Parameter isFetchedOnce: whether nothing was asked for twice
    func expectCopied(
        _ image: TestImage, _ outcome: (report: TransferReport, progress: TransferProgress), isFetchedOnce: Bool = true,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        #expect(outcome.report.failures.map(\.error.message) == [], sourceLocation: sourceLocation)
        #expect(try visible() == image.allDigests, sourceLocation: sourceLocation)
        let manifest = try destination.layout.manifest(.digest(image.descriptor.digest), in: repository)
        #expect(manifest?.bytes == image.manifest, sourceLocation: sourceLocation)
        try expectSound(sourceLocation)
        if isFetchedOnce {
            let progress = outcome.progress
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100, sourceLocation: sourceLocation)
        }
    }

    /// Whether one blob did not come, for a reason that is said, and everything else did that does not need it.
    ///
    /// - Parameters:
    ///   - host: which the message names
    ///   - reason: a part of the message
    func expectStopped(
        _ image: TestImage, _ outcome: (report: TransferReport, progress: TransferProgress), at blob: Digest,
        host: TestRegistry, reason: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let messages = outcome.report.failures.filter { $0.entry.digest == blob }.map(\.error.message)
        #expect(messages.count == 1, sourceLocation: sourceLocation)
        for message in messages {
            #expect(message.contains(host.authority), sourceLocation: sourceLocation)
            #expect(message.contains(reason), sourceLocation: sourceLocation)
        }
        let rest = Set(image.blobs.map(\.descriptor.digest)).subtracting([blob])
        #expect(try visible() == rest, sourceLocation: sourceLocation)
        try expectSound(sourceLocation)
    }

    /// What the destination would serve.
    private func visible() throws -> Set<Digest> {
        let layout = destination.layout
        let files = "\(layout.path)/\(repository)/blobs/sha256"
        let names = layout.has(repository) ? try FileManager.default.contentsOfDirectory(atPath: files) : []
        return Set(try names.map { try Digest("sha256:\($0)") }).union(try layout.index(of: repository)?.digests ?? [])
    }

    /// Nothing is visible that is not what it is called: every file is read and hashed.
    private func expectSound(_ sourceLocation: SourceLocation) throws {
        #expect(try destination.layout.check().problems == [], sourceLocation: sourceLocation)
    }
}

/// Runs `body` with two registries and nothing in them; both know the user `user` by the password `password`, and ask
/// for it where `asksUsers` says so.
func withPipeline(
    asksUsers: Bool = false, _ body: (Pipeline) async throws -> Void
) async throws {
    try await withTestRegistry { source in
        try await withTestRegistry(configure: { configuration, directory in
            guard asksUsers else { return }
            configuration.usersFile = try directory.write("users", "user:\(try await passwordHash())\n")
            configuration.pushers = .users(["user"])
        }) { destination in
            try await withTemporaryDirectory("pipeline") { directory in
                // user:password
                let auth = "{\"auth\":\"dXNlcjpwYXNzd29yZA==\"}"
                try directory.write("auth.json", "{\"auths\":{\"\(destination.authority)\":\(auth)}}")
                let http = HTTPClient()
                defer { http.shutdown() }
                try await body(
                    Pipeline(
                        source: source, destination: destination, directory: directory, http: http,
                        repository: try Repository("platform/api")))
            }
        }
    }
}

private func passwordHash() async throws -> String {
    let result = try await runCommand(["openssl", "passwd", "-5", "password"])
    guard result.status == 0 else { throw TestSupportError("openssl passwd: \(result.errorText)") }
    return String(result.text.prefix { $0 != "\n" })
}
