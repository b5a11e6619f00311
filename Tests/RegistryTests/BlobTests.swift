import HTTP
import OCI
import Registry
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5)))
struct BlobTests {
    private let repository: Repository
    private let content = GeneratedBytes(count: 300_000, seed: 5)

    init() throws { repository = try Repository("team/app") }

    private func withBlob<Result>(
        _ behaviour: ScriptedRegistry.Behaviour = .init(), clock: ManualClock = ManualClock(),
        _ body: (ScriptedRegistry, RegistryClient, Digest) async throws -> Result
    ) async throws -> Result {
        try await withScriptedRegistry(behaviour) { registry in
            let digest = registry.store(.generated(content), in: "team/app").digest
            return try await withClient(registry.origin, clock: clock) { try await body(registry, $0, digest) }
        }
    }

    /// Of all connections of a client: the first ones ask how the registry authorises, and are used for blobs afterwards.
    @Test(arguments: [nil, 20_000]) func theKernelReceivesNoMoreAheadThanIsSaid(size: Int?) async throws {
        try await withScriptedRegistry { registry in
            registry.store(.bytes([1, 2, 3]), in: "team/app")
            let http = HTTPClient()
            defer { http.shutdown() }
            var configuration = RegistryClient.Configuration(certificates: CertificateDirectory(paths: []))
            configuration.receiveBuffer = size
            let client = RegistryClient(
                try RegistryEndpoint(registry.origin, proxy: ""), http: http, configuration: configuration)
            _ = try await client.blobSize(try Repository("team/app"), Digest(of: [1, 2, 3]))
            let sizes = try receiveBuffers(ofConnectionsTo: registry.server.port)
            #expect(!sizes.isEmpty)
            #expect(sizes.allSatisfy { size == nil ? $0 > 40_000 : $0 == 40_000 })
        }
    }

    @Test func sizes() async throws {
        try await withBlob { registry, client, digest async throws in
            let size = try await client.blobSize(repository, digest)
            #expect(size == 300_000)
            let absent = try await client.blobSize(repository, Digest(of: [1]))
            #expect(absent == nil)
        }
    }

    @Test func aHeadWithoutLengthIsAskedAgainWithGet() async throws {
        try await withBlob { registry, client, digest async throws in
            registry.intercept(where: { $0.method == "HEAD" }) { _, answer in
                var response = try answer()
                response.framing = .none
                return response
            }
            let size = try await client.blobSize(repository, digest)
            #expect(size == 300_000)
        }
    }

    @Test func fetchesWholeAndInRanges() async throws {
        try await withBlob { registry, client, digest async throws in
            let whole = CollectingSink()
            let delivery = try await client.fetchBlob(repository, digest, size: 300_000, into: whole)
            #expect(whole.bytes == content.all)
            #expect(delivery.totalSize == 300_000 && delivery.receivedBytes == 300_000)
            #expect(delivery.servedBy == registry.authority)
            let part = CollectingSink()
            let second = try await client.fetchBlob(
                repository, digest, range: 1000...2999, size: 300_000, into: part)
            #expect(part.bytes == content.bytes(1000..<3000))
            #expect(second.totalSize == 300_000 && second.receivedBytes == 2000)
            // Closed ranges: some registries answer 416 to open ones.
            #expect(registry.requests.last?.header("Range") == "bytes=1000-2999")
            #expect(registry.requests.last?.header("Accept-Encoding") == "identity")
        }
    }

