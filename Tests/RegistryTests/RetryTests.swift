import HTTP
import OCI
import Registry
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5)))
struct RetryTests {
    private let repository: Repository
    private let digest = Digest(of: [1, 2, 3])

    init() throws { repository = try Repository("team/app") }

    private func withBlob<Result>(
        clock: ManualClock = ManualClock(), retry: RetryPolicy = RetryPolicy(), limits: HostGate.Limits = .init(),
        _ body: (ScriptedRegistry, RegistryClient) async throws -> Result
    ) async throws -> Result {
        try await withScriptedRegistry { registry in
            registry.store(.bytes([1, 2, 3]), in: "team/app")
            return try await withClient(registry.origin, clock: clock, limits: limits, retry: retry) { client in
                try await client.prepare([.pull(repository)])
                return try await body(registry, client)
            }
        }
    }

    @Test(arguments: [408, 429, 500, 502, 503, 504])
    func passingFailuresAreRetried(status: Int) async throws {
        let clock = ManualClock()
        try await withBlob(clock: clock) { registry, client async throws in
            registry.answer(.init(status), times: 2) { $0.path.contains("/blobs/") }
            let size = try await client.blobSize(repository, digest)
            #expect(size == 3)
            // Half of 0.5 s, then of 1 s: the test's chance is one half.
            #expect(clock.sleeps == [.milliseconds(250), .milliseconds(500)])
        }
    }

    @Test(arguments: [
        ScriptedServer.Fault.Stage.requestHead, .answer, .answerHead,
    ])
    func resetsAreRetried(stage: ScriptedServer.Fault.Stage) async throws {
        try await withBlob { registry, client async throws in
            registry.intercept(times: 2, where: { $0.path.contains("/tags/") }) { _, _ in
                ScriptedServer.Response(200, [:], text: "{\"tags\":[]}").failing(.reset, stage)
            }
            registry.answer(.init(200, [:], text: "{\"tags\":[\"a\"]}")) { $0.path.contains("/tags/") }
            let tags = try await client.tags(repository)
            #expect(tags.map(\.name) == ["a"])
        }
    }

    @Test(arguments: [400, 403, 404, 405, 413, 416, 501])
    func lastingRefusalsAreNot(status: Int) async throws {
        try await withBlob { registry, client async throws in
            registry.answer(.init(status)) { $0.path.contains("/tags/") }
            _ = try await registryError { _ = try await client.tags(repository) }
            #expect(registry.requests.filter { $0.path.contains("/tags/") }.count == 1)
        }
    }

    @Test func attemptsAreBounded() async throws {
        try await withBlob(retry: RetryPolicy(attempts: 3)) { registry, client async throws in
            registry.answer(.init(502, [:], text: "<title>Bad Gateway</title>")) { $0.path.contains("/tags/") }
            let error = try await registryError {
                _ = try await client.tags(repository)
            }
            #expect(error?.code == .unavailable)
            #expect(error?.isTransient == true)
            #expect(error?.message.contains("Bad Gateway") == true)
            #expect(registry.requests.filter { $0.path.contains("/tags/") }.count == 3)
        }
    }

    @Test func retryAfterIsHonouredForTheWholeHost() async throws {
        let clock = ManualClock()
        try await withBlob(clock: clock) { registry, client async throws in
            registry.answer(.init(429, ["Retry-After": "40"]), times: 1) { $0.path.contains("/blobs/") }
            let start = clock.now
            let size = try await client.blobSize(repository, digest)
            #expect(size == 3)
            #expect(start.duration(to: clock.now) == .milliseconds(40_250))
        }
    }

    @Test func aPauseLongerThanTheBoundFailsAndStillHoldsTheHost() async throws {
        let clock = ManualClock()
        try await withBlob(clock: clock) { registry, client async throws in
            registry.answer(.init(429, ["Retry-After": "3600"]), times: 1) { $0.path.contains("/blobs/") }
            let error = try await registryError { _ = try await client.blobSize(repository, digest) }
            #expect(error?.code == .rateLimited)
            #expect(error?.retryAfter == .seconds(3600))
            #expect(clock.sleeps.isEmpty)
            // Others do not wait that long either, and the host is left in peace.
            let next = try await registryError { _ = try await client.blobSize(repository, digest) }
            #expect(next?.code == .rateLimited)
            #expect(next?.isTransient == true)
            #expect(next?.retryAfter == .seconds(3600))
            #expect(clock.sleeps.isEmpty)
            #expect(registry.requests.filter { $0.path.contains("/blobs/") }.count == 1)
            // What is left of it can be waited for.
            clock.advance(by: .seconds(3500))
            _ = try await client.blobSize(repository, digest)
            #expect(clock.sleeps == [.seconds(100)])
        }
    }

    @Test func requestsInFlightAreBounded() async throws {
        var limits = HostGate.Limits()
        limits.control = 3
        try await withBlob(limits: limits) { registry, client async throws in
            let held = Gate()
            registry.intercept(where: { $0.method == "HEAD" }) { exchange, answer in
                try exchange.wait(held)
                return try answer()
            }
            try await withThrowingTaskGroup { group in
                for _ in 0..<10 { group.addTask { _ = try await client.blobSize(repository, digest) } }
                try await registry.server.until { $0.filter { $0.method == "HEAD" }.count == 3 }
                // Blob bodies have their own lane.
                let sink = CollectingSink()
                _ = try await client.fetchBlob(repository, digest, into: sink)
                #expect(sink.bytes == [1, 2, 3])
                #expect(registry.requests.filter { $0.method == "HEAD" }.count == 3)
                held.open()
                try await group.waitForAll()
            }
            #expect(registry.requests.filter { $0.method == "HEAD" }.count == 10)
        }
    }

    @Test func cancellingEndsARequest() async throws {
        try await withBlob { registry, client async throws in
            let held = Gate()
            registry.intercept(where: { $0.method == "HEAD" }) { exchange, answer in
                try exchange.wait(held)
                return try answer()
            }
            let task = Task { try await client.blobSize(repository, digest) }
            try await registry.server.until { $0.contains { $0.method == "HEAD" } }
            task.cancel()
            let error = try await registryError { _ = try await task.value }
            #expect(error?.code == .cancelled)
        }
    }

    @Test func aRefusalsBodyWithoutEndIsCut() async throws {
        let content = GeneratedBytes(count: 10 << 20, seed: 1)
        try await withBlob { registry, client async throws in
            registry.intercept(where: { $0.path.contains("/tags/") }) { _, _ in
                var response = ScriptedServer.Response(403, headers: [], body: .generated(content, 0..<content.count))
                response.framing = .chunked
                return response
            }
            let error = try await registryError { _ = try await client.tags(repository) }
            #expect(error?.code == .denied)
        }
    }

    @Test func anUploadIsNotRedirected() async throws {
        try await withBlob { registry, client async throws in
            registry.answer(.redirect(to: "/elsewhere")) { $0.method == "POST" }
            let error = try await registryError { _ = try await client.startUpload(repository) }
            #expect(error?.code == .protocolViolation)
            #expect(error?.message.contains("redirect") == true)
        }
    }
}
