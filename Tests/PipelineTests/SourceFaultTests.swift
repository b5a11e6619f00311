import OCI
import TestRegistry
import TestSupport
import Testing
import Transfer

/// What goes wrong between a source and the agent: the copy is complete, or it stops and says at which blob, where and
/// why; and nothing that is not verified is visible.
@Suite(.timeLimit(.minutes(5))) struct SourceFaultTests {
    /// One large layer, which goes in ranges through a file, and one small, which does not.
    private let image = TestImage(seed: 1, layers: [3_000_000, 100_000])
    private var large: Digest { image.blobs[1].descriptor.digest }

    /// Some requests fail, and the next ones do not: nothing is lost, and nothing that came is fetched again.
    @Test(
        arguments: [
            (.delay(.milliseconds(200)), 1...Int.max), (.resetAnswer(after: 0), 1...5), (.resetAnswer(after: 1), 1...5),
            (.resetAnswer(after: 16_384), 1...5), (.resetAnswer(after: 700_000), 1...5), (.truncate(after: 0), 1...5),
            (.truncate(after: 700_000), 1...5), (.loseAnswer, 1...5), (.answer(500), 1...5),
            (.answer(503, ["Retry-After": "0"]), 1...5), (.answer(429, ["Retry-After": "0"]), 1...5),
            (.answer(429), 1...5), (.answer(502), 1...5),
        ] as [(RegistryFault, ClosedRange<Int>)])
    func goesOnAfter(fault: RegistryFault, times: ClosedRange<Int>) async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(fault, into: "GET *\(large)", times)
            let outcome = try await pipeline.bring(image)
            try pipeline.expectCopied(image, outcome)
            #expect(pipeline.source.faults.struck > 0)
        }
    }

    /// A manifest's requests fail too.
    @Test(
        arguments: [
            .resetAnswer(after: 10), .truncate(after: 10), .loseAnswer, .answer(503, ["Retry-After": "0"]),
        ] as [RegistryFault])
    func goesOnWithTheManifestAfter(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(fault, into: "GET */manifests/*", 1...2)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.source.faults.struck > 0)
        }
    }

    /// A source that does not know ranges serves whole blobs, from the beginning or suddenly. What had come in ranges may
    /// then come once more.
    @Test(arguments: [1...Int.max, 1...1, 2...Int.max]) func takesTheWholeFromWhoIgnoresRanges(
        times: ClosedRange<Int>
    ) async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(.ignoreRange, into: "GET *\(large)", times)
            let outcome = try await pipeline.bring(image)
            try pipeline.expectCopied(image, outcome, isFetchedOnce: false)
            #expect(outcome.progress.fetchedBytes < 2 * outcome.progress.totalBytes)
        }
    }

    /// Bytes that are not the blob's: found when they are hashed, and fetched once more.
    @Test(arguments: [0, 12_345]) func fetchesAgainWhatArrivedDamaged(byte: Int) async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(.corrupt(byte: byte), into: "GET *\(large)", 1...1)
            try pipeline.expectCopied(image, try await pipeline.bring(image), isFetchedOnce: false)
            #expect(pipeline.source.faults.struck == 1)
        }
    }

    /// What never gets better: it ends, and says at which blob, where and why.
    @Test(
        arguments: [
            (.resetAnswer(after: 0), "connection"), (.truncate(after: 0), "ended early"), (.loseAnswer, "connection"),
            (.answer(503), "HTTP 503"), (.answer(500), "HTTP 500"), (.answer(429), "HTTP 429"),
            (.answer(416), "HTTP 416"), (.answer(401), "HTTP 401"), (.answer(403), "HTTP 403"),
            (.answer(404), "HTTP 404"), (.corrupt(byte: 0), "hash to"),
            (.contentRange("bytes 0-9/3000000"), "got 0-9"), (.contentRange("bytes 0-99/99"), "readable Content-Range"),
            (.contentRange("rubbish"), "readable Content-Range"), (.shorten(by: 1000), "is announced with"),
            (.lengthen(by: 1000), "is announced with"),
        ] as [(RegistryFault, String)])
    func stopsAt(fault: RegistryFault, reason: String) async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(fault, into: "GET *\(large)")
            let outcome = try await pipeline.bring(image, speed: 50)
            try pipeline.expectStopped(image, outcome, at: large, host: pipeline.source, reason: reason)
        }
    }

    /// Of two sources, one lies, fails, or drips: the other one serves.
    @Test(
        arguments: [
            .answer(416), .answer(404), .answer(503), .contentRange("bytes 0-9/3000000"), .corrupt(byte: 0),
            .resetAnswer(after: 0), .shorten(by: 1000), .lengthen(by: 1000), .ignoreRange,
            .drip(bytes: 10_000, every: .milliseconds(10)),
        ] as [RegistryFault])
    func anotherSourceServesWhatOneDoesNot(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            try await withTestRegistry { good in
                pipeline.source.faults.inject(fault, into: "GET */blobs/*")
                let outcome = try await pipeline.bring(image, others: [good], speed: 20)
                try pipeline.expectCopied(image, outcome, isFetchedOnce: false)
                #expect(pipeline.source.faults.struck > 0)
            }
        }
    }

    /// A slow loris on one connection: the others take its range over, long before it is through.
    @Test func takesTheRangeOfAConnectionThatDrips() async throws {
        try await withPipeline { pipeline in
            pipeline.source.faults.inject(.drip(bytes: 1, every: .milliseconds(50)), into: "GET *\(large)", 1...1)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.source.faults.struck == 1)
        }
    }
}
