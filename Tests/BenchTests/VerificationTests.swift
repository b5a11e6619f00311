import FoundationEssentials
import TestSupport
import Testing

@testable import Bench

/// What a destination serves that is not what it should: each time the first of it is named.
@Suite(.timeLimit(.minutes(5))) struct VerificationTests {
    private let image = Corpus.Image(
        repository: "a/b", tag: "1", manifest: .init(digest: "sha256:m", size: 1),
        blobs: [.init(digest: "sha256:c", size: 2), .init(digest: "sha256:l", size: 3)])

    /// What is wrong, in words.
    private func words(_ check: () throws -> Void) throws -> String {
        do {
            try check()
        } catch let error as BenchError {
            #expect(error.code == .verification)
            return error.message
        }
        return "nothing"
    }

    @Test func everyManifestAndEachBlobOnceIsHashed() {
        let other = Corpus.Image(
            repository: "a/c", tag: "2", manifest: .init(digest: "sha256:n", size: 1), blobs: image.blobs)
        let contents = Verification.contents(of: [image, other], in: "D")
        #expect(
            contents.map(\.path) == [
                "a/b/manifests/1", "a/b/blobs/sha256:c", "a/b/blobs/sha256:l", "a/c/manifests/2",
            ])
        #expect(contents.map(\.digest) == ["sha256:m", "sha256:c", "sha256:l", "sha256:n"])
        #expect(Set(contents.map(\.file)).count == 4)
    }

    @Test(arguments: [
        ("200 http://h:1/v2/x\n200 http://h:1/v2/y\n", "nothing"),
        ("200 http://h:1/v2/y\n404 http://h:1/v2/x\n", "h:1 does not serve x: status 404; 1 of 2 in all"),
        ("200 http://h:1/v2/x\n000 http://h:1/v2/y\n", "h:1 does not serve y: no answer; 1 of 2 in all"),
        // Another server's answer, and part of a line, are no answers.
        ("200 http://h:2/v2/x\n200\n", "h:1 does not serve x: no answer; 2 of 2 in all"),
        ("", "h:1 does not serve x: no answer; 2 of 2 in all"),
    ])
    func whatIsNotServedIsNamed(_ answers: String, _ said: String) throws {
        #expect(try words { try Verification.requireServed(["x", "y"], answers, by: "h:1") } == said)
    }

    @Test func whatHashesOtherwiseIsNamed() throws {
        let (right, wrong) = (String(repeating: "a", count: 64), String(repeating: "b", count: 64))
        let contents = ["one", "two"].map {
            Verification.Content(path: "a/b/blobs/\($0)", digest: "sha256:\(right)", file: "/a dir/\($0)")
        }
        func said(_ sums: String) throws -> String {
            try words { try Verification.requireHashes(of: contents, sums, by: "h:1") }
        }
        #expect(try said("\(right)  /a dir/one\n\(right)  /a dir/two\n") == "nothing")
        #expect(
            try said("\(right)  /a dir/one\n\(wrong)  /a dir/two\n")
                == "h:1 serves sha256:\(wrong) at a/b/blobs/two, in the place of sha256:\(right)")
        #expect(try said("\(right)  /a dir/one\n") == "a/b/blobs/two from h:1 could not be hashed")
        #expect(try said("short\n").contains("a/b/blobs/one"))
    }

    @Test(arguments: [
        ("docker://h:1/a/b:1 sha256:m amd64\n", "nothing"),
        (
            "docker://h:1/a/b:1 sha256:m arm64\n",
            "skopeo reads sha256:m arm64 at docker://h:1/a/b:1, not sha256:m for amd64"
        ),
        (
            "docker://h:1/a/b:1 sha256:x amd64\n",
            "skopeo reads sha256:x amd64 at docker://h:1/a/b:1, not sha256:m for amd64"
        ),
        ("", "skopeo cannot read docker://h:1/a/b:1: its words"),
    ])
    func whatSkopeoReadsOtherwiseIsNamed(_ answers: String, _ said: String) throws {
        let found = try words { try Verification.requireRead([image], answers, by: "h:1", errors: "its words") }
        #expect(found == said)
    }

    /// A registry's storage with images, and what is done to it before it is verified.
    private struct Site {
        let corpus: Corpus
        let root: String

        private func path(_ place: String) -> String { "\(root)/docker/registry/v2/\(place)" }

        private func data(_ digest: String) -> String {
            let hex = digest.dropFirst("sha256:".count)
            return path("blobs/sha256/\(hex.prefix(2))/\(hex)/data")
        }

        func overwrite(_ digest: String, with text: String) throws {
            try FileManager.default.removeItem(atPath: data(digest))
            try Scratch.write(text, to: data(digest))
        }

        func remove(_ digest: String) throws { try FileManager.default.removeItem(atPath: data(digest)) }

        func unlink(_ digest: String, from repository: String) throws {
            let hex = digest.dropFirst("sha256:".count)
            try FileManager.default.removeItem(atPath: path("repositories/\(repository)/_layers/sha256/\(hex)"))
        }
    }

    /// What is said of a real registry after something was done to its storage.
    private func verdict(after damage: (Site) throws -> Void) throws -> String {
        let directory = try TemporaryDirectory("verification")
        defer { directory.remove() }
        for name in ["central", "site"] { try Scratch.makeDirectory(directory.file(name)) }
        let corpus = try Corpus(.release(images: 3, bytes: 1 << 18, seed: 5), in: directory.file("central"))
        let site = Site(corpus: corpus, root: directory.file("site"))
        try corpus.storage.share(corpus.images, with: RegistryStorage(root: site.root))
        try damage(site)
        let server = try RegistryServer(storage: site.root, isReadOnly: true)
        return try words { try server.verify(corpus) }
    }

    @Test func aDestinationThatHoldsAllIsRight() throws {
        #expect(try verdict { _ in } == "nothing")
    }

    @Test func anAlteredLayerIsNamed() throws {
        let said = try verdict { site in
            let layer = try #require(site.corpus.images[1].blobs.last)
            try site.overwrite(layer.digest, with: String(repeating: "x", count: layer.size))
        }
        #expect(said.contains("at platform/app-01/blobs/sha256:"))
        #expect(said.contains("in the place of sha256:"))
    }

    @Test func alteredAndMissingBlobsAreNamed() throws {
        let lost = try verdict { try $0.remove($0.corpus.images[2].blobs[0].digest) }
        #expect(lost.contains("does not serve platform/app-02/blobs/sha256:"))
        let cut = try verdict { try $0.overwrite($0.corpus.images[2].blobs[0].digest, with: "") }
        #expect(cut.contains("platform/app-02/blobs/sha256:"))
    }

    @Test func aBlobThatOneRepositoryLacksIsNamed() throws {
        // The base system, which the first image has too: as a content it is there.
        let said = try verdict { try $0.unlink($0.corpus.images[2].blobs[1].digest, from: "platform/app-02") }
        #expect(said.contains("does not serve platform/app-02/blobs/sha256:"))
    }

    @Test func anAlteredOrOtherManifestIsNamed() throws {
        let altered = try verdict { try $0.overwrite($0.corpus.images[1].manifest.digest, with: "{}") }
        #expect(altered.contains("platform/app-01/manifests/4.17.3"))
        let other = try verdict { site in
            try RegistryStorage(root: site.root).link(
                manifest: site.corpus.images[0].manifest.digest, tag: "4.17.3", in: "platform/app-01")
        }
        #expect(other.contains("serves sha256:"))
        #expect(other.contains("at platform/app-01/manifests/4.17.3"))
        let lost = try verdict { try $0.remove($0.corpus.images[1].manifest.digest) }
        #expect(lost.contains("does not serve platform/app-01/manifests/4.17.3"))
    }
}
