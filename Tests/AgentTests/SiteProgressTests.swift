import Readiness
import TestSupport
import Testing

@testable import Agent
@testable import Transfer

@Suite struct SiteProgressTests {
    private let now = Timestamp(seconds: 1_800_000_000)

    /// The board counts over all passes; a site tells of the one under way.
    @Test func figuresAreThoseOfThisPass() {
        var before = TransferProgress()
        before.totalBytes = 500
        before.deliveredBytes = 400
        var figures = before
        figures.totalBytes = 1500
        figures.deliveredBytes = 700
        figures.bytesPerSecond = 70
        before.sources = ["central.example": 100, "idle.example": 100]
        figures.sources = ["central.example": 150, "idle.example": 100, "mirror.example": 60]
        figures.sourceRates = ["central.example": 20.4, "idle.example": 0]
        let progress = CacheManifest.Progress(figures, since: before, now: now)
        #expect(progress.bytesTotal == 1000)
        #expect(progress.bytesDone == 300)
        #expect(progress.bytesPerSecond == 70)
        #expect(progress.estimatedReadyAt == now.advanced(by: .seconds(10)))
        #expect(progress.pausedUntil == nil)
        #expect(
            progress.sources == [
                .init(name: "mirror.example", bytes: 60),
                .init(name: "central.example", bytes: 50, bytesPerSecond: 20),
            ])
    }

    @Test func aPauseHasNoEstimate() {
        var figures = TransferProgress()
        figures.totalBytes = 100
        figures.bytesPerSecond = 10
        figures.pause = TransferPause(.window, "no window is open", until: 1_800_003_600, in: .utc)
        let progress = CacheManifest.Progress(figures, since: TransferProgress(), now: now)
        #expect(progress.estimatedReadyAt == nil)
        #expect(progress.pausedUntil == Timestamp(seconds: 1_800_003_600))
    }

    /// While it brings, the site says how far it is; in the end it says nothing of progress any more.
    @Test(.timeLimit(.minutes(5))) func aPassTellsHowFarItIs() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let board = ProgressBoard()
        board.update { $0.totalBytes = 100 }
        var pass = try fixture.pass()
        pass.reporting = ProgressReporting(board: board, interval: .milliseconds(5))
        let site = fixture
        fixture.registry.whileBringing {
            board.update { progress in
                progress.totalBytes += 40
                progress.deliveredBytes += 10
            }
            while true {
                if let progress = try? await site.manifest()?.progress, progress.bytesDone == 10 { return }
                await pauseALittle()
            }
        }
        let report = try await pass.run(
            .sync, record: fixture.central.record(of: fixture.environment).record)
        #expect(report.isComplete)
        #expect(try await fixture.manifest()?.progress == nil)
    }
}
