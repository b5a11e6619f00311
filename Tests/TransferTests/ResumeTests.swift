import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// What one run leaves behind, the next one goes on from.
@Suite(.timeLimit(.minutes(5))) struct ResumeTests {
    private let image = TestImage(seed: 1, layers: [6_000_000, 5_000_000, 100_000])
    private var total: Int64 { image.blobs.reduce(0) { $0 + $1.descriptor.size } }

    /// Starts to bring an image and cancels that as soon as so many bytes have come, of all blobs or of one.
    ///
    /// - Returns: the bytes that were fetched
    private func cancelled(
        _ fixture: EngineFixture, after bytes: Int64, of digest: Digest? = nil, at image: TestImage
    ) async throws -> Int64 {
        let engine = try fixture.engine()
        // On a busy machine the run may be over before it is cancelled, this one or the one before.
        let missing = try await engine.inventory(of: try fixture.missing(image).missing)
        let isOver = Recorded(false)
        let run = Task {
            defer { isOver.update { $0 = true } }
            return await engine.bring(missing)
        }
        func fetched() -> Int64 {
            let progress = engine.progress.snapshot
            guard let digest else { return progress.fetchedBytes }
            return progress.active.first { $0.digest == digest }?.received ?? 0
        }
        await until { isOver.value || fetched() >= bytes }
        run.cancel()
        let report = await run.value
        for failure in report.failures {
            #expect([.cancelled, .missingDependency].contains(failure.error.code), "\(failure.error)")
        }
        return engine.progress.snapshot.fetchedBytes
    }

    @Test(arguments: [1, 300_000, 2_000_000, 5_000_000, 9_000_000, 11_000_000] as [Int64])
    func aCancelledRunIsContinued(after bytes: Int64) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let first = try await cancelled(fixture, after: bytes, at: image)
            let engine = try fixture.engine()
            let report = await engine.bring(try await engine.inventory(of: try fixture.missing(image).missing))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            let progress = engine.progress.snapshot
            #expect(first + progress.fetchedBytes <= total * 105 / 100)
        }
    }

    /// Interrupted again and again, at random moments.
    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func manyInterruptionsLoseLittle(seed: UInt64) async throws {
        try await withFixture { fixture in
            var random = SeededGenerator(seed: seed)
            fixture.store(image)
            var fetched: Int64 = 0
            for _ in 0..<4 {
                fetched += try await cancelled(
                    fixture, after: Int64.random(in: 1...1_500_000, using: &random), at: image)
            }
            let engine = try fixture.engine()
            let report = await engine.bring(try await engine.inventory(of: try fixture.missing(image).missing))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            fetched += engine.progress.snapshot.fetchedBytes
            // Small blobs stay in memory, and are fetched again.
            #expect(fetched <= total * 105 / 100 + 4 * 100_000)
        }
    }

    @Test func aCancelledPassEndsAtOnceWhereverItWaits() async throws {
        let never = Gate()
        for place in ["GET", "POST", "PUT"] {
            try await withFixture { fixture in
                fixture.store(image)
                let reached = Gate()
                for registry in [fixture.source, fixture.destination] {
                    registry.intercept(where: { $0.method == place }) { exchange, answer in
                        reached.open()
                        try exchange.wait(never)
                        return try answer()
                    }
                }
                let engine = try fixture.engine()
                let missing = try fixture.missing(image)
                let run = Task {
                    _ = try? await engine.inventory(of: missing.missing)
                    return await engine.bring(missing)
                }
                try await reached.opened()
                run.cancel()
                let report = await run.value
                #expect(
                    report.failures.count == image.blobs.count + 1,
                    "\(place): \(report.failures.map { "\($0.entry.digest) \($0.error)" })")
                fixture.expectOnlyVerified()
            }
        }
    }

    /// Bytes in the spool that are not what they were: a checksum tells, or in the end the digest.
    @Test(arguments: [true, false]) func aSpoolThatChangedIsFetchedAgain(isNoticed: Bool) async throws {
        try await withFixture { fixture in
            let blob = image.blobs[1]
            fixture.store(image)
            // The rest of the blob does not come in the first run.
            let never = Gate()
            let isFirstRun = Recorded(true)
            fixture.source.intercept(
                where: { isFirstRun.value && $0.path.contains(blob.descriptor.digest.hex) }
            ) { _, answer in
                try answer().failing(.stall(never), .answerBody(900_000))
            }
            _ = try await cancelled(fixture, after: 800_000, of: blob.descriptor.digest, at: image)
            isFirstRun.update { $0 = false }
            let name = "spool/\(blob.descriptor.digest.description.replacing(":", with: "-"))-\(blob.descriptor.size)"
            var bytes = try fixture.directory.read(name)
            // At the start of a sector the checksum looks; further on only the digest does.
            for sector in stride(from: 0, to: bytes.count, by: 512) { bytes[sector + (isNoticed ? 3 : 200)] ^= 0xff }
            try fixture.directory.write(name, bytes)
            let engine = try fixture.engine(speed: 10)
            let report = await engine.bring(try await engine.inventory(of: try fixture.missing(image).missing))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            // Nobody is blamed for what was in the spool.
            #expect(engine.progress.snapshot.corruptSources.isEmpty)
        }
    }

    // MARK: Large blobs, which go up in chunks

    /// Generated once: a blob that is long enough for chunks.
    private static let chunked = TestImage(seed: 3, layers: [UploadPlan.chunkedFrom + 1_000_000])

    @Test func chunksContinueAfterABreak() async throws {
        try await withFixture { fixture in
            let image = Self.chunked
            fixture.store(image)
            fixture.destination.intercept(times: 2, where: \.sendsChunk) { exchange, answer in
                try answer().failing(.reset, .answerHead)
            }
            let engine = try fixture.engine(speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            let sent = fixture.destination.requests.filter(\.sendsChunk).reduce(0) { $0 + $1.bodyLength }
            #expect(sent <= (UploadPlan.chunkedFrom + 1_000_000) * 105 / 100)
        }
    }

    @Test(arguments: [true, false]) func aForgottenSessionStartsAgainWithoutFetching(always: Bool) async throws {
        try await withFixture { fixture in
            let image = Self.chunked
            fixture.store(image)
            fixture.destination.intercept(times: always ? .max : 1, where: \.sendsChunk) {
                [destination = fixture.destination] exchange, answer in
                _ = try exchange.readBody(until: 1 << 20)
                destination.forgetUploads()
                return try answer()
            }
            let engine = try fixture.engine(speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            let progress = engine.progress.snapshot
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    /// The upload's session outlives the run.
    @Test func anUploadIsContinuedByTheNextRun() async throws {
        try await withFixture { fixture in
            let image = Self.chunked
            fixture.store(image)
            let committing = Gate()
            let never = Gate()
            fixture.destination.intercept(times: 1, where: { $0.commitsBlob && $0.header("Content-Length") == "0" }) {
                exchange, answer in
                committing.open()
                try exchange.wait(never)
                return try answer()
            }
            let engine = try fixture.engine()
            let missing = try fixture.missing(image)
            let run = Task { await engine.bring(missing) }
            try await committing.opened()
            run.cancel()
            _ = await run.value
            let sentBefore = fixture.destination.requests.filter(\.sendsChunk).count
            let second = try fixture.engine()
            let report = await second.bring(try await second.inventory(of: missing.missing))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(fixture.destination.requests.filter(\.sendsChunk).count == sentBefore)
            #expect(second.progress.snapshot.sources.values.reduce(0, +) <= 1_000_000)
        }
    }
}
