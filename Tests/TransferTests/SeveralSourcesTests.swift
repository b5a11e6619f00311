import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// Several sources for the same content: what one does not deliver comes from another.
@Suite(.timeLimit(.minutes(5))) struct SeveralSourcesTests {
    private let image = TestImage(seed: 1, layers: [6_000_000, 2_000_000, 100_000])
    private var layers: [Digest] { image.blobs.dropFirst().map(\.descriptor.digest) }

    private func withTwo(_ body: (EngineFixture, ScriptedRegistry) async throws -> Void) async throws {
        try await withFixture { fixture in
            try await withScriptedRegistry { second in
                fixture.store(image, at: [second])
                try await body(fixture, second)
            }
        }
    }

    @Test(arguments: [0, 1], [true, false])
    func oneThatIsDownIsDoneWithout(position: Int, isOrdered: Bool) async throws {
        try await withTwo { fixture, _ in
            try await withScriptedRegistry(isDown: true) { gone in
                var sources = [fixture.source]
                sources.insert(gone, at: position)
                let engine = try fixture.engine(sources: sources, isOrdered: isOrdered, speed: 10)
                let report = await engine.bring(try fixture.missing(image))
                #expect(report.failures.map(\.error.message) == [])
                fixture.expectComplete(image)
            }
        }
    }

    @Test func allDownIsSaidOfEach() async throws {
        try await withFixture { fixture in
            try await withScriptedRegistry(isDown: true) { first in
                try await withScriptedRegistry(isDown: true) { second in
                    let engine = try fixture.engine(sources: [first, second], speed: 50)
                    let report = await engine.bring(try fixture.missing(image))
                    #expect(report.failures.count == image.blobs.count + 1)
                    for failure in report.failures {
                        for source in [first, second] { #expect(failure.error.message.contains(source.authority)) }
                        #expect(failure.error.message.contains("onnect"))
                    }
                }
            }
        }
    }

    @Test func oneThatStopsInTheMiddleIsDoneWithout() async throws {
        try await withTwo { fixture, second in
            // The first range is all that it serves.
            second.intercept(times: 1, where: \.fetchesBlob) { [server = second.server] exchange, answer in
                server.welcome { _ in .reset }
                return try answer().failing(.reset, .answerBody(200_000))
            }
            second.answer(ScriptedServer.Response(503, [:]), where: \.fetchesBlob)
            let engine = try fixture.engine(sources: [second, fixture.source], isOrdered: true, speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            let progress = engine.progress.snapshot
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    /// A mirror that lacks most of a list answers 404 all the time: that is no failure of its own.
    @Test(arguments: [403, 404, 401])
    func oneThatLacksBlobsIsAskedForTheOthers(status: Int) async throws {
        try await withFixture { fixture in
            try await withScriptedRegistry { mirror in
                let images = (0..<6).map { TestImage(seed: 100 + UInt64($0), layers: [700_000]) }
                for (index, image) in images.enumerated() {
                    fixture.store(image, at: index == 5 ? [mirror] : [])
                }
                if status != 404 {
                    mirror.answer(
                        ScriptedServer.Response(status, [:]),
                        where: { request in
                            request.fetchesBlob
                                && images[..<5].contains { request.path.contains($0.blobs[1].descriptor.digest.hex) }
                        })
                }
                let engine = try fixture.engine(sources: [mirror, fixture.source], isOrdered: true)
                for image in images {
                    #expect(await engine.bring(try fixture.missing(image)).failures.map(\.error.message) == [])
                    fixture.expectComplete(image)
                }
                #expect(engine.progress.snapshot.sources[mirror.authority] ?? 0 >= 700_000)
            }
        }
    }

    /// One of two sources serves a wrong byte in a blob that both have a part in: it comes from the other, and the liar is
    /// named, and asked last from then on.
    @Test(arguments: [0, 1]) func theLiarOfTwoIsNamed(position: Int) async throws {
        try await withTwo { fixture, second in
            let sources = [fixture.source, second]
            let liar = sources[position]
            let isFirst = Recorded(true)
            // The preferred one breaks off after one range, and the other goes on.
            sources[0].intercept(times: 4, where: { [layers] in $0.path.contains(layers[0].hex) }) { _, answer in
                var response = try answer()
                if position == 0 { response.corruptedByte = 1000 }
                let serves = isFirst.value
                isFirst.update { $0 = false }
                return serves ? response : response.failing(.reset, .answerHead)
            }
            liar.intercept(where: { [layers] in $0.path.contains(layers[0].hex) }) { _, answer in
                var response = try answer()
                response.corruptedByte = 1000
                return response
            }
            // Its seconds are ours: a range that is not answered at once is not taken over from the liar before it lies.
            let engine = try fixture.engine(sources: sources)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            let progress = engine.progress.snapshot
            #expect(sources.allSatisfy { progress.sources[$0.authority] ?? 0 > 0 })
            #expect(progress.corruptSources == [liar.authority])
            #expect(report.sourceFaults[liar.authority]?.contains(layers[0].hex) == true)

            let next = TestImage(seed: 50, layers: [900_000])
            fixture.store(next, at: [second])
            #expect(await engine.bring(try fixture.missing(next)).isComplete)
            let asked = liar.requests.filter { $0.fetchesBlob && $0.path.contains(next.blobs[1].descriptor.digest.hex) }
            #expect(asked.isEmpty)
        }
    }

    /// A source that asks for time is left in peace, and the next one does the work meanwhile.
    @Test(arguments: [100, 3600]) func oneThatAsksForTimeIsDoneWithout(seconds: Int) async throws {
        try await withTwo { fixture, second in
            second.answer(ScriptedServer.Response(503, ["Retry-After": "\(seconds)"]), where: { _ in true })
            let engine = try fixture.engine(sources: [second, fixture.source], isOrdered: true)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(engine.progress.snapshot.sources[second.authority] ?? 0 == 0)
        }
    }

    /// One that accepts requests and then says nothing, or next to nothing, holds up only what it was given.
    @Test func oneThatHangsIsOvertaken() async throws {
        try await withTwo { fixture, second in
            let never = Gate()
            second.intercept(where: \.fetchesBlob) { _, answer in
                try answer().failing(.stall(never), .answerBody(10))
            }
            let engine = try fixture.engine(sources: [second, fixture.source], stall: 600)
            let large = try fixture.missing(image).missing.filter { $0.digest == layers[0] }
            let report = await engine.bring(Inventory(present: [], missing: large))
            #expect(report.failures.map(\.error.message) == [])
            #expect(fixture.destination.blobs(in: EngineFixture.repository) == [layers[0]])
        }
    }

    @Test func twoLiarsAreBothNamed() async throws {
        try await withTwo { fixture, second in
            for registry in [fixture.source, second] {
                registry.store(
                    .generated(GeneratedBytes(count: 6_000_000, seed: 77)), as: layers[0],
                    in: EngineFixture.repository)
            }
            let engine = try fixture.engine(sources: [fixture.source, second], speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            fixture.expectClear(report, of: layers[0], host: fixture.source.authority, "hash to")
            fixture.expectClear(report, of: layers[0], host: second.authority, "hash to")
            let progress = engine.progress.snapshot
            #expect(progress.corruptSources == [fixture.source.authority, second.authority])
        }
    }

    /// Sources may have the list's repositories under names of their own.
    @Test func aSourceMayHaveOtherNames() async throws {
        try await withFixture { fixture in
            fixture.source.store(image, in: "mirror/platform/api")
            let mapping = try RepositoryMapping([.init(source: "", destination: "mirror")])
            let engine = try TransferEngine(
                sources: [
                    TransferSource(name: "mirror", client: try fixture.client(fixture.source), mapping: mapping)
                ],
                destination: try fixture.client(fixture.destination), spool: fixture.directory.file("spool"))
            #expect(await engine.bring(try fixture.missing(image)).failures.map(\.error.message) == [])
            fixture.expectComplete(image)
        }
    }
}
