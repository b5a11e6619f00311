import FoundationEssentials
import TestSupport
import Testing

@testable import Bench

@Suite(.timeLimit(.minutes(5))) struct ReportTests {
    @Test(arguments: [
        (0.0, 2, "0.00"), (1.005, 0, "1"), (12.345, 1, "12.3"), (0.999, 2, "1.00"), (-0.5, 1, "-0.5"),
        (-0.001, 2, "0.00"), (.infinity, 2, "inf"), (10.05, 2, "10.05"),
    ])
    func numbersHaveTheirDecimals(_ value: Double, _ decimals: Int, _ text: String) {
        #expect(fixed(value, decimals) == text)
    }

    @Test func aSpreadIsOfTheMiddle() {
        #expect(Spread([]) == nil)
        #expect(Spread([3, 1, 2])?.median == 2)
        #expect(Spread([4, 1, 2, 3])?.median == 2.5)
        #expect(Spread([4, 1, 2, 3])?.minimum == 1)
        #expect(Spread([4, 1, 2, 3])?.maximum == 4)
    }

    private func run(_ tool: String, _ wall: Double, _ outcome: RunFigures.Outcome) -> RunFigures {
        var figures = RunFigures(tool: tool, round: 0, failure: "out of time")
        figures.outcome = outcome
        figures.wall = wall
        if figures.isGood { figures.note = nil }
        return figures
    }

    private func summary(_ tool: String, _ kind: Tool.Kind, _ runs: [RunFigures]) -> ToolSummary {
        ToolSummary(tool: tool, kind: kind, version: "1", command: tool, runs: runs, needed: 1)
    }

    @Test func ratiosAreToTheBestPeerThatDelivered() {
        let tools = ScenarioFigures.compare(
            [
                summary(
                    "ours", .ours, [run("ours", 4, .verified), run("ours", 2, .verified), run("ours", 3, .verified)]),
                summary("slow", .peer, [run("slow", 12, .verified)]),
                summary("good", .peer, [run("good", 6, .verified)]),
                summary("wrong", .peer, [run("wrong", 1, .wrong)]),
                summary("reference", .reference, [run("reference", 1, .downloaded)]),
            ], limit: 2)
        #expect(tools[0].toBestPeer == 0.5)
        #expect(tools[0].toLimit == 1.5)
        #expect(tools[1].toBestPeer == nil)
        #expect(tools[3].wall == nil)
    }

    @Test func aFailureIsShownInItsRow() {
        let tools = [
            summary("ours", .ours, [run("ours", 4, .verified)]), summary("late", .peer, [run("late", 200, .timedOut)]),
        ]
        let figures = ScenarioFigures(
            name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
            limitReason: "", forwarderCPU: nil, tools: ScenarioFigures.compare(tools, limit: nil), runs: [])
        let lines = figures.table.split(separator: "\n")
        #expect(lines.count == 4)
        #expect(Set(lines.map(\.count)).count == 1)
        #expect(lines[3].contains("0 of 1"))
        #expect(lines[3].contains("out of time"))
    }

    @Test func aScenarioSaysWhereItsFilesWereAndHowBusyTheMachineWas() {
        var runs = [run("ours", 1, .verified), run("ours", 2, .verified)]
        runs[0].load = 0.25
        runs[1].load = 3.5
        var figures = ScenarioFigures(
            name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
            limitReason: "none", forwarderCPU: nil, tools: [summary("ours", .ours, runs)], runs: runs)
        figures.fileSystem = "tmpfs"
        #expect(
            figures.introduction
                == "1 image, 1 blobs, 0.0 KiB; loopback; files on tmpfs; load before each run 0.3 to 3.5. Limit: none.")
    }

    @Test func aReportSaysWhatWasBuiltOfWhat() {
        var report = Report(date: "now", machine: Machine(work: "/tmp", hashRate: 1), isComplete: true, scenarios: [])
        #expect(!report.markdown().contains("Rollcall:"))
        report.build = "debug"
        #expect(report.markdown().contains("\n\nRollcall: a debug build.\n\n"))
        report.commit = "0123456789ab with changes"
        #expect(report.markdown().contains("\n\nRollcall: commit 0123456789ab with changes, a debug build.\n\n"))
    }

    @Test func aReportOfAnEarlierVersionIsRead() throws {
        let old = Report(
            date: "now", machine: Machine(work: "/tmp", hashRate: 1), isComplete: true,
            scenarios: [
                ScenarioFigures(
                    name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
                    limitReason: "", forwarderCPU: nil, tools: [], runs: [run("ours", 1, .verified)])
            ])
        let text = String(decoding: try old.json, as: UTF8.self)
        for key in ["commit", "build", "parameters", "fileSystem"] { #expect(!text.contains("\"\(key)\"")) }
        let read = try JSONDecoder().decode(Report.self, from: Data(text.utf8))
        #expect(read.scenarios.first?.parameters == nil)
        #expect(read.scenarios.first?.runs.first?.load == nil)
    }

    @Test(arguments: [
        ("/a/.build/x86_64-unknown-linux-gnu/debug", "debug"),
        ("/a/.build/x86_64-unknown-linux-gnu/release", "release"),
        ("/usr/bin", "unknown"), ("/debug/x/release", "release"), ("/own", "mine"),
    ])
    func theKindOfABuildIsKnownByItsPlace(_ directory: String, _ kind: String) {
        #expect(Build.kind(of: directory, own: "/own", ownKind: "mine") == kind)
    }

    @Test func commandsCanBeRepeatedInAShell() {
        #expect(Command(["a", "b c", "it's", "", "x=1"]).text == "a 'b c' 'it'\\''s' '' x=1")
    }

    @Test func whatAStoppedBenchmarkHadMeasuredIsInItsFiles() async throws {
        try await withTemporaryDirectory("report") { directory in
            let files = try ReportFiles(
                directory: directory.file("results"), json: directory.file("copy.json"), markdown: nil)
            let machine = Machine(work: "/tmp", hashRate: 1)
            let tools = [summary("ours", .ours, [run("ours", 4, .verified)])]
            var report = Report(date: "now", machine: machine, isComplete: false, scenarios: [])
            report.scenarios.append(
                ScenarioFigures(
                    name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
                    limitReason: "", forwarderCPU: nil, tools: tools, runs: [run("ours", 4, .verified)]))
            files.write(report)
            let text = String(decoding: try directory.read("results/report.md"), as: UTF8.self)
            #expect(text.contains("Stopped before its end"))
            report.isComplete = true
            report.omitted["z"] = "its emulated link needs root"
            files.write(report)
            let final = String(decoding: try directory.read("results/report.md"), as: UTF8.self)
            #expect(!final.contains("Stopped"))
            #expect(final.contains("- z was not measured: its emulated link needs root"))
            let read = try JSONDecoder().decode(Report.self, from: Data(directory.read("copy.json")))
            #expect(read.isComplete)
            #expect(read.scenarios.first?.tools.first?.wall?.median == 4)
        }
    }
}
