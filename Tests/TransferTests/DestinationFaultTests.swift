import Glibc
import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

/// What goes wrong between the engine and the destination: the copy is complete without fetching anything twice, or a
/// failure names blob, host and reason; and nothing unverified is ever offered.
@Suite(.timeLimit(.minutes(5))) struct DestinationFaultTests {
    typealias Stage = ScriptedServer.Fault.Stage

    private let image = TestImage(index: [
        TestImage(seed: 1, layers: [3_000_000, 100_000]), TestImage(seed: 2, layers: [50_000], platform: "linux/arm64"),
    ])
    private var large: Digest { image.children[0].blobs[1].descriptor.digest }

    /// - Parameter isFetchedOnce: whether the source must not be asked for a byte twice
    private func expectCopied(
        _ fixture: EngineFixture, limits: TransferLimits = TransferLimits(), uploadStall: Int = 60,
        isFetchedOnce: Bool = true, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        fixture.store(image)
        let engine = try fixture.engine(limits: limits, speed: 10, uploadStall: uploadStall)
        let report = await engine.bring(try fixture.missing(image))
        #expect(report.failures.map(\.error.message) == [], sourceLocation: sourceLocation)
        fixture.expectComplete(image, sourceLocation: sourceLocation)
        let progress = engine.progress.snapshot
        if isFetchedOnce {
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100, sourceLocation: sourceLocation)
        }
    }

    // MARK: The connection breaks

    @Test(
        arguments: [
            .requestHead, .requestBody(0), .requestBody(1), .requestBody(70_000), .requestBody(2_999_999), .answer,
            .answerHead,
        ] as [Stage], [ScriptedServer.Fault.Action.reset, .close])
    func aBrokenUploadBeginsAnewFromTheSpool(stage: Stage, action: ScriptedServer.Fault.Action) async throws {
        try await withFixture { fixture in
            fixture.destination.intercept(
                times: 4, where: { [large] in $0.commitsBlob && $0.queryValue("digest") == "\(large)" }
            ) { _, answer in
                // Not acted on: the bytes are lost.
                ScriptedServer.Response(500, [:]).failing(action, stage)
            }
            try await expectCopied(fixture)
        }
    }

    @Test(arguments: [.requestHead, .answer, .answerHead] as [Stage])
    func aBrokenStartIsSentAgain(stage: Stage) async throws {
        try await withFixture { fixture in
            fixture.destination.intercept(times: 4, where: \.startsUpload) { _, answer in
                try answer().failing(.reset, stage)
            }
            try await expectCopied(fixture)
        }
    }

    /// The registry has committed, and the answer is lost: it is asked, and nothing is sent again.
    @Test(arguments: [.answer, .answerHead] as [Stage]) func aLostReplyIsNoFailure(stage: Stage) async throws {
        try await withFixture { fixture in
            fixture.destination.intercept(where: \.commitsBlob) { _, answer in
                try answer().failing(.reset, stage)
            }
            try await expectCopied(fixture)
            let commits = fixture.destination.requests.filter(\.commitsBlob)
            #expect(commits.count == Set(image.children.flatMap(\.blobs).map(\.descriptor.digest)).count)
        }
    }

    @Test(arguments: [.answer, .answerHead] as [Stage]) func aManifestsLostReplyIsNoFailure(stage: Stage) async throws {
        try await withFixture { fixture in
            fixture.destination.intercept(times: 2, where: \.putsManifest) { _, answer in
                try answer().failing(.reset, stage)
            }
            try await expectCopied(fixture)
        }
    }

    @Test func anUploadThatStallsBeginsAnew() async throws {
        try await withFixture { fixture in
            let never = Gate()
            fixture.destination.intercept(
                times: 1, where: { [large] in $0.commitsBlob && $0.queryValue("digest") == "\(large)" }
            ) { _, answer in
                ScriptedServer.Response(201, [:]).failing(.stall(never), .requestBody(100_000))
            }
            try await expectCopied(fixture, uploadStall: 1)
        }
    }

    // MARK: Sessions

    /// A registry that forgets its sessions, as after a restart without its storage.
    @Test func aForgottenSessionBeginsAnewFromTheSpool() async throws {
        try await withFixture { fixture in
            fixture.destination.intercept(times: 6, where: \.commitsBlob) {
                [destination = fixture.destination] _, answer in
                destination.forgetUploads()
                return try answer()
            }
            try await expectCopied(fixture)
            #expect(fixture.destination.requests.contains { $0.commitsBlob && $0.status == 404 })
        }
    }

    @Test(arguments: [true, false]) func aTokenMayExpireInMidUpload(readsBody: Bool) async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.authorization = .bearer(user: "user", password: "password")
        try await withFixture(destination: behaviour) { fixture in
            fixture.destination.intercept(times: 3, where: \.commitsBlob) {
                [destination = fixture.destination] exchange, answer in
                _ = try exchange.readBody(until: 40_000)
                destination.expireTokens()
                var response = try answer()
                // A server that refuses may close at once, or drain the body first.
                if !readsBody { response.bodyReading = .never }
                return response
            }
            try await expectCopied(fixture)
        }
    }

    @Test(arguments: [ScriptedRegistry.Mounting.session, .unauthorized, .allowed])
    func aBlobOfSeveralRepositoriesIsFetchedOnce(mounting: ScriptedRegistry.Mounting) async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.mounting = mounting
        try await withFixture(destination: behaviour) { fixture in
            let repositories = try ["a/a", "b/b", "c/c"].map { try Repository($0) }
            let image = TestImage(seed: 5, layers: [1_500_000])
            for repository in repositories { fixture.source.store(image, in: repository.name, tag: "1") }
            let engine = try fixture.engine()
            let entries = try await fixture.entries(repositories.map { ($0, image) })
            let report = await engine.bring(try await engine.inventory(of: entries))
            #expect(report.failures.map(\.error.message) == [])
            #expect(try await engine.inventory(of: entries).missing.isEmpty)
            let progress = engine.progress.snapshot
            // Once; what a divided range may bring beyond its end is less than a second time.
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
            let requests = fixture.destination.requests
            switch mounting {
            case .allowed: #expect(requests.filter(\.commitsBlob).count == image.blobs.count)
            case .session:
                // What was begun instead of a mount is what is used: nothing is begun beside it, and nothing taken back.
                #expect(requests.filter(\.startsUpload).count == image.blobs.count * repositories.count)
                #expect(!requests.contains { $0.method == "DELETE" })
            default: break
            }
        }
    }

    /// The entries of an image in some repositories, of which the destination is said to have those of the first.
    private func inventory(
        _ fixture: EngineFixture, _ image: TestImage, presentIn first: String, missingIn others: [String]
    ) async throws -> Inventory {
        let repositories = try ([first] + others).map { try Repository($0) }
        for repository in repositories { fixture.source.store(image, in: repository.name, tag: "1") }
        let entries = try await fixture.entries(repositories.map { ($0, image) })
        return Inventory(
            present: entries.filter { $0.repository == repositories[0] },
            missing: entries.filter { $0.repository != repositories[0] })
    }

    /// What cannot be mounted from a repository that had it can be from one that it was uploaded to: it goes up once.
    @Test func afterARefusedMountTheUploadedBlobIsMounted() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 5, layers: [1_500_000])
            // It is not there in truth, so that a mount from there begins a session instead.
            let inventory = try await inventory(fixture, image, presentIn: "x/x", missingIn: ["a/a", "b/b", "c/c"])
            let engine = try fixture.engine()
            let report = await engine.bring(inventory)
            #expect(report.failures.map(\.error.message) == [])
            #expect(fixture.destination.requests.filter(\.commitsBlob).count == image.blobs.count)
            #expect(fixture.destination.uploadCount == 0)
        }
    }

    /// Sessions that nobody has asked for are not kept open for the length of a download, nor left where it is stopped.
    @Test func sessionsInsteadOfMountsAreGivenUp() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 5, layers: [1_500_000])
            let inventory = try await inventory(fixture, image, presentIn: "x/x", missingIn: ["a/a", "b/b", "c/c"])
            let never = Gate()
            fixture.source.intercept(where: \.fetchesBlob) { exchange, answer in
                try exchange.wait(never)
                return try answer()
            }
            let engine = try fixture.engine()
            let run = Task { await engine.bring(inventory) }
            let blobs = image.blobs.count
            try await fixture.source.server.until { Set($0.filter(\.fetchesBlob).map(\.path)).count == blobs }
            // One for each blob, which is to be used once the blob is here.
            #expect(fixture.destination.uploadCount == blobs)
            run.cancel()
            #expect(await run.value.isComplete == false)
            #expect(fixture.destination.uploadCount == 0)
        }
    }

    @Test(
        arguments: [
            ScriptedRegistry.UploadRange.exact, .quay, .firstChunk, .missing,
        ], [true, false])
    func theRegistrysWaysDoNotMatter(range: ScriptedRegistry.UploadRange, relative: Bool) async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.uploadRange = range
        behaviour.relativeLocations = relative
        behaviour.sendsContentDigest = relative
        behaviour.reportsUploadStatus = relative
        // Any number may be asked for.
        behaviour.chunkMinimum = relative ? .max : nil
        try await withFixture(source: behaviour, destination: behaviour) { fixture in
            try await expectCopied(fixture)
        }
    }

    // MARK: Answers that ask for patience

    @Test(arguments: [
        ScriptedServer.Response(429, ["Retry-After": "0"]), ScriptedServer.Response(429, [:]),
        ScriptedServer.Response(503, ["Retry-After": "1"]), ScriptedServer.Response(500, [:]),
    ])
    func waitsForARegistryThatIsBusy(answer: ScriptedServer.Response) async throws {
        try await withFixture { fixture in
            fixture.destination.answer(answer, times: 6, where: \.commitsBlob)
            fixture.destination.answer(answer, times: 4, where: \.startsUpload)
            fixture.destination.answer(answer, times: 2, where: \.putsManifest)
            try await expectCopied(fixture)
        }
    }

    // MARK: Refusals

    @Test(arguments: [403, 401, 413])
    func aRefusalIsFinalAndSaysWhy(status: Int) async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.destination.answer(
                ScriptedServer.Response(status, [:]),
                where: { [large] in $0.commitsBlob && $0.queryValue("digest") == "\(large)" })
            let engine = try fixture.engine(speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            let failure = try #require(report.failures.first { $0.entry.digest == large })
            #expect(failure.error.code == .destinationFailed)
            #expect(failure.error.message.contains(fixture.destination.authority))
            #expect(failure.error.message.contains("HTTP \(status)"))
            // The image that does not need it is there; the index and the image that do are not, and say why.
            #expect(
                fixture.destination.manifests(in: EngineFixture.repository) == [image.children[1].descriptor.digest])
            let heldBack = report.failures.filter { $0.error.code == .missingDependency }.map(\.entry.digest)
            #expect(Set(heldBack) == [image.descriptor.digest, image.children[0].descriptor.digest])
            #expect(report.failures.count == 3)
            fixture.expectOnlyVerified()
        }
    }

    @Test func aManifestThatIsRefusedSaysWhy() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let child = image.children[0].descriptor.digest
            fixture.destination.answer(
                ScriptedServer.Response(403, [:]), where: { $0.putsManifest && $0.path.contains(child.hex) })
            let engine = try fixture.engine()
            let report = await engine.bring(try fixture.missing(image))
            let failure = try #require(report.failures.first { $0.entry.digest == child })
            #expect(failure.error.message.contains(child.hex) && failure.error.message.contains("HTTP 403"))
            #expect(failure.error.message.contains(fixture.destination.authority))
            #expect(fixture.destination.manifest(image.descriptor.digest, in: EngineFixture.repository) == nil)
        }
    }

    /// A registry that computes another digest, each time: bits flip on its side.
    @Test func aRegistryThatGetsOtherBytesIsGivenUp() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.destination.intercept(
                where: { [large] in $0.commitsBlob && $0.queryValue("digest") == "\(large)" }
            ) { exchange, _ in
                _ = try exchange.readBody()
                return ScriptedServer.Response(
                    400, ["Content-Type": "application/json"], text: "{\"errors\":[{\"code\":\"DIGEST_INVALID\"}]}")
            }
            let engine = try fixture.engine(speed: 10)
            let report = await engine.bring(try fixture.missing(image))
            let failure = try #require(report.failures.first { $0.entry.digest == large })
            #expect(failure.error.message.contains(fixture.destination.authority))
            let progress = engine.progress.snapshot
            #expect(progress.fetchedBytes <= progress.totalBytes * 105 / 100)
        }
    }

    /// What the destination refused is still in the spool: a later pass does not fetch it again.
    @Test func whatWasRefusedIsNotFetchedAgain() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            fixture.destination.answer(
                ScriptedServer.Response(403, [:]), times: 1,
                where: { [large] in $0.commitsBlob && $0.queryValue("digest") == "\(large)" })
            let engine = try fixture.engine()
            #expect(await engine.bring(try fixture.missing(image)).isComplete == false)
            let second = try fixture.engine()
            let entries = try fixture.missing(image).missing
            #expect(await second.bring(try await second.inventory(of: entries)).isComplete)
            // Bytes and not requests: one of the first pass that nobody waited for any more may be seen only now.
            #expect(second.progress.snapshot.fetchedBytes == 0)
            #expect(second.progress.snapshot.resumedBytes == image.children[0].blobs[1].descriptor.size)
            fixture.expectComplete(image)
        }
    }

    /// What is too large to be fetched first is not fetched for a registry that refuses it; what came is kept.
    @Test func aRefusalEndsTheFetch() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 6, layers: [BlobTransfer.cutThroughFrom * 2])
            let layer = image.blobs[1].descriptor
            fixture.store(image)
            let never = Gate()
            let mayRefuse = Gate()
            let refuses = Recorded(true)
            fixture.source.intercept(
                where: { refuses.value && $0.fetchesBlob && $0.path.contains(layer.digest.hex) }
            ) { _, answer in
                try answer().failing(.stall(never), .answerBody(100_000))
            }
            fixture.destination.intercept(where: { refuses.value && $0.startsUpload }) { exchange, _ in
                try exchange.wait(mayRefuse)
                return ScriptedServer.Response(403, [:])
            }
            var limits = TransferLimits()
            // The others look whether it goes on, while the one waits for bytes that do not come.
            limits.connections = 1
            let first = try fixture.engine(limits: limits)
            let missing = try fixture.missing(image)
            let run = Task { await first.bring(missing) }
            await until { first.progress.snapshot.fetchedBytes >= 100_000 }
            mayRefuse.open()
            let report = await run.value
            let failure = try #require(report.failures.first { $0.entry.digest == layer.digest })
            #expect(failure.error.code == .destinationFailed)
            #expect(failure.error.message.contains("HTTP 403"))
            #expect(first.spooledBytes == layer.size)
            refuses.update { $0 = false }
            let second = try fixture.engine()
            #expect(await second.bring(missing).failures.map(\.error.message) == [])
            fixture.expectComplete(image)
            #expect(second.progress.snapshot.resumedBytes > 0)
        }
    }

    // MARK: The disk

    @Test func aFullDiskStopsThatBlobAndNothingElse() async throws {
        try await withFixture { fixture in
            fixture.store(image)
            let spool = fixture.directory.file("spool")
            mkdir(spool, 0o700)
            let mount = try await runCommand(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", spool])
            guard mount.status == 0 else {
                print("Skipped: no small disk to fill, because mount said: \(mount.errorText)")
                return
            }
            defer { umount2(spool, Int32(MNT_DETACH)) }
            let engine = try fixture.engine()
            let report = await engine.bring(try fixture.missing(image))
            let failure = try #require(report.failures.first { $0.entry.digest == large })
            #expect(failure.error.code == .spoolFull)
            #expect(failure.error.message.contains(large.hex) && failure.error.message.contains("No space left"))
            #expect(report.failures.count == 3)
            #expect(
                fixture.destination.manifests(in: EngineFixture.repository) == [image.children[1].descriptor.digest])
            fixture.expectOnlyVerified()
        }
    }

    // MARK: Order

    @Test func publishesBlobsThenImagesThenTheirIndex() async throws {
        try await withFixture { fixture in
            try await expectCopied(fixture)
            let requests = fixture.destination.requests
            let manifests = requests.filter(\.putsManifest)
            #expect(manifests.count == 3)
            func put(_ digest: Digest) throws -> ScriptedServer.Request {
                let request = manifests.first { $0.path.contains(digest.hex) }
                return try #require(request)
            }
            let index = try put(image.descriptor.digest)
            for child in image.children {
                let pushed = try put(child.descriptor.digest)
                #expect(pushed.number < index.number)
                for blob in child.blobs {
                    let name = "\(blob.descriptor.digest)"
                    let commits = requests.filter { $0.queryValue("digest") == name }
                    let commit = try #require(commits.first)
                    #expect(commit.number < pushed.number)
                }
            }
        }
    }

    // MARK: Questions

    /// One question without an answer stops the inventory, and its reason is what is said.
    @Test func anInventorySaysWhatStoppedIt() async throws {
        try await withFixture { fixture in
            let entries = try fixture.missing(image).missing
            let never = Gate()
            // The first is still under way when another one is refused.
            let first = entries[0].digest
            let refused = entries[entries.count - 1].digest
            fixture.destination.intercept(where: { $0.path.contains(first.hex) }) { exchange, answer in
                try exchange.wait(never)
                return try answer()
            }
            fixture.destination.answer(ScriptedServer.Response(403, [:]), where: { $0.path.contains(refused.hex) })
            let engine = try fixture.engine()
            let error = await #expect(throws: TransferError.self) { try await engine.inventory(of: entries) }
            #expect(error?.message.contains("HTTP 403") == true)
            #expect(error?.message.contains(refused.hex) == true)
        }
    }

    @Test func tagsThatWereNotAssignedAreSaid() async throws {
        try await withFixture { fixture in
            try await expectCopied(fixture)
            let repository = try Repository(EngineFixture.repository)
            let tags = try (0..<5).map {
                TagAssignment(
                    repository: repository, tag: try Tag("t\($0)"), digest: image.descriptor.digest, moves: true)
            }
            let engine = try fixture.engine()
            #expect(await engine.assign(tags).isEmpty)
            #expect(fixture.destination.tag("t4", in: EngineFixture.repository) == image.descriptor.digest)
            let task = Task {
                await until { Task.isCancelled }
                return await engine.assign(tags).count
            }
            task.cancel()
            #expect(await task.value == 5)
        }
    }
}
