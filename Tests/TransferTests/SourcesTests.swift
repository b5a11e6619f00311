import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// Several sources, some of which do wrong.
@Suite(.timeLimit(.minutes(5))) struct SourcesTests {
    private let api: Repository
    private let image = TestImage(seed: 9, layers: [3_000_000, 700_000, 5000])

    init() throws { api = try Repository("platform/api") }

    /// One of the sources of a test.
    private struct Use {
        let registry: ScriptedRegistry
        var priority = 1
        var weight = 1
        var mapping = RepositoryMapping()
    }

    private func engine(_ fixture: EngineFixture, _ uses: [Use]) throws -> TransferEngine {
        try TransferEngine(
            sources: uses.map { use in
                TransferSource(
                    name: use.registry.authority, client: try fixture.client(use.registry), mapping: use.mapping,
                    priority: use.priority, weight: use.weight)
            }, destination: fixture.client(fixture.destination), spool: fixture.directory.file("spool"))
    }

    private func isBlob(_ request: ScriptedServer.Request) -> Bool { request.target.contains("/blobs/") }

    private func blobRequests(_ registry: ScriptedRegistry) -> Int { registry.requests.count(where: isBlob) }

    /// Inverts one byte of each of the layers, wherever it is asked for.
    private func corrupt(_ registry: ScriptedRegistry) {
        for blob in image.blobs.dropFirst() {
            guard case .generated(let content) = blob.content else { continue }
            var bytes = content.all
            for index in stride(from: 100, to: bytes.count, by: 50_000) { bytes[index] ^= 1 }
            registry.store(.bytes(bytes), as: blob.descriptor.digest, in: api.name)
        }
    }

    /// Two sources that hold the image; `source` is the first of them.
    private func withSources(_ body: (EngineFixture, ScriptedRegistry, [ClosureEntry]) async throws -> Void)
        async throws
    {
        try await withFixture { fixture in
            try await withScriptedRegistry { second in
                fixture.source.store(image, in: api.name, tag: "1")
                second.store(image, in: api.name, tag: "1")
                try await body(fixture, second, try await fixture.entries([(api, image)]))
            }
        }
    }

    @Test func thoseOfALowerPriorityAreLeftAlone() async throws {
        try await withSources { fixture, second, entries in
            let engine = try engine(
                fixture, [Use(registry: second, priority: 2), Use(registry: fixture.source, priority: 1)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            #expect(second.requests.isEmpty)
            #expect(report.sourceFaults.isEmpty)
        }
    }

    /// The first source answers 503 to everything: the second brings all, and the first is named.
    @Test func aFailingSourceIsReplacedAndNamed() async throws {
        try await withSources { fixture, second, entries in
            fixture.source.answer(.init(503), where: { _ in true })
            let engine = try engine(
                fixture, [Use(registry: fixture.source, priority: 1), Use(registry: second, priority: 2)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            #expect(Array(report.sourceFaults.keys) == [fixture.source.authority])
            #expect(report.sourceFaults[fixture.source.authority]?.contains("503") == true)
            let progress = engine.progress.snapshot
            #expect((progress.sourceFaults[fixture.source.authority]?.failures ?? 0) > 0)
            #expect(Array(progress.sources.keys) == [second.authority])
        }
    }

    /// The first source has other bytes under the digests: it is found out, named, and not asked again; no wrong byte is
    /// published.
    @Test func aCorruptSourceIsReplacedAndNamed() async throws {
        try await withSources { fixture, second, entries in
            corrupt(fixture.source)
            let engine = try engine(
                fixture, [Use(registry: fixture.source, priority: 1), Use(registry: second, priority: 2)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.failures.map(\.error.message) == [])
            #expect(report.isComplete)
            #expect(Array(report.sourceFaults.keys) == [fixture.source.authority])
            #expect(report.sourceFaults[fixture.source.authority]?.contains("that hash to") == true)
            let faults = engine.progress.snapshot.sourceFaults
            #expect(faults[fixture.source.authority]?.corruptBlobs == 3)
            #expect(faults[second.authority] == nil)
            for blob in image.blobs {
                let stored = try #require(fixture.destination.blob(blob.descriptor.digest, in: api.name))
                guard case .bytes(let bytes) = stored else { continue }
                #expect(Digest(of: bytes) == blob.descriptor.digest)
            }
        }
    }

    /// Two sources share the ranges of a blob, and it hashes to something else. The first that is asked alone has the
    /// right bytes: so it was the other one.
    @Test func theCulpritIsFoundByElimination() async throws {
        try await withSources { fixture, second, entries in
            corrupt(second)
            // The good source brings nothing of the large layer before the bad one was asked for some of it.
            let large = try #require(image.blobs.max { $0.descriptor.size < $1.descriptor.size }).descriptor.digest
            let gate = Gate()
            second.intercept(where: { $0.target.contains("\(large)") && $0.method == "GET" }) { _, proceed in
                gate.open()
                return try proceed()
            }
            fixture.source.intercept(where: { $0.target.contains("\(large)") && $0.method == "GET" }) {
                exchange, proceed in
                try exchange.wait(gate)
                return try proceed()
            }
            let engine = try engine(fixture, [Use(registry: fixture.source), Use(registry: second)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.failures.map(\.error.message) == [])
            #expect(report.isComplete)
            #expect(Array(report.sourceFaults.keys) == [second.authority])
            #expect(engine.progress.snapshot.sourceFaults[fixture.source.authority]?.corruptBlobs ?? 0 == 0)
        }
    }

    /// The only source has wrong bytes for a layer: that is told, the rest arrives, and the next pass does not fetch the
    /// same wrong bytes again.
    @Test func wrongBytesAreNotFetchedAgainAndAgain() async throws {
        try await withSources { fixture, _, entries in
            corrupt(fixture.source)
            let engine = try engine(fixture, [Use(registry: fixture.source)])
            var report = await engine.bring(try await engine.inventory(of: entries))
            // Three layers, and the manifest that needs them.
            #expect(report.failures.count == 4)
            #expect(report.failures.count { $0.error.message.contains("that hash to") } == 3)
            #expect(Array(report.sourceFaults.keys) == [fixture.source.authority])
            let before = engine.progress.snapshot.fetchedBytes
            report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.failures.count { $0.error.message.contains("that hash to") } == 3)
            #expect(engine.progress.snapshot.fetchedBytes == before)
            #expect(report.sourceFaults.isEmpty)
        }
    }

    /// A sibling site has the image under another name.
    @Test func namesAreThoseOfTheSource() async throws {
        try await withFixture { fixture in
            try await withScriptedRegistry { sibling in
                fixture.source.store(image, in: api.name, tag: "1")
                sibling.store(image, in: "mirror/platform/api", tag: "1")
                let entries = try await fixture.entries([(api, image)])
                let engine = try engine(
                    fixture,
                    [
                        Use(
                            registry: sibling,
                            mapping: RepositoryMapping([try .init(source: "platform", destination: "mirror/platform")]))
                    ])
                let report = await engine.bring(try await engine.inventory(of: entries))
                #expect(report.failures.map(\.error.message) == [])
                #expect(report.isComplete)
            }
        }
    }

    /// Equals bring both, and the figures say how much of each.
    @Test func equalsShareTheWork() async throws {
        try await withSources { fixture, second, entries in
            let large = try #require(image.blobs.max { $0.descriptor.size < $1.descriptor.size }).descriptor.digest
            // Neither brings the large layer before both were asked for some of it.
            let gates = [Gate(), Gate()]
            for (index, registry) in [fixture.source, second].enumerated() {
                registry.intercept(where: { $0.target.contains("\(large)") && $0.method == "GET" }) {
                    exchange, proceed in
                    gates[index].open()
                    try exchange.wait(gates[1 - index])
                    return try proceed()
                }
            }
            let engine = try engine(fixture, [Use(registry: fixture.source), Use(registry: second)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            let progress = engine.progress.snapshot
            #expect((progress.sources[fixture.source.authority] ?? 0) > 0)
            #expect((progress.sources[second.authority] ?? 0) > 0)
            #expect(progress.sources.values.reduce(0, +) == progress.fetchedBytes)
        }
    }
}
