import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// Images from a layout that another program wrote.
@Suite(.timeLimit(.minutes(5)))
struct ImportTests {
    private let repository: Repository
    private let there: Repository

    init() throws {
        repository = try Repository("platform/a")
        there = try Repository("there")
    }

    /// A layout like skopeo's, made by ours.
    private func withSource(
        _ images: [(TestImage, String?)], _ body: (ImageLayout, String, TemporaryDirectory) async throws -> Void
    ) async throws {
        try await withLayout { layout, directory in
            let other = try ImageLayout(path: directory.file("other"))
            for (image, tag) in images { try other.put(image, in: there, as: tag) }
            try await body(layout, "\(other.path)/there", directory)
        }
    }

    @Test func anImageGetsATag() async throws {
        let image = TestImage(seed: 1)
        try await withSource([(image, nil)]) { layout, path, _ in
            let report = try layout.importImages(from: path, to: repository, tag: try Tag("1"))
            #expect(report.images == [image.descriptor.digest])
            #expect(report.contents == image.allDigests.count)
            #expect(try layout.manifest(.tag(try Tag("1")), in: repository)?.bytes == image.manifest)
            #expect(try layout.check().problems == [])
            // Again: everything is there.
            #expect(try layout.importImages(from: path, to: repository, tag: try Tag("2")).contents == 0)
            #expect(try layout.index(of: repository)?.sortedTags.map(\.name) == ["1", "2"])
        }
    }

    @Test func imagesKeepTheirNames() async throws {
        let index = TestImage(index: [TestImage(seed: 1), TestImage(seed: 2, platform: "linux/arm64")])
        try await withSource([(index, "multi"), (TestImage(seed: 3), "one")]) { layout, path, _ in
            let several = #expect(throws: LayoutError.self) {
                try layout.importImages(from: path, to: repository, tag: try Tag("x"))
            }
            #expect(several?.code == .invalidManifest)
            _ = try layout.importImages(from: path, to: repository)
            #expect(try layout.index(of: repository)?.sortedTags.map(\.name) == ["multi", "one"])
            #expect(try layout.check().problems == [])
        }
    }

    @Test func whatSkopeoWrote() async throws {
        let image = TestImage(seed: 1)
        try await withSource([(image, "1")]) { layout, path, directory in
            let copied = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "--preserve-digests", "oci:\(path):1",
                "oci:\(directory.file("medium")):renamed",
            ])
            #expect(copied.status == 0, "\(copied.errorText)")
            _ = try layout.importImages(from: directory.file("medium"), to: repository)
            #expect(try layout.manifest(.tag(try Tag("renamed")), in: repository)?.bytes == image.manifest)
        }
    }

    @Test func damagedContentIsRefused() async throws {
        let image = TestImage(seed: 1)
        try await withSource([(image, "1")]) { layout, path, _ in
            damage("\(path)/blobs/sha256/\(image.blobs[1].descriptor.digest.hex)")
            let error = #expect(throws: LayoutError.self) { try layout.importImages(from: path, to: repository) }
            #expect(error?.code == .digestMismatch)
            unlink("\(path)/blobs/sha256/\(image.blobs[1].descriptor.digest.hex)")
            let missing = #expect(throws: LayoutError.self) { try layout.importImages(from: path, to: repository) }
            #expect(missing?.code == .blobUnknown)
            let (problems, uploads) = (try layout.check().problems, try layout.uploadCount())
            #expect(problems == [])
            #expect(uploads == 0)
        }
    }

    @Test func directoriesThatAreNoLayouts() async throws {
        try await withLayout { layout, directory in
            for path in [directory.path, directory.file("nothing")] {
                let error = #expect(throws: LayoutError.self) { try layout.importImages(from: path, to: repository) }
                #expect(error?.code == .notALayout)
            }
        }
    }
}
