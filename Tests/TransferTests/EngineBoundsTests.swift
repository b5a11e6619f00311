import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// Bounds and inventories as they may come from outside.
@Suite(.timeLimit(.minutes(5))) struct EngineBoundsTests {
    private let image = TestImage(seed: 1, layers: [1_500_000, 300_000, 10])

    /// Whatever the limits say, a pass ends, and what it did not bring is said.
    @Test(arguments: [-1, 0, 1]) func anyLimitsEnd(number: Int) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            var limits = TransferLimits()
            limits.blobs = number
            limits.smallBlobs = number
            limits.connections = number
            limits.checks = number
            limits.memory = Int64(number)
            let engine = try fixture.engine(limits: limits)
            let report = await engine.bring(try await engine.inventory(of: try fixture.missing(image).missing))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            limits.spool = Int64(number)
            let other = TestImage(seed: 2, layers: [1_500_000])
            fixture.store(other)
            let narrow = try fixture.engine(limits: limits)
            let failures = await narrow.bring(try fixture.missing(other)).failures
            #expect(failures.map(\.error.code).contains(.spoolFull))
        }
    }

    @Test func anInventoryThatRepeatsItselfIsBroughtOnce() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let entries = try fixture.missing(image).missing
            let engine = try fixture.engine()
            let report = await engine.bring(Inventory(present: [], missing: entries + entries.reversed()))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(fixture.destination.requests.filter(\.putsManifest).count == 1)
        }
    }

    @Test func nothingToDoIsDone() async throws {
        try await withFixture { fixture in
            let report = await (try fixture.engine()).bring(Inventory(present: [], missing: []))
            #expect(report.isComplete)
            #expect(fixture.source.requests.isEmpty && fixture.destination.requests.isEmpty)
        }
    }

    /// One image that lies about a layer's size must not keep another one from having that layer.
    @Test func aWrongSizeHarmsNobodyElse() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let blob = image.blobs[1].descriptor
            for size in [blob.size - 1, blob.size + 1, 5, Descriptor.maximumSize] {
                let liar = ClosureEntry(
                    repository: try Repository("a/liar"), digest: blob.digest, size: size, kind: .blob,
                    mediaType: blob.mediaType)
                fixture.source.store(image, in: "a/liar")
                let engine = try fixture.engine()
                let report = await engine.bring(
                    Inventory(present: [], missing: [liar] + (try fixture.missing(image).missing)))
                #expect(report.failures.map(\.entry) == [liar.identity])
                fixture.expectComplete(image)
                #expect(fixture.destination.blob(blob.digest, in: "a/liar") == nil)
                for digest in image.allDigests { fixture.destination.remove(digest, from: EngineFixture.repository) }
            }
        }
    }

    /// More connections than segments of memory, several large blobs at once.
    @Test func littleMemoryIsEnough() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 3, layers: [9_000_000, 8_000_000, 7_000_000, 6_000_000])
            fixture.store(image)
            var limits = TransferLimits()
            limits.memory = 1
            limits.blobs = 4
            limits.connections = 64
            let engine = try fixture.engine(limits: limits)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
        }
    }
}
