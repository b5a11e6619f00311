import FoundationEssentials
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// Every failure is one sentence with the server, the bucket and the key, what to do, and no secret.
@Suite struct S3ErrorTests {
    enum Operation: CaseIterable { case get, conditionalGet, put, list, delete }

    private func run(_ operation: Operation, _ store: S3Store) async throws {
        let key = try ObjectKey("a/b")
        switch operation {
        case .get: _ = try await store.get(key)
        case .conditionalGet: _ = try await store.get(key, ifNoneMatch: ETag("e"))
        case .put: _ = try await store.put([1], at: key, condition: .none)
        case .list: _ = try await store.list(below: nil)
        case .delete: try await store.delete(key)
        }
    }

    private func expect(
        _ operation: Operation, _ answer: @escaping @Sendable () -> ScriptedServer.Response,
        _ code: ObjectStoreError.Code, _ words: [String], requests: Int? = nil
    ) async throws {
        try await withS3Store({ _ in answer() }) { store, server in
            await #expect("\(operation)") {
                try await run(operation, store)
            } throws: { error in
                let text = "\(error)"
                let place = operation == .list ? "s3://bucket/p/" : "s3://bucket/p/a/b"
                return (error as? ObjectStoreError)?.code == code && !TestSecret.isShown(in: error)
                    && (["\(place) at \(server.authority): "] + words).allSatisfy(text.contains)
                    && !text.contains("\n")
            }
            if let requests { #expect(server.requests.count == requests) }
        }
    }

    @Test(arguments: Operation.allCases) func whatEveryOperationMayMeet(_ operation: Operation) async throws {
        let answers: [(ScriptedServer.Response, ObjectStoreError.Code, [String], Int)] = [
            (ScriptedS3.fault(403, "AccessDenied"), .permissionDenied, ["(403 AccessDenied)", "the environment"], 1),
            (ScriptedS3.fault(403, "InvalidAccessKeyId"), .permissionDenied, ["does not know the access key"], 1),
            (ScriptedS3.fault(403, "SignatureDoesNotMatch"), .permissionDenied, ["secret key", "region 'r'"], 1),
            (ScriptedS3.fault(400, "ExpiredToken"), .permissionDenied, ["expired", "renew"], 1),
            (ScriptedS3.fault(404, "NoSuchBucket"), .missingRoot, ["create it"], 1),
            (ScriptedServer.Response(404, [:], text: "<html>no</html>"), .unavailable, ["as an S3 store does"], 1),
            (ScriptedS3.fault(403, "QuotaExceeded"), .full, ["quota"], 1),
            (ScriptedS3.fault(507, "XMinioStorageFull"), .full, ["free space"], 1),
            (ScriptedS3.fault(405, "MethodNotAllowed"), .unsupportedStore, ["has no"], 1),
            (ScriptedS3.fault(500, "InternalError"), .unavailable, ["try again", "(500 InternalError)"], 3),
            (ScriptedS3.fault(503, "SlowDown"), .unavailable, ["try again", "(503 SlowDown)"], 3),
            (ScriptedS3.fault(400, "Odd", "<Message> no TOKENTEXT</Message>"), .unavailable, ["m no ‹secret›"], 1),
            (ScriptedServer.Response(200, [:]).failing(.reset, .answer), .unavailable, ["connection broke"], 3),
            (
                ScriptedS3.fault(301, "PermanentRedirect", "<Endpoint>e.example</Endpoint><Region>eu-1</Region>"),
                .invalidLocation, ["region=eu-1", "'r'", "e.example"], 1
            ),
            (
                ScriptedS3.fault(400, "AuthorizationHeaderMalformed", "<Region>eu-1</Region>"), .invalidLocation,
                ["region=eu-1"], 1
            ),
            (
                .redirect(to: "https://other.example/x?X-Amz-Signature=s"), .invalidLocation,
                ["redirects to https://other.example:", "endpoint"], 1
            ),
            (ScriptedServer.Response(302, [:]), .invalidLocation, ["redirects elsewhere"], 1),
            (ScriptedServer.Response(401, [:]), .permissionDenied, ["(401)"], 1),
            (ScriptedServer.Response(206, [:]), .unavailable, ["(206)"], 1),
        ]
        for (answer, code, words, requests) in answers {
            try await expect(operation, { answer }, code, words, requests: requests)
        }
    }

    /// The clock of these tests stands at 2023-11-14 22:13:20.
    @Test(arguments: [
        ("Tue, 14 Nov 2023 21:13:20 GMT", "3600 seconds ahead of"),
        ("Tue, 14 Nov 2023 22:14:20 GMT", "60 seconds behind"),
        ("Tue, 14 Nov 2023 22:13:20 GMT", "took too long"), (nil, "too far apart"),
    ])
    func skewedClocks(_ date: String?, _ words: String) async throws {
        for operation in Operation.allCases {
            try await expect(
                operation,
                {
                    var answer = ScriptedS3.fault(403, "RequestTimeTooSkewed")
                    answer.setHeader("Date", date)
                    return answer
                }, .clockSkewed, [words, "NTP"], requests: 1)
        }
    }

    // MARK: Wrong answers

