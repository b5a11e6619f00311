import Testing

@testable import Bench

/// Two reports side by side.
@Suite(.timeLimit(.minutes(5))) struct ComparisonTests {
    private func report(_ walls: [Double], scenario: String = "x", bytes: Int = 1, failures: Int = 0) -> Report {
        let runs =
            walls.map { wall in
                var run = RunFigures(tool: "ours", round: 0, ending: Ending(code: 0))
                run.wall = wall
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

    @Test func timesAreAlwaysShown() {
        let text = Comparison(report([10]), report([10])).text(all: false)
        #expect(text.contains("wall s"))
        #expect(!text.contains("CPU s"))
        #expect(Comparison(report([10]), report([10])).text(all: true).contains("CPU s"))
    }
}
