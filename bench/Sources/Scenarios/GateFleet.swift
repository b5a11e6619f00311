import FoundationEssentials
import Glibc
import OCI
import Readiness
import Trust

/// The gate at the size of a large fleet: `rollcall check` over a directory store with signed cache manifests, or over an S3
/// store, with a request for each object.
///
/// Measured as its users run it, process start included. Two situations: every site holds all, and some sites miss some
/// entries, each others, where every one of them is named. In each round every site publishes a new manifest; the first check
/// after that writes down what it has seen, and the second finds nothing changed.
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

    /// One row of the table: a command and what it should answer.
    private struct Row {
        let name: String
        /// Seconds that it should take at most; `nil` where nobody has set any.
        let target: Double?
        let arguments: [String]
        /// The exit code: 0 where the gate is open, 3 where it is closed.
        let code: Int32
        /// What the answer has to hold.
        let text: String
    }

    let store: Store
    let sites: Int
    let images: Int

    /// - Parameters:
    ///   - work: changes to the usual 500 sites and 20,000 images
    ///   - store: where the fleet's objects are
    init(_ work: WorkOptions, in store: Store) {
        self.store = store
        sites = work.sites ?? max(1, Int(500 * work.scale))
        images = work.images ?? max(10, Int(20_000 * work.scale))
    }

    var name: String { store == .directory ? "gate-fleet" : "store-s3" }
    var summary: String {
        "rollcall check over \(sites) sites and a list of \(images) images, in "
            + (store == .directory ? "a directory store" : "an S3 store (SeaweedFS)")
    }
    var link: LinkParameters? { nil }
    var plan: CorpusPlan? { nil }

    /// The list, and an inventory for each site that misses something, some 200 bytes for each of 4.3 entries an image; all of
    /// it twice in an S3 store.
    var space: Int { 2 * (images * 900 * (3 + incomplete) + sites * 16_384) + 256 << 20 }

    /// Sites that miss something in the second situation: one in a hundred.
    private var incomplete: Int { max(1, sites / 100) }

    func run(in surroundings: Surroundings, _ record: (ScenarioFigures) -> Void) throws -> ScenarioFigures {
        let directory = try Scratch.directory("fleet")
        defer { Scratch.remove(directory) }
        let server = store == .seaweedFS ? try SeaweedFS() : nil
        let rollcall = "\(surroundings.binaries)/rollcall"
        let fleet = try PublishedFleet(sites: sites, images: images, in: directory, server)
        let check = ["check", "bench"]
        try Command(
            [rollcall, "stage", fleet.listFile, "--environment", "fleet", "--fleet", fleet.file],
            environment: server?.environment ?? [:]
        ).run(timeout: 120)
        let missing = max(1, fleet.list.closure.entries.count / 100)
        let named = "\"missingEntries\" : \(missing)"
        let complete = [
            Row(
                name: "rollcall check, every manifest is new", target: nil, arguments: check, code: 0,
                text: "\"ready\" : true"),
            Row(
                name: "rollcall check, nothing changed", target: Target.unchanged, arguments: check, code: 0,
                text: "\"ready\" : true"),
        ]
        // A blocked gate ends with 3.
        var blocked = [
            Row(
                name: "rollcall check, 1 % of sites miss 1 %, every manifest is new", target: Target.missing,
                arguments: check, code: 3, text: named),
            Row(
                name: "rollcall check, 1 % of sites miss 1 %", target: Target.missing, arguments: check, code: 3,
                text: named),
        ]
        if server != nil {
            // One process that asks three times: what has not changed need not be sent again.
            blocked.append(
                Row(
                    name: "rollcall check --wait, three looks", target: nil,
                    arguments: check + ["--wait", "--interval", "1s", "--timeout", "2s"], code: 3, text: named))
        }
        let situations = [(complete, missing: 0, sites: 0), (blocked, missing: missing, sites: incomplete)]
        let version = (try? Command([rollcall, "--version"]).run()) ?? []
        var runs: [RunFigures] = []
        func figures() -> ScenarioFigures {
            summary(
                complete + blocked, runs, fleet, rollcall,
                version: String(decoding: version, as: UTF8.self).filter { !$0.isNewline })
        }
        for (rows, missing, incomplete) in situations {
            for round in 0..<surroundings.rounds {
                try fleet.publish(missing: missing, at: incomplete)
                for row in rows {
                    let run = try fleet.answer(
                        to: command(row, rollcall, fleet), row.name, round, row.code, expecting: row.text,
                        timeout: surroundings.timeout ?? 60)
                    warn("\(name), round \(round + 1): \(run.line)")
                    runs.append(run)
                    record(figures())
                }
            }
        }
        return figures()
    }

    private func command(_ row: Row, _ rollcall: String, _ fleet: PublishedFleet) -> Command {
        Command(
            [rollcall] + row.arguments + ["--environment", "fleet", "--output", "json", "--fleet", fleet.file],
            environment: fleet.server?.environment ?? [:])
    }

    private func summary(
        _ rows: [Row], _ runs: [RunFigures], _ fleet: PublishedFleet, _ rollcall: String, version: String
    ) -> ScenarioFigures {
        let tools = rows.compactMap { row -> ToolSummary? in
            let own = runs.filter { $0.tool == row.name }
            guard !own.isEmpty else { return nil }
            var summary = ToolSummary(
                tool: row.name, kind: .ours, version: version,
                command: command(row, rollcall, fleet).text.replacing(fleet.directory, with: "DIR"), runs: own,
                needed: 0)
            summary.toLimit = row.target.flatMap { target in summary.wall.map { $0.median / target } }
            return summary
        }
        return ScenarioFigures(
            name: name, summary: self.summary, link: nil, settings: [:], images: images,
            blobs: fleet.list.closure.entries.count, bytes: Int(fleet.list.closure.uniqueBytes), limit: nil,
            limitReason: "the targets, \(fixed(Target.unchanged, 1)) s with nothing changed and"
                + " \(fixed(Target.missing, 1)) s otherwise, \(bytesText(Target.memory)) of memory",
            forwarderCPU: nil, tools: tools, runs: runs, isTransfer: false, parameters: ["sites": sites])
    }
}

