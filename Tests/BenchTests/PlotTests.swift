import Testing

@testable import Bench

/// Drawings as text: what is read from them is where shapes are, and that the text is XML.
@Suite(.timeLimit(.minutes(5))) struct PlotTests {
    @Test(arguments: [
        (1.0, 1.0, 1), (0.93, 1.0, 1), (8, 8.0, 0), (9, 10.0, 0), (41.3, 50, 0), (193, 200, 0), (0.0031, 0.0035, 4),
        (0, 1, 1), (.infinity, 1, 1), (-3, 1, 1),
    ])
    func aScaleEndsAtARoundNumber(_ highest: Double, _ maximum: Double, _ decimals: Int) {
        let scale = Scale(highest)
        #expect(abs(scale.maximum - maximum) < maximum * 1e-6)
        #expect(scale.decimals == decimals)
        #expect(scale.ticks.first == 0)
        #expect((3...11).contains(scale.ticks.count))
    }

    @Test func wordsCannotLeaveTheirPlace() {
        #expect(Drawing.escaped("a<b & \"c\">\u{1}\n") == "a&lt;b &amp; &quot;c&quot;&gt;  ")
        var drawing = Drawing(width: 10, height: 10)
        drawing.words("</text><script>", at: (1, 2))
        #expect(!drawing.svg.contains("<script>"))
    }

    @Test func numbersThatAreNoneAreDrawnAtZero() {
        var drawing = Drawing(width: 10, height: 10)
        drawing.line((.nan, 1), (.infinity, 2.25), "#000000")
        #expect(drawing.svg.contains("x1=\"0\" y1=\"1\" x2=\"0\" y2=\"2.3\""))
    }

    @Test func barsAreAsLongAsTheirValues() {
        let svg = Plot.bars(
            "t", unit: "s", limit: ("limit", 2),
            [.init(name: "one", parts: [4], range: (3, 5)), .init(name: "two", parts: [8])])
        // 450 points are 8 seconds.
        #expect(svg.contains("width=\"225\" height=\"20\" fill=\"#0072b2\""))
        #expect(svg.contains("width=\"450\" height=\"20\" fill=\"#e69f00\""))
        #expect(svg.contains("x1=\"342.5\" y1=\"36\" x2=\"342.5\""))
        #expect(svg.contains(">4.00</text>"))
    }

    @Test func partsOfABarFollowEachOther() {
        let svg = Plot.bars("t", unit: "MiB", parts: ["a", "b"], [.init(name: "one", parts: [6, 2])])
        #expect(svg.contains("x=\"230\" y=\"45\" width=\"337.5\""))
        #expect(svg.contains("x=\"567.5\" y=\"45\" width=\"112.5\""))
    }

    @Test func curvesLieInTheirPlot() {
        let svg = Plot.curves(
            "t", unit: "Mbit/s", limit: ("rate", 100), [.init(name: "one", points: [(0, 0), (5, 50), (10, 100)])])
        #expect(svg.contains("points=\"60,260 400,150 740,40\""))
        #expect(svg.hasPrefix("<?xml"))
        #expect(svg.hasSuffix("</svg>\n"))
    }

    @Test func whatEachSourceBroughtIsDrawn() {
        func summary(_ tool: String, _ mebibytes: [Double]) -> ToolSummary {
            var run = RunFigures(tool: tool, round: 0, ending: Ending(code: 0))
            for (index, value) in mebibytes.enumerated() { run.readings["\(TwoSources.reading)\(index + 1)"] = value }
            return ToolSummary(tool: tool, kind: .ours, version: "1", command: "c", runs: [run], needed: 0)
        }
        func plots(_ tools: [ToolSummary]) -> [ScenarioFigures.PlotFile] {
            ScenarioFigures(
                name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
                limitReason: "", forwarderCPU: nil, tools: tools, runs: []
            ).plots.filter { $0.name == "x-sources.svg" }
        }
        #expect(plots([summary("one", [8])]).isEmpty)
        let svg = plots([summary("one", [8]), summary("two", [6, 2]), summary("none", [0, 0])]).first?.svg ?? ""
        // 450 points are 8 MiB.
        #expect(svg.contains("x=\"230\" y=\"45\" width=\"450\""))
        #expect(svg.contains("x=\"230\" y=\"75\" width=\"337.5\""))
        #expect(svg.contains("x=\"567.5\" y=\"75\" width=\"112.5\""))
        #expect(svg.contains(">source 2</text>"))
        #expect(!svg.contains(">none</text>"))
    }

    @Test func aScenarioWithoutFiguresHasNoPlots() {
        let figures = ScenarioFigures(
            name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
            limitReason: "", forwarderCPU: nil, tools: [], runs: [])
        #expect(figures.plots.isEmpty)
    }
}
