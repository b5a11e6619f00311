import FoundationEssentials
import Glibc
import OCI
import Readiness
import Trust

/// The gate at the size of a large fleet: `rollcall check` over a directory store with signed cache manifests.
///
/// Measured as its users run it, process start included: with nothing changed since the check before, and with some sites
/// that miss some entries, each others, where every one of them is named.
struct GateFleet {
    static let name = "gate-fleet"
    static let summary = "rollcall check over 500 sites and a list of 20,000 images, in a directory store"

    /// What a check should take at most, in seconds and in bytes of memory.
    enum Target {
        static let unchanged = 0.5
        static let missing = 1.5
        static let memory = 200 << 20
    }

    let sites: Int
    let images: Int
    let rounds: Int
    let timeout: Double
    /// Where Rollcall's executables lie.
    let binaries: String

    private var rollcall: String { "\(binaries)/rollcall" }

    /// - Throws: `BenchError` where the store cannot be made; a wrong answer is a figure
    func run() throws -> ScenarioFigures {
        let directory = try Scratch.directory("fleet")
        defer { Scratch.remove(directory) }
        let fleet = try Fleet(sites: sites, images: images, in: directory)
        try Command([rollcall, "stage", fleet.listFile, "--environment", "fleet", "--fleet", fleet.file])
            .run(timeout: 120)
        var runs: [RunFigures] = []
        var rows: [(name: String, target: Double)] = []
        func measure(_ name: String, target: Double, isReady: Bool, expecting text: String) throws {
            rows.append((name, target))
            // The first look after a change is recorded; what is measured is asking again.
            _ = try check(fleet, name, round: -1, isReady: isReady, expecting: text)
            for round in 0..<rounds {
                let figures = try check(fleet, name, round: round, isReady: isReady, expecting: text)
                warn("\(Self.name), round \(round + 1): \(ScenarioRun.line(figures))")
                runs.append(figures)
            }
        }
        try fleet.publish(missing: 0, at: 0)
        try measure(
            "rollcall check, nothing changed", target: Target.unchanged, isReady: true,
            expecting: "\"ready\" : true")
        let entries = max(1, fleet.list.closure.entries.count / 100)
        let incomplete = max(1, sites / 100)
        try fleet.publish(missing: entries, at: incomplete)
        try measure(
            "rollcall check, 1 % of sites miss 1 %", target: Target.missing, isReady: false,
            expecting: "\"missingEntries\" : \(entries)")
        let version = (try? Command([rollcall, "--version"]).run()).map {
            String(decoding: $0.dropLast(), as: UTF8.self)
        }
        return ScenarioFigures(
            name: Self.name, summary: Self.summary, link: nil, settings: [:], images: images,
            blobs: fleet.list.closure.entries.count, bytes: Int(fleet.list.closure.uniqueBytes), limit: nil,
            limitReason: "the targets, \(fixed(Target.unchanged, 1)) s with nothing changed and"
                + " \(fixed(Target.missing, 1)) s otherwise, \(bytesText(Target.memory)) of memory",
            forwarderCPU: nil,
            tools: rows.map { row in
                var summary = ToolSummary(
                    tool: row.name, kind: .ours, version: version ?? "unknown",
                    command: command(fleet).text.replacing(directory, with: "DIR"),
                    runs: runs.filter { $0.tool == row.name }, needed: 1)
                summary.toLimit = summary.wall.map { $0.median / row.target }
                return summary
            }, runs: runs)
    }

    private func command(_ fleet: Fleet) -> Command {
        Command([rollcall, "check", "bench", "--environment", "fleet", "--output", "json", "--fleet", fleet.file])
    }

    private func check(
        _ fleet: Fleet, _ name: String, round: Int, isReady: Bool, expecting text: String
    ) throws -> RunFigures {
        let output = "\(fleet.directory)/output"
        let child = try Child(command(fleet), output: output, errors: "\(fleet.directory)/errors")
        let ending = child.wait(timeout: timeout)
        var figures = RunFigures(
            tool: name, round: round, outcome: .verified, wall: ending.wall, user: ending.user, system: ending.system,
            peakMemory: ending.peakMemory, sourceCPU: 0, destinationCPU: 0, timeline: [])
        let answer = String(decoding: (try? Data(contentsOf: URL(filePath: output))) ?? Data(), as: UTF8.self)
        // A blocked gate ends with 3.
        if ending.timedOut || ending.code != (isReady ? 0 : 3) {
            figures.outcome = ending.timedOut ? .timedOut : .failed
            figures.note = "\(ending.words): \(Scratch.tail(of: "\(fleet.directory)/errors"))"
        } else if !answer.contains(text) {
            figures.outcome = .wrong
            figures.note = "the answer lacks \(text)"
        }
        return figures
    }