/// What a check read of a directory store and wrote to it, by the times that the file system keeps.
struct ObjectsTouched: Equatable {
    /// Objects that were read and not written.
    var read = 0
    /// Their bytes.
    var bytes = 0
    /// Objects that were written.
    var written = 0

    /// - Parameters:
    ///   - listing: a line for each object, with the times of its last reading and of its last change, in seconds since 1970,
    ///     and its bytes. Those of the reading were set to 0 before
    ///   - start: a moment after the last change before the check
    init(_ listing: String, since start: Double) {
        for line in listing.split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: " ")
            guard fields.count == 3, let accessed = Double(fields[0]), let changed = Double(fields[1]),
                let size = Int(fields[2])
            else { continue }
            if changed > start {
                written += 1
            } else if accessed > 1 {
                read += 1
                bytes += size
            }
        }
    }
}

/// A directory with a fleet file, a list, and an object store with what sites would have published.
private final class PublishedFleet {
    let directory: String
    let list: ImageList
    let server: SeaweedFS?
    var file: String { "\(directory)/fleet.yaml" }
    var listFile: String { "\(directory)/list.json" }
    private var store: String { "\(directory)/store" }
    private let keys: [PrivateKey]
    private var sequence: Int64 = 0
    /// The inventories that are in the store already.
    private var inventories: Set<String> = []

