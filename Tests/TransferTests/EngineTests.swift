import OCI
import Registry
import TestSupport
import Testing
import Transfer

@Suite struct EngineTests {
    let api: Repository
    let db: Repository

    init() throws {
        api = try Repository("platform/api")
        db = try Repository("platform/db")
    }

    @Test func bringsAnIndexWithLargeAndSmallBlobs() async throws {
        try await withFixture { fixture in
            let image = TestImage(index: [
                TestImage(seed: 1, layers: [3_000_000, 700, 600_000]),
                TestImage(seed: 2, layers: [0, 5_000_000], platform: "linux/arm64/v8", isDocker: true),
            ])
            fixture.source.store(image, in: api.name, tag: "1")
            let engine = try fixture.engine()
            let entries = try await fixture.entries([(api, image)])
            let before = try await engine.inventory(of: entries)
            #expect(before.present.isEmpty)
            let report = await engine.bring(before)
            #expect(report.failures.map(\.error.message) == [])
            let after = try await engine.inventory(of: entries)
            #expect(after.missing.isEmpty)
            #expect(fixture.destination.manifest(image.descriptor.digest, in: api.name) == image.manifest)
            for child in image.children {
                #expect(fixture.destination.manifest(child.descriptor.digest, in: api.name) == child.manifest)
            }
            let progress = engine.progress.snapshot
            #expect(progress.deliveredBytes == progress.totalBytes)
            // A divided range may bring up to one read more than was wanted of it.
            #expect(progress.fetchedBytes >= progress.totalBytes)
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    @Test func bringsASharedLayerOnceAndMountsTheRest() async throws {
        try await withFixture { fixture in
            let first = TestImage(seed: 1, layers: [2_000_000])
            // The same layers: equal seeds make equal images.
            fixture.source.store(first, in: api.name, tag: "1")
            fixture.source.store(first, in: db.name, tag: "1")
            let engine = try fixture.engine()
            let entries = try await fixture.entries([(api, first), (db, first)])
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.isComplete)
            #expect(
                engine.progress.snapshot.fetchedBytes <= first.blobs.reduce(0) { $0 + $1.descriptor.size } * 105 / 100)
            #expect(try await engine.inventory(of: entries).missing.isEmpty)
        }
    }
}