    /// A directory with a fleet file, a list, and an object store with what sites would have published.
    private final class Fleet {
        let directory: String
        let list: ImageList
        var file: String { "\(directory)/fleet.yaml" }
        var listFile: String { "\(directory)/list.json" }
        private let keys: [PrivateKey]
        private var sequence: Int64 = 0

        init(sites: Int, images: Int, in directory: String) throws {
            self.directory = directory
            list = try Self.list(images: images)
            keys = try (0..<sites).map { _ in try PrivateKey.generate() }
            try Scratch.makeDirectory("\(directory)/store/environments/fleet/sites")
            try Scratch.makeDirectory("\(directory)/store/inventories")
            var text = "objectStore: {url: 'file://\(directory)/store'}\nenvironments:\n  - name: fleet\n    sites:\n"
            for (index, key) in keys.enumerated() {
                text +=
                    "      - {name: site-\(index), registry: 'https://\(index).example', publicKey: '\(key.publicKey)'}\n"
            }
            try Scratch.write(text, to: file)
            try write(list.documentBytes, to: listFile)
        }

        /// What every site publishes: all of the list, or at the first of them all but some entries, each others.
        func publish(missing count: Int, at incomplete: Int) throws {
            sequence += 1
            let now = Timestamp(seconds: Int64(time(nil)))
            let entries = list.closure.entries
            let complete = CacheManifest.Holding(of: list, missing: [], verifiedAt: now, depth: .presence)
            for (index, key) in keys.enumerated() {
                var holding = complete
                if index < incomplete {
                    let missing = entries[(index * count % entries.count)...].prefix(count)
                    holding = CacheManifest.Holding(of: list, missing: missing, verifiedAt: now, depth: .presence)
                    if let inventory = CacheManifest.Holding.inventory(of: list, missing: missing) {
                        try write(inventory.bytes, to: "\(directory)/store/inventories/\(inventory.root.hex).txt")
                    }
                }
                let manifest = try CacheManifest(
                    environment: EnvironmentName("fleet"), site: SiteName("site-\(index)"), sequence: sequence,
                    issuedAt: now, expiresAt: now.advanced(by: .seconds(86_400)), agentVersion: "bench",
                    holdings: [holding])
                try write(
                    manifest.objectBytes(signedBy: key),
                    to: "\(directory)/store/environments/fleet/sites/site-\(index).json")
            }
        }

        private func write(_ bytes: [UInt8], to path: String) throws {
            do {
                try Data(bytes).write(to: URL(filePath: path))
            } catch {
                throw BenchError(.system, "cannot write \(path): \(error)")
            }
        }

        /// Ten images to a repository, with a configuration and two layers each of their own and three that they share.
        private static func list(images: Int) throws -> ImageList {
            var entries: [ClosureEntry] = []
            var pinned: [ImageList.Image] = []
            for index in 0..<images {
                let number = index / 10
                let repository = try Repository("team-\(number % 40)/service-\(number)")
                func add(_ name: String, _ size: Int64, _ kind: ClosureEntry.Kind, _ type: MediaType) -> ClosureEntry {
                    let entry = ClosureEntry(
                        repository: repository, digest: Digest(of: Array(name.utf8)), size: size, kind: kind,
                        mediaType: type)
                    entries.append(entry)
                    return entry
                }
                let layer = MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
                let manifest = add("manifest \(index)", 2000, .manifest, .ociManifest)
                _ = add("config \(index)", 4000, .blob, MediaType("application/vnd.oci.image.config.v1+json"))
                for own in 0..<2 { _ = add("layer \(index) \(own)", 5_000_000, .blob, layer) }
                for shared in 0..<3 { _ = add("base \(number % 40) \(shared)", 30_000_000, .blob, layer) }
                pinned.append(
                    ImageList.Image(
                        repository: repository, tag: try Tag("v\(index % 10)"), digest: manifest.digest,
                        mediaType: manifest.mediaType, size: manifest.size))
            }
            return try ImageList(
                name: ListName("bench"), source: "https://central.example", images: pinned, closure: Closure(entries))
        }
    }
}