    init(sites: Int, images: Int, in directory: String, _ server: SeaweedFS?) throws {
        self.directory = directory
        self.server = server
        list = try Self.list(images: images)
        keys = try (0..<sites).map { _ in try PrivateKey.generate() }
        try Scratch.makeDirectory("\(store)/environments/fleet/sites")
        try Scratch.makeDirectory("\(store)/inventories")
        let url = server?.url ?? "file://\(store)"
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
        var added = false
        for (index, key) in keys.enumerated() {
            var holding = complete
            if index < incomplete {
                let missing = entries[(index * count % entries.count)...].prefix(count)
                holding = CacheManifest.Holding(of: list, missing: missing, verifiedAt: now, depth: .presence)
                if let inventory = CacheManifest.Holding.inventory(of: list, missing: missing),
                    inventories.insert(inventory.root.hex).inserted
                {
                    try write(inventory.bytes, to: "\(store)/inventories/\(inventory.root.hex).txt")
                    added = true
                }
            }
            let manifest = try CacheManifest(
                environment: EnvironmentName("fleet"), site: SiteName("site-\(index)"), sequence: sequence,
                issuedAt: now, expiresAt: now.advanced(by: .seconds(86_400)), agentVersion: "bench",
                holdings: [holding])
            try write(
                manifest.objectBytes(signedBy: key), to: "\(store)/environments/fleet/sites/site-\(index).json")
        }
        if added { try server?.upload(store, below: "inventories") }
        try server?.upload(store, below: "environments/fleet/sites")
    }

    /// Runs a check, and counts what it asked of the store.
    ///
    /// - Throws: `BenchError` where what it asked cannot be counted
    func answer(
        to command: Command, _ name: String, _ round: Int, _ code: Int32, expecting text: String, timeout: Double
    ) throws -> RunFigures {
        let load = Machine.load()
        let counted = server?.counters
        let cpu = server?.cpu ?? 0
        let start = wallSeconds()
        if server == nil { try forgetReadings() }
        let child = try Child(command, output: "\(directory)/output", errors: "\(directory)/errors")
        let ending = child.wait(timeout: timeout)
        var figures = RunFigures(
            tool: name, round: round, ending: ending, sourceCPU: server.map { $0.cpu - cpu } ?? 0)
        figures.load = load
        let answer = String(
            decoding: (try? Data(contentsOf: URL(filePath: "\(directory)/output"))) ?? Data(), as: UTF8.self)
        if ending.timedOut || ending.code != code {
            figures.outcome = ending.timedOut ? .timedOut : .failed
            figures.note = "\(ending.words): \(Scratch.tail(of: "\(directory)/errors"))"
            return figures
        }
        figures.outcome = answer.contains(text) ? .verified : .wrong
        figures.note = answer.contains(text) ? nil : "the answer lacks \(text)"
        if let server {
            if let counted, let now = server.counters {
                let asked = now - counted
                figures.readings = [
                    "requests to the store": Double(asked.requests),
                    "of them not changed (304)": Double(asked.unchanged),
                    "of them writes": Double(asked.writes), "KiB from the store": Double(asked.bytesSent) / 1024,
                ]
            }
        } else {
            let touched = try readings(since: start)
            // A check reads something: where nothing shows, the file system does not keep these times.
            if touched.read > 0 {
                figures.readings = [
                    "objects read": Double(touched.read), "KiB of them": Double(touched.bytes) / 1024,
                    "objects written": Double(touched.written),
                ]
            }
        }
        return figures
    }

    /// The store's objects, without what it keeps for itself.
    @discardableResult
    private func objects(_ action: String...) throws -> [UInt8] {
        try Command(["find", store, "-name", "~*", "-prune", "-o", "-type", "f"] + action).run()
    }

    /// Sets the time at which each object was read last to 0: the next reading shows, as file systems keep it (`relatime`).
    private func forgetReadings() throws {
        try objects("-exec", "touch", "-a", "-d", "@0", "{}", "+")
        // The kernel's times lag by a tick or two: what the check writes must be later than what was there.
        pause(milliseconds: 20)
    }

    private func readings(since start: Double) throws -> ObjectsTouched {
        ObjectsTouched(String(decoding: try objects("-printf", "%A@ %T@ %s\\n"), as: UTF8.self), since: start)
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
