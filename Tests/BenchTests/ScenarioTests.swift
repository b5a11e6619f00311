import ArgumentParser
import FoundationEssentials
import TestSupport
import Testing

@testable import Bench

/// Which scenarios there are, what they need, and what becomes of a run's figures.
@Suite(.timeLimit(.minutes(5))) struct ScenarioTests {
    private func benchmarks(_ arguments: [String] = []) throws -> [any Benchmark] {
        allBenchmarks(try WorkOptions.parse(arguments), try LinkOptions.parse([]))
    }

    private func scenario(_ name: String, _ arguments: [String] = []) throws -> Scenario {
        let all = Scenario.all(try WorkOptions.parse(arguments), try LinkOptions.parse([]))
        return try #require(all.first { $0.name == name })
    }

    @Test func everyScenarioHasANameOfItsOwn() throws {
        let names = try benchmarks().map(\.name)
        #expect(Set(names).count == names.count)
        #expect(names.contains("lan-huge"))
        #expect(names.contains("two-sources"))
    }

    @Test func aHugeLayerIsAsLargeAsSaid() throws {
        let huge = try scenario("lan-huge")
        #expect(huge.corpus.layers == [10 << 30])
        #expect(huge.summary.contains("10.00 GiB"))
        #expect(try scenario("lan-huge", ["--bytes", "64"]).corpus.layers == [64 << 20])
        // The images, the destination, and the spool; all of it has to fit.
        #expect(huge.space >= 20 << 30)
        #expect(huge.corpus.space >= 10 << 30)
    }

    @Test func sitesAreTheSameInBothStores() throws {
        let fleets = try benchmarks().compactMap { $0 as? GateFleet }
        #expect(fleets.map(\.sites) == [500, 500])
        #expect(try benchmarks(["--sites", "7"]).compactMap { ($0 as? GateFleet)?.sites } == [7, 7])
    }

    private func newSurroundings(areToolsNamed: Bool = false) -> Surroundings {
        Surroundings(
            tools: Tool.all(binaries: "/opt"), areToolsNamed: areToolsNamed, binaries: "/opt", rounds: 1, kills: 1,
            timeout: nil, hashRate: 1, logs: nil)
    }

    @Test func aHugeLayerIsForFewToolsUnlessTheyAreNamed() throws {
        let huge = try scenario("lan-huge")
        #expect(newSurroundings().tools(of: huge).map(\.name) == ["rollcall", "skopeo"])
        #expect(newSurroundings(areToolsNamed: true).tools(of: huge).count == newSurroundings().tools.count)
        let usual = try scenario("lan-large")
        #expect(newSurroundings().tools(of: usual).count == newSurroundings().tools.count)
    }

    @Test func imagesAreMadeOnceAndRemovedWhenNoneNeedsThem() throws {
        let surroundings = newSurroundings()
        let plan = CorpusPlan.image("layer", bytes: 4096, layers: 1, seed: 1)
        let user = Scenario(name: "x", summary: "y", corpus: plan, link: nil, work: .copy, timeout: 1)
        let corpus = try surroundings.corpus(plan)
        #expect(try surroundings.corpus(plan).storage.root == corpus.storage.root)
        surroundings.keepImages(of: [user] as [any Benchmark])
        #expect(FileManager.default.fileExists(atPath: corpus.storage.root))
        surroundings.keepImages(of: [] as [any Benchmark])
        #expect(!FileManager.default.fileExists(atPath: corpus.storage.root))
        let elsewhere = WorkPlace(directory: "/else", fileSystem: "ext4", room: 1, isShared: false)
        #expect(surroundings.space(of: user, in: elsewhere) == user.space + plan.space)
    }

    @Test func toolsAreChosenByTheBeginningsOfTheirNames() throws {
        let all = Tool.all(binaries: "/opt")
        #expect(try RunCommand.tools(of: all, named: nil).count == all.count)
        #expect(
            try RunCommand.tools(of: all, named: "regctl,skopeo copy").map(\.name)
                == ["skopeo copy x8", "regctl", "regctl, 8 at once"])
        for nonsense in ["", ",", "rolcall", "crane,nothing"] {
            #expect(throws: BenchError.self) { try RunCommand.tools(of: all, named: nonsense) }
        }
    }

    private func summary(_ kind: Tool.Kind, good: Int, bad: Int = 0) -> ToolSummary {
        let runs =
            (0..<good).map { RunFigures(tool: "t", round: $0, ending: Ending(code: 0)) }
            + (0..<bad).map { RunFigures(tool: "t", round: $0, failure: "lost") }
        return ToolSummary(tool: "t", kind: kind, version: "1", command: "c", runs: runs, needed: 1)
    }

    private func fault(_ tools: [ToolSummary], isOursMeasured: Bool = true) -> String? {
        RunCommand.fault(
            in: ScenarioFigures(
                name: "x", summary: "y", link: nil, settings: [:], images: 1, blobs: 1, bytes: 1, limit: nil,
                limitReason: "", forwarderCPU: nil, tools: tools, runs: []),
            isOursMeasured: isOursMeasured)
    }

    @Test func aPeersFailureIsAFigureAndOursIsAFault() {
        #expect(fault([summary(.ours, good: 2), summary(.peer, good: 1)]) == nil)
        #expect(fault([summary(.ours, good: 2), summary(.peer, good: 0, bad: 2)]) == nil)
        #expect(fault([summary(.ours, good: 1, bad: 1), summary(.peer, good: 2)]) == "t: 1 of 2 runs: lost")
    }

    @Test func aScenarioWithoutAnyFigureIsAFault() {
        #expect(fault([]) == "no run of any tool counts: none was made")
        #expect(
            fault([summary(.peer, good: 0, bad: 1)], isOursMeasured: false) == "no run of any tool counts: lost")
        // Ours was asked for, and is not there.
        #expect(fault([summary(.peer, good: 1)]) == "Rollcall has no run")
        #expect(fault([summary(.peer, good: 1)], isOursMeasured: false) == nil)
    }

    @Test func theLastLineSaysWhatEachSourceBrought() {
        let lines = """
            {"sources":{"a:1":{"bytes":1,"failures":0,"corruptBlobs":0}},"state":"running"}
            {"sources":{"a:1":{"bytes":600,"failures":0,"corruptBlobs":0},"b:2":{"bytes":400,"failures":1,"corruptBlobs":0,"lastFault":"x"}},"state":"complete"}
            no line of its own
            """
        #expect(TwoSources.bytesBySource(lines) == ["a:1": 600, "b:2": 400])
        #expect(TwoSources.bytesBySource("").isEmpty)
    }

    @Test(arguments: [
        ([600, 400], 1000, "right"), ([600], 600, "right"), ([1000, 0], 1000, "source 2 brought nothing"),
        ([], 0, "right"), ([500, 400], 1000, "the agent counts 900 bytes from its sources, of 1000 that came"),
    ])
    func sourcesThatBringNothingAreFound(_ shares: [Int], _ needed: Int, _ words: String) {
        #expect(TwoSources.fault(of: shares, needed: needed) ?? "right" == words)
    }

    @Test func whatACheckReadsAndWritesIsCounted() {
        let listing = """
            0.0000000000 90.0000000000 1000
            100.5000000000 90.0000000000 200
            100.7000000000 90.2500000000 300
            100.9000000000 100.8000000000 50
            not a line
            """
        let touched = ObjectsTouched(listing, since: 100)
        #expect(touched.read == 2)
        #expect(touched.bytes == 500)
        #expect(touched.written == 1)
        #expect(ObjectsTouched("", since: 0) == ObjectsTouched("x", since: 0))
    }
}
