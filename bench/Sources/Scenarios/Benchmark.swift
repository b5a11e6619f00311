/// Something that `rollcall-bench run` measures under a name.
protocol Benchmark {
    var name: String { get }
    /// What it is, in half a sentence.
    var summary: String { get }
    /// The link that it needs, and root with it; `nil` for loopback.
    var link: LinkParameters? { get }

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
    private var corpora: [CorpusPlan: Corpus] = [:]

    init(
        tools: [Tool], binaries: String, rounds: Int, kills: Int, timeout: Double?, hashRate: Double, logs: String?
    ) {
        self.tools = tools
        self.binaries = binaries
        self.rounds = rounds
        self.kills = kills
        self.timeout = timeout
        self.hashRate = hashRate
        self.logs = logs
    }

    /// The images of a plan; made once, however many benchmarks use them.
    func corpus(_ plan: CorpusPlan) throws -> Corpus {
        if let corpus = corpora[plan] { return corpus }
        let corpus = try Corpus(plan, in: Scratch.directory("corpus"))
        corpora[plan] = corpus
        return corpus
    }
}

/// Every benchmark, in the order in which they run.
func allBenchmarks(_ work: WorkOptions, _ link: LinkOptions) -> [any Benchmark] {
    Scenario.all(work, link) + RegistryLoad.Load.allCases.map { RegistryLoad(load: $0, work: work) }
        + [GateFleet(work, in: .directory), GateFleet(work, in: .seaweedFS)]
}
