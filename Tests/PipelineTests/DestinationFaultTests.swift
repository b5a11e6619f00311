import OCI
import TestRegistry
import TestSupport
import Testing
import Transfer

/// What goes wrong between the agent and its registry: nothing is fetched a second time, and nothing is visible there
/// before it is verified.
@Suite(.timeLimit(.minutes(5))) struct DestinationFaultTests {
    private let image = TestImage(seed: 1, layers: [3_000_000, 100_000])
    private var large: Digest { image.blobs[1].descriptor.digest }

    /// The requests that send the large layer and commit it.
    private var commits: String { "PUT */blobs/uploads/*\(large.hex)" }

    @Test(
        arguments: [
            .delay(.milliseconds(200)), .resetUpload(after: 0), .resetUpload(after: 1), .resetUpload(after: 70_000),
            .resetUpload(after: 2_999_999), .loseAnswer, .corruptUpload(byte: 1000), .answer(500),
            .answer(503, ["Retry-After": "0"]), .answer(503, ["Retry-After": "1"], after: 70_000),
            .answer(429, ["Retry-After": "0"]), .answer(429, after: 0), .dropSession, .answer(404), .answer(416),
        ] as [RegistryFault])
    func goesOnAfter(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(fault, into: commits, 1...2)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.destination.faults.struck > 0)
        }
    }

    @Test(arguments: [.resetAnswer(after: 0), .loseAnswer, .answer(503, ["Retry-After": "0"])] as [RegistryFault])
    func startsAnUploadAgainAfter(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(fault, into: "POST */blobs/uploads/*", 1...2)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.destination.faults.struck > 0)
        }
    }

    @Test(arguments: [.loseAnswer, .resetUpload(after: 10), .answer(503, ["Retry-After": "0"])] as [RegistryFault])
    func putsTheManifestAgainAfter(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(fault, into: "PUT */manifests/*", 1...2)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.destination.faults.struck > 0)
        }
    }

    /// Each blob was committed, and no answer said so: the registry is asked, and nothing is sent twice.
    @Test func aLostReplyToACommitIsNoFailure() async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(.loseAnswer, into: "PUT */blobs/uploads/*")
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.destination.faults.struck == image.blobs.count)
        }
    }

    /// A registry that took the credentials, and refuses them in the middle of a body: with the same ones, nothing else is
    /// to be had, so it ends and says so. What came is in the spool: with the right back, nothing is fetched again.
    @Test(arguments: [0, 70_000]) func aRightThatRunsOutInTheMiddleOfAnUpload(after: Int) async throws {
        try await withPipeline(asksUsers: true) { pipeline in
            pipeline.destination.faults.inject(
                .answer(401, ["WWW-Authenticate": "Basic realm=\"rollcall\""], after: after), into: commits, 1...1)
            let refused = try await pipeline.bring(image)
            try pipeline.expectStopped(
                image, refused, at: large, host: pipeline.destination, reason: "HTTP 401: the credentials from")
            let second = try await pipeline.bring(image)
            try pipeline.expectCopied(image, second)
            // Bytes and not requests: one of the first pass that nobody waited for any more may be seen only now.
            #expect(second.progress.resumedBytes == 3_000_000)
            #expect(second.progress.fetchedBytes < 3_000_000)
        }
    }

    /// What never gets better: the layer does not come, everything that does not need it does, and the reason is said.
    @Test(
        arguments: [
            (.resetUpload(after: 70_000), "connection"), (.answer(503, ["Retry-After": "0"]), "HTTP 503"),
            (.answer(500), "HTTP 500"), (.answer(401), "HTTP 401"), (.answer(403), "HTTP 403"),
            (.answer(413), "HTTP 413"), (.dropSession, "HTTP 404"), (.corruptUpload(byte: 5), "DIGEST_INVALID"),
        ] as [(RegistryFault, String)])
    func stopsAt(fault: RegistryFault, reason: String) async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(fault, into: commits)
            let outcome = try await pipeline.bring(image, speed: 50)
            try pipeline.expectStopped(image, outcome, at: large, host: pipeline.destination, reason: reason)
        }
    }
}

