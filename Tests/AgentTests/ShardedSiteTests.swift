import FoundationEssentials
import OCI
import Readiness
import TestSupport
import Testing

@testable import Agent

/// Two agents of one site as processes, against a real registry.
@Suite(.timeLimit(.minutes(5))) struct ShardedSiteTests {
    @Test func twoAgentsShareASite() async throws {
        try await RealSite.with { site in
            let shards = try (0..<2).map { try #require(Shard(index: $0, of: 2)) }
            let blobs = site.list.closure.entries.filter { $0.kind == .blob }
            // Or there is nothing to share.
            for shard in shards { #expect(blobs.contains { shard.owns($0.digest) }, "\(shard) owns nothing") }

            let path = site.directory.file(site.config)
            let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
            for index in 0..<2 {
                try site.directory.write(
                    "shard-\(index).yaml",
                    text.replacing("state: state", with: "state: state-\(index)")
                        + "shard: {index: \(index), of: 2}\n")
            }
            func sync(_ index: Int) async throws -> CommandResult {
                try await runCommand(
                    [AgentProcess.path, "sync", "--config", "shard-\(index).yaml"],
                    environment: AgentProcess.environment(site.directory), directory: site.directory.path)
            }

            // The first one brings what is its own, and says what it leaves.
            var result = try await sync(0)
            #expect(result.status == 1)
            #expect(result.errorText.contains("left to the site's other shards"), "\(result.errorText)")
            let own = blobs.filter { shards[0].owns($0.digest) }
            #expect(result.text.contains("brought \(own.count) "), "\(result.text)")
            var codes = try await site.verdict().sites.flatMap { $0.reasons.map(\.code.text) }
            #expect(codes == ["incomplete", "shard-missing"])

            // The second one brings the rest, and pushes the manifest, now that everything below it is there.
            result = try await sync(1)
            #expect(result.status == 0, "\(result.errorText)")
            codes = try await site.verdict().sites.flatMap { $0.reasons.map(\.code.text) }
            #expect(codes == ["incomplete"])

            // The first one has to see it for itself.
            result = try await sync(0)
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.text.contains("complete"))
            #expect(try await site.verdict().isReady)

            // An agent that thinks it is alone closes the gate.
            #expect(try await site.run("sync").status == 0)
            codes = try await site.verdict().sites.flatMap { $0.reasons.map(\.code.text) }
            #expect(codes == ["shards-disagree"])
        }
    }

    @Test func aHostWithoutANumberIsToldSo() async throws {
        try await RealSite.with { site in
            let path = site.directory.file(site.config)
            let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
            try site.directory.write(site.config, text + "shard: {index: 2, of: 2}\n")
            let result = try await site.run("sync")
            #expect(result.status == 64)
            #expect(
                result.errorText.contains("agent.yaml:12:16: 'index' must be from 0 to 1, not 2"), "\(result.errorText)"
            )
        }
    }
}
