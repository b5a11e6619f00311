import Testing

@testable import Bench

/// Two reports side by side.
@Suite(.timeLimit(.minutes(5))) struct ComparisonTests {
    private func report(
        _ walls: [Double], scenario: String = "x", bytes: Int = 1, failures: Int = 0, readings: [String: Double] = [:]
    ) -> Report {
        let runs =
            walls.map { wall in
                var run = RunFigures(tool: "ours", round: 0, ending: Ending(code: 0))
                run.wall = wall
                run.readings = readings
                return run
            } + (0..<failures).map { RunFigures(tool: "ours", round: $0, failure: "no") }
        let summary = ToolSummary(tool: "ours", kind: .ours, version: "1", command: "c", runs: runs, needed: 1)
        let figures = ScenarioFigures(
            name: scenario, summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: bytes, limit: nil,
            limitReason: "", forwarderCPU: nil, tools: [summary], runs: runs)
        return Report(
            date: "d", machine: Machine(work: "/tmp", hashRate: 1e9), isComplete: true, scenarios: [figures])
    }

    @Test(arguments: [
        ([10.0, 11, 12], [13.0, 14, 15], Comparison.Judgement.worse), ([10, 11, 12], [7, 8, 9], .better),
        // Ranges that overlap, and medians that are close, say nothing.
        ([10, 11, 12], [12, 14, 15], .same), ([10.0], [10.2], .same), ([0.0], [1], .worse), ([0.0], [0], .same),
    ])
    func aChangeIsOneThatRunsCannotExplain(_ before: [Double], _ after: [Double], _ judgement: Comparison.Judgement) {
        let comparison = Comparison(report(before), report(after))
        let wall = comparison.lines.first { $0.figure == "wall s" }
        #expect(wall?.judgement == judgement)
    }

    @Test func whatCannotBeComparedIsSaid() {
        let comparison = Comparison(report([1], scenario: "old"), report([1], scenario: "new"))
        #expect(comparison.lines.isEmpty)
        #expect(comparison.remarks == ["new is only in the newer report", "old is only in the older report"])
        #expect(comparison.text(all: false).contains("No figure is in both reports."))
        let other = Comparison(report([1]), report([1], bytes: 2))
        #expect(other.lines.isEmpty)
        #expect(other.remarks == ["x was run with other parameters, and is not compared"])
        #expect(Comparison(report([1]), report([1], failures: 2)).remarks.first?.contains("in 2 of 3 after") == true)
    }

    @Test(arguments: [
        ("highest second / cap", 1.2, 1.6, Comparison.Judgement.worse), ("MiB after the window's end", 3, 1, .better),
        ("connections at once", 160, 320, .worse), ("requests to the store", 500, 501, .same),
        // A rate is meant to be what it is capped at: more is no better than less.
        ("mean rate / cap", 0.8, 1.0, .better), ("mean rate / cap", 1.0, 1.2, .worse),
        ("mean rate / cap", 1.3, 0.9, .better),
        ("budget of connections", 160, 320, .other), ("MiB from source 2", 500, 100, .other),
    ])
    func aScenariosOwnFiguresAreCompared(
        _ name: String, _ before: Double, _ after: Double, _ judgement: Comparison.Judgement
    ) {
        let comparison = Comparison(report([1], readings: [name: before]), report([1], readings: [name: after]))
        let line = comparison.lines.first { $0.figure == name }
        #expect(line?.judgement == judgement)
        #expect(comparison.text(all: false).contains(name) == (judgement != .same))
    }

    @Test func otherParametersAreNotCompared() {
        var (before, after) = (report([1]), report([1]))
        before.scenarios[0].parameters = ["sites": 100]
        after.scenarios[0].parameters = ["sites": 500]
        #expect(Comparison(before, after).remarks == ["x was run with other parameters, and is not compared"])
        after.scenarios[0].parameters = ["sites": 100]
        #expect(Comparison(before, after).remarks.isEmpty)
        // A report of before does not say them.
        before.scenarios[0].parameters = nil
        #expect(Comparison(before, after).remarks.isEmpty)
    }

    @Test func whatElseWasOtherwiseIsSaid() {
        var (before, after) = (report([1]), report([1]))
        (before.build, before.commit) = ("debug", "a1")
        (after.build, after.commit) = ("release", "b2")
        before.scenarios[0].fileSystem = "tmpfs"
        after.scenarios[0].fileSystem = "ext4"
        #expect(
            Comparison(before, after).remarks == [
                "a debug build of Rollcall before, a release build after: its times and memory say nothing",
                "commit a1 before, b2 after", "x: files on tmpfs before, on ext4 after",
            ])
        #expect(!Comparison(before, after).lines.isEmpty)
        #expect(Comparison(report([1]), after).remarks.isEmpty)
    }

    @Test func timesAreAlwaysShown() {
        let text = Comparison(report([10]), report([10])).text(all: false)
        #expect(text.contains("wall s"))
        #expect(!text.contains("CPU s"))
        #expect(Comparison(report([10]), report([10])).text(all: true).contains("CPU s"))
    }
}
