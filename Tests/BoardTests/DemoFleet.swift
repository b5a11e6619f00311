import OCI
import ObjectStore

@testable import Readiness
@testable import Trust

/// A fleet in which everything occurs that a board shows. The time is fixed.
struct DemoFleet {
    static let now = Timestamp(seconds: 1_772_366_400)  // 2026-03-01T12:00:00Z

    /// What one site is up to.
    enum Conduct {
        case ready
        /// It misses the last so many entries, and says that it is so far.
        case bringing(missing: Int, CacheManifest.Progress?)
        case silent
        /// It was ready so many seconds ago, and has not been heard of since.
        case old(Int64)
        /// It was never told of the list.
        case unaware
    }

    static func list(_ name: String, images: Int = 3, tag: String = "4.17.3") throws -> ImageList {
        var entries: [ClosureEntry] = []
        var listed: [ImageList.Image] = []
        for number in 0..<images {
            let repository = try Repository("platform/component-\(number)")
            let digest = Digest(of: Array("manifest \(name) \(tag) \(number)".utf8))
            listed.append(
                .init(
                    repository: repository, tag: try Tag(tag), digest: digest, mediaType: .ociManifest, size: 1200))
            entries.append(
                ClosureEntry(
                    repository: repository, digest: digest, size: 1200, kind: .manifest, mediaType: .ociManifest))
            for layer in 0..<4 {
                entries.append(
                    ClosureEntry(
                        repository: repository,
                        digest: Digest(of: Array("layer \(name) \(tag) \(number) \(layer)".utf8)),
                        size: Int64(20 + 90 * layer) << 20, kind: .blob,
                        mediaType: MediaType("application/vnd.oci.image.layer.v1.tar+gzip")))
            }
        }
        return try ImageList(
            name: ListName(name), source: "https://registry.central.example", images: listed,
            closure: Closure(entries))
    }

    static func key(of site: String) throws -> PrivateKey {
        try PrivateKey(secret: Array(Digest(of: Array("key of \(site)".utf8)).hex.utf8.prefix(32)))
    }

    /// An environment in which each site does what is said.
    static func environment(
        _ name: String, _ sites: [(String, Conduct)], lists: [ImageList], promoted: [ImageList] = [],
        waived: [String: String] = [:], strangers: [String] = []
    ) throws -> FleetStanding.Environment {
        let approver = Fleet.Approver(
            name: try ApproverName("jane.doe"), keys: [.init(try key(of: "jane.doe").publicKey)])
        var place = try Fleet.Environment(
            name: EnvironmentName(name),
            sites: sites.map { site, _ in
                .init(
                    name: try SiteName(site), registry: "https://registry.\(site).example",
                    keys: [.init(try key(of: site).publicKey)])
            })
        place.approvers = [approver]
        var evidence = Evidence(reports: [:], memory: GateMemory(environment: place.name))
        for (site, conduct) in sites + strangers.map({ ($0, .ready) }) {
            guard let manifest = try manifest(of: site, in: name, conduct, lists) else { continue }
            evidence.reports[manifest.site] = SiteReport(
                reading: try manifest.objectBytes(signedBy: key(of: site)), keys: [try key(of: site).publicKey])
        }
        for (site, reason) in waived.sorted(by: { $0.key < $1.key }) {
            for list in lists {
                let waiver = try Waiver(
                    id: String(Digest(of: Array("\(site) \(list.name)".utf8)).hex.prefix(12)), environment: place.name,
                    site: SiteName(site), list: list.name, generation: list.generation, reason: reason,
                    approver: approver.name, issuedAt: now.advanced(by: .seconds(-7200)),
                    expiresAt: now.advanced(by: .seconds(6 * 3600)))
                evidence.waivers.append(
                    WaiverReport(
                        reading: try waiver.objectBytes(signedBy: key(of: "jane.doe")), id: waiver.id, in: place,
                        isRevoked: false))
            }
        }
        return FleetStanding.Environment(
            environment: place,
            lists: lists.map { list in
                let staged = EnvironmentRecord.Pointer(
                    to: list, by: "ann@build-7", at: now.advanced(by: .seconds(-5400)))
                return .init(
                    promoted: promoted.first { $0.name == list.name }.map {
                        .init(to: $0, by: "ann@build-7", at: now.advanced(by: .seconds(-9 * 86_400)))
                    },
                    verdict: compare(
                        list: list.name, staged: staged, environment: place, evidence: evidence, now: now))
            }, evidence: evidence)
    }

