import FoundationEssentials
import Glibc
import ImageLayout
import OCI
import Registry
import Synchronization
import TestSupport
import Testing

@testable import Transfer

/// Content that goes straight into an image layout.
@Suite(.timeLimit(.minutes(5)))
struct LayoutDestinationTests {
    private let repository: Repository

    init() throws { repository = try Repository(EngineFixture.repository) }

    private func withLayout(
        _ limits: TransferLimits = TransferLimits(),
        _ body: (EngineFixture, ImageLayout, TransferEngine) async throws -> Void
    ) async throws {
        try await withFixture { fixture in
            let layout = try ImageLayout(path: fixture.directory.file("registry"))
            let engine = try TransferEngine(
                sources: [
                    TransferSource(name: fixture.source.authority, client: try fixture.client(fixture.source))
                ], layout: layout, limits: limits)
            try await body(fixture, layout, engine)
        }
    }

    private func path(_ digest: Digest, in layout: ImageLayout) -> String {
        "\(layout.path)/\(repository)/blobs/sha256/\(digest.hex)"
    }

    /// Small blobs, which never see a spool file, and large ones, which become the blobs.
    @Test func anImageArrives() async throws {
        try await withLayout { fixture, layout, engine in
            let image = TestImage(index: [
                TestImage(seed: 1, layers: [10, 100_000, 3 << 20]), TestImage(seed: 2, layers: [10, 20 << 20]),
            ])
            fixture.store(image)
            let inventory = try await engine.inventory(of: fixture.missing(image).missing)
            #expect(inventory.present == [])
            let report = await engine.bring(inventory)
            #expect(report.failures.isEmpty)
            for digest in image.allDigests { #expect(access(path(digest, in: layout), F_OK) == 0) }
            #expect(try layout.check().problems == [])
            let after = try await engine.inventory(of: inventory.missing)
            #expect(after.missing == [])
            let tag = try Tag("1")
            let refused = await engine.assign([
                TagAssignment(repository: repository, tag: tag, digest: image.descriptor.digest, moves: false)
            ])
            #expect(refused.isEmpty)
            #expect(try layout.manifest(.tag(tag), in: repository)?.bytes == image.manifest)
            // Nothing is left of what was on its way.
            let spool = try FileManager.default.contentsOfDirectory(atPath: layout.spoolPath)
            #expect(spool.allSatisfy { $0.hasPrefix("journal.") })
            // The registry over the network was asked nothing.
            #expect(fixture.destination.requests.isEmpty)
        }
    }

    /// What a list says of a length may be wrong: the transfers of both claims are under way together, and only what was
    /// verified becomes the blob.
    @Test(arguments: [-1, 1, 70_000] as [Int64]) func aWrongLengthSpoilsNothing(_ difference: Int64) async throws {
        try await withLayout { fixture, layout, engine in
            let image = TestImage(seed: 1, layers: [3 << 20, 10])
            let liar = try Repository("a/liar")
            fixture.store(image)
            fixture.source.store(image, in: liar.name)
            let layer = image.blobs[1].descriptor
            let claim = ClosureEntry(
                repository: liar, digest: layer.digest, size: layer.size + difference, kind: .blob,
                mediaType: layer.mediaType)
            // Twice: the first pass leaves bytes behind, which the second one finds.
            for _ in 0..<2 {
                let report = await engine.bring(
                    Inventory(present: [], missing: [claim] + (try fixture.missing(image).missing)))
                #expect(report.failures.map(\.entry) == [claim.identity])
                #expect(try layout.blobSize(layer.digest, in: repository) == layer.size)
                #expect(try layout.blobSize(layer.digest, in: liar) == nil)
                #expect(try layout.check().problems == [])
                try layout.deleteManifest(image.descriptor.digest, in: repository)
                try layout.deleteBlob(layer.digest, in: repository)
                unlink("\(layout.path)/blobs/sha256/\(layer.digest.hex)")
            }
        }
    }

    /// Two agents that were given one layout would write into each other's files.
    @Test func theSpoolHasOneUser() async throws {
        try await withLayout { fixture, layout, engine in
            let error = #expect(throws: TransferError.self) {
                try TransferEngine(sources: [], layout: layout, limits: TransferLimits())
            }
            #expect(error?.code == .spoolFailed)
            #expect(error?.message.contains("another process uses") == true)
            withExtendedLifetime(engine) {}
        }
    }

