import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// A pass that finds out by itself what is missing, and proves what it brought.
@Suite(.timeLimit(.minutes(5))) struct PassTests {
    private let image = TestImage(seed: 1, layers: [1_500_000, 300_000, 10])

    private func tag(_ image: TestImage, _ name: String = "1", moves: Bool) throws -> TagAssignment {
        TagAssignment(
            repository: try Repository(EngineFixture.repository), tag: try Tag(name), digest: image.descriptor.digest,
            moves: moves)
    }

    private func entries(_ fixture: EngineFixture) throws -> [ClosureEntry] { try fixture.missing(image).missing }

    @Test func asksBringsAndAsksForWhatItBrought() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let entries = try entries(fixture)
            let first = image.blobs[1].descriptor.digest
            fixture.destination.store(image.blobs[1].content, as: first, in: EngineFixture.repository)
            let engine = try fixture.engine()
            let report = await engine.bring(Inventory(unasked: entries), tags: [try tag(image, moves: false)])
            #expect(report.isComplete)
            fixture.expectComplete(image)
            #expect(report.inventory.present.count == entries.count)
            #expect(report.inventory.missing.isEmpty && report.inventory.unasked.isEmpty)
            #expect(Set(report.brought) == Set(entries.filter { $0.digest != first }))
            #expect(report.answerAge < TransferPass.answerLife)
            #expect(fixture.destination.tag("1", in: EngineFixture.repository) == image.descriptor.digest)
            // Nothing is pushed twice, and the tag takes no push of its own.
            #expect(fixture.destination.requests.filter(\.putsManifest).count == 1)
            // The last word on each entry is the registry's, after the push.
            for entry in entries where entry.digest != first {
                let requests = fixture.destination.requests.filter {
                    $0.path.contains(entry.digest.hex) || $0.path.hasSuffix("/manifests/1")
                        || $0.queryValue("digest")?.contains(entry.digest.hex) == true
                }
                #expect(requests.last?.method == "GET")
            }
            // And again: one question for each entry, and nothing else.
            let before = fixture.destination.requests.count
            let again = await engine.bring(Inventory(unasked: entries), tags: [try tag(image, moves: false)])
            #expect(again.isComplete && again.brought.isEmpty)
            #expect(fixture.destination.requests.count == before + entries.count)
        }
    }

    /// What a registry takes and does not have is missing, and says so.
    @Test(arguments: [false, true]) func whatTheRegistryLosesIsNotBrought(isManifest: Bool) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let lost = isManifest ? image.descriptor.digest : image.blobs[1].descriptor.digest
            fixture.destination.intercept(where: { isManifest ? $0.putsManifest : $0.commitsBlob }) {
                [destination = fixture.destination] _, answer in
                let response = try answer()
                destination.remove(lost, from: EngineFixture.repository)
                return response
            }
            let engine = try fixture.engine()
            let entries = try entries(fixture)
            let report = await engine.bring(Inventory(unasked: entries))
            #expect(!report.isComplete)
            #expect(report.inventory.missing.contains { $0.digest == lost })
            #expect(!report.brought.contains { $0.digest == lost })
            let failure = try #require(report.failures.first { $0.entry.digest == lost })
            #expect(failure.error.code == .destinationUnreadable)
            #expect(report.unproved == [failure.entry])
            #expect(failure.error.message.contains(fixture.destination.authority))
            if !isManifest { #expect(fixture.destination.manifests(in: EngineFixture.repository).isEmpty) }
        }
    }

    /// What is not known must not be taken for there or missing.
    @Test func aQuestionWithoutAnAnswerEndsThePass() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let unknown = image.blobs[2].descriptor.digest
            fixture.destination.answer(
                ScriptedServer.Response(403, [:]),
                where: { ["GET", "HEAD"].contains($0.method) && $0.path.contains(unknown.hex) })
            let engine = try fixture.engine()
            let report = await engine.bring(Inventory(unasked: try entries(fixture)))
            let error = try #require(report.unanswered)
            #expect(error.message.contains(fixture.destination.authority))
            #expect(!report.isComplete)
            #expect(!report.inventory.present.contains { $0.digest == unknown })
            fixture.expectOnlyVerified()
        }
    }

    /// A long pass: what was answered at its start is asked for again at its end.
    @Test func oldAnswersAreAskedForAgain() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let gone = image.blobs[1].descriptor.digest
            fixture.destination.store(image, in: EngineFixture.repository)
            fixture.destination.remove(image.descriptor.digest, from: EngineFixture.repository)
            let isAsked = Gate()
            fixture.destination.intercept(where: { $0.path.contains(gone.hex) }) { _, answer in
                defer { isAsked.open() }
                return try answer()
            }
            // Time passes for the engine while the manifest comes; meanwhile something is collected as garbage.
            let now = Recorded(0.0)
            fixture.source.intercept(where: { $0.path.contains("/manifests/") }) {
                [destination = fixture.destination] exchange, answer in
                try exchange.wait(isAsked)
                destination.remove(gone, from: EngineFixture.repository)
                now.update { $0 = TransferPass.answerLife * 2 }
                return try answer()
            }
            let engine = try TransferEngine(
                sources: [TransferSource(name: "source", client: try fixture.client(fixture.source))],
                destination: try fixture.client(fixture.destination), mapping: RepositoryMapping(),
                spool: fixture.directory.file("spool"), limits: TransferLimits(), clock: { now.value })
            // The scripted registry refuses a manifest whose blob is gone, as the engine finds out at the end.
            let report = await engine.bring(Inventory(unasked: try entries(fixture)))
            #expect(!report.isComplete)
            #expect(report.inventory.missing.contains { $0.digest == gone })
            #expect(report.failures.contains { $0.entry.digest == gone && $0.error.message.contains("lost") })
            #expect(report.answerAge == 0)
        }
    }

    /// A staged list names what has no name; only a promoted one moves a name.
    @Test(arguments: [false, true]) func aTagMovesOnlyWhereItMay(moves: Bool) async throws {
        try await withFixture { fixture in
            let old = TestImage(seed: 9, layers: [10])
            fixture.store(image)
            fixture.destination.store(old, in: EngineFixture.repository, tag: "1")
            let engine = try fixture.engine()
            let tags = [try tag(image, moves: moves), try tag(image, "2", moves: moves)]
            let report = await engine.bring(Inventory(unasked: try entries(fixture)), tags: tags)
            #expect(report.isComplete)
            let expected = moves ? image.descriptor.digest : old.descriptor.digest
            #expect(fixture.destination.tag("1", in: EngineFixture.repository) == expected)
            #expect(fixture.destination.tag("2", in: EngineFixture.repository) == image.descriptor.digest)
            #expect(fixture.destination.manifest(image.descriptor.digest, in: EngineFixture.repository) != nil)
        }
    }

    /// A registry with rules of its own about tags gets the manifest by its digest, and the tag's failure is named.
    @Test func aRefusedTagDoesNotKeepTheManifestOut() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.destination.answer(
                ScriptedServer.Response(409, [:]), where: { $0.method == "PUT" && $0.path.hasSuffix("/manifests/1") })
            let engine = try fixture.engine()
            let report = await engine.bring(
                Inventory(unasked: try entries(fixture)), tags: [try tag(image, moves: true)])
            #expect(report.failures.isEmpty)
            #expect(report.tagFailures.map(\.0.tag.description) == ["1"])
            #expect(!report.isComplete)
            fixture.expectComplete(image)
        }
    }
}
