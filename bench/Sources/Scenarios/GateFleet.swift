import FoundationEssentials
import Glibc
import OCI
import Readiness
import Trust

/// The gate at the size of a large fleet: `rollcall check` over a directory store with signed cache manifests.
///
/// Or over an S3 store, with a request for each object. Measured as its users run it, process start included: with nothing changed since the check before, and with some sites
/// that miss some entries, each others, where every one of them is named.
struct GateFleet: Benchmark {
    /// Where the fleet's objects are.
    enum Store {
        case directory
        /// An S3 store, on loopback.
        case seaweedFS
    }

    /// What a check should take at most, in seconds and in bytes of memory.
    enum Target {
        static let unchanged = 0.5
        static let missing = 1.5
        static let memory = 200 << 20
    }

    let store: Store
    let sites: Int
    let images: Int

    /// - Parameters:
    ///   - work: changes to the usual 500 sites (100 in S3) and 20,000 images
    ///   - store: where the fleet's objects are
    init(_ work: WorkOptions, in store: Store) {
        self.store = store
        sites = work.sites ?? max(1, Int((store == .directory ? 500 : 100) * work.scale))
        images = work.images ?? max(10, Int(20_000 * work.scale))
    }

    var name: String { store == .directory ? "gate-fleet" : "store-s3" }
    var summary: String {
        "rollcall check over \(sites) sites and a list of \(images) images, in "
            + (store == .directory ? "a directory store" : "an S3 store (SeaweedFS)")
    }
    var link: LinkParameters? { nil }

    func run(in surroundings: Surroundings, _ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        let directory = try Scratch.directory("fleet")
        defer { Scratch.remove(directory) }
        let server = store == .seaweedFS ? try SeaweedFS() : nil
        let rollcall = "\(surroundings.binaries)/rollcall"
        let timeout = surroundings.timeout ?? 60
        let fleet = try Fleet(sites: sites, images: images, in: directory, server)
        var runs: [RunFigures] = []
        var rows: [(name: String, target: Double, command: Command)] = []
        func measure(
            _ name: String, target: Double, code: Int32 = 0, expecting text: String = "", _ arguments: String...
        ) throws {
            let command = Command(
                [rollcall] + arguments + ["--environment", "fleet", "--output", "json", "--fleet", fleet.file],
                environment: server?.environment ?? [:])
            rows.append((name, target, command))
            // The first look after a change is recorded; what is measured is asking again.
            for round in -1..<surroundings.rounds {
                let cpu = server?.cpu
                var figures = Self.answer(to: command, name, round, code, expecting: text, fleet, timeout)
                if let cpu, let server { figures.sourceCPU = server.cpu - cpu }
                guard round >= 0 else { continue }
                warn("\(self.name), round \(round + 1): \(figures.line)")
                runs.append(figures)
                record(summary(fleet, rows, runs, rollcall))
            }
        }
        try Command(
            [rollcall, "stage", fleet.listFile, "--environment", "fleet", "--fleet", fleet.file],
            environment: server?.environment ?? [:]
        ).run(timeout: 120)
        try fleet.publish(missing: 0, at: 0)
        try measure(
            "rollcall check, nothing changed", target: Target.unchanged, expecting: "\"ready\" : true", "check", "bench"
        )
        let entries = max(1, fleet.list.closure.entries.count / 100)
        try fleet.publish(missing: entries, at: max(1, sites / 100))
        // A blocked gate ends with 3.
        try measure(
            "rollcall check, 1 % of sites miss 1 %", target: Target.missing, code: 3,
            expecting: "\"missingEntries\" : \(entries)", "check", "bench")
        return summary(fleet, rows, runs, rollcall)
    }

    private func summary(
        _ fleet: Fleet, _ rows: [(name: String, target: Double, command: Command)], _ runs: [RunFigures],
        _ rollcall: String
    ) -> ScenarioFigures {
        let version = (try? Command([rollcall, "--version"]).run()) ?? []
        return ScenarioFigures(
            name: name, summary: summary, link: nil, settings: [:], images: images,
            blobs: fleet.list.closure.entries.count, bytes: Int(fleet.list.closure.uniqueBytes), limit: nil,
            limitReason: "the targets, \(fixed(Target.unchanged, 1)) s with nothing changed and"
                + " \(fixed(Target.missing, 1)) s otherwise, \(bytesText(Target.memory)) of memory",
            forwarderCPU: nil,
            tools: rows.map { row in
                var summary = ToolSummary(
                    tool: row.name, kind: .ours,
                    version: String(decoding: version, as: UTF8.self).filter { !$0.isNewline },
                    command: row.command.text.replacing(fleet.directory, with: "DIR"),
                    runs: runs.filter { $0.tool == row.name }, needed: 0)
                summary.toLimit = summary.wall.map { $0.median / row.target }
                return summary
            }, runs: runs, isTransfer: false)
    }

    private static func answer(
        to command: Command, _ name: String, _ round: Int, _ code: Int32, expecting text: String, _ fleet: Fleet,
        _ timeout: Double
    ) -> RunFigures {
        let output = "\(fleet.directory)/output"
        let child: Child
        do {
            child = try Child(command, output: output, errors: "\(fleet.directory)/errors")
        } catch {
            return RunFigures(tool: name, round: round, failure: "\(error)")
        }
        let ending = child.wait(timeout: timeout)
        var figures = RunFigures(tool: name, round: round, ending: ending)
        let answer = String(decoding: (try? Data(contentsOf: URL(filePath: output))) ?? Data(), as: UTF8.self)
        if ending.timedOut || ending.code != code {
            figures.outcome = ending.timedOut ? .timedOut : .failed
            figures.note = "\(ending.words): \(Scratch.tail(of: "\(fleet.directory)/errors"))"
        } else {
            figures.outcome = answer.contains(text) ? .verified : .wrong
            figures.note = answer.contains(text) ? nil : "the answer lacks \(text)"
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
        private let server: SeaweedFS?

        init(sites: Int, images: Int, in directory: String, _ server: SeaweedFS?) throws {
            self.directory = directory
            self.server = server
            list = try Self.list(images: images)
            keys = try (0..<sites).map { _ in try PrivateKey.generate() }
            try Scratch.makeDirectory("\(directory)/store/environments/fleet/sites")
            try Scratch.makeDirectory("\(directory)/store/inventories")
            let url = server?.url ?? "file://\(directory)/store"
            var text = "objectStore: {url: '\(url)'}\nenvironments:\n  - name: fleet\n    sites:\n"
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
            try server?.upload("\(directory)/store", below: "inventories")
            try server?.upload("\(directory)/store", below: "environments/fleet/sites")
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