    private static func manifest(
        of site: String, in environment: String, _ conduct: Conduct, _ lists: [ImageList]
    ) throws -> CacheManifest? {
        var (missing, progress, age, known) = (0, CacheManifest.Progress?.none, Int64(40), lists)
        switch conduct {
        case .ready: break
        case .silent: return nil
        case .old(let seconds): age = seconds
        case .unaware: known = []
        case .bringing(let count, let figures): (missing, progress) = (count, figures)
        }
        let issuedAt = now.advanced(by: .seconds(-age))
        return try CacheManifest(
            environment: EnvironmentName(environment), site: SiteName(site), sequence: 4711, issuedAt: issuedAt,
            expiresAt: issuedAt.advanced(by: .seconds(86_400)), agentVersion: "0.1.0",
            holdings: known.map { list in
                .init(
                    of: list, missing: list.closure.entries.suffix(missing),
                    verifiedAt: issuedAt.advanced(by: .seconds(-60)), depth: .presence)
            }, progress: progress)
    }

    static let transfer = CacheManifest.Progress(
        bytesDone: 580 << 20, bytesTotal: 1290 << 20, bytesPerSecond: 24 << 20,
        estimatedReadyAt: now.advanced(by: .seconds(125)),
        sources: [
            .init(name: "registry.central.example", bytes: 390 << 20, bytesPerSecond: 16 << 20),
            .init(name: "mirror.emea.example:5000", bytes: 190 << 20, bytesPerSecond: 8 << 20),
        ])

    static let paused = CacheManifest.Progress(
        bytesDone: 100 << 20, bytesTotal: 1290 << 20, bytesPerSecond: 0,
        pausedUntil: now.advanced(by: .seconds(8 * 3600)))

    static func standing() throws -> FleetStanding {
        let lists = [try list("edge-agents-12", images: 1, tag: "12.0.1"), try list("platform-4.17.3")]
        let before = [try list("platform-4.17.3", tag: "4.17.2")]
        return FleetStanding(
            environments: [
                try environment("lab", [("lab-1", .ready), ("lab-2", .ready)], lists: lists, promoted: lists),
                try environment(
                    "qa", [("qa-berlin", .ready), ("qa-osaka", .bringing(missing: 4, transfer))],
                    lists: [lists[1]], promoted: before),
                try environment(
                    "production",
                    [
                        ("berlin-1", .ready), ("berlin-2", .ready), ("dallas-1", .bringing(missing: 2, transfer)),
                        ("dallas-2", .bringing(missing: 5, paused)), ("lagos-1", .silent), ("lima-1", .old(100_000)),
                        ("osaka-1", .ready), ("osaka-2", .unaware), ("perth-1", .silent), ("tromso-1", .ready),
                    ], lists: lists, promoted: before,
                    waived: ["perth-1": "The line to Perth is down until the cable ship has been there, change 48113"]),
                try environment("archive", [("vault-1", .unaware)], lists: []),
            ], decidedAt: now)
    }

    /// A fleet of the largest size that the board is made for.
    static func large(environments: Int = 20, sites: Int = 500) throws -> FleetStanding {
        let list = try list("platform-4.17.3")
        return FleetStanding(
            environments: try (0..<environments).map { number in
                try environment(
                    "environment-\(number)",
                    (0..<sites).map { ("site-\($0)", $0 % 7 == 3 ? .bringing(missing: 2, transfer) : .ready) },
                    lists: [list])
            }, decidedAt: now)
    }

    static func audit() throws -> CentralStore.AuditPage {
        let key = try key(of: "ann")
        var event = AuditEvent(
            .promotionRefused, Act(by: "ann@build-7", at: now.advanced(by: .seconds(-300)), key: key.publicKey))
        (event.environment, event.list) = (try EnvironmentName("production"), try ListName("platform-4.17.3"))
        (event.generation, event.ready) = (try list("platform-4.17.3").generation, false)
        event.details = ["why": "<b>blocked</b> & refused"]
        var pruned = AuditEvent(.sitePruned, Act(by: "rollcall@agent-0", at: now.advanced(by: .seconds(-4000))))
        (pruned.environment, pruned.site) = (try EnvironmentName("lab"), try SiteName("lab-1"))
        pruned.details = ["blobs": "12", "bytes": "1288490188"]
        return .init(
            records: [
                try AuditRecord(
                    parsing: AuditRecord.object(event, at: 212, after: nil, signedBy: key), in: "audit/212.json"),
                try AuditRecord(
                    parsing: AuditRecord.object(pruned, at: 211, after: nil, signedBy: nil), in: "audit/211.json"),
            ], older: 211)
    }
}
