/// A piece of work that is measured: which images, over which link, what is there already, and how it is driven.
struct Scenario {
    enum Work: String, Codable {
        /// One image.
        case copy
        /// Many images as one list.
        case release
    }

    /// What the destination has before the run.
    enum There {
        case nothing
        /// The release before this one.
        case previous
        case everything
    }

    /// What happens to a run.
    enum Course {
        /// Nothing: it is left to end.
        case plain
        /// It is killed and started again.
        case killed
        /// It may bring so many bytes a second; what the link carries is compared with that.
        case capped(rate: Int)
        /// The transfer window closes so many seconds after the start; a second run without windows ends the work.
        case windowEnd(after: Double)
        /// So many agents do the same work at once, from one source, with so many connections each.
        case agents(Int, connections: Int)
        /// It comes from one source, and from two.
        case sources
    }

    let name: String
    let summary: String
    let corpus: CorpusPlan
    /// `nil` for loopback.
    let link: LinkParameters?
    let work: Work
    var there = There.nothing
    var course = Course.plain
    /// Seconds after which a run is given up.
    let timeout: Double
    /// The tools that take part unless the user names others; all of them where there are none here.
    var usualTools: Set<String>?

    /// The wide-area link of the scenarios, with what the user changed.
    private static func wan(_ options: LinkOptions, rate: Int = 200, roundTrip: Double = 80, loss: Double = 0)
        -> LinkParameters
    {
        options.applied(to: LinkParameters(rate: rate * 1_000_000, roundTrip: roundTrip, loss: loss, seed: 1))
    }

    /// Every scenario.
    ///
    /// - Parameters:
    ///   - work: changes to the images
    ///   - options: changes to the links
    static func all(_ work: WorkOptions, _ options: LinkOptions) -> [Scenario] {
        let seed = options.seed
        let release = CorpusPlan.release(images: work.images(60), bytes: work.bytes(85), seed: seed)
        let count = release.images.count
        func image(_ name: String, _ mebibytes: Double, layers: Int) -> CorpusPlan {
            .image(name, bytes: work.bytes(mebibytes), layers: layers, seed: seed)
        }
        func size(_ mebibytes: Double) -> String { bytesText(work.bytes(mebibytes)) }
        let capped = wan(options, roundTrip: 20)
        // So that the image takes eleven seconds however small it is: 200 Mbit/s for 256 MiB.
        let windowRate = max(1, work.bytes(256) * 8 / 10_700_000)
        return [
            Scenario(
                name: "wan-one-large", summary: "one layer of \(size(256)) over a lossy wide-area link",
                corpus: image("layer", 256, layers: 1), link: wan(options, loss: 0.001), work: .copy, timeout: 200),
            Scenario(
                name: "wan-release", summary: "a release of \(count) images that share bases over a wide-area link",
                corpus: release, link: wan(options, loss: 0.0001), work: .release, timeout: 200),
            Scenario(
                name: "wan-lossy",
                summary: "a release of \(count) images over a link that loses one packet in a hundred",
                corpus: release, link: wan(options, loss: 0.01), work: .release, timeout: 200),
            Scenario(
                name: "wan-upgrade", summary: "the next release of \(count) images, most of which is there already",
                corpus: .upgrade(images: work.images(60), bytes: work.bytes(85), seed: seed),
                link: wan(options, loss: 0.0001), work: .release, there: .previous, timeout: 200),
            Scenario(
                name: "lan-large", summary: "\(size(1024)) in 12 layers between two registries on loopback",
                corpus: image("large", 1024, layers: 12), link: nil, work: .copy, timeout: 100),
            Scenario(
                name: "lan-release", summary: "a release of \(count) images between two registries on loopback",
                corpus: release, link: nil, work: .release, timeout: 100),
            Scenario(
                name: "warm-noop",
                summary: "a release of \(count) images that the destination has already, on loopback",
                corpus: release, link: nil, work: .release, there: .everything, timeout: 60),
            Scenario(
                name: "two-sources",
                summary: "\(size(1024)) in 12 layers from one registry, and from two that are equals, on loopback",
                corpus: image("large", 1024, layers: 12), link: nil, work: .release, course: .sources, timeout: 100),
            Scenario(
                name: "kill-resume",
                summary: "a copy of \(size(1024)) that is killed at a random moment and started again",
                corpus: image("large", 1024, layers: 12), link: wan(options, rate: 500, roundTrip: 5), work: .copy,
                course: .killed, timeout: 200),
            Scenario(
                name: "rate-cap", summary: "\(size(128)) in 4 layers with a quarter of the link's rate allowed",
                corpus: image("capped", 128, layers: 4), link: capped, work: .release,
                course: .capped(rate: capped.rate / 8 / 4), timeout: 200),
            Scenario(
                name: "window-end", summary: "\(size(256)) in 4 layers whose transfer window closes on the way",
                corpus: image("window", 256, layers: 4), link: wan(options, rate: windowRate), work: .release,
                course: .windowEnd(after: 5), timeout: 200),
            Scenario(
                name: "many-agents",
                summary: "\(work.agents) agents at once bring a release of \(work.images(12)) images from one source",
                corpus: .release(images: work.images(12), bytes: work.bytes(24), seed: seed), link: nil, work: .release,
                course: .agents(work.agents, connections: 4), timeout: 200),
            Scenario(
                name: "lan-huge",
                summary: "one layer of \(size(10_240)) between two registries on loopback, for what memory it takes",
                corpus: image("huge", 10_240, layers: 1), link: nil, work: .copy, timeout: 1800,
                usualTools: ["rollcall", "skopeo"]),
        ]
    }
}

extension Scenario: Benchmark {
    var plan: CorpusPlan? { corpus }

    var space: Int {
        let copies =
            switch course {
            // At the destination, and in the spool or what is read back to be hashed.
            case .plain, .capped, .windowEnd, .sources: 2
            // And in the uploads that were broken off.
            case .killed: 4
            case .agents(let count, connections: _): count + 1
            }
        return corpus.space * copies + 256 << 20
    }

    /// What it is given beside images and a link: reports of other parameters are not compared.
    var parameters: [String: Int] {
        if case .capped(let rate) = course { return ["bytes a second": rate] }
        return [:]
    }

    func run(in surroundings: Surroundings, _ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        let corpus = try surroundings.corpus(corpus)
        let timeout = surroundings.timeout ?? timeout
        switch course {
        case .plain, .capped:
            return try ScenarioRun(
                scenario: self, corpus: corpus, tools: surroundings.tools(of: self), rounds: surroundings.rounds,
                timeout: timeout, hashRate: surroundings.hashRate, logs: surroundings.logs
            ).run(record)
        case .killed:
            return try KillResume(
                scenario: self, corpus: corpus, tools: surroundings.tools, trials: surroundings.kills, timeout: timeout
            ).run(record)
        case .windowEnd(let seconds):
            return try WindowEnd(
                scenario: self, corpus: corpus, binaries: surroundings.binaries, rounds: surroundings.rounds,
                open: seconds, timeout: timeout
            ).run(record)
        case .agents(let count, let connections):
            return try ManyAgents(
                scenario: self, corpus: corpus, surroundings: surroundings, count: count, connections: connections,
                timeout: timeout
            ).run(record)
        case .sources:
            return try TwoSources(scenario: self, corpus: corpus, surroundings: surroundings, timeout: timeout)
                .run(record)
        }
    }
}