    @Test func aSourceThatIgnoresRangesIsReportedAndDeliversNothing() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.honoursRange = false
        try await withBlob(behaviour) { _, client, digest async throws in
            let sink = CollectingSink()
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, range: 0...99, into: sink)
            }
            #expect(error?.code == .rangeIgnored)
            #expect(sink.heads == 0 && sink.bytes.isEmpty)
        }
    }

    @Test func aRangeOutsideTheBlob() async throws {
        try await withBlob { _, client, digest async throws in
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, range: 300_000...300_001, into: CollectingSink())
            }
            #expect(error?.code == .rangeInvalid)
        }
    }

    @Test(arguments: [
        ("Content-Range", "bytes 0-98/300000"), ("Content-Range", "bytes 0-99/299999"), ("Content-Range", "junk"),
        ("Content-Encoding", "gzip"),
    ])
    func wrongPartialAnswersDeliverNothing(name: String, value: String) async throws {
        try await withBlob { registry, client, digest async throws in
            registry.intercept(where: { $0.header("Range") != nil }) { _, answer in
                var response = try answer()
                response.setHeader(name, value)
                return response
            }
            let sink = CollectingSink()
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, range: 0...99, size: 300_000, into: sink)
            }
            #expect(error?.code == .protocolViolation)
            #expect(sink.heads == 0)
        }
    }

    @Test func aWrongSizeIsRefusedBeforeAnyByte() async throws {
        try await withBlob { _, client, digest async throws in
            let sink = CollectingSink()
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, size: 299_999, into: sink)
            }
            #expect(error?.code == .protocolViolation)
            #expect(sink.heads == 0)
        }
    }

    @Test func abodyWithoutLengthIsHeldToItsDescriptor() async throws {
        for size in [Int64(299_999), 300_001] {
            try await withBlob { registry, client, digest async throws in
                registry.intercept(where: { $0.path.contains("/blobs/") }) { _, answer in
                    var response = try answer()
                    response.framing = .chunked
                    return response
                }
                let error = try await registryError {
                    _ = try await client.fetchBlob(repository, digest, size: size, into: CollectingSink())
                }
                #expect(error?.code == (size < 300_000 ? .tooLarge : .network))
            }
        }
    }

    @Test func whatBreaksOffAfterTheHeadIsTheCallersToContinue() async throws {
        try await withBlob { registry, client, digest async throws in
            registry.intercept(times: 1, where: { $0.path.contains("/blobs/") }) { _, answer in
                try answer().failing(.reset, .answerBody(100_000))
            }
            let sink = CollectingSink()
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, into: sink)
            }
            #expect(error?.code == .network)
            #expect(error?.isTransient == true)
            #expect(sink.heads == 1)
            let have = Int64(sink.bytes.count)
            let rest = CollectingSink()
            _ = try await client.fetchBlob(repository, digest, range: have...299_999, size: 300_000, into: rest)
            #expect(sink.bytes + rest.bytes == content.all)
        }
    }

    @Test func aFailureIsTheCallersToRetry() async throws {
        try await withBlob { registry, client, digest async throws in
            registry.answer(.init(500), times: 1) { $0.path.contains("/blobs/") }
            let sink = CollectingSink()
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, into: sink)
            }
            #expect(error?.isTransient == true)
            #expect(sink.heads == 0)
            _ = try await client.fetchBlob(repository, digest, into: sink)
            #expect(sink.bytes == content.all)
        }
    }

    @Test func aSinkThatRefusesEndsTheTransfer() async throws {
        try await withBlob { registry, client, digest async throws in
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, into: CollectingSink(limit: 50_000))
            }
            #expect(error?.code == .stopped)
            #expect(error?.isTransient == false)
        }
    }

    // MARK: Redirects

    @Test func followsToStorageWithoutCredentials() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.redirectsBlobs = true
        behaviour.authorization = .basic(user: "u", password: "hunter2")
        try await withScriptedRegistry(behaviour) { registry in
            let digest = registry.store(.generated(content), in: "team/app").digest
            try await withClient(registry.origin, user: ("u", "hunter2")) { client async throws in
                for range in [0...99, 100...199] as [ClosedRange<Int64>] {
                    let sink = CollectingSink()
                    let delivery = try await client.fetchBlob(repository, digest, range: range, into: sink)
                    #expect(sink.bytes == content.bytes(range.lowerBound..<range.upperBound + 1))
                    #expect(delivery.servedBy == registry.storage.authority)
                }
                #expect(registry.storage.requests.allSatisfy { $0.header("Authorization") == nil })
                // The signed query arrives as it was sent, and each attempt asks the registry for a new one.
                #expect(
                    registry.storage.requests.map(\.query) == [
                        "X-Signature=1&opaque=%2Fa+b%20c", "X-Signature=2&opaque=%2Fa+b%20c",
                    ])
            }
        }
    }

    /// Cloudflare R2 documents 403 for an expired signature; others answer 400.
    @Test(arguments: [400, 403])
    func anExpiredRedirectIsAskedForAgain(status: Int) async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.redirectsBlobs = true
        let clock = ManualClock()
        try await withBlob(behaviour, clock: clock) { registry, client, digest async throws in
            let expired = Recorder<Int>()
            registry.intercept(where: { $0.path.contains("/blobs/") }) { _, answer in
                let response = try answer()
                if expired.values.count < 1 { registry.expireRedirects() }
                expired.append(1)
                return response
            }
            let sink = CollectingSink()
            _ = try await client.fetchBlob(repository, digest, into: sink)
            #expect(sink.bytes == content.all)
            #expect(registry.storage.requests.map(\.status) == [403, 200])
            registry.storage.handle { _ in .init(status, [:], text: "<Error><Code>AccessDenied</Code></Error>") }
            let error = try await registryError {
                _ = try await client.fetchBlob(repository, digest, into: sink)
            }
            #expect(error?.url.hasPrefix(registry.storage.origin) == true)
            #expect(error?.details.first?.code == "ACCESSDENIED")
            // Two of before, and the first of these with three more.
            #expect(registry.storage.requests.count == 6)
            // The first time at once.
            #expect(clock.sleeps == [.milliseconds(250), .milliseconds(250)])
            #expect(sink.heads == 1)
        }
    }

    @Test func redirectsThatLeadNowhere() async throws {
        try await withBlob { registry, client, digest async throws in
            let fetch = {
                try await registryError {
                    _ = try await client.fetchBlob(repository, digest, into: CollectingSink())
                }
            }
            registry.answer(.redirect(to: "http://169.254.169.254/latest"), times: 1) { $0.path.contains("/blobs/") }
            #expect(try await fetch()?.code == .protocolViolation)
            registry.answer(.redirect(to: "file:///etc/passwd"), times: 1) { $0.path.contains("/blobs/") }
            #expect(try await fetch()?.code == .protocolViolation)
            registry.answer(.redirect(to: "/v2/team/app/blobs/again")) { $0.path.contains("/blobs/") }
            let before = registry.requests.count
            let error = try await fetch()
            #expect(error?.code == .protocolViolation)
            #expect(error?.message.contains("redirects") == true)
            #expect(registry.requests.count == before + 6)
        }
    }
}
