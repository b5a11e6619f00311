import OCI
import Synchronization
import TestSupport
import Testing

@testable import HTTP
@testable import Transfer

/// Reads a feed as a connection does, and keeps what it got.
private struct FeedReader {
    let feed: UploadFeed
    let start: Int64
    let buffer: Int

    init(_ feed: UploadFeed, start: Int64 = 0, buffer: Int = 64 << 10) {
        self.feed = feed
        self.start = start
        self.buffer = buffer
    }

    /// What came until the feed's end, or until it failed.
    func all() async -> (bytes: [UInt8], failed: Bool) {
        let (resumes, continuation) = AsyncStream<Void>.makeStream()
        feed.begin(TransferControl { continuation.yield() })
        var bytes: [UInt8] = []
        var iterator = resumes.makeAsyncIterator()
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer, alignment: 1)
        defer { room.deallocate() }
        while start + Int64(bytes.count) < feed.end {
            switch feed.read(into: room) {
            case .bytes(let count): bytes += room[..<count]
            case .pause: guard await iterator.next() != nil else { return (bytes, true) }
            case .fail: return (bytes, true)
            }
        }
        return (bytes, false)
    }
}

@Suite(.timeLimit(.minutes(5))) struct BlobPumpTests {
    enum Kept: CaseIterable { case memory, file }

    private func withStorage(
        _ kept: Kept, _ size: Int64, _ body: (BlobPump.Storage) async throws -> Void
    ) async throws {
        try await withTemporaryDirectory("pump") { directory in
            switch kept {
            case .memory: try await body(.memory)
            case .file: try await body(.file(try SpoolFile(path: directory.file("blob"), size: size)))
            }
        }
    }

    private func descriptor(_ content: GeneratedBytes, _ algorithm: Digest.Algorithm = .sha256) -> Descriptor {
        Descriptor(mediaType: .ociManifest, digest: content.digest(algorithm), size: content.count)
    }

    /// Segments in any order, uploads that begin before, in the middle and after, in pieces of any size: each gets
    /// exactly the blob.
    @Test(arguments: Kept.allCases, 1...8 as ClosedRange<UInt64>)
    func ordersHashesAndFeeds(kept: Kept, seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        let content = GeneratedBytes(count: Int64.random(in: 1...1_500_000, using: &random), seed: seed)
        let cuts = (0..<8).map { _ in Int64.random(in: 0...content.count, using: &random) }
        let starts = [0, 0, Int64.random(in: 0..<content.count, using: &random), content.count - 1]
        try await withStorage(kept, content.count) { storage in
            let pool = SegmentPool(limit: 4)
            let recorded = Recorded(ByteRanges())
            let pump = BlobPump(descriptor(content, seed % 2 == 0 ? .sha256 : .sha512), storage: storage, pool: pool) {
                range, checksum in
                recorded.update { $0.insert(range) }
                let bytes = content.bytes(range)
                #expect(bytes.withUnsafeBytes { RangeChecksum.of($0) } == checksum)
            }
            let reads = starts.map { start in
                let feed = pump.feed(from: start)
                let buffer = Int.random(in: 1...100_000, using: &random)
                return Task { await FeedReader(feed, start: start, buffer: buffer).all() }
            }
            for segment in segments(of: content, cutAt: cuts, pool: pool).shuffled(using: &random) {
                pump.accept(segment)
                if Bool.random(using: &random) { await Task.yield() }
            }
            guard case .verified = await pump.result() else { return #expect(Bool(false)) }
            for (start, read) in zip(starts, reads) {
                let (bytes, failed) = await read.value
                #expect(!failed && bytes == content.bytes(start..<content.count))
            }
            // From the middle of the whole, long after.
            let middle = Int64.random(in: 0..<content.count, using: &random)
            let end = Int64.random(in: middle...content.count, using: &random)
            let late = await FeedReader(pump.feed(from: middle, to: end), start: middle).all()
            #expect(!late.failed && late.bytes == content.bytes(middle..<end))
            #expect(recorded.value.ranges == (kept == .file ? [0..<content.count] : []))
        }
    }

    /// With wrong bytes anywhere, no upload ever gets the last byte.
    @Test(arguments: Kept.allCases, [1, 2, 1000, 262_144, 262_145, 600_000] as [Int64])
    func withholdsTheLastByteOfWrongBytes(kept: Kept, count: Int64) async throws {
        let content = GeneratedBytes(count: count, seed: 1)
        let other = GeneratedBytes(count: count, seed: 2)
        try await withStorage(kept, count) { storage in
            let pump = BlobPump(descriptor(content), storage: storage, pool: SegmentPool(limit: 4))
            let feeds = [pump.feed(), pump.feed(from: count - 1)]
            let reads = [
                Task { await FeedReader(feeds[0]).all() }, Task { await FeedReader(feeds[1], start: count - 1).all() },
            ]
            for segment in segments(of: other) { pump.accept(segment) }
            guard case .mismatch(let actual) = await pump.result() else { return #expect(Bool(false)) }
            #expect(actual == other.digest())
            #expect(pump.hasEnded)
            let (first, second) = (await reads[0].value, await reads[1].value)
            #expect(first.failed && first.bytes.count < count)
            #expect(second.failed && second.bytes.isEmpty)
            let late = await FeedReader(pump.feed()).all()
            #expect(late.failed && late.bytes.isEmpty)
        }
    }

    /// What an earlier run left is hashed and sent without being fetched.
    @Test(arguments: [[], [0..<300_000], [100..<200, 262_144..<600_000], [0..<600_000]] as [[Range<Int64>]])
    func continuesFromTheSpool(present: [Range<Int64>]) async throws {
        let content = GeneratedBytes(count: 600_000, seed: 7)
        try await withStorage(.file, content.count) { storage in
            guard case .file(let file) = storage else { return }
            for range in present {
                try content.bytes(range).withUnsafeBytes { try file.write($0, at: range.lowerBound) }
            }
            let recorded = Recorded(ByteRanges())
            let pump = BlobPump(
                descriptor(content), storage: storage, spooled: ByteRanges(present), pool: SegmentPool(limit: 4)
            ) { range, _ in recorded.update { $0.insert(range) } }
            let feed = pump.feed()
            let read = Task { await FeedReader(feed).all() }
            let all = segments(of: content, cutAt: present.flatMap { [$0.lowerBound, $0.upperBound] })
            for segment in all.reversed()
            where !present.contains(where: { $0.contains(segment.offset) }) {
                pump.accept(segment)
            }
            guard case .verified = await pump.result() else { return #expect(Bool(false)) }
            let (bytes, failed) = await read.value
            #expect(!failed && bytes == content.all)
            var expected = ByteRanges([0..<content.count])
            for range in present { expected.remove(range) }
            #expect(recorded.value == expected)
        }
    }

    @Test(arguments: Kept.allCases) func theEmptyBlobIsVerifiedAtOnce(kept: Kept) async throws {
        let nothing = Digest(of: [])
        let pump = BlobPump(
            Descriptor(mediaType: .ociManifest, digest: nothing, size: 0), storage: .memory,
            pool: SegmentPool(limit: 1))
        guard case .verified = await pump.result() else { return #expect(Bool(false)) }
        let wrong = BlobPump(
            Descriptor(mediaType: .ociManifest, digest: Digest(of: [1]), size: 0), storage: .memory,
            pool: SegmentPool(limit: 1))
        guard case .mismatch = await wrong.result() else { return #expect(Bool(false)) }
    }

    @Test func aFailureEndsAllThatWaits() async throws {
        let content = GeneratedBytes(count: 600_000, seed: 7)
        let pump = BlobPump(descriptor(content), storage: .memory, pool: SegmentPool(limit: 4))
        let feed = pump.feed()
        let read = Task { await FeedReader(feed).all() }
        let result = Task { await pump.result() }
        pump.accept(segments(of: content)[0])
        pump.fail(TransferError(.spoolFailed, "scripted"))
        pump.fail(TransferError(.cancelled, "too late"))
        guard case .failed(let error) = await result.value else { return #expect(Bool(false)) }
        #expect(error.message == "scripted")
        #expect(await read.value.failed)
        guard case .failed = await pump.result() else { return #expect(Bool(false)) }
    }

    @Test func aDiskThatFailsEndsTheBlob() async throws {
        try await withTemporaryDirectory { directory in
            let content = GeneratedBytes(count: 600_000, seed: 7)
            // Shorter than the blob says: reading back what was never written fails.
            let file = try SpoolFile(path: directory.file("blob"), size: 1000)
            let pump = BlobPump(
                descriptor(content), storage: .file(file), spooled: ByteRanges([0..<600_000]),
                pool: SegmentPool(limit: 4))
            guard case .failed(let error) = await pump.result() else { return #expect(Bool(false)) }
            #expect(error.code == .spoolFailed && error.message.contains(directory.file("blob")))
        }
    }

    /// Nothing keeps a blob's memory once it is done: no feed, no waiter, no queue.
    @Test(arguments: Kept.allCases) func letsGoOfItsMemory(kept: Kept) async throws {
        let content = GeneratedBytes(count: 600_000, seed: 7)
        try await withStorage(kept, content.count) { storage in
            weak var seen: BlobPump?
            var feed: UploadFeed?
            do {
                let pump = BlobPump(descriptor(content), storage: storage, pool: SegmentPool(limit: 4))
                seen = pump
                for segment in segments(of: content) { pump.accept(segment) }
                feed = pump.feed()
                _ = await pump.result()
            }
            // Its queue may hold it for a moment longer.
            await until { seen == nil }
            #expect(seen == nil)
            // A feed that outlives its pump ends, and does not hang.
            if let feed { _ = await FeedReader(feed).all() }
        }
    }
}

@Suite struct UploadFeedTests {
    private let content = GeneratedBytes(count: 2_000_000, seed: 1)

    @Test func takesOnlyWhatComesNextAndABoundedNumber() {
        let feed = UploadFeed(start: 10, end: content.count) { _ in }
        let all = segments(of: content)
        // Nothing before its request has begun: an upload that waits for its turn must not hold memory.
        #expect(feed.wanted == nil)
        #expect(!feed.offer(all[0]))
        feed.begin(TransferControl {})
        #expect(feed.wanted == 10)
        #expect(!feed.offer(all[1]))
        #expect(all.prefix(UploadFeed.depth).allSatisfy { feed.offer($0) })
        #expect(feed.wanted == nil)
        #expect(!feed.offer(all[UploadFeed.depth]))
    }

    @Test func resumesOnceForEachPause() {
        let feed = UploadFeed(start: 0, end: content.count) { _ in }
        let resumed = Recorded(0)
        feed.begin(TransferControl { resumed.update { $0 += 1 } })
        let all = segments(of: content)
        var buffer = [UInt8](repeating: 0, count: 1000)
        func read() -> Int {
            if case .bytes(let count) = buffer.withUnsafeMutableBytes({ feed.read(into: $0) }) { count } else { 0 }
        }
        feed.offer(all[0])
        #expect(resumed.value == 0)
        while read() > 0 {}
        feed.offer(all[1])
        feed.offer(all[2])
        #expect(resumed.value == 1)
    }

    @Test func asksForMoreBeforeItIsEmpty() {
        let asked = Recorded(0)
        let feed = UploadFeed(start: 0, end: content.count) { _ in asked.update { $0 += 1 } }
        feed.begin(TransferControl {})
        #expect(asked.value == 1)
        for segment in segments(of: content).prefix(UploadFeed.depth) { feed.offer(segment) }
        var buffer = [UInt8](repeating: 0, count: SegmentPool.segmentSize)
        for _ in 0..<2 { _ = buffer.withUnsafeMutableBytes { feed.read(into: $0) } }
        #expect(asked.value == 2)
    }

    @Test func failsEvenWhereSomethingIsLeft() {
        let feed = UploadFeed(start: 0, end: content.count) { _ in }
        feed.begin(TransferControl {})
        feed.offer(segments(of: content)[0])
        feed.fail()
        var buffer = [UInt8](repeating: 0, count: 1000)
        let answer = buffer.withUnsafeMutableBytes { feed.read(into: $0) }
        guard case .fail = answer else { return #expect(Bool(false)) }
    }

    @Test func endsWhereItsRangeEnds() {
        let feed = UploadFeed(start: 5, end: 1005) { _ in }
        feed.begin(TransferControl {})
        feed.offer(segments(of: content)[0])
        var buffer = [UInt8](repeating: 0, count: 4000)
        let answer = buffer.withUnsafeMutableBytes { feed.read(into: $0) }
        guard case .bytes(1000) = answer else { return #expect(Bool(false)) }
        #expect(Array(buffer[..<1000]) == content.bytes(5..<1005))
        #expect(feed.wanted == nil)
    }
}
