import OCI
import Synchronization
import TestSupport
import Testing

@testable import HTTP
@testable import Transfer

/// A blob's bytes in segments, as the network brings them.
func segments(
    of content: GeneratedBytes, cutAt cuts: [Int64] = [], pool: SegmentPool = SegmentPool(limit: 4)
) -> [Segment] {
    let ends = Set(cuts + Array(stride(from: 0, to: content.count, by: SegmentPool.segmentSize)) + [0, content.count])
        .sorted()
    return zip(ends, ends.dropFirst()).map { start, end in
        let segment = pool.takeUnbounded(offset: start)
        content.bytes(start..<end).withUnsafeBytes { _ = segment.append($0) }
        return segment
    }
}

@Suite(.timeLimit(.minutes(5))) struct RangeSinkTests {
    /// Connections that a test drives as the event loop does: one thread, pieces of at most 16 KiB, paused ones only
    /// after they were resumed.
    private struct Loop {
        var content: GeneratedBytes
        var connections: [(sink: RangeSink, position: Int64, end: Int64)] = []

        /// - Returns: the requests that the sink ended before their body did
        mutating func run(pieces: inout SeededGenerator) async -> Int {
            let (resumes, continuation) = AsyncStream<Int>.makeStream()
            for (index, connection) in connections.enumerated() {
                _ = connection.sink.begin(
                    HTTPResponseHead(status: 206, headers: [:]), TransferControl { continuation.yield(index) })
            }
            var runnable = Array(connections.indices)
            var open = runnable.count
            var refused = 0
            var iterator = resumes.makeAsyncIterator()
            while open > 0 {
                while let index = runnable.randomElement(using: &pieces) {
                    let (sink, position, end) = connections[index]
                    let count = min(end - position, Int64.random(in: 1...16 << 10, using: &pieces))
                    let answer = content.bytes(position..<position + count).withUnsafeBytes { sink.receive($0) }
                    switch answer {
                    case .consumed: connections[index].position += count
                    case .pause: runnable.removeAll { $0 == index }
                    case .refuse:
                        refused += 1
                        connections[index].position = end
                    }
                    if connections[index].position == end {
                        sink.flush()
                        runnable.removeAll { $0 == index }
                        open -= 1
                    }
                }
                guard open > 0 else { break }
                // The end of the test's time: all are paused, and nobody resumes them.
                guard let index = await iterator.next() else { return -1 }
                if !runnable.contains(index), connections[index].position < connections[index].end {
                    runnable.append(index)
                }
            }
            return refused
        }
    }

    private func sink(
        _ lease: RangePlanner.Lease, skipping: Int64 = 0, _ planner: SharedPlanner, _ pump: BlobPump,
        _ pool: SegmentPool
    ) -> RangeSink {
        RangeSink(
            lease: lease, skipping: skipping, planner: planner, pump: pump, pool: pool, meter: Unmetered()
        ) { _ in }
    }

    /// More connections than there are segments: each holds one that is not full, and needs another.
    @Test(arguments: [1, 3, 4, 5, 16], 1...3 as ClosedRange<UInt64>)
    func endsWithMoreConnectionsThanSegments(connections: Int, seed: UInt64) async throws {
        try await withTemporaryDirectory { directory in
            let content = GeneratedBytes(count: 2_500_000, seed: seed)
            let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
            let pool = SegmentPool(limit: 4)
            let pump = BlobPump(
                descriptor, storage: .file(try SpoolFile(path: directory.file("blob"), size: content.count)),
                pool: pool)
            let planner = SharedPlanner(RangePlanner(size: content.count))
            var random = SeededGenerator(seed: seed)
            var loop = Loop(content: content)
            while let lease = planner.with({ $0.next(length: content.count / Int64(connections) + 1, now: 0) }) {
                loop.connections.append((sink(lease, planner, pump, pool), lease.start, lease.end))
            }
            #expect(await loop.run(pieces: &random) == 0)
            #expect(planner.with { $0.isComplete })
            guard case .verified = await pump.result() else { return #expect(Bool(false)) }
        }
    }

    /// Small blobs keep their segments until they are published, so they must not need each other's.
    @Test func blobsInMemoryDoNotWaitForOneAnother() async throws {
        let pool = SegmentPool(limit: 4)
        var random = SeededGenerator(seed: 1)
        var pumps: [BlobPump] = []
        for seed in 0..<12 as Range<UInt64> {
            let content = GeneratedBytes(count: 300_000, seed: seed)
            let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
            let pump = BlobPump(descriptor, storage: .memory, pool: pool)
            let planner = SharedPlanner(RangePlanner(size: content.count))
            let given = planner.with { $0.next(length: .max, now: 0) }
            let lease = try #require(given)
            var loop = Loop(content: content)
            loop.connections = [(sink(lease, planner, pump, pool), 0, content.count)]
            #expect(await loop.run(pieces: &random) == 0)
            pumps.append(pump)
        }
        for pump in pumps {
            guard case .verified = await pump.result() else { return #expect(Bool(false)) }
        }
    }

    /// A source that serves whole blobs: what is there already is dropped, and the request ends where the range does.
    @Test(arguments: [(0, 700_000), (1, 2), (100_000, 400_000), (699_999, 700_000)] as [(Int64, Int64)])
    func takesARangeOutOfAWholeBlob(start: Int64, end: Int64) async throws {
        let content = GeneratedBytes(count: 700_000, seed: 3)
        let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
        let pool = SegmentPool(limit: 4)
        let pump = BlobPump(descriptor, storage: .memory, pool: pool)
        let done = ByteRanges([0..<start, end..<content.count])
        let planner = SharedPlanner(RangePlanner(size: content.count, done: done))
        let given = planner.with { $0.next(length: .max, now: 0) }
        let lease = try #require(given)
        for segment in segments(of: content, cutAt: [start, end])
        where segment.end <= start || segment.offset >= end {
            pump.accept(segment)
        }
        var random = SeededGenerator(seed: 3)
        var loop = Loop(content: content)
        let whole = sink(lease, skipping: start, planner, pump, pool)
        loop.connections = [(whole, 0, content.count)]
        _ = await loop.run(pieces: &random)
        #expect(whole.isSatisfied && planner.with { $0.isComplete })
        guard case .verified = await pump.result() else { return #expect(Bool(false)) }
    }

    /// A range that is divided while it arrives: the first request ends early, nothing is had twice.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func stopsWhereItsRangeWasDivided(seed: UInt64) async throws {
        let content = GeneratedBytes(count: 700_000, seed: seed)
        let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
        let pool = SegmentPool(limit: 4)
        let pump = BlobPump(descriptor, storage: .memory, pool: pool)
        let planner = SharedPlanner(RangePlanner(size: content.count))
        let given = planner.with { $0.next(length: .max, now: 0) }
        let first = try #require(given)
        let divided = planner.with { $0.divide(patience: 0, minimum: 1, now: 5) }
        let second = try #require(divided)
        var loop = Loop(content: content)
        loop.connections = [
            (sink(first, planner, pump, pool), 0, content.count),
            (sink(second, planner, pump, pool), second.start, second.end),
        ]
        var random = SeededGenerator(seed: seed)
        #expect(await loop.run(pieces: &random) == 1)
        #expect(loop.connections.allSatisfy { $0.sink.isSatisfied })
        guard case .verified = await pump.result() else { return #expect(Bool(false)) }
    }

    @Test func endsWhenThePumpHasFailed() async throws {
        let content = GeneratedBytes(count: 700_000, seed: 4)
        let descriptor = Descriptor(mediaType: .ociManifest, digest: content.digest(), size: content.count)
        let pump = BlobPump(descriptor, storage: .memory, pool: SegmentPool(limit: 4))
        pump.fail(TransferError(.spoolFailed, "scripted"))
        _ = await pump.result()
        let planner = SharedPlanner(RangePlanner(size: content.count))
        let given = planner.with { $0.next(length: .max, now: 0) }
        let sink = sink(try #require(given), planner, pump, SegmentPool(limit: 4))
        _ = sink.begin(HTTPResponseHead(status: 200, headers: [:]), TransferControl {})
        let answer = content.bytes(0..<100).withUnsafeBytes { sink.receive($0) }
        guard case .refuse = answer else { return #expect(Bool(false)) }
        #expect(sink.isRefusedByPump && !sink.isSatisfied)
    }

    // MARK: The pool

    @Test func thePoolCallsEveryoneWhoWaits() throws {
        let pool = SegmentPool(limit: 2)
        var held = [pool.take(offset: 0) {}, pool.take(offset: 1) {}]
        #expect(held.compactMap { $0 }.count == 2)
        let called = Recorded(0)
        #expect(pool.take(offset: 2) { called.update { $0 += 1 } } == nil)
        #expect(pool.take(offset: 3) { called.update { $0 += 1 } } == nil)
        held.removeLast()
        #expect(called.value == 2)
        // Once each.
        held.removeLast()
        #expect(called.value == 2)
        #expect(pool.take(offset: 4) {} != nil)
    }

    /// What is bounded in another way leaves the limit to those who wait for it.
    @Test func segmentsForReadingLeaveTheLimitAlone() throws {
        let pool = SegmentPool(limit: 1)
        let reading = (0..<5).map { pool.takeUnbounded(offset: $0) }
        #expect(pool.take(offset: 0) {} != nil)
        #expect(reading.count == 5)
    }
}
