import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// Faults of every kind at random on both legs: whatever happens, what is published is verified, and every entry is
/// either there or reported.
@Suite(.timeLimit(.minutes(5))) struct StormTests {
    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func aStormEndsWithTheImageOrAReport(seed: UInt64) async throws {
        var random = SeededGenerator(seed: seed)
        var source = ScriptedRegistry.Behaviour()
        source.redirectsBlobs = Bool.random(using: &random)
        source.honoursRange = Int.random(in: 0..<4, using: &random) > 0
        var destination = ScriptedRegistry.Behaviour()
        if Bool.random(using: &random) {
            destination.authorization = .bearer(user: "user", password: "password")
        }
        destination.relativeLocations = Bool.random(using: &random)
        let image = TestImage(index: [
            TestImage(seed: seed, layers: [4_000_000, 2_500_000, 100_000, 0]),
            TestImage(seed: seed + 1, layers: [700_000, 300_000], platform: "linux/arm64"),
        ])
        try await withFixture(source: source, destination: destination) { fixture in
            try await withScriptedRegistry { second in
                fixture.store(image, at: [second])
                let isStormy = Recorded(true)
                for registry in [fixture.source, second, fixture.destination] {
                    let isSource = registry !== fixture.destination
                    storm(at: registry, while: isStormy, seed: &random, isSource: isSource)
                }
                // Calms down after some passes, as an agent would make them.
                var engine = try fixture.engine(sources: [fixture.source, second], speed: 20, stall: 1, uploadStall: 1)
                let all = try fixture.missing(image).missing
                for pass in 0..<6 {
                    if pass == 4 {
                        isStormy.update { $0 = false }
                        engine = try fixture.engine(sources: [fixture.source, second], speed: 20)
                    }
                    guard let inventory = try? await engine.inventory(of: all) else { continue }
                    let report = await engine.bring(inventory)
                    fixture.expectOnlyVerified()
                    // Each entry that was missing is there now, or accounted for once.
                    let failed = report.failures.map(\.entry)
                    #expect(Set(failed).count == failed.count)
                    for entry in inventory.missing where !failed.contains(entry.identity) {
                        let isThere =
                            entry.kind == .blob
                            ? fixture.destination.blob(entry.digest, in: EngineFixture.repository) != nil
                            : fixture.destination.manifest(entry.digest, in: EngineFixture.repository) != nil
                        #expect(isThere, "\(entry.digest) is neither there nor reported")
                    }
                    for failure in report.failures { #expect(!failure.error.message.isEmpty) }
                    if report.isComplete { break }
                }
                fixture.expectComplete(image)
            }
        }
    }

    /// Every tenth request or so fails, each in its own way.
    private func storm(
        at registry: ScriptedRegistry, while isStormy: Recorded<Bool>, seed random: inout SeededGenerator,
        isSource: Bool
    ) {
        let generator = Recorded(SeededGenerator(seed: random.next()))
        registry.intercept(
            where: { _ in
                guard isStormy.value else { return false }
                var isHit = false
                generator.update { isHit = Int.random(in: 0..<3, using: &$0) == 0 }
                return isHit
            }
        ) { [weak registry] exchange, answer in
            var kind = 0
            var offset: Int64 = 0
            generator.update { generator in
                kind = Int.random(in: 0..<12, using: &generator)
                offset = Int64.random(in: 0...2_000_000, using: &generator)
            }
            switch kind {
            case 0: return ScriptedServer.Response(503, [:])
            case 1: return ScriptedServer.Response(429, ["Retry-After": "0"])
            case 2: return try answer().failing(.reset, .answerHead)
            case 3: return try answer().failing(.close, .answer)
            case 4: return try answer().failing(.reset, isSource ? .answerBody(offset) : .requestBody(offset))
            case 5: return ScriptedServer.Response(500, [:]).failing(.reset, .requestHead)
            case 6:
                registry?.forgetUploads()
                return try answer()
            case 7:
                registry?.expireTokens()
                return try answer()
            case 8:
                let response = try answer()
                registry?.expireRedirects()
                return response
            case 9 where isSource && exchange.request.fetchesBlob:
                var response = try answer()
                response.corruptedByte = offset
                return response
            case 10: return .raw("HTTP/1.1 200 OK\r\nContent-Le")
            case 11 where isSource && exchange.request.fetchesBlob:
                return try answer().failing(.stall(Gate()), .answerBody(offset))
            default: return try answer()
            }
        }
    }
}
