import FoundationEssentials
import OCI
import Readiness
import Synchronization
import Testing

@testable import Agent
@testable import Transfer

@Suite struct ProgressLineTests {
    private var progress: TransferProgress {
        var progress = TransferProgress()
        progress.totalBytes = 1000
        progress.deliveredBytes = 400
        progress.fetchedBytes = 500
        progress.resumedBytes = 7
        progress.sentBytes = 450
        progress.totalImages = 2
        progress.deliveredImages = 1
        progress.sourceRates = ["a.example": 99.6]
        progress.totalBlobs = 9
        progress.deliveredBlobs = 4
        progress.totalManifests = 3
        progress.deliveredManifests = 1
        progress.failures = 2
        progress.retries = 5
        progress.active = [.init(digest: Digest(of: []), size: 300, received: 100)]
        progress.sources = ["a.example": 500]
        progress.sourceFaults = ["b.example": .init(failures: 3, corruptBlobs: 1, lastReason: "it is \"down\"")]
        return progress
    }

    @Test func aLineHasAllFigures() {
        var progress = progress
        progress.bytesPerSecond = 99.6
        #expect(
            ProgressLine(progress, at: Timestamp(seconds: 1_800_000_000)).text == #"""
                {"blobs":{"delivered":4,"total":9},\#
                "bytes":{"delivered":400,"fetched":500,"received":500,"resumed":7,"sent":450,"total":1000},\#
                "bytesPerSecond":100,"failures":2,"images":{"delivered":1,"total":2},"manifests":{"delivered":1,"total":3},"retries":5,"secondsLeft":6,\#
                "sources":{"a.example":{"bytes":500,"bytesPerSecond":100,"corruptBlobs":0,"failures":0},\#
                "b.example":{"bytes":0,"corruptBlobs":1,"failures":3,"lastFault":"it is \"down\""}},\#
                "state":"running","time":"2027-01-15T08:00:00Z"}
                """#)
    }

    @Test func aPauseIsAState() {
        var progress = TransferProgress()
        progress.pause = TransferPause(.quotaPerDay, "the day's quota is used up", until: 1_800_003_600, in: .utc)
        let text = ProgressLine(progress, at: Timestamp(seconds: 1_800_000_000)).text
        #expect(text.contains(#""state":"paused""#))
        #expect(text.contains(#""pause":{"reason":"quotaPerDay","until":"2027-01-15T09:00:00Z"}"#))
        // What is over is over.
        #expect(
            ProgressLine(progress, at: Timestamp(seconds: 0), end: (.complete, "done")).text.contains(
                #""state":"complete""#))
    }

    @Test(arguments: [.infinity, .nan, -1, 1e300] as [Double])
    func ratesThatAreNoneAreLeftOut(rate: Double) {
        var progress = progress
        progress.bytesPerSecond = rate
        progress.sourceRates = ["a.example": rate]
        let text = ProgressLine(progress, at: Timestamp(seconds: 0)).text
        #expect(text.hasSuffix("}"))
        #expect(rate == -1 || !text.contains("bytesPerSecond"))
    }

    private func reporter(_ lines: Mutex<[String]>.Reference, _ written: @escaping @Sendable () -> Void = {})
        -> ProgressReporter
    {
        ProgressReporter(interval: .milliseconds(1), now: { Timestamp(seconds: 0) }) { text in
            lines.mutex.withLock { $0.append(text) }
            written()
        }
    }

    /// Every line is one object; the last one, and no other, says how it ended.
    @Test(.timeLimit(.minutes(5)), arguments: [true, false])
    func theLastLineSaysHowItEnded(failing: Bool) async throws {
        struct Failure: Error, CustomStringConvertible { var description: String { "central.example: gone" } }
        let lines = Mutex<[String]>.Reference([])
        let written = AsyncStream<Void>.makeStream()
        let board = ProgressBoard()
        board.update { $0.totalBlobs = 3 }
        do {
            try await reporter(lines) { written.continuation.yield() }.reporting(board) {
                var iterator = written.stream.makeAsyncIterator()
                for _ in 0..<3 { _ = await iterator.next() }
                if failing { throw Failure() }
            } ending: {
                (.complete, "all is there")
            }
            #expect(!failing)
        } catch is Failure {
            #expect(failing)
        }
        let objects = try lines.mutex.withLock { $0 }.map { line in
            #expect(!line.contains { $0.isNewline })
            return try JSONDecoder().decode(Seen.self, from: Data(line.utf8))
        }
        #expect(objects.count >= 4)
        #expect(objects.allSatisfy { $0.blobs["total"] == 3 })
        #expect(objects.dropLast().allSatisfy { $0.state == "running" && $0.message == nil })
        #expect(objects.last?.state == (failing ? "failed" : "complete"))
        #expect(objects.last?.message == (failing ? "central.example: gone" : "all is there"))
    }

    private struct Seen: Decodable {
        let state: String
        let message: String?
        let blobs: [String: Int]
    }
}

extension Mutex where Value == [String] {
    /// A mutex to be captured.
    final class Reference: Sendable {
        let mutex: Mutex<[String]>
        init(_ value: [String]) { mutex = Mutex(value) }
    }
}
