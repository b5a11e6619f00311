/// Something that `rollcall-bench run` measures under a name.
protocol Benchmark {
    var name: String { get }
    /// What it is, in half a sentence.
    var summary: String { get }
    /// The link that it needs, and root with it; `nil` for loopback.
    var link: LinkParameters? { get }
    /// The images that it needs; `nil` for none.
    var plan: CorpusPlan? { get }
    /// Bytes that its other files take at most.
    var space: Int { get }

    /// Measures it.
    ///
    /// - Parameters:
    ///   - surroundings: what it is measured with
    ///   - record: called after each run with the figures so far, so that nothing is lost where the benchmark is stopped
    /// - Throws: `BenchError` where the surroundings cannot be made; a tool's failure is a figure
    func run(in surroundings: Surroundings, _ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures
}

/// What benchmarks are measured with, the same for all of them.
final class Surroundings {
    let tools: [Tool]
    /// Whether the user named them.
    let areToolsNamed: Bool
    /// Where Rollcall's executables lie.
    let binaries: String
    /// Runs of each tool.
    let rounds: Int
    /// Copies that kill-resume kills.
    let kills: Int
    /// Seconds after which a run is given up, instead of the benchmark's own.
    let timeout: Double?
    /// Bytes a second that one processor hashes: the limit where there is no link.
    let hashRate: Double
    /// A directory for what the registries answered in each run.
    let logs: String?
    /// The images that are there, and in which directory of the benchmark's: a destination that has them already is made
    /// of links, which do not leave a file system.
    private var corpora: [CorpusPlan: (root: String, corpus: Corpus, directory: String)] = [:]

    init(
        tools: [Tool], areToolsNamed: Bool, binaries: String, rounds: Int, kills: Int, timeout: Double?,
        hashRate: Double, logs: String?
    ) {
        self.tools = tools
        self.areToolsNamed = areToolsNamed
        self.binaries = binaries
        self.rounds = rounds
        self.kills = kills
        self.timeout = timeout
        self.hashRate = hashRate
        self.logs = logs
    }

    /// The tools that a scenario is measured with: those that the user named, or the scenario's usual ones.
    func tools(of scenario: Scenario) -> [Tool] {
        guard !areToolsNamed, let usual = scenario.usualTools else { return tools }
        return tools.filter { usual.contains($0.name) }
    }

    /// The images of a plan; made once in a place, however many benchmarks use them.
    func corpus(_ plan: CorpusPlan) throws -> Corpus {
        let root = Scratch.root
        if let there = corpora[plan], there.root == root { return there.corpus }
        let directory = try Scratch.directory("corpus")
        let corpus = try Corpus(plan, in: directory)
        if let other = corpora[plan] { Scratch.remove(other.directory) }
        corpora[plan] = (root, corpus, directory)
        return corpus
    }

    /// Bytes that a benchmark's files will take in a place, those of its images included where they are not there yet.
    func space(of benchmark: any Benchmark, in place: WorkPlace) -> Int {
        guard let plan = benchmark.plan else { return benchmark.space }
        let isThere = corpora[plan].map { $0.root == Scratch.root(in: place) } ?? false
        return benchmark.space + (isThere ? 0 : plan.space)
    }

    /// Removes the images that none of these benchmarks needs.
    func keepImages(of rest: some Sequence<any Benchmark>) {
        let needed = Set(rest.compactMap(\.plan))
        for (plan, there) in corpora where !needed.contains(plan) {
            Scratch.remove(there.directory)
            corpora[plan] = nil
        }
    }
}

/// Every benchmark, in the order in which they run.
func allBenchmarks(_ work: WorkOptions, _ link: LinkOptions) -> [any Benchmark] {
    Scenario.all(work, link) + RegistryLoad.Load.allCases.map { RegistryLoad(load: $0, work: work) }
        + [GateFleet(work, in: .directory), GateFleet(work, in: .seaweedFS)]
}