    @Test(arguments: [Operation.get, .put]) func answersWithoutAnETagAreNone(_ operation: Operation) async throws {
        try await expect(operation, { ScriptedServer.Response(200, [:], text: "x") }, .unavailable, ["ETag"])
    }

    @Test func notModifiedMustHaveBeenAskedFor() async throws {
        var answer = ScriptedServer.Response(304, [:])
        answer.framing = .none
        try await expect(.get, { [answer] in answer }, .invalidLocation, ["(304)"])
    }

    @Test(arguments: [
        "", "<html><body>Sign in</body></html>", "<ListBucketResult><Contents><Key>p/a</Key></Contents>",
        "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><ListBucketResult>&b;</ListBucketResult>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ])
    func malformedListings(_ body: String) async throws {
        try await expect(.list, { ScriptedServer.Response(200, [:], text: body) }, .unavailable, ["listing"])
    }

    @Test func aListingThatDoesNotGoOnEnds() async throws {
        try await expect(
            .list,
            {
                ScriptedServer.Response(
                    200, [:],
                    text: "<ListBucketResult><IsTruncated>true</IsTruncated>"
                        + "<NextContinuationToken>x</NextContinuationToken></ListBucketResult>")
            }, .unavailable, ["does not go on"], requests: 2)
    }

    /// What is too large is not collected, announced or not.
    @Test(arguments: [true, false]) func hugeListings(isAnnounced: Bool) async throws {
        try await expect(
            .list,
            {
                var answer = ScriptedServer.Response(
                    200, headers: [], body: .generated(.init(count: 64 << 20, seed: 1), 0..<(64 << 20)))
                if !isAnnounced { answer.framing = .chunked }
                return answer
            }, .tooLarge, ["bytes that are read"], requests: 1)
    }

    @Test func hugeObjects() async throws {
        try await expect(
            .get,
            {
                var answer = ScriptedServer.Response(200, ["ETag": "\"e\""], text: "x")
                answer.framing = .falseContentLength(Int64(ObjectStoreLimit.objectSize) + 1)
                return answer
            }, .tooLarge, ["\(ObjectStoreLimit.objectSize)"], requests: 1)
    }

    @Test(arguments: Operation.allCases) func hugeErrorPages(_ operation: Operation) async throws {
        let page = "<Error><Code>NoSuchBucket</Code>" + String(repeating: "x", count: 1 << 20)
        try await expect(operation, { ScriptedServer.Response(404, [:], text: page) }, .missingRoot, ["create it"])
    }

    @Test func nothingListens() async throws {
        // A port that nobody is given: one that was free a moment ago may be another test's by now.
        let store = try ObjectStoreLocation("s3://bucket?endpoint=http://127.0.0.1:1").open(access())
        await #expect {
            try await store.get(try ObjectKey("a"))
        } throws: { error in
            (error as? ObjectStoreError)?.code == .unavailable && "\(error)".contains("s3://bucket/a at 127.0.0.1:")
                && "\(error)".contains("no answer from the store")
        }
    }

    // MARK: TLS

    /// Any server with TLS shows who is trusted; that this one is no S3 store is what it then says.
    @Test func trustsTheAuthorityThatTheURLNames() async throws {
        try await withTemporaryDirectory { directory in
            var configuration = RealRegistry.Configuration()
            let certificates = try await Certificates(in: directory)
            configuration.certificates = certificates
            try await withRealRegistry(configuration) { server in
                for (file, words) in [
                    (certificates.caFile, "does not answer as an S3 store"), (certificates.otherCAFile, "ca=FILE"),
                ] {
                    let store = try ObjectStoreLocation("s3://bucket?endpoint=\(server.origin)&ca=\(file)").open(
                        access())
                    await #expect {
                        try await store.get(try ObjectKey("a"))
                    } throws: { error in
                        "\(error)".contains(words)
                    }
                }
            }
        }
    }

    // MARK: Credentials

    @Test func rotatedCredentialsAreReadAgainOnce() async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("keys", "aws_access_key_id = OLD\naws_secret_access_key = s\n")
            let bucket = ScriptedS3()
            try await withS3Store(
                parameters: "&credentials=\(path)",
                { exchange in
                    let isOld = exchange.request.header("Authorization")?.contains("=OLD/") == true
                    // The change comes while the old ones are on their way.
                    if isOld { try directory.write("keys", "aws_access_key_id = NEW\naws_secret_access_key = s\n") }
                    return isOld ? ScriptedS3.fault(403, "InvalidAccessKeyId") : try bucket.answer(exchange)
                }
            ) { store, server async throws in
                #expect(try await store.get(try ObjectKey("a")) == nil)
                #expect(server.requests.count == 2)
                #expect(try await store.get(try ObjectKey("a")) == nil)
                #expect(server.requests.count == 3)
            }
        }
    }

    @Test func withoutCredentialsNothingIsSent() async throws {
        try await withS3Store(environment: ["HOME": "/nonexistent"], { _ in .init(200) }) { store, server in
            for operation in Operation.allCases {
                await #expect("\(operation)") {
                    try await run(operation, store)
                } throws: { error in
                    (error as? ObjectStoreError)?.code == .noCredentials && "\(error)".contains("AWS_ACCESS_KEY_ID")
                        && "\(error)".contains("/nonexistent/.aws/credentials")
                }
            }
            #expect(server.requests.isEmpty)
        }
    }
}
