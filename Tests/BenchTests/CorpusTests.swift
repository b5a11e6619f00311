import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

@testable import Bench

/// The generated images against the tools that everyone has: gzip, tar and sha256sum.
@Suite(.timeLimit(.minutes(5))) struct CorpusTests {
    @Test(arguments: [2048, 65_000, 66_000, 131_075, 1_000_000])
    func aLayerIsAGzipTar(_ size: Int) async throws {
        try await withTemporaryDirectory("layer") { directory in
            let path = directory.file("layer")
            var writer = LayerWriter(seed: 7)
            let layer = try writer.write(size, name: "usr/a.bin", to: path)
            #expect(abs(layer.size - size) <= 1024)
            let sum = try await runCommand(["sha256sum", path])
            #expect("sha256:\(sum.text.prefix(64))" == layer.digest)
            let tar = try await runCommand(["sh", "-c", "gzip -dc '\(path)' | sha256sum"])
            #expect("sha256:\(tar.text.prefix(64))" == layer.diffID)
            let names = try await runCommand(["tar", "-tzf", path])
            #expect(names.status == 0)
            #expect(names.text == "usr/a.bin\n")
        }
    }

    @Test func aSeedMakesTheSameContentEverywhere() async throws {
        try await withTemporaryDirectory("layer") { directory in
            var first = LayerWriter(seed: 1)
            var second = LayerWriter(seed: 1)
            var other = LayerWriter(seed: 2)
            let one = try first.write(10_000, name: "a", to: directory.file("one"))
            #expect(try second.write(10_000, name: "a", to: directory.file("two")) == one)
            #expect(try other.write(10_000, name: "a", to: directory.file("three")) != one)
        }
    }

    @Test func aReleaseHasTheBlobsAndBytesItShould() {
        let plan = CorpusPlan.release(images: 60, bytes: 85 << 20, seed: 1)
        // Its configurations are the other 60 of the 248 blobs.
        #expect(plan.layers.count == 188)
        #expect(plan.images.count == 60)
        #expect(plan.images.allSatisfy { $0.layers.count == 5 })
        #expect(Set(plan.images.flatMap(\.layers)) == Set(0..<188))
        let bytes = plan.layers.reduce(0, +)
        #expect(abs(bytes - 85 << 20) < 1 << 20)
        #expect(plan == CorpusPlan.release(images: 60, bytes: 85 << 20, seed: 1))
        #expect(plan != CorpusPlan.release(images: 60, bytes: 85 << 20, seed: 2))
    }

    @Test(arguments: [
        (1, "platform/app-00"), (100, "platform/app-99"), (101, "platform/app-100"), (20_000, "platform/app-19999"),
    ])
    func noTwoImagesHaveOneName(_ count: Int, _ last: String) {
        let plan = CorpusPlan.release(images: count, bytes: 1 << 20, seed: 1)
        #expect(Set(plan.images.map { "\($0.repository):\($0.tag)" }).count == count)
        #expect(plan.images.last?.repository == last)
    }

    @Test func aPlanKnowsWhatItsFilesTake() async throws {
        try await withTemporaryDirectory("corpus") { directory in
            let plan = CorpusPlan.upgrade(images: 4, bytes: 1 << 20, seed: 3)
            _ = try Corpus(plan, in: directory.path)
            let used = try await runCommand(["du", "--summarize", "--bytes", directory.path])
            #expect(Int(used.text.prefix { $0.isNumber }) ?? .max <= plan.space)
        }
    }

    @Test func aFileOfMoreThan8GiBHasAHeaderThatTarReads() async throws {
        try await withTemporaryDirectory("layer") { directory in
            for size in [1 << 20, (1 << 33) - 1, 1 << 33, 10 << 30] {
                // What is in the file is a hole: tar only reads its name and size.
                let path = try directory.write("tar", LayerWriter.tarHeader(name: "a", size: size))
                let end = (512 + size + 511) / 512 * 512 + 1024
                let stretched = truncate(path, off_t(end))
                #expect(stretched == 0)
                let listed = try await runCommand(["tar", "--list", "--verbose", "--seek", "--file", path])
                #expect(listed.status == 0)
                #expect(listed.text.contains(" \(size) "))
            }
        }
    }

    @Test func theNextReleaseHasMostOfTheOneBefore() {
        let plan = CorpusPlan.upgrade(images: 60, bytes: 85 << 20, seed: 1)
        #expect(plan.previous == CorpusPlan.release(images: 60, bytes: 85 << 20, seed: 1).images)
        let before = Set(plan.previous.flatMap(\.layers))
        let added = Set(plan.images.flatMap(\.layers)).subtracting(before)
        // A runtime, three layers of each of the ten images on it, and one of every fourth of the others.
        #expect(added.count == 1 + 30 + 15)
        #expect(plan.images.filter { image in image.layers.contains { added.contains($0) } }.count == 10 + 15)
        #expect(Set(plan.images.map(\.tag)).isDisjoint(with: plan.previous.map(\.tag)))
        #expect(CorpusPlan.upgrade(images: 1, bytes: 1 << 20, seed: 1).images.count == 1)
    }

    @Test func whatIsThereHasNotToCome() async throws {
        try await withTemporaryDirectory("corpus") { directory in
            let plan = CorpusPlan.upgrade(images: 4, bytes: 1 << 20, seed: 3)
            let corpus = try Corpus(plan, in: directory.path)
            #expect(corpus.needed(.everything).isEmpty)
            let needed = Set(corpus.needed(.previous).map(\.digest))
            let old = Set(corpus.previous.flatMap { $0.blobs + [$0.manifest] }.map(\.digest))
            #expect(!needed.isEmpty)
            #expect(needed.isDisjoint(with: old))
            #expect(needed.count < corpus.needed(.nothing).count)
            // An image that only gets a new tag is the same image.
            #expect(corpus.images[2].manifest == corpus.previous[2].manifest)

            let other = RegistryStorage(root: directory.file("other"))
            try corpus.storage.share(corpus.previous, with: other)
            let found = try await runCommand(["sh", "-c", "find '\(other.root)' -name data | wc -l"])
            #expect(Int(found.text.filter(\.isNumber)) == old.count)
        }
    }

    @Test func theStorageHoldsEveryContentUnderItsDigest() async throws {
        try await withTemporaryDirectory("corpus") { directory in
            let corpus = try Corpus(.release(images: 4, bytes: 1 << 20, seed: 3), in: directory.path)
            #expect(corpus.images.count == 4)
            // Configurations, bases, the runtimes that four images use, and layers of their own.
            #expect(corpus.blobs.count == 4 + 2 + 4 + 12)
            #expect(corpus.bytes > corpus.blobs.reduce(0) { $0 + $1.size })
            for content in corpus.blobs + corpus.images.map(\.manifest) {
                let digest = try Digest(content.digest)
                let path =
                    "\(corpus.storage.root)/docker/registry/v2/blobs/sha256/\(digest.hex.prefix(2))/\(digest.hex)/data"
                let bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))
                #expect(bytes.count == content.size)
                #expect(Digest(of: bytes) == digest)
            }
        }
    }
}