    /// A blob of two repositories is on the disk once.
    @Test func aSharedLayerIsLinked() async throws {
        try await withLayout { fixture, layout, engine in
            let image = TestImage(seed: 1, layers: [2 << 20])
            let other = try Repository("other")
            fixture.store(image)
            fixture.source.store(image, in: other.name)
            let missing = try fixture.missing(image).missing
            let both =
                missing
                + missing.map {
                    ClosureEntry(
                        repository: other, digest: $0.digest, size: $0.size, kind: $0.kind, mediaType: $0.mediaType)
                }
            let report = await engine.bring(Inventory(present: [], missing: Closure(both).entries))
            #expect(report.failures.isEmpty)
            #expect(try layout.check().blobs == image.allDigests.count)
            // Fetched once, in however many ranges.
            let progress = engine.progress.snapshot
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    @Test func wrongBytesNeverArrive() async throws {
        try await withLayout { fixture, layout, engine in
            let image = TestImage(seed: 1, layers: [2 << 20])
            fixture.store(image)
            let layer = image.blobs[1].descriptor.digest
            fixture.source.store(.generated(GeneratedBytes(count: 2 << 20, seed: 99)), as: layer, in: repository.name)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.count == 2)
            #expect(access(path(layer, in: layout), F_OK) != 0)
            #expect(try layout.index(of: repository)?.entries.isEmpty != false)
            #expect(try layout.check().problems == [])
        }
    }

    /// A spool file that has become a blob is never written to again, whatever the journal says of it.
    @Test func aFileThatTheLayoutServesIsNotTouched() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.file("spool")
            var bytes = Array("content".utf8)
            try directory.write("spool", bytes)
            #expect(link(path, directory.file("blob")) == 0)
            let file = try SpoolFile(path: path, size: Int64(bytes.count))
            bytes[0] = 0
            try bytes.withUnsafeBytes { try file.write($0, at: 0) }
            #expect(try directory.read("blob") == Array("content".utf8))
        }
    }

    /// A large blob takes long to read back: whoever waits for it is told of each piece.
    @Test func readingBackTellsOfEachPiece() async throws {
        try await withLayout { fixture, layout, engine in
            let image = TestImage(seed: 1, layers: [40 << 10])
            fixture.store(image)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            let layer = image.blobs[1].descriptor
            let entry = ClosureEntry(
                repository: repository, digest: layer.digest, size: layer.size, kind: .blob,
                mediaType: layer.mediaType)
            let pieces = Atomic(0)
            let budget = ReadBudget().telling { pieces.add(1, ordering: .relaxed) }
            #expect(try await engine.readBack(entry, budget: budget) == .shown)
            #expect(pieces.load(ordering: .relaxed) == 3)
        }
    }

    /// What a cancelled pass fetched is not fetched again.
    @Test func aCancelledPassIsContinued() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 1, layers: [16 << 20, 8 << 20])
            fixture.store(image)
            let layout = try ImageLayout(path: fixture.directory.file("registry"))
            func engine() throws -> TransferEngine {
                try TransferEngine(
                    sources: [
                        TransferSource(name: fixture.source.authority, client: try fixture.client(fixture.source))
                    ], layout: layout)
            }
            var fetched: Int64 = 0
            do {
                let first = try engine()
                let missing = try fixture.missing(image)
                let run = Task { await first.bring(missing) }
                await until { first.progress.snapshot.fetchedBytes >= 6 << 20 }
                run.cancel()
                _ = await run.value
                fetched = first.progress.snapshot.fetchedBytes
                #expect(try layout.check().problems == [])
            }
            let again = try engine()
            let report = await again.bring(try await again.inventory(of: fixture.missing(image).missing))
            #expect(report.failures.isEmpty)
            fetched += again.progress.snapshot.fetchedBytes
            #expect(fetched <= (24 << 20) * 105 / 100)
            #expect(try layout.check().problems == [])
            #expect(try layout.manifestEntry(.digest(image.descriptor.digest), in: repository) != nil)
        }
    }
}
