import FoundationEssentials
import Glibc
import ImageLayout
import OCI
import Registry
import TestRegistry
import TestSupport
import Testing

@testable import Transfer

/// Content that was damaged on the disk of the agent's own layout: whatever it is, bringing it again mends it.
@Suite(.timeLimit(.minutes(5))) struct LayoutDamageTests {
    /// Blobs that go through a file and blobs that do not.
    private let image = TestImage(seed: 1, layers: [3_000_000, 100_000])

    /// Runs `body` with a layout that has the image in two repositories, which share every file.
    private func withLayout(
        _ body: (Pipeline, ImageLayout, [ClosureEntry]) async throws -> Void
    ) async throws {
        try await withPipeline { pipeline in
            let layout = try ImageLayout(path: pipeline.directory.file("layout"))
            var entries: [ClosureEntry] = []
            for repository in [pipeline.repository, try Repository("platform/other")] {
                try pipeline.source.layout.put(image, in: repository, as: "1")
                try layout.put(image, in: repository, as: "1")
                entries += pipeline.entries(image, in: repository)
            }
            try await body(pipeline, layout, Closure(entries).entries)
        }
    }

    private func damage(_ digest: Digest, _ layout: ImageLayout, _ repository: Repository) throws {
        let path = "\(layout.path)/\(repository)/blobs/sha256/\(digest.hex)"
        #expect(chmod(path, 0o644) == 0)
        var bytes = try Data(contentsOf: URL(filePath: path))
        bytes[0] ^= 0xFF
        try bytes.write(to: URL(filePath: path), options: [])
    }

    /// Config, small layer, large layer and manifest, in turn and all at once.
    @Test(arguments: [[0], [1], [2], [3], [0, 1, 2, 3]]) func isBroughtAgain(damaged: [Int]) async throws {
        try await withLayout { pipeline, layout, entries in
            let digests = image.blobs.map(\.descriptor.digest) + [image.descriptor.digest]
            for number in damaged { try damage(digests[number], layout, pipeline.repository) }
            let bad = Set(damaged.map { digests[$0] })
            let engine = try pipeline.engine(into: layout)
            let report = await engine.bring(
                Inventory(
                    present: entries.filter { !bad.contains($0.digest) },
                    missing: entries.filter { bad.contains($0.digest) }))
            #expect(report.failures.map(\.error.message) == [])
            #expect(try layout.check().problems == [])
            for entry in entries { #expect(try await engine.readBack(entry) == .shown) }
        }
    }

    @Test func aManifestIsMended() async throws {
        try await withLayout { pipeline, layout, entries in
            try damage(image.descriptor.digest, layout, pipeline.repository)
            let engine = try pipeline.engine(into: layout)
            let failures = await engine.mend(entries.filter { $0.kind == .manifest })
            #expect(failures.map { $0.1.message } == [])
            #expect(try layout.check().problems == [])
        }
    }
}
