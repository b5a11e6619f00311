import OCI
import Synchronization
import Testing
@testable import Transfer

import Console

@testable import Agent

@Suite struct ProgressTests {
    @Test(
        arguments: [
            (0, "0 B"), (512, "512 B"), (999, "999 B"), (1000, "1.0 KiB"), (1536, "1.5 KiB"), (99_999, "97.7 KiB"),
            (102_400, "100 KiB"), (85 << 20, "85.0 MiB"), (10 << 30, "10.0 GiB"), (-5, "-5 B"), (.max, "8388608 TiB"),
        ] as [(Int64, String)])
    func bytes(count: Int64, text: String) {
        #expect(Quantity.bytes(count) == text)
    }

    @Test(
        arguments: [
            (0, "0 s"), (0.2, "1 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3660, "1 h 1 min"),
            (1e9, "days"), (.infinity, "days"), (.nan, "days"), (-3, "0 s"),
        ] as [(Double, String)])
    func seconds(count: Double, text: String) {
        #expect(Quantity.seconds(count) == text)
    }

    @Test func nothingIsKnownAtFirst() {
        #expect(ProgressRenderer.bars(TransferProgress(), width: 80) == ["looking at the registry"])
        var progress = TransferProgress()
        progress.bytesPerSecond = 0
        #expect(ProgressRenderer.totals(progress) == "looking at the registry")
    }

    @Test func totals() {
        var progress = TransferProgress()
        progress.totalBytes = 85 << 20
        progress.deliveredBytes = 34 << 20
        progress.totalBlobs = 248
        progress.deliveredBlobs = 12
        progress.totalManifests = 60
        progress.deliveredManifests = 3
        #expect(
            ProgressRenderer.totals(progress)
                == "40% 34.0 MiB of 85.0 MiB, 12/248 blobs, 3/60 manifests")
        progress.bytesPerSecond = Double(17 << 20)
        #expect(
            ProgressRenderer.totals(progress)
                == "40% 34.0 MiB of 85.0 MiB, 12/248 blobs, 3/60 manifests, 17.0 MiB/s, 3 s left")
        // A transfer that stands still has no end in sight.
        progress.bytesPerSecond = 0
        #expect(ProgressRenderer.totals(progress).hasSuffix("3/60 manifests, 0 B/s"))
        progress.failures = 2
        #expect(ProgressRenderer.totals(progress).hasSuffix(", 2 failed"))
        progress.pause = TransferPause(.window, "no transfer window is open", until: 1_800_000_000, in: .utc)
        #expect(
            ProgressRenderer.totals(progress).hasSuffix(
                ", 2 failed, paused: no transfer window is open until 2027-01-15 08:00 UTC"))
    }

    @Test(arguments: [
        (80, "sha256:2c26b46b68ff [########...........................]    25.0 MiB of 100 MiB"),
        (60, "sha256:2c26b46b68ff [###............]    25.0 MiB of 100 MiB"),
    ])
    func aBlobsBarFillsTheWidth(width: Int, line: String) throws {
        let lines = ProgressRenderer.bars(try progress(active: 1), width: width)
        #expect(lines.first == line)
        #expect(lines.first?.count == width)
    }

    @Test(arguments: [0, 1, 20, 59, 60, 61, 79, 200])
    func noLineIsWiderThanTheTerminal(width: Int) throws {
        let lines = ProgressRenderer.bars(try progress(active: 30, rate: 1e6), width: width)
        #expect(lines.allSatisfy { $0.count <= width })
        #expect(lines.count == (width < 60 ? 1 : ProgressRenderer.maximumBlobLines + 1))
    }

    @Test(arguments: [(8, 9, false), (9, 9, true), (30, 9, true)])
    func linesAreBounded(active: Int, count: Int, counted: Bool) throws {
        let lines = ProgressRenderer.bars(try progress(active: active), width: 80)
        #expect(lines.count == count)
        #expect(lines.contains { $0 == "… and \(active - 7) more" } == counted)
    }

    @Test(
        arguments: [(0, 0, 100), (0, 10, 0), (5, 10, 50), (10, 10, 100), (11, 10, 100), (-1, 10, 0)]
            as [(Int64, Int64, Int)])
    func shares(part: Int64, whole: Int64, percent: Int) {
        #expect(ProgressRenderer.percent(part, of: whole) == percent)
    }

    @Test func aScreenIsDrawnInItsOwnPlace() {
        var screen = BarScreen()
        #expect(screen.clear().isEmpty)
        #expect(screen.draw(["a", "b"]) == "a\nb\n")
        #expect(screen.draw(["c"]) == "\u{1B}[2A\r\u{1B}[Jc\n")
        #expect(screen.clear() == "\u{1B}[1A\r\u{1B}[J")
        #expect(screen.clear().isEmpty)
    }

    /// Whatever the end, the cursor is shown again and nothing of the bars stays.
    @Test(arguments: [true, false])
    func theTerminalIsLeftAsItWas(failing: Bool) async throws {
        let output = Mutex("")
        let drawn = AsyncStream<Void>.makeStream()
        let display = ProgressDisplay(
            bars: true,
            write: { text in
                output.withLock { $0 += text }
                drawn.continuation.yield()
            }, width: { 80 })
        struct Failure: Error {}
        do {
            try await display.showing(ProgressBoard()) {
                // Until the second frame, so that there is something to clear.
                var frames = drawn.stream.makeAsyncIterator()
                for _ in 0..<3 { _ = await frames.next() }
                if failing { throw Failure() }
            }
            #expect(!failing)
        } catch is Failure {
            #expect(failing)
        }
        let text = output.withLock { $0 }
        #expect(text.hasPrefix(BarScreen.hideCursor + "looking at the registry\n"))
        #expect(text.hasSuffix("\u{1B}[1A\r\u{1B}[J" + BarScreen.showCursor))
    }

    private func progress(active: Int, rate: Double? = nil) throws -> TransferProgress {
        var progress = TransferProgress()
        progress.bytesPerSecond = rate
        progress.totalBytes = 10 << 30
        progress.totalBlobs = 1000
        let board = TransferProgress.Blob(
            digest: try Digest("sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"),
            size: 100 << 20, received: 25 << 20)
        progress.active = [TransferProgress.Blob](repeating: board, count: active)
        return progress
    }
}
