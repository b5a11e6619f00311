import Glibc
import OCI
import TestSupport
import Testing

@testable import ImageLayout

/// What is attached to what, found step by step and listed page by page.
@Suite(.timeLimit(.minutes(5)))
struct ReferrerTests {
    private let repository: Repository
    private let subject = TestImage(seed: 1, layers: [10])

    init() throws { repository = try Repository("a") }

    /// An attached manifest with annotations of some length.
    private func manifest(_ number: Int, type: String = "a/b", padding: Int = 0) -> [UInt8] {
        Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"\(type)",
             "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"\(Digest(of: Array("{}".utf8)))","size":2},
             "layers":[],"annotations":{"number":"\(number)","padding":"\(String(repeating: "x", count: padding))"},
             "subject":{"mediaType":"\(subject.descriptor.mediaType)","digest":"\(subject.descriptor.digest)",\
            "size":\(subject.descriptor.size)}}
            """.utf8)
    }

    private func attach(_ bytes: [UInt8], in layout: ImageLayout) throws -> Digest {
        try layout.putManifest(bytes, type: .ociManifest, as: .digest(Digest(of: bytes)), in: repository).entry.digest
    }

    private func prepare(_ layout: ImageLayout) throws {
        try layout.put(subject, in: repository, as: "1")
        try layout.putBlob(Array("{}".utf8), as: Digest(of: Array("{}".utf8)), in: repository)
    }

    private func complete(_ layout: ImageLayout) throws -> (reading: AttachmentReading, steps: Int) {
        let reading = AttachmentReading()
        var steps = 1
        while try !layout.readAttachments(of: repository, reading) { steps += 1 }
        return (reading, steps)
    }

    private func list(
        _ layout: ImageLayout, _ reading: AttachmentReading, type: String? = nil, limit: Int = .max
    ) throws -> (referrers: [Referrer], pages: Int) {
        var all: [Referrer] = []
        var pages = 0
        var last: Digest?
        repeat {
            let page = try layout.referrers(
                to: subject.descriptor.digest, in: repository, reading, type: type, after: last, limit: limit)
            all += page.referrers
            pages += 1
            last = page.next
        } while last != nil
        return (all, pages)
    }

    /// More than one step reads, and more than one page looks at.
    @Test func manyAttachments() async throws {
        try await withLayout { layout, _ in
            try prepare(layout)
            let count = ImageLayout.attachmentStep + 20
            let digests = try (0..<count).map { try attach(manifest($0), in: layout) }.sorted()
            let (reading, steps) = try complete(layout)
            #expect(steps == 2)
            let listed = try list(layout, reading)
            #expect(listed.referrers.map(\.digest) == digests)
            #expect(listed.pages == 2)
            // Looked for in vain, in pages of bounded work.
            let none = try list(layout, reading, type: "other")
            #expect(none.referrers == [] && none.pages == 2)
            // Known by now: one more is one more to read.
            let one = try attach(manifest(count), in: layout)
            let (again, more) = try complete(layout)
            #expect(more == 1)
            #expect(try list(layout, again).referrers.map(\.digest) == (digests + [one]).sorted())
            // Another process knows nothing, and finds the same.
            let other = try ImageLayout(path: layout.path)
            #expect(try list(other, complete(other).reading).referrers.count == count + 1)
        }
    }

    /// Long annotations are on the pages, and not in memory: what is kept is digests.
    @Test func longAnnotations() async throws {
        try await withLayout { layout, _ in
            try prepare(layout)
            for number in 0..<5 { _ = try attach(manifest(number, padding: 100_000), in: layout) }
            let reading = try complete(layout).reading
            let listed = try list(layout, reading, limit: 250_000)
            #expect(listed.referrers.count == 5)
            #expect(listed.pages == 3)
            #expect(listed.referrers.allSatisfy { $0.annotations?["padding"]?.count == 100_000 })
            // One that is longer than a page has a page of its own.
            #expect(try list(layout, reading, limit: 1).pages == 5)
        }
    }

    /// What a damaged manifest says does not count; pushed again, it does.
    @Test func damagedAttachments() async throws {
        try await withLayout { layout, _ in
            try prepare(layout)
            let bytes = manifest(1)
            let digest = try attach(bytes, in: layout)
            let text = String(decoding: bytes, as: UTF8.self)
            overwrite(layout.blobPath(digest, in: repository), with: Array(text.replacing("a/b", with: "x/y").utf8))
            #expect(try list(layout, complete(layout).reading).referrers == [])
            overwrite(layout.blobPath(digest, in: repository), with: bytes)
            #expect(try list(layout, complete(layout).reading).referrers.map(\.digest) == [digest])
        }
    }

    @Test func deletedAttachments() async throws {
        try await withLayout { layout, _ in
            try prepare(layout)
            let digest = try attach(manifest(1), in: layout)
            let reading = try complete(layout).reading
            try layout.deleteManifest(digest, in: repository)
            #expect(try list(layout, reading).referrers == [])
            #expect(try list(layout, complete(layout).reading).referrers == [])
        }
    }

    /// Any index that may be written may be kept, and all of them together are bounded by their bytes.
    @Test func indexesThatAreKept() throws {
        func index(_ count: Int) throws -> RepositoryIndex {
            RepositoryIndex(
                entries: try (0..<count).map {
                    let digest = try Digest("sha256:\(String(repeating: "0", count: 64 - "\($0)".count))\($0)")
                    return .init(mediaType: .ociManifest, digest: digest, size: 1, tag: try Tag("tag-\($0)"))
                })
        }
        func version(_ size: Int) -> FileVersion {
            var status = stat()
            status.st_size = size
            return FileVersion(status)
        }
        let other = try Repository("b")
        // What 100,000 entries with the longest tags come to.
        let longest = RepositoryIndex.Entry(
            mediaType: .ociManifest, digest: Digest(of: [], algorithm: .sha512), size: 4 << 20,
            tag: try Tag(String(repeating: "t", count: 128)))
        let most = RepositoryIndex(entries: [longest]).encoded.count * RepositoryIndex.maximumEntries
        #expect(most <= IndexCache.limit)

        let cache = IndexCache(limit: 1000)
        let small = try index(3)
        cache.keep(small, of: repository, version(600))
        #expect(cache.index(of: repository, version(600)) == small)
        #expect(cache.index(of: repository, version(601)) == nil)
        var attachments = Attachments()
        attachments.seen = [Digest(of: [1])]
        cache.keep(attachments, of: repository)
        // Beside one another they are more than the bound: the former goes, with what was known of it.
        cache.keep(small, of: other, version(500))
        #expect(cache.index(of: repository, version(600)) == nil)
        #expect(cache.attachments(of: repository).seen.isEmpty)
        #expect(cache.index(of: other, version(500)) == small)
        // One alone is: it is not kept, and neither is its former version.
        cache.keep(small, of: other, version(1001))
        #expect(cache.index(of: other, version(500)) == nil && cache.index(of: other, version(1001)) == nil)
        // Without an index, nothing is known of attachments.
        cache.keep(attachments, of: other)
        #expect(cache.attachments(of: other).seen.isEmpty)
    }
}
