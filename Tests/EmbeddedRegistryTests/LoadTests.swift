import EmbeddedRegistry
import FoundationEssentials
import Glibc
import HTTP
import ImageLayout
import OCI
import Synchronization
import TestRegistry
import TestSupport
import Testing

/// Many clients at once, and what they cost.
@Suite(.serialized, .timeLimit(.minutes(5)))
struct LoadTests {
    /// Hashes a body as it comes, and keeps none of it.
    private final class HashingSink: BodySink, @unchecked Sendable {
        private var computation: DigestComputation? = DigestComputation(.sha256)

        func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition { .stream }

        func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
            computation?.update(bytes)
            return .consumed
        }

        func finish() -> Digest { computation.take()?.finish() ?? Digest(of: []) }
    }

    @Test func manyPullsOfALargeBlob() async throws {
        try await withEmbeddedRegistry { registry in
            let content = GeneratedBytes(count: 16 << 20, seed: 5)
            let digest = try await registry.push(content.all, to: "a")
            try await withThrowingTaskGroup(of: Digest.self) { group in
                for _ in 0..<64 {
                    group.addTask {
                        let sink = HashingSink()
                        var request = HTTPRequest(.get, try HTTPURL("\(registry.origin)/v2/a/blobs/\(digest)"))
                        request.proxy = ""
                        let answer = try await registry.http.send(request, into: sink)
                        #expect(answer.status == 200)
                        return sink.finish()
                    }
                }
                for try await found in group { #expect(found == digest) }
            }
        }
    }

    @Test func manyPushesAtOnce() async throws {
        try await withEmbeddedRegistry { registry in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<16 {
                    group.addTask {
                        let image = TestImage(seed: UInt64(number % 4), layers: [1000, 700_000])
                        let answer = try await registry.push(image, to: "r\(number % 8)", tag: "t\(number)")
                        #expect(answer.status == 201)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try registry.layout.check().problems == [])
            #expect(try registry.layout.uploadCount() == 0)
        }
    }

    /// Pushes over HTTP while garbage is collected: with a grace period, every push succeeds, and what it leaves is whole.
    @Test func garbageIsCollectedWhilePushing() async throws {
        try await withEmbeddedRegistry { registry in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while !Task.isCancelled {
                        _ = try registry.layout.collectGarbage(olderThan: 60)
                        await pauseALittle()
                    }
                }
                try await withThrowingTaskGroup(of: Void.self) { pushes in
                    for worker in 0..<4 {
                        pushes.addTask {
                            for round in 0..<8 {
                                let image = TestImage(seed: UInt64(worker * 10 + round), layers: [600, 70_000])
                                let answer = try await registry.push(image, to: "a", tag: "w\(worker)")
                                #expect(answer.status == 201, "\(answer.text)")
                                let target = "/v2/a/manifests/\(image.descriptor.digest)"
                                if round.isMultiple(of: 2) { _ = try await registry.send(.delete, target) }
                            }
                        }
                    }
                    try await pushes.waitForAll()
                }
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(try registry.layout.check().problems == [])
        }
    }

    private final class Count: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func increment() { count.withLock { $0 += 1 } }
    }

    /// Somebody holds a repository's lock for long. However many wait for it, what is read is read.
    @Test func downloadsDoNotWaitForALock() async throws {
        try await withEmbeddedRegistry { registry in
            let image = TestImage(seed: 1)
            let tags = (0..<20).map { "t\($0)" }
            for tag in tags { try registry.layout.put(image, in: try Repository("a"), as: tag) }
            let holder = open("\(registry.layout.path)/a", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(holder) }
            #expect(flock(holder, LOCK_EX) == 0)
            let ended = Count()
            try await withThrowingTaskGroup(of: Int.self) { group in
                for tag in tags {
                    group.addTask {
                        defer { ended.increment() }
                        return try await registry.send(.delete, "/v2/a/manifests/\(tag)").status
                    }
                }
                await until { registry.faults.requests.count { $0.method == "DELETE" } >= tags.count }
                for blob in image.blobs {
                    let answer = try await registry.send(.get, "/v2/a/blobs/\(blob.descriptor.digest)")
                    #expect(answer.body == blob.content.all)
                }
                #expect(ended.value == 0)
                #expect(flock(holder, LOCK_UN) == 0)
                for try await status in group { #expect(status == 202) }
            }
        }
    }

    /// A server that is told to end does not wait for a collection, however long that waits for others.
    @Test func aCollectionEndsWithItsServer() async throws {
        let lines = Lines()
        try await withTemporaryDirectory { directory in
            let layout = try ImageLayout(path: directory.file("layout"))
            try layout.put(TestImage(seed: 1), in: try Repository("a"), as: "1")
            let holder = open("\(layout.path)/a", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(holder) }
            #expect(flock(holder, LOCK_EX) == 0)
            try await withEmbeddedRegistry(
                layout: layout.path, configure: { _, _ in },
                adjust: { $0.collection = (first: .zero, then: .seconds(3600)) }, lines: lines
            ) { registry in
                let answer = try await registry.send(.get, "/v2/")
                #expect(answer.status == 200)
            }
        }
        #expect(!lines.all.contains { $0.hasPrefix("garbage") })
    }

    /// Many ask at once for what is attached, before anybody has looked: one looks for all, and others have their turn.
    @Test func manyListsOfReferrersAtOnce() async throws {
        try await withEmbeddedRegistry { registry in
            let subject = TestImage(seed: 1, layers: [10])
            let repository = try Repository("a")
            try registry.layout.put(subject, in: repository, as: "1")
            let attached = (0..<ImageLayout.attachmentStep * 2).map {
                TestImage(seed: 1, layers: [], subject: subject.descriptor, artifactType: "a/b\($0)")
            }
            for image in attached { try registry.layout.put(image, in: repository) }
            // What the server does not know yet.
            let target = "/v2/a/referrers/\(subject.descriptor.digest)"
            let texts = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<32 {
                    group.addTask {
                        let answer = try await registry.send(.get, target)
                        #expect(answer.status == 200)
                        return answer.text
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(texts.count == 1)
            var digests: [String] = []
            var next: String? = target
            while let page = next {
                let answer = try await registry.send(.get, page)
                digests += answer.text.split(separator: "\"digest\":\"").dropFirst().map { String($0.prefix(71)) }
                next = answer.headers["Link"]?.split(separator: "<").last?.split(separator: ">").first.map {
                    String($0)
                }
            }
            #expect(digests == attached.map { "\($0.descriptor.digest)" }.sorted())
        }
    }

    /// A client that has lost its connection goes on at once, while the server still waits for more on the first.
    @Test func anUploadIsTakenOver() async throws {
        try await withEmbeddedRegistry { registry in
            // Without 255, which curl's telnet sends twice.
            let bytes = GeneratedBytes(count: 2_000_000, seed: 1).all.map { $0 & 0x7F }
            let started = try await registry.send(.post, "/v2/a/blobs/uploads/")
            let location = try #require(started.headers["Location"])
            // Announces more than it sends, and stays.
            let stalled = Task {
                try await runCommand(
                    ["curl", "--silent", "--max-time", "120", "telnet://\(registry.authority)"],
                    input: Array("PATCH \(location) HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n".utf8)
                        + bytes[..<1_000_000])
            }
            func offset(_ answer: HTTPResponse) -> Int {
                answer.headers["Range"]?.split(separator: "-").last.flatMap { Int($0) }.map { $0 + 1 } ?? 0
            }
            // A piece of what it sent is there.
            try await until { offset(try await registry.send(.get, location)) >= 2 }
            // Asks with what it knows, is told where to go on, and does.
            let refused = try await registry.send(
                .patch, location, ["Content-Range": "0-1999999"], .bytes(bytes))
            #expect(refused.status == 416)
            let next = offset(refused)
            #expect(next > 500_000)
            let answer = try await registry.send(
                .put, "\(location)?digest=\(Digest(of: bytes))", ["Content-Range": "\(next)-1999999"],
                .bytes(Array(bytes[next...])))
            #expect(answer.status == 201)
            // The first connection was ended.
            _ = await stalled.result
            #expect(try registry.layout.check().problems == [])
        }
    }
}
