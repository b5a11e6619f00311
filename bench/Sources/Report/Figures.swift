/// What one run of one tool came to.
struct RunFigures: Codable {
    /// How a run ended.
    enum Outcome: String, Codable {
        /// Everything is at the destination, hashed again there.
        case verified
        /// A reference that delivers nothing ended well.
        case downloaded
        /// It was not finished when its time was up.
        case timedOut
        /// It ended with an error.
        case failed
        /// It ended well, but the destination does not serve what it should.
        case wrong
    }

    var tool: String
    let round: Int
    var outcome: Outcome
    /// What went wrong, or what was done to the run.
    var note: String?
    /// Seconds; of all attempts where it was killed.
    var wall: Double
    /// CPU seconds of the tool, in user mode and in the kernel.
    var user: Double
    var system: Double
    /// The largest resident memory of one process of the tool, in bytes.
    var peakMemory: Int
    /// CPU seconds of the registries.
    var sourceCPU: Double
    var destinationCPU: Double
    /// What came over the link, from the central registry to the site; `nil` on loopback.
    var down: LinkCounters?
    /// What went the other way.
    var up: LinkCounters?
    /// What the link had carried at each tenth of a second; empty on loopback.
    var timeline = Timeline()
    /// What registries and TCP counted; `nil` where nothing is copied between registries.
    var traffic: Traffic?
    /// Figures that only this scenario has, by name.
    var readings: [String: Double] = [:]
    /// Seconds that the check of the destination took afterwards.
    var verification: Double?
    /// The machine's load average of the minute before.
    var load: Double?

    /// Whether its figures count.
    var isGood: Bool { outcome == .verified || outcome == .downloaded }
    /// CPU seconds of the tool.
    var cpu: Double { user + system }
    /// Bytes that came from the central registry: TCP payload over the link, or what the registry sent on loopback.
    var fetched: Int? { down?.payload ?? traffic?.sourceBytes }
}

/// What one tool's runs came to.
struct ToolSummary: Codable {
    let tool: String
    let kind: Tool.Kind
    let version: String
    /// The command of its first run, for repetition.
    let command: String
    /// Runs that count, and all.
    let good: Int
    let runs: Int
    /// What went wrong first, if something did.
    let note: String?
    let wall: Spread?
    let cpu: Spread?
    let peakMemory: Spread?
    /// CPU seconds of both registries.
    let serverCPU: Spread?
    /// Bytes that came from the central registry beside those that had to: 1 is perfect.
    let fetched: Spread?
    /// Bytes of IP packets over the link, to the site and from it.
    let down: Spread?
    let up: Spread?
    /// Requests that the central registry answered, and that the site's did.
    let sourceRequests: Spread?
    let siteRequests: Spread?
    /// TCP connections that the central registry's side accepted.
    let connections: Spread?
    /// Answers that are tried again, and segments that TCP sent again.
    let refused: Spread?
    let retransmitted: Spread?
    /// Figures that only this scenario has, by name.
    let readings: [String: Spread]
    /// Median time over the best peer's; below 1 is faster.
    var toBestPeer: Double?
    /// Median time over the physical limit's.
    var toLimit: Double?
}

extension ToolSummary {
    /// - Parameters:
    ///   - runs: the tool's runs, good and bad
    ///   - needed: bytes that have to cross the link
    init(tool: String, kind: Tool.Kind, version: String, command: String, runs: [RunFigures], needed: Int) {
        let good = runs.filter(\.isGood)
        func traffic(_ figure: KeyPath<Traffic, Int>) -> Spread? {
            Spread(good.compactMap { $0.traffic.map { Double($0[keyPath: figure]) } })
        }
        func traffic(_ figure: KeyPath<Traffic, Int?>) -> Spread? {
            Spread(good.compactMap { $0.traffic?[keyPath: figure].map(Double.init) })
        }
        self.init(
            tool: tool, kind: kind, version: version, command: command, good: good.count, runs: runs.count,
            note: runs.lazy.filter { !$0.isGood }.compactMap(\.note).first, wall: Spread(good.map(\.wall)),
            cpu: Spread(good.map(\.cpu)), peakMemory: Spread(good.map { Double($0.peakMemory) }),
            serverCPU: Spread(good.map { $0.sourceCPU + $0.destinationCPU }),
            fetched: needed > 0 ? Spread(good.compactMap { $0.fetched.map { Double($0) / Double(needed) } }) : nil,
            down: Spread(good.compactMap { $0.down.map { Double($0.bytes) } }),
            up: Spread(good.compactMap { $0.up.map { Double($0.bytes) } }),
            sourceRequests: traffic(\.sourceRequests), siteRequests: traffic(\.siteRequests),
            connections: traffic(\.connections), refused: traffic(\.refused), retransmitted: traffic(\.retransmitted),
            readings: Dictionary(
                uniqueKeysWithValues: Set(good.flatMap(\.readings.keys)).compactMap { name in
                    Spread(good.compactMap { $0.readings[name] }).map { (name, $0) }
                }))
    }
}

/// What one scenario came to.
struct ScenarioFigures: Codable {
    let name: String
    let summary: String
    let link: LinkParameters?
    let settings: [String: String]
    let images: Int
    let blobs: Int
    /// What had to be brought: every blob once, and the manifests.
    let bytes: Int
    /// Seconds that nothing can go below, and why; `nil` where nothing has to move.
    let limit: Double?
    let limitReason: String
    /// The emulated link's share of one processor, at most.
    let forwarderCPU: Double?
    let tools: [ToolSummary]
    let runs: [RunFigures]
    /// Whether images move.
    var isTransfer = true
    /// What it was given beside images and a link: sites, agents; `nil` in reports of earlier versions.
    var parameters: [String: Int]?
    /// The type of the file system that its files were on; `nil` in reports of earlier versions.
    var fileSystem: String?

    /// Fills in the ratios to the best peer and to the limit.
    static func compare(_ tools: [ToolSummary], limit: Double?) -> [ToolSummary] {
        let best = tools.filter { $0.kind == .peer }.compactMap(\.wall?.median).min()
        return tools.map { tool in
            var tool = tool
            if let median = tool.wall?.median {
                tool.toBestPeer = tool.kind == .ours ? best.map { median / $0 } : nil
                tool.toLimit = limit.map { median / $0 }
            }
            return tool
        }
    }
}

/// All figures with the machine they are from.
struct Report: Codable {
    let date: String
    let machine: Machine
    /// Whether every scenario that was asked for has been measured, or the benchmark was stopped before.
    var isComplete: Bool
    var scenarios: [ScenarioFigures]
    /// Scenarios that could not be measured, and why.
    var omitted: [String: String] = [:]
    /// The commit that was checked out; `nil` where that is not known.
    var commit: String?
    /// The kind of build of Rollcall's executables: debug, release; `nil` in reports of earlier versions.
    var build: String?
}
