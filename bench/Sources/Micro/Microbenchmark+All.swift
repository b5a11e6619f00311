import FoundationEssentials
import OCI
import Readiness
import Transfer
import Trust

extension Microbenchmark {
    /// Every microbenchmark, with its values prepared.
    ///
    /// - Parameter directory: for the journal's file
    static func all(in directory: String) throws -> [Microbenchmark] {
        [
            try digestParsing(), try manifestDecoding(), rangePlanning(), try closureRoot(), try comparison(),
            try journal(in: directory),
        ]
    }

    private static func digests(_ count: Int) -> [Digest] {
        (0..<count).map { Digest(of: Array("content \($0)".utf8)) }
    }

    private static func digestParsing() throws -> Microbenchmark {
        let texts = digests(1000).map(\.description)
        return Microbenchmark(name: "digest-parsing", operation: "a digest", operations: texts.count) {
            try texts.reduce(0) { try $0 &+ Digest($1).hex.utf8.count }
        }
    }

    private static func manifestDecoding() throws -> Microbenchmark {
        let layers = digests(12).enumerated().map { index, digest in
            "{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"\(digest)\",\"size\":\(index + 1)}"
        }
        let text = """
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",\
            "config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"\(Digest(of: []))","size":2},\
            "layers":[\(layers.joined(separator: ","))],"annotations":{"org.opencontainers.image.version":"4.17.3"}}
            """
        let bytes = Array(text.utf8)
        return Microbenchmark(name: "manifest-decoding", operation: "a manifest of 12 layers", operations: 20) {
            try (0..<20).reduce(0) { sum, _ in try sum + Manifest(parsing: bytes).blobs.count }
        }
    }

    /// A blob of 1 GiB over 32 connections that end in turn.
    private static func rangePlanning() -> Microbenchmark {
        let (size, length) = (Int64(1) << 30, Int64(8) << 20)
        return Microbenchmark(name: "range-planner", operation: "a range", operations: Int(size / length)) {
            var planner = RangePlanner(size: size)
            var leases: [RangePlanner.Lease] = []
            var count = 0
            while !planner.isComplete {
                while leases.count < 32, let lease = planner.next(length: length, now: 0) { leases.append(lease) }
                // Not the first, so that ranges are done out of order.
                let lease = leases.remove(at: leases.count / 2)
                for _ in 0..<4 { _ = planner.advance(lease.id, by: length / 4) }
                planner.finish(lease.id)
                count += 1
            }
            return count
        }
    }

    private static func entries(_ count: Int) throws -> [ClosureEntry] {
        let repositories = try (0..<100).map { try Repository("team-\($0 % 10)/service-\($0)") }
        let type = MediaType("application/vnd.oci.image.layer.v1.tar+gzip")
        return digests(count).enumerated().map { index, digest in
            ClosureEntry(
                repository: repositories[index % repositories.count], digest: digest, size: 5_000_000, kind: .blob,
                mediaType: type)
        }
    }

    private static func closureRoot() throws -> Microbenchmark {
        let entries = try entries(2000)
        return Microbenchmark(name: "closure-root", operation: "an entry", operations: entries.count) {
            Closure(entries).root.hex.utf8.reduce(0) { $0 &* 31 &+ Int($1) }
        }
    }

    /// The gate's decision over 200 sites that hold everything.
    private static func comparison() throws -> Microbenchmark {
        let repository = try Repository("team/service")
        let manifest = ClosureEntry(
            repository: repository, digest: Digest(of: [1]), size: 1000, kind: .manifest, mediaType: .ociManifest)
        let list = try ImageList(
            name: ListName("bench"), source: "https://central.example",
            images: [
                ImageList.Image(
                    repository: repository, tag: try Tag("v1"), digest: manifest.digest, mediaType: manifest.mediaType,
                    size: manifest.size)
            ], closure: Closure([manifest]))
        let (environment, now) = (try EnvironmentName("lab"), Timestamp(seconds: 1_800_000_000))
        let key = try PrivateKey.generate().publicKey
        var sites: [Fleet.Site] = []
        var reports: [SiteName: SiteReport] = [:]
        for index in 0..<200 {
            let name = try SiteName("site-\(index)")
            sites.append(Fleet.Site(name: name, registry: "https://\(index).example", keys: [Fleet.Key(key)]))
            let manifest = try CacheManifest(
                environment: environment, site: name, sequence: 1, issuedAt: now,
                expiresAt: now.advanced(by: .seconds(86_400)), agentVersion: "bench",
                holdings: [CacheManifest.Holding(of: list, missing: [], verifiedAt: now, depth: .presence)])
            reports[name] = SiteReport(.signed(manifest, by: key), digest: Digest(of: [UInt8(index)]))
        }
        let fleet = try Fleet.Environment(name: environment, sites: sites)
        let staged = EnvironmentRecord.Pointer(to: list, by: "bench", at: now)
        let evidence = Evidence(reports: reports, memory: GateMemory(environment: environment))
        return Microbenchmark(name: "comparison", operation: "a site", operations: sites.count) {
            let verdict = compare(
                list: list.name, staged: staged, environment: fleet, evidence: evidence,
                now: now.advanced(by: .seconds(60)))
            guard verdict.isReady else { throw BenchError(.verification, "the comparison's sites are not ready") }
            return verdict.sites.count
        }
    }

    private static func journal(in directory: String) throws -> Microbenchmark {
        let journal = try ResumeJournal(path: "\(directory)/journal")
        let blobs = digests(4)
        return Microbenchmark(name: "journal", operation: "a record", operations: 2000) {
            for index in 0..<2000 {
                let start = Int64(index) << 18
                journal.record(.init(range: start..<start + 1 << 18, checksum: UInt64(index)), of: blobs[index % 4])
            }
            journal.flush()
            return 2000
        }
    }
}
