import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// What a check finds, and what it mends.
@Suite(.timeLimit(.minutes(5)))
struct CheckTests {
    private let repository: Repository
    private let image = TestImage(seed: 1)

    init() throws { repository = try Repository("platform/a") }

    @Test func counts() async throws {
        try await withLayout { layout, _ in
            try layout.put(image, in: repository, as: "1")
            try layout.put(image, in: try Repository("b"), as: "1")
            let report = try layout.check()
            #expect(report.repositories == 2)
            #expect(report.manifests == 2)
            #expect(report.blobs == image.allDigests.count)
            #expect(report.problems == [])
            #expect(try layout.check(readsContents: false).blobs == 0)
        }
    }

    @Test func damagedBlobs() async throws {
        try await withLayout { layout, _ in
            try layout.put(image, in: repository, as: "1")
            let layer = image.blobs[1].descriptor.digest
            damage(layout.blobPath(layer, in: repository))
            #expect(try layout.check(readsContents: false).problems == [])
            let report = try layout.check()
            #expect(report.problems.count == 1)
            #expect(report.problems.first?.contains(layer.hex) == true)

            let mended = try layout.check(removesDamaged: true)
            #expect(mended.removed == 1)
            #expect(!exists(layout.blobPath(layer, in: repository)))
            // Not to be had by a mount either.
            #expect(try !layout.mount(layer, from: nil, to: repository))
            try layout.putBlob(image.blobs[1].content.all, as: layer, in: repository)
            #expect(try layout.check().problems == [])
        }
    }

    /// Between reading a damaged blob and taking it away, somebody brings it again: what they brought stays.
    @Test func aBlobThatIsBroughtWhileTheDamagedOneIsTakenAway() async throws {
        try await withLayout { layout, _ in
            let bytes: [UInt8] = [1, 2, 3]
            let digest = Digest(of: bytes)
            try layout.putBlob(bytes, as: digest, in: repository)
            damage(layout.blobPath(digest, in: repository))
            // The server is another process.
            let other = try ImageLayout(path: layout.path)
            let report = try layout.check(removesDamaged: true) { _ in
                do {
                    let upload = try other.startUpload(in: repository)
                    try upload.append(bytes)
                    try upload.commit(as: digest)
                } catch {
                    Issue.record("\(error)")
                }
            }
            #expect(report.removed == 0)
            #expect(try layout.bytes(digest, in: repository) == bytes)
            #expect(try layout.check().problems == [])
        }
    }

    @Test func missingBlobs() async throws {
        try await withLayout { layout, _ in
            try layout.put(image, in: repository, as: "1")
            unlink(layout.blobPath(image.blobs[1].descriptor.digest, in: repository))
            let problems = try layout.check().problems
            #expect(problems.count == 1)
            #expect(problems.first?.contains("\(image.descriptor.digest)") == true)
        }
    }

    @Test func cutBlobs() async throws {
        try await withLayout { layout, _ in
            try layout.put(image, in: repository, as: "1")
            truncate(layout.blobPath(image.blobs[1].descriptor.digest, in: repository), 10)
            #expect(try layout.check(readsContents: false).problems.count == 1)
        }
    }

    @Test func damagedManifests() async throws {
        try await withLayout { layout, _ in
            try layout.put(image, in: repository, as: "1")
            damage(layout.blobPath(image.descriptor.digest, in: repository))
            #expect(try layout.check().problems.count == 1)
            #expect(try layout.check(readsContents: false).problems.count == 1)
        }
    }

    @Test(arguments: ["", "{", "{}"])
    func damagedIndexes(text: String) async throws {
        try await withLayout { layout, directory in
            try layout.put(image, in: repository, as: "1")
            try directory.write("registry/platform/a/index.json", text)
            #expect(try layout.check().problems.count == 1)
            // Nothing is collected where nothing is known.
            #expect(try layout.collectGarbage(olderThan: 0).skipped.count == 1)
            #expect(exists(layout.blobPath(image.descriptor.digest, in: repository)))
        }
    }

    @Test func strangers() async throws {
        try await withLayout { layout, directory in
            try layout.put(image, in: repository, as: "1")
            try directory.write("registry/platform/a/blobs/sha256/README", "x")
            try directory.write("registry/platform/Notes", "x")
            #expect(try layout.check().problems.count == 1)
        }
    }
}
