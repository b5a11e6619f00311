import OCI
import TestSupport
import Testing
import Trust

@testable import Board
@testable import Console
@testable import Readiness

/// A site that several agents serve: what is shown of its transfer is that of all of them.
@Suite struct ShardedSiteTests {
    /// - Parameter figures: what each agent says of its part, from the one that wrote longest ago on
    private func standing(_ figures: [CacheManifest.Progress?]) throws -> FleetStanding {
        let list = try DemoFleet.list("platform-4.17.3")
        let (now, site, key) = (DemoFleet.now, try SiteName("lab-1"), try DemoFleet.key(of: "lab-1"))
        let place = try Fleet.Environment(
            name: EnvironmentName("lab"),
            sites: [.init(name: site, registry: "https://registry.lab-1.example", keys: [.init(key.publicKey)])])
        var evidence = Evidence(reports: [:], memory: GateMemory(environment: place.name))
        for (index, progress) in figures.enumerated() {
            let shard = try #require(Shard(index: index, of: figures.count))
            let issuedAt = now.advanced(by: .seconds(Int64(index - 10)))
            let manifest = try CacheManifest(
                environment: place.name, site: site, sequence: 1, issuedAt: issuedAt,
                expiresAt: issuedAt.advanced(by: .seconds(86_400)), agentVersion: "0.1.0",
                holdings: [
                    CacheManifest.Holding(
                        of: list, missing: list.closure.entries.suffix(progress == nil ? 0 : 4), verifiedAt: issuedAt,
                        depth: .presence)
                ], progress: progress, shard: shard)
            evidence.shards[site, default: [:]][shard] = SiteReport(
                reading: try manifest.objectBytes(signedBy: key), keys: [key.publicKey])
        }
        let staged = EnvironmentRecord.Pointer(to: list, by: "ann@build-7", at: now.advanced(by: .seconds(-60)))
        return FleetStanding(
            environments: [
                .init(
                    environment: place,
                    lists: [
                        .init(
                            promoted: nil,
                            verdict: compare(
                                list: list.name, staged: staged, environment: place, evidence: evidence, now: now))
                    ], evidence: evidence)
            ], decidedAt: now)
    }

    private static let mebibyte: Int64 = 1 << 20

    @Test func theTransfersOfAllAgentsAreShown() throws {
        let now = DemoFleet.now
        let board = Board(
            try standing([
                .init(
                    bytesDone: 10 * Self.mebibyte, bytesTotal: 100 * Self.mebibyte, bytesPerSecond: Self.mebibyte,
                    estimatedReadyAt: now.advanced(by: .seconds(90)),
                    sources: [.init(name: "central", bytes: 10 * Self.mebibyte, bytesPerSecond: Self.mebibyte)]),
                .init(
                    bytesDone: 40 * Self.mebibyte, bytesTotal: 100 * Self.mebibyte, bytesPerSecond: 3 * Self.mebibyte,
                    estimatedReadyAt: now.advanced(by: .seconds(20)),
                    sources: [
                        .init(name: "central", bytes: 15 * Self.mebibyte, bytesPerSecond: 2 * Self.mebibyte),
                        .init(name: "mirror", bytes: 25 * Self.mebibyte),
                    ]),
                // One that has nothing left to bring.
                nil,
            ]))
        let site = try #require(board.environments.first?.sites.first)
        #expect(site.progress?.words == "25 % of 200 MiB, 4.0 MiB/s")
        #expect(site.expectation == .at(now.advanced(by: .seconds(90))))
        #expect(site.progress?.sources?.map(\.name) == ["central", "mirror"])
        #expect(site.progress?.sources?.map(\.bytes) == [25 * Self.mebibyte, 25 * Self.mebibyte])
        #expect(site.progress?.sources?.map(\.bytesPerSecond) == [3 * Self.mebibyte, nil])

        // The page and the terminal say the same.
        let page = try #require(
            BoardPage(.site(EnvironmentName("lab"), SiteName("lab-1")), .board(board)))
        #expect(page.text(nonce: "n", version: "1").contains("25 % of 200 MiB, 4.0 MiB/s"))
        let text = BoardText(board, width: 100, showsAllSites: true, showsReasons: true, isUnicode: true)
        #expect(text.lines.contains { $0.plain.contains("25 % of 200 MiB, 4.0 MiB/s, ready in about 1 min 30 s") })
    }
}
