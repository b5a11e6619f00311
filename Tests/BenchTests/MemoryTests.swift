import Glibc
import TestSupport
import Testing

@testable import Bench

/// Whose memory is counted: that of a tool and of what it starts, and never that of the process that started it.
@Suite(.timeLimit(.minutes(5))) struct MemoryTests {
    private func status(_ kibibytes: Int) -> String {
        "Name:\tx\nVmPeak:\t 99999 kB\nVmHWM:\t   \(kibibytes) kB\nVmRSS:\t 1 kB\n"
    }

    @Test(arguments: [
        ("", 0), ("Name:\tx\nVmRSS:\t 7 kB\n", 0), ("Name:\tx\nVmHWM:\t kB\n", 0), ("Name:\tx\nVmHWM:\t-5 kB\n", 0),
        ("Name:\tVmHWM: 7\nVmHWM:\t    1234 kB\nVmRSS:\t 1 kB\n", 1_263_616),
        ("Name:\tx\nVmHWM:\t99999999999999999999 kB\n", 1 << 50),
    ])
    func theHighWaterMarkIsRead(_ status: String, _ bytes: Int) {
        #expect(MemoryWatch.highWater(status) == bytes)
    }

    @Test func theLargestOfAllDescendantsCounts() {
        let files = [
            "/proc/1/status": status(10), "/proc/1/task/1/children": "2 3 ", "/proc/2/status": status(20),
            "/proc/3/status": status(5), "/proc/3/task/3/children": "4", "/proc/4/status": status(500),
        ]
        var watch = MemoryWatch(floor: 0)
        watch.look(at: 1) { files[$0] ?? "" }
        #expect(watch.peak == 500 << 10)
        #expect(watch.due > 0)
        // What has ended has had it all the same.
        watch.look(at: 1) { _ in "" }
        #expect(watch.peak == 500 << 10)
    }

    @Test func aLookEnds() {
        var reads = 0
        var watch = MemoryWatch(floor: 0)
        watch.look(at: 1) { path in
            reads += 1
            return path.hasSuffix("children") ? "1 1" : status(1)
        }
        #expect(reads == 2 * MemoryWatch.mostProcesses)
    }

    /// In bytes.
    private static let reports: [(reported: Int, floor: Int, total: Int)] = [
        // What the kernel reports is the starter's: only what was seen counts.
        (104_857_600, 104_857_600, 10_485_760), (104_857_600, 103_809_024, 10_485_760),
        (104_861_696, 104_857_600, 10_485_760),
        // It is more than the starter had: it is the process's own, and what came after the last look is in it.
        (125_829_120, 104_857_600, 125_829_120), (20_971_520, 5_242_880, 20_971_520),
        (8_388_608, 5_242_880, 10_485_760),
    ]

    @Test(arguments: reports)
    func theKernelsReportCountsAboveTheFloor(_ reported: Int, _ floor: Int, _ total: Int) {
        var watch = MemoryWatch(floor: floor)
        watch.look(at: 1) { $0.hasSuffix("status") ? status(10 << 10) : "" }
        #expect(watch.total(reported: reported) == total)
    }

    @Test func aSmallProcessOfALargeOneIsSmall() throws {
        let size = 128 << 20
        let ballast = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4096)
        defer { ballast.deallocate() }
        memset(ballast, 1, size)
        let directory = try TemporaryDirectory("memory")
        defer { directory.remove() }
        // It is looked at before it is ended, so that nothing here waits for a sample.
        let child = try Child(
            Command(["sleep", "60"]), output: directory.file("output"), errors: directory.file("errors"))
        let ending = child.end(SIGKILL)
        #expect(ending.signal == SIGKILL)
        #expect(ending.peakMemory > 0)
        #expect(ending.peakMemory < 64 << 20)
        // Once it was waited for, its id may be another's.
        #expect(child.end(SIGKILL).wall == ending.wall)
    }

    @Test func aProcessThatEndsIsWaitedFor() throws {
        let directory = try TemporaryDirectory("ending")
        defer { directory.remove() }
        let command = Command(["sh", "-c", "echo said; echo wrong >&2; exit 7"])
        let child = try Child(command, output: directory.file("output"), errors: directory.file("errors"))
        let ending = child.wait(timeout: 60)
        #expect(ending.code == 7)
        #expect(!ending.isSuccess)
        #expect(try directory.read("output") == Array("said\n".utf8))
        let answer = try command.answer()
        #expect(answer.output == "said\n")
        #expect(answer.errors == "wrong")
        #expect(throws: BenchError.self) { try command.run() }
    }

    @Test func aProcessThatIsLateIsEnded() throws {
        let directory = try TemporaryDirectory("late")
        defer { directory.remove() }
        let child = try Child(
            Command(["sleep", "60"]), output: directory.file("output"), errors: directory.file("errors"))
        #expect(!child.hasEnded)
        let ending = child.wait(timeout: 0)
        #expect(ending.timedOut)
    }
}
