import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// What goes wrong between a source and the engine: the copy is complete, or a failure names blob, host and reason.
@Suite(.timeLimit(.minutes(5))) struct SourceFaultTests {
    typealias Stage = ScriptedServer.Fault.Stage

    /// One large layer, which goes in ranges through a file, and one small, which does not.
    private let image = TestImage(seed: 1, layers: [3_000_000, 100_000])
    private var large: Digest { image.blobs[1].descriptor.digest }

    private func bring(
        _ fixture: EngineFixture, _ image: TestImage? = nil, sources: [ScriptedRegistry]? = nil, speed: Double = 5,
        stall: Int = 60
    ) async throws -> (report: TransferReport, progress: TransferProgress) {
        let engine = try fixture.engine(sources: sources, speed: speed, stall: stall)
        let report = await engine.bring(try fixture.missing(image ?? self.image))
        return (report, engine.progress.snapshot)
    }

    /// Opens once the source was asked for a manifest: what makes it be given up must not come before that.
    private func manifestAsked(_ fixture: EngineFixture) -> Gate {
        let asked = Gate()
        fixture.source.intercept(where: { $0.path.contains("/manifests/") }) { _, answer in
            asked.open()
            return try answer()
        }
        return asked
    }

    // MARK: The connection breaks

    @Test(
        arguments: [
            .requestHead, .answer, .answerHead, .answerBody(0), .answerBody(1), .answerBody(16_384),
            .answerBody(700_000),
        ] as [Stage], [ScriptedServer.Fault.Action.reset, .close])
    func goesOnAfterABrokenConnection(stage: Stage, action: ScriptedServer.Fault.Action) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.intercept(times: 5, where: \.fetchesBlob) { _, answer in
                try answer().failing(action, stage)
            }
            let (report, progress) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            // What came before the break is not fetched again.
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    @Test func goesOnAfterEveryConnectionIsReset() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            // New connections die before a byte is read, as while a server restarts.
            fixture.source.server.welcome { $0 < 6 ? .reset : .serve }
            let (report, _) = try await bring(fixture, speed: 1)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
        }
    }

    @Test func goesOnAfterABodyThatStalls() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let never = Gate()
            fixture.source.intercept(times: 1, where: \.fetchesBlob) { _, answer in
                try answer().failing(.stall(never), .answerBody(50_000))
            }
            // Where others are silent for a second too, they have time to be asked again.
            let (report, _) = try await bring(fixture, speed: 1, stall: 1)
            #expect(report.isComplete)
            fixture.expectComplete(image)
        }
    }

    /// A range that does not move is taken over by another connection, long before its silence is an error.
    @Test func aRangeThatDoesNotMoveIsTakenOver() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let never = Gate()
            fixture.source.intercept(
                times: 1, where: { $0.header("Range")?.hasPrefix("bytes=") == true }
            ) { _, answer in
                try answer().failing(.stall(never), .answerBody(400_000))
            }
            let (report, progress) = try await bring(fixture, speed: 1)
            #expect(report.isComplete)
            fixture.expectComplete(image)
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    /// One that breaks off where it did before, each time, is not asked for ever.
    @Test(arguments: [true, false])
    func givesUpOnASourceThatNeverGetsFurther(honoursRange: Bool) async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.honoursRange = honoursRange
        try await withFixture(source: behaviour) { fixture in
            fixture.store(image)
            let asked = manifestAsked(fixture)
            fixture.source.intercept(where: { [large] in $0.fetchesBlob && $0.path.contains(large.hex) }) {
                exchange, answer in
                try exchange.wait(asked)
                return try answer().failing(.reset, .answerBody(honoursRange ? 0 : 700_000))
            }
            let (report, _) = try await bring(fixture, speed: 50)
            fixture.expectClear(report, of: large, host: fixture.source.authority, "connection")
        }
    }

    // MARK: The body is not what it should be

    @Test func aShortBodyIsContinued() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.intercept(times: 4, where: \.fetchesBlob) { _, answer in
                var response = try answer()
                let length = response.body.length
                guard case .generated(let content, let range) = response.body, length > 2000 else { return response }
                response.body = .generated(content, range.lowerBound..<range.upperBound - 1000)
                response.framing = .falseContentLength(length)
                return response
            }
            let (report, progress) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    /// More bytes than announced or asked for never count, whatever says where the body ends.
    @Test(arguments: [true, false])
    func aLongBodyIsCut(chunked: Bool) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.intercept(where: \.fetchesBlob) { _, answer in
                var response = try answer()
                let length = response.body.length
                response.body = .written(length: length) { writer in
                    for _ in 0..<200 { try writer.write([UInt8](repeating: 7, count: 64 << 10)) }
                }
                response.framing = chunked ? .chunked : .untilClose
                return response
            }
            let (report, progress) = try await bring(fixture, speed: 50)
            #expect(!report.isComplete)
            #expect(fixture.destination.manifests(in: EngineFixture.repository).isEmpty)
            fixture.expectOnlyVerified()
            // Cut, not fetched to its end again and again.
            #expect(progress.fetchedBytes < 64 << 20)
        }
    }

    @Test(arguments: [
        ("bytes 0-9/3000000", "got 0-9"), ("bytes 0-1048575/999", "readable Content-Range"),
        ("rubbish", "readable Content-Range"),
        ("bytes 9223372036854775806-9223372036854775807/*", "readable Content-Range"),
    ])
    func anotherRangeThanAskedForIsRefused(range: String, reason: String) async throws {
        try await withFixture { fixture in
            try await withScriptedRegistry { good in
                fixture.store(image, at: [good])
                fixture.source.intercept(where: { $0.header("Range") != nil }) { _, answer in
                    var response = try answer()
                    response.setHeader("Content-Range", range)
                    return response
                }
                let (alone, _) = try await bring(fixture)
                fixture.expectClear(alone, of: large, host: fixture.source.authority, reason)
                let (report, _) = try await bring(fixture, sources: [fixture.source, good])
                #expect(report.isComplete)
                fixture.expectComplete(image)
            }
        }
    }

    /// Behind the one source's name are two servers, of which one lacks the blob that the other delivers.
    @Test func oneServerOfSeveralMayLackABlob() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let asked = Recorded(0)
            fixture.source.intercept(where: { [large] in $0.fetchesBlob && $0.path.contains(large.hex) }) { _, answer in
                asked.update { $0 += 1 }
                switch asked.value {
                case 1: return try answer().failing(.reset, .answerBody(1_000_000))
                case 2, 3: return ScriptedServer.Response(404, [:])
                default: return try answer()
                }
            }
            var limits = TransferLimits()
            limits.connections = 1
            let engine = try fixture.engine(limits: limits, speed: 5)
            let report = await engine.bring(try fixture.missing(image))
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(asked.value >= 4)
        }
    }

    /// The same with many connections, of which every other one is to the server that lacks it.
    @Test func halfOfTheAnswersMayBeRefusals() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 1, layers: [24_000_000])
            let large = image.blobs[1].descriptor.digest
            fixture.store(image)
            let asked = Recorded(0)
            fixture.source.intercept(where: { $0.fetchesBlob && $0.path.contains(large.hex) }) { _, answer in
                var isRefused = false
                asked.update { asked in
                    asked += 1
                    isRefused = asked.isMultiple(of: 2)
                }
                if isRefused { return ScriptedServer.Response(404, [:]) }
                return try answer()
            }
            let (report, _) = try await bring(fixture, image)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(asked.value > Refusals.forgiven)
        }
    }

    @Test func aSourceIsForgivenAFewTimes() {
        let refusals = Refusals()
        #expect(!refusals.add("never delivered", "404", after: 0))
        #expect(refusals["never delivered"] == "404")
        // One that was asked before says that it has it after all.
        refusals.delivers("never delivered")
        #expect(refusals["never delivered"] == nil)

        refusals.delivers("delivered")
        for count in 0..<Refusals.forgiven {
            #expect(refusals.forgiven("delivered") == count)
            // Those that were under way together count once.
            for _ in 0..<20 { #expect(refusals.add("delivered", "404", after: count)) }
        }
        #expect(refusals["delivered"] == nil)
        #expect(!refusals.add("delivered", "404", after: Refusals.forgiven))
        #expect(refusals["delivered"] == "404")

        // Only those in a row count.
        for _ in 0..<Refusals.forgiven * 2 {
            refusals.delivers("delivered")
            #expect(refusals.add("delivered", "404", after: 0))
        }
    }

    @Test func aBlobOfAnotherLengthIsRefused() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.store(.bytes([1, 2, 3]), as: large, in: EngineFixture.repository)
            let (report, _) = try await bring(fixture)
            fixture.expectClear(report, of: large, host: fixture.source.authority, "3")
        }
    }

    @Test func aSourceThatIgnoresRangesServesWholeBlobs() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.honoursRange = false
        try await withFixture(source: behaviour) { fixture in
            let image = TestImage(seed: 2, layers: [6_000_000, 3_000_000])
            fixture.store(image)
            let (report, progress) = try await bring(fixture, image)
            #expect(report.isComplete)
            fixture.expectComplete(image)
            // Each whole blob once; the heads of the range requests cost nothing.
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    @Test func aSourceThatIgnoresRangesMayBreakOff() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.honoursRange = false
        try await withFixture(source: behaviour) { fixture in
            fixture.store(image)
            let reached = Recorded<Int64>(0)
            fixture.source.intercept(times: 4, where: { $0.fetchesBlob && $0.header("Range") == nil }) { _, answer in
                // A little further each time.
                reached.update { $0 += 600_000 }
                return try answer().failing(.reset, .answerBody(reached.value))
            }
            let (report, _) = try await bring(fixture)
            #expect(report.isComplete)
            fixture.expectComplete(image)
        }
    }

    // MARK: Answers that ask for patience

    @Test(arguments: [
        ScriptedServer.Response(429, ["Retry-After": "0"]), ScriptedServer.Response(429, [:]),
        ScriptedServer.Response(503, ["Retry-After": "0"]), ScriptedServer.Response(500, [:]),
        ScriptedServer.Response(408, [:]), ScriptedServer.Response(502, [:]),
    ])
    func waitsForAServerThatIsBusy(answer: ScriptedServer.Response) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.answer(answer, times: 5, where: { $0.path.contains("/blobs/") })
            fixture.source.answer(answer, times: 2, where: { $0.path.contains("/manifests/") })
            let (report, progress) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    @Test func aBusyServerThatStaysBusyIsGivenUp() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let asked = manifestAsked(fixture)
            fixture.source.intercept(where: { [large] in $0.path.contains(large.hex) }) { exchange, _ in
                try exchange.wait(asked)
                return ScriptedServer.Response(503, [:])
            }
            let (report, _) = try await bring(fixture, speed: 50)
            fixture.expectClear(report, of: large, host: fixture.source.authority, "HTTP 503")
        }
    }

    // MARK: Access

    @Test func aTokenMayExpireInMidBlob() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.authorization = .bearer(user: "user", password: "password")
        try await withFixture(source: behaviour) { fixture in
            fixture.store(image)
            fixture.source.intercept(times: 2, where: { $0.header("Range") != nil }) {
                [source = fixture.source] _, answer in
                let response = try answer().failing(.reset, .answerBody(300_000))
                source.expireTokens()
                return response
            }
            let (report, _) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
        }
    }

    @Test(arguments: [401, 403, 404])
    func aRefusalIsFinalAndSaysWhy(status: Int) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.answer(
                ScriptedServer.Response(status, [:]), where: { [large] in $0.path.contains(large.hex) })
            let (report, _) = try await bring(fixture)
            fixture.expectClear(report, of: large, host: fixture.source.authority, "HTTP \(status)")
            let asked = fixture.source.requests.filter { $0.path.contains(large.hex) }
            #expect(asked.count < 16)
            // The rest of the image came all the same.
            let present = fixture.destination.blobs(in: EngineFixture.repository)
            #expect(present == Set(image.blobs.map(\.descriptor.digest)).subtracting([large]))
        }
    }

    @Test func aRedirectMayExpire() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.redirectsBlobs = true
        try await withFixture(source: behaviour) { fixture in
            fixture.store(image)
            // Signed, and worthless by the time it is followed.
            fixture.source.intercept(times: 3, where: \.fetchesBlob) { [source = fixture.source] _, answer in
                let response = try answer()
                source.expireRedirects()
                return response
            }
            let (report, _) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(fixture.source.storage.requests.contains { $0.status == 403 })
            #expect(fixture.source.storage.requests.allSatisfy { $0.header("Authorization") == nil })
        }
    }

    // MARK: A wrong content

    @Test func wrongBytesFromTheOnlySourceAreNamed() async throws {
        try await withFixture { fixture in
            let other = TestImage(seed: 9, layers: [800_000])
            fixture.store(image)
            fixture.store(other)
            fixture.source.store(
                .generated(GeneratedBytes(count: 3_000_000, seed: 77)), as: large, in: EngineFixture.repository)
            let engine = try fixture.engine(speed: 50)
            let report = await engine.bring(try fixture.missing(image))
            fixture.expectClear(report, of: large, host: fixture.source.authority, "hash to")
            #expect(engine.progress.snapshot.corruptSources == [fixture.source.authority])
            // Nothing else suffers for it.
            #expect(await engine.bring(try fixture.missing(other)).failures.map(\.error.message) == [])
            fixture.expectComplete(other)
        }
    }

    @Test func aByteThatFlippedOnTheWayIsFetchedAgain() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.source.intercept(times: 1, where: { $0.header("Range") != nil }) { _, answer in
                var response = try answer()
                response.corruptedByte = 12_345
                return response
            }
            let (report, _) = try await bring(fixture)
            #expect(report.failures.map(\.error.message) == [])
            fixture.expectComplete(image)
        }
    }

    /// A manifest that says a layer is empty: nobody served anything wrong.
    @Test func aBlobThatIsSaidToBeEmptyIsRefused() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let entry = ClosureEntry(
                repository: try Repository(EngineFixture.repository), digest: Digest(of: [1]), size: 0, kind: .blob,
                mediaType: .ociManifest)
            let engine = try fixture.engine()
            let report = await engine.bring(Inventory(present: [], missing: [entry]))
            #expect(report.failures.map(\.error.code) == [.digestMismatch])
            #expect(engine.progress.snapshot.corruptSources.isEmpty)
            #expect(await engine.bring(try fixture.missing(image)).isComplete)
        }
    }
}
