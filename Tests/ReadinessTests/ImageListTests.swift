import FoundationEssentials
import Glibc
import OCI
import Testing

@testable import Readiness

@Suite struct ImageListTests {
    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// A list that uses every field: a tag and none, a platform and none, SHA-512, shared layers.
    private func richList() throws -> ImageList {
        let repositories = [try Repository("platform/api"), try Repository("b"), try Repository("platform/db_x")]
        var entries: [ClosureEntry] = []
        var images: [ImageList.Image] = []
        for (index, repository) in repositories.enumerated() {
            let manifest = ClosureEntry(
                repository: repository,
                digest: Digest(of: Array("m\(index)".utf8), algorithm: index == 1 ? .sha512 : .sha256),
                size: Int64(index), kind: .manifest, mediaType: .dockerManifest)
            entries.append(manifest)
            for layer in 0..<3 {
                entries.append(
                    ClosureEntry(
                        repository: repository, digest: Fixture.digest("shared \(layer)"), size: Descriptor.maximumSize,
                        kind: .blob, mediaType: MediaType("application/vnd.oci.image.layer.v1.tar+zstd")))
            }
            images.append(
                ImageList.Image(
                    repository: repository, tag: index == 0 ? nil : try Tag("V_1.\(index)-x"), digest: manifest.digest,
                    mediaType: manifest.mediaType, size: manifest.size, platform: Platform("linux/arm64/v8")))
        }
        return try ImageList(
            name: ListName("platform-4.17.3"), source: "https://registry.central.example:5000/mirror?a=b&c=<d>",
            images: images.reversed(), closure: Closure(entries.shuffled()))
    }

    @Test func documentReadsBack() throws {
        let list = try richList()
        #expect(try ImageList(parsing: list.documentBytes) == list)
        #expect(list.generation == Digest(of: list.canonicalBytes))
        #expect(text(list.documentBytes).hasSuffix("}\n"))
    }

    @Test func canonicalFormIsPinned() throws {
        let list = try Fixture.list(layers: 0)
        let digest = Fixture.digest("manifest 1")
        #expect(
            text(list.canonicalBytes)
                == #"{"closure":[{"digest":"\#(digest)","kind":"manifest","#
                + #""mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"platform/api","size":500}],"#
                + #""closureRoot":"\#(list.closure.root)","images":[{"digest":"\#(digest)","#
                + #""mediaType":"application/vnd.oci.image.manifest.v1+json","repository":"platform/api","size":500,"#
                + #""tag":"1"}],"name":"platform","schema":"rollcall.image-list/v1","#
                + #""source":"https://registry.central.example"}"#)
    }

    /// Anyone can compute the generation with stock tools.
    @Test(.enabled(if: access("/usr/bin/jq", X_OK) == 0))
    func generationIsWhatJqAndSha256sumPrint() throws {
        for list in [try Fixture.list(), try richList()] {
            let path = FileManager.default.temporaryDirectory.path + "/rollcall-list-\(UUID().uuidString).json"
            try Data(list.documentBytes).write(to: URL(filePath: path))
            defer { try? FileManager.default.removeItem(atPath: path) }
            let pipe = try #require(popen("jq -cjS 'del(.generation)' '\(path)' | sha256sum", "r"))
            var line = [CChar](repeating: 0, count: 256)
            fgets(&line, 256, pipe)
            #expect(pclose(pipe) == 0)
            let printed = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            #expect(printed.hasPrefix(list.generation.hex))
        }
    }

    @Test func theOrderOfTheInputDoesNotMatter() throws {
        #expect(try richList() == richList())
    }

    /// Each change of a valid document is refused, with a message that says what is wrong.
    @Test(arguments: [
        (#""schema": "rollcall.image-list/v1""#, #""schema": "rollcall.image-list/v2""#, "is newer"),
        (#""schema": "rollcall.image-list/v1""#, #""schema": "other/v1""#, "another kind of document"),
        (#""name": "platform""#, #""name": "platform2""#, "changed by hand"),
        (#""name": "platform""#, #""name": "../platform""#, "the name of an image list"),
        (#""source": "https://registry.central.example""#, #""source": "https://user@host""#, "'source'"),
        (#""source": "https://registry.central.example""#, #""source": "a\"b""#, "'source'"),
        (#""size": 1000"#, #""size": 1001"#, "closure's root"),
        (#""size": 1000"#, #""size": -1"#, "claims -1 bytes"),
        (#""size": 1000"#, #""size": 1e300"#, "not valid"),
        (#""size": 500, "tag""#, #""size": 501, "tag""#, "not in the closure"),
        (#""kind": "manifest""#, #""kind": "blob""#, "not in the closure"),
        (#""kind": "blob""#, #""kind": "other""#, "kind"),
        (#""repository": "platform/api""#, #""repository": "Platform""#, "not a repository name"),
        (#""tag": "1""#, #""tag": "/""#, "not a tag"),
        (#""tag": "1""#, #""platform": "x", "tag": "1""#, "not a platform"),
        (#""generation": "sha256:"#, #""generation": "md5:"#, "unknown digest algorithm"),
        (#""closureRoot": "#, #""other": "#, "'closureRoot' is missing"),
        ("+gzip", #"\u0007"#, "media type"),
        ("}\n", "", "line 5: not valid JSON"),
        (#""name": "platform""#, #""name": platform"#, "line 12: not valid JSON"),
    ])
    func damageIsRefused(_ original: String, _ replacement: String, _ message: String) throws {
        let document = text(try Fixture.list().documentBytes)
        let range = try #require(document.firstRange(of: original))
        var damaged = document
        damaged.replaceSubrange(range, with: replacement)
        #expect {
            try ImageList(parsing: Array(damaged.utf8), in: "list.json")
        } throws: { error in
            "\(error)".hasPrefix("list.json: ") && "\(error)".contains(message) && !"\(error)".contains("\n")
        }
    }

    @Test func anotherOrderIsRefused() throws {
        let list = try Fixture.list()
        var lines = text(list.documentBytes).split(separator: "\n").map(String.init)
        let first = try #require(lines.firstIndex { $0.contains(#""kind": "blob""#) && $0.hasSuffix(",") })
        lines.swapAt(first, first + (lines[first + 1].hasSuffix(",") ? 1 : -1))
        #expect {
            try ImageList(parsing: Array(lines.joined(separator: "\n").utf8))
        } throws: {
            "\($0)".contains("not sorted")
        }
    }

    @Test(arguments: ["", "null", "[]", "{}", "\u{0}", #"{"schema":1}"#, "{\"schema\":\"rollcall.image-list/v1\"}"])
    func otherTextIsRefused(_ document: String) {
        #expect(throws: ReadinessError.self) { try ImageList(parsing: Array(document.utf8)) }
    }

    @Test func emptyListsAreRefused() throws {
        #expect {
            try ImageList(name: ListName("a"), source: "https://a", images: [], closure: Closure([]))
        } throws: {
            "\($0)".contains("no images")
        }
    }
}