/// The same of a blob that goes up in chunks: a break costs no more than one of them.
@Suite(.serialized, .timeLimit(.minutes(5))) struct ChunkedUploadFaultTests {
    /// Two chunks.
    private let image = TestImage(seed: 3, layers: [50 << 20])

    /// - Parameter sentAtMost: the most bytes of chunks that arrive
    private func expectCopied(
        sentAtMost: Int? = nil, _ inject: (FaultLayer) -> Void, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        try await withPipeline { pipeline in
            inject(pipeline.destination.faults)
            let outcome = try await pipeline.bring(image)
            try pipeline.expectCopied(image, outcome, sourceLocation: sourceLocation)
            #expect(pipeline.destination.faults.struck > 0, sourceLocation: sourceLocation)
            let sent = pipeline.destination.faults.requests.filter { $0.method == "PATCH" }.reduce(0) {
                $0 + $1.received
            }
            #expect(sent <= sentAtMost ?? .max, sourceLocation: sourceLocation)
        }
    }

    /// The connection breaks in a chunk: the registry is asked where the upload stands, and the rest follows.
    @Test(arguments: [.resetUpload(after: 10 << 20), .loseAnswer] as [RegistryFault], [1, 2])
    func aBrokenChunk(fault: RegistryFault, number: Int) async throws {
        try await expectCopied(sentAtMost: (50 + 32) << 20) { $0.inject(fault, into: "PATCH *", number...number) }
    }

    /// The session is gone when the upload is to go on, at a chunk or when it is asked where it stands.
    @Test func aDroppedSession() async throws {
        try await expectCopied { $0.inject(.dropSession, into: "PATCH *", 2...2) }
        try await expectCopied {
            $0.inject(.resetUpload(after: 10 << 20), into: "PATCH *", 2...2)
            $0.inject(.dropSession, into: "GET */blobs/uploads/*", 1...1)
        }
    }

    /// A status that is refused: another session begins, from the spool.
    @Test(arguments: [404, 416, 500]) func aResumptionThatIsRefused(status: Int) async throws {
        try await expectCopied {
            $0.inject(.resetUpload(after: 10 << 20), into: "PATCH *", 1...1)
            $0.inject(.answer(status), into: "GET */blobs/uploads/*", 1...1)
        }
    }

    /// A chunk at an offset that the registry does not have.
    @Test func aChunkThatDoesNotFollow() async throws {
        try await expectCopied { $0.inject(.answer(416, after: 0), into: "PATCH *", 2...2) }
    }

    @Test(
        arguments: [
            .answer(503, ["Retry-After": "0"], after: 1 << 20), .answer(429, ["Retry-After": "0"]), .answer(500),
        ] as [RegistryFault])
    func aRefusedChunk(fault: RegistryFault) async throws {
        try await withPipeline { pipeline in
            pipeline.destination.faults.inject(fault, into: "PATCH *", 2...2)
            try pipeline.expectCopied(image, try await pipeline.bring(image))
            #expect(pipeline.destination.faults.struck == 1)
        }
    }

    @Test func aRightThatRunsOutInAChunk() async throws {
        try await withPipeline(asksUsers: true) { pipeline in
            pipeline.destination.faults.inject(
                .answer(401, ["WWW-Authenticate": "Basic realm=\"rollcall\""], after: 10 << 20), into: "PATCH *", 2...2)
            try pipeline.expectStopped(
                image, try await pipeline.bring(image), at: image.blobs[1].descriptor.digest,
                host: pipeline.destination, reason: "HTTP 401: the credentials from")
            // The right is back: the upload may begin anew, but not the download.
            let second = try await pipeline.bring(image)
            try pipeline.expectCopied(image, second)
            #expect(second.progress.resumedBytes == 50 << 20)
            #expect(second.progress.fetchedBytes < 50 << 20)
        }
    }

    /// The registry has committed the session, and the answer is lost: the blob is there, and nothing is sent again.
    @Test func aLostReplyToTheCommit() async throws {
        try await expectCopied(sentAtMost: 50 << 20) { $0.inject(.loseAnswer, into: "PUT */blobs/uploads/*digest=*") }
    }

    /// A byte that flipped on the way up: the registry refuses to commit, and all of it is sent once more.
    @Test func aDamagedChunk() async throws {
        try await expectCopied { $0.inject(.corruptUpload(byte: 100), into: "PATCH *", 1...1) }
    }
}
