import OCI
import Testing

@testable import ImageLayout

/// The index of a repository: tags and manifests as entries.
@Suite(.timeLimit(.minutes(5)))
struct RepositoryIndexTests {
    private func entry(_ seed: UInt8, tag: String? = nil) throws -> RepositoryIndex.Entry {
        RepositoryIndex.Entry(
            mediaType: .ociManifest, digest: Digest(of: [seed]), size: 1, tag: try tag.map { try Tag($0) })
    }

    @Test func oneEntryForEachTagOrForTheManifest() throws {
        var index = RepositoryIndex()
        #expect(index.put(try entry(1), tag: nil))
        #expect(!index.put(try entry(1), tag: nil))
        #expect(index.entries.count == 1)
        // The first tag takes the place of the entry without one.
        #expect(index.put(try entry(1, tag: "a"), tag: try Tag("a")))
        #expect(index.entries.count == 1)
        #expect(index.put(try entry(1, tag: "b"), tag: try Tag("b")))
        #expect(index.entries.count == 2)
        #expect(!index.put(try entry(1, tag: "b"), tag: try Tag("b")))
        #expect(!index.put(try entry(1), tag: nil))
        #expect(index.sortedTags.map(\.name) == ["a", "b"])
    }

    @Test func aMovedTagLeavesItsManifest() throws {
        var index = RepositoryIndex()
        #expect(index.put(try entry(1, tag: "a"), tag: try Tag("a")))
        #expect(index.put(try entry(2), tag: nil))
        #expect(index.put(try entry(2, tag: "a"), tag: try Tag("a")))
        #expect(index.entry(.tag(try Tag("a")))?.digest == Digest(of: [2]))
        #expect(index.entry(.digest(Digest(of: [1])))?.tag == nil)
        #expect(index.entries.count == 2)
        #expect(Set(index.digests) == [Digest(of: [1]), Digest(of: [2])])
    }

    @Test func removing() throws {
        var index = RepositoryIndex()
        _ = index.put(try entry(1, tag: "a"), tag: try Tag("a"))
        _ = index.put(try entry(1, tag: "b"), tag: try Tag("b"))
        #expect(index.remove(try Tag("a")))
        #expect(!index.remove(try Tag("a")))
        #expect(index.entries.count == 1)
        #expect(index.remove(try Tag("b")))
        #expect(index.entry(.digest(Digest(of: [1]))) != nil)
        let removed = [index.remove(Digest(of: [1])), index.remove(Digest(of: [1]))]
        #expect(removed == [true, false])
        #expect(index.entries.isEmpty)
    }

    @Test func writtenAndReadAgain() throws {
        var index = RepositoryIndex()
        _ = index.put(try entry(1, tag: "a"), tag: try Tag("a"))
        _ = index.put(try entry(2), tag: nil)
        #expect(try RepositoryIndex(parsing: index.encoded, path: "i").entries == index.entries)
    }

    @Test(arguments: ["", "{", "[]", #"{"schemaVersion":1,"manifests":[]}"#, #"{"schemaVersion":2}"#])
    func damagedFiles(text: String) {
        #expect(throws: LayoutError.self) { try RepositoryIndex(parsing: Array(text.utf8), path: "i") }
    }

    /// What another program wrote: skopeo's annotations, platforms, names that are no tags.
    @Test func entriesOfOthers() throws {
        let text = """
            {"schemaVersion":2,"manifests":[
             {"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\(Digest(of: [1]))","size":1,
              "annotations":{"org.opencontainers.image.ref.name":"not/a tag","x":"y"},
              "platform":{"os":"linux","architecture":"amd64"}}]}
            """
        let index = try RepositoryIndex(parsing: Array(text.utf8), path: "i")
        #expect(index.sortedTags.isEmpty)
        let again = try RepositoryIndex(parsing: index.encoded, path: "i")
        #expect(again.entries == index.entries)
        #expect(again.entries.first?.annotations?["x"] == "y")
        #expect(again.entries.first?.platform?.architecture == "amd64")
    }
}
