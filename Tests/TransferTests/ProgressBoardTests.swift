import OCI
import Synchronization
import Testing

@testable import Transfer

@Suite struct ProgressBoardTests {
    @Test func theRateIsThatOfTheLastSeconds() {
        var window = RateWindow()
        #expect(window.perSecond == nil)
        window.add(0, at: 0)
        window.add(100, at: 0.2)
        #expect(window.perSecond == nil)
        window.add(1000, at: 1)
        #expect(window.perSecond == 1000)
        for second in 2...10 { window.add(1000, at: Double(second)) }
        #expect(window.perSecond == 0)
        window.add(6000, at: 11)
        #expect(window.perSecond == 1000)
    }

    /// A clock whose waits end at once.
    private struct QuickClock: Clock {
        struct Instant: InstantProtocol {
            var offset: Duration
            func advanced(by duration: Duration) -> Instant { Instant(offset: offset + duration) }
            func duration(to other: Instant) -> Duration { other.offset - offset }
            static func < (left: Instant, right: Instant) -> Bool { left.offset < right.offset }
        }

        let time = Recorded(Instant(offset: .zero))
        var now: Instant { time.value }
        var minimumResolution: Duration { .zero }

        func sleep(until deadline: Instant, tolerance: Duration?) async throws {
            try Task.checkCancellation()
            time.update { $0 = deadline }
        }
    }

    @Test func aStreamHasTheRateAndTheTimeLeft() async {
        let board = ProgressBoard()
        board.update { $0.totalBytes = 10_000 }
        var seen: [TransferProgress] = []
        for await progress in board.snapshots(every: .seconds(1), clock: QuickClock()) {
            seen.append(progress)
            board.update { progress in
                progress.fetchedBytes += 1000
                progress.deliveredBytes += 1000
                progress.sources["a", default: 0] += 1000
            }
            if seen.count == 4 { break }
        }
        // The first is there at once, and has nothing to be compared with.
        #expect(seen.map(\.bytesPerSecond) == [nil, 1000, 1000, 1000])
        #expect(seen.map(\.secondsLeft) == [nil, 9, 8, 7])
        #expect(seen.map(\.sources["a"]) == [nil, 1000, 2000, 3000])
    }

    @Test(arguments: [(nil, nil), (0, nil), (0.5, nil), (100, 1), (.infinity, 0)] as [(Double?, Double?)])
    func theTimeLeft(rate: Double?, left: Double?) {
        var progress = TransferProgress()
        progress.totalBytes = 100
        progress.bytesPerSecond = rate
        #expect(progress.secondsLeft == left)
    }

    @Test func aStreamEndsWithItsTask() async {
        let board = ProgressBoard()
        let task = Task {
            var count = 0
            for await _ in board.snapshots(every: .seconds(3600)) { count += 1 }
            return count
        }
        task.cancel()
        #expect(await task.value <= 1)
    }

    @Test func faultsAreCountedBySource() {
        let board = ProgressBoard()
        board.fault(of: "a", "HTTP 503")
        board.fault(of: "a", "HTTP 502")
        board.fault(of: "b", "wrong bytes", isCorrupt: true)
        #expect(
            board.snapshot.sourceFaults == [
                "a": .init(failures: 2, corruptBlobs: 0, lastReason: "HTTP 502"),
                "b": .init(failures: 0, corruptBlobs: 1, lastReason: "wrong bytes"),
            ])
    }
}
