import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

@Suite struct S3StoreTests {
    private func key(_ path: String) throws -> ObjectKey { try ObjectKey(path) }

    // MARK: Requests as they go over the wire

    @Test func requestsAreSigned() async throws {
        let bucket = ScriptedS3()
        try await withS3Store(bucket.answer) { store, server async throws in
            _ = try await store.put([0x78], at: key("a/b=c"), condition: .none)
            _ = try await store.list(below: key("a"))
            let put = try #require(server.requests.first)
            #expect(put.target == "/bucket/p/a/b%3Dc")
            // printf x | sha256sum
            #expect(
                put.header("x-amz-content-sha256") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
            )
            #expect(put.header("x-amz-date") == "20231114T221320Z")
            #expect(put.header("x-amz-security-token") == "TOKENTEXT")
            #expect(put.header("Host") == server.authority)
            let authorization = try #require(put.header("Authorization"))
            #expect(authorization.hasPrefix("AWS4-HMAC-SHA256 Credential=KEYNAME/20231114/r/s3/aws4_request, "))
            #expect(
                authorization.contains(
                    "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token,"))
            let list = try #require(server.requests.last)
            #expect(list.target == "/bucket/?encoding-type=url&list-type=2&max-keys=1000&prefix=p%2Fa%2F")
            #expect(bucket.objects["p/a/b=c"]?.bytes == [0x78])
        }
    }

    @Test func theVirtualStyleNamesTheBucketInTheHost() async throws {
        // Names below localhost are this machine (RFC 6761).
        try await withScriptedServer({ _ in ScriptedS3.fault(404, "NoSuchKey") }) { server async throws in
            let location = try ObjectStoreLocation(
                "s3://bucket?endpoint=http://localhost:\(server.port)&style=virtual&region=r")
            let store = try location.open(access())
            #expect(try await store.get(key("a")) == nil)
            #expect(server.requests.map(\.target) == ["/a"])
            #expect(server.requests[0].header("Host") == "bucket.localhost:\(server.port)")
        }
    }

    // MARK: Answers

    @Test(arguments: [(true, false), (false, false), (true, true)])
    func conditionalReadSkipsWhatIsKnown(has304WithETag: Bool, ignoresConditionalReads: Bool) async throws {
        var manners = ScriptedS3.Manners()
        manners.has304WithETag = has304WithETag
        manners.ignoresConditionalReads = ignoresConditionalReads
        let bucket = ScriptedS3(manners)
        bucket.put([1], at: "p/a")
        try await withS3Store(bucket.answer) { store, _ async throws in
            let object = try #require(try await store.get(key("a")))
            #expect(object.bytes == [1])
            #expect(try await store.get(key("a"), ifNoneMatch: object.etag) == .notModified)
            #expect(try await store.get(key("a"), ifNoneMatch: ETag("other")) == .found(object))
            #expect(try await store.get(key("b"), ifNoneMatch: object.etag) == .absent)
        }
    }

    @Test func listsInPagesAndOnlyItsOwn() async throws {
        let bucket = ScriptedS3()
        for name in ["p/a/1", "p/a/2", "p/a/3", "p/a-b", "p/ab", "p/~probe/x", "p/a/b c", "q/a", "pa"] {
            bucket.put([], at: name)
        }
        try await withS3Store(bucket.answer) { store, server async throws in
            var store = store
            store.pageSize = 2
            #expect(try await store.list(below: nil).map(\.path) == ["a-b", "a/1", "a/2", "a/3", "ab"])
            #expect(server.requests.count == 4)
            #expect(try await store.list(below: key("a")).map(\.path) == ["a/1", "a/2", "a/3"])
        }
    }

    @Test func tellsTheStoresClockAndReadsNoMoreThanAsked() async throws {
        let bucket = ScriptedS3()
        bucket.put([UInt8](repeating: 1, count: 1 << 17), at: "p/a")
        try await withS3Store({ exchange in
            var answer = try bucket.answer(exchange)
            answer.setHeader("Date", "Tue, 14 Nov 2023 23:13:20 GMT")
            return answer
        }) { store, _ async throws in
            #expect(await store.clockLead() == nil)
            #expect(try await store.get(key("a"), limit: 1 << 17) != nil)
            #expect(await store.clockLead() == .seconds(3600))
            #expect(try await CachedStore(store).clockLead() == .seconds(3600))
            for limit in [1, (1 << 17) - 1] {
                for reader in [store, CachedStore(store)] as [any ObjectStore] {
                    await #expect {
                        try await reader.get(key("a"), limit: limit)
                    } throws: {
                        ($0 as? ObjectStoreError)?.code == .tooLarge
                    }
                }
            }
            // What is kept from before is no more readable.
            let cached = CachedStore(store)
            #expect(try await cached.get(key("a")) != nil)
            await #expect(throws: ObjectStoreError.self) { try await cached.get(key("a"), limit: 1) }
        }
    }

    @Test func deletingTwiceIsDeleting() async throws {
        let bucket = ScriptedS3()
        bucket.put([1], at: "p/a")
        try await withS3Store(bucket.answer) { store, server async throws in
            try await store.delete(key("a"))
            try await store.delete(key("a"))
            #expect(bucket.objects.isEmpty)
            server.handle { _ in ScriptedS3.fault(404, "NoSuchKey") }
            try await store.delete(key("a"))
        }
    }

    // MARK: Lost replies

    /// The first conditional write below `p/` is carried out, and its reply is lost.
    private func losingFirstReply(
        of bucket: ScriptedS3, to key: String, then: @escaping @Sendable () -> Void = {}
    ) -> ScriptedServer.Handler {
        let isLost = Mutex(false)
        return { exchange in
            let answer = try bucket.answer(exchange)
            guard exchange.request.method == "PUT", exchange.request.path.hasSuffix("/\(key)"), answer.status == 200,
                isLost.withLock({ lost in
                    defer { lost = true }
                    return !lost
                })
            else { return answer }
            then()
            return answer.failing(.close, .answer)
        }
    }

    @Test(arguments: [true, false]) func aCreationWhoseReplyWasLostIsRecognised(keepsMetadata: Bool) async throws {
        var manners = ScriptedS3.Manners()
        manners.keepsMetadata = keepsMetadata
        let bucket = ScriptedS3(manners)
        try await withS3Store(losingFirstReply(of: bucket, to: "a")) { store, server async throws in
            let outcome = try await store.put([1], at: key("a"), condition: .ifAbsent)
            let object = try #require(try await store.get(key("a")))
            #expect(outcome == .stored(object.etag))
            let statuses = server.requests.filter { $0.path == "/bucket/p/a" }.map { "\($0.method) \($0.status ?? 0)" }
            #expect(statuses == ["PUT 0", "PUT 412", "GET 200", "GET 200"])
        }
    }

    @Test func aSwapWhoseReplyWasLostIsRecognised() async throws {
        let bucket = ScriptedS3()
        bucket.put([0], at: "p/a")
        try await withS3Store(losingFirstReply(of: bucket, to: "a")) { store, _ async throws in
            let seed = try #require(try await store.get(key("a")))
            let outcome = try await store.put([1], at: key("a"), condition: .ifMatch(seed.etag))
            let object = try #require(try await store.get(key("a")))
            #expect(object.bytes == [1])
            #expect(outcome == .stored(object.etag))
        }
    }

    /// The same bytes from another writer are another write.
    @Test func aCreationWhoseReplyWasLostIsAConflictWhereAnothersIsThere() async throws {
        let bucket = ScriptedS3()
        let isLost = Mutex(false)
        try await withS3Store({ exchange in
            if exchange.request.path == "/bucket/p/a", exchange.request.method == "PUT",
                isLost.withLock({ lost in
                    defer { lost = true }
                    return !lost
                })
            {
                // Not carried out, and another's comes first.
                var answer = ScriptedServer.Response(200, [:]).failing(.close, .answer)
                answer.bodyReading = .beforeAnswer
                _ = try exchange.readBody()
                return answer
            }
            if exchange.request.path == "/bucket/p/a", exchange.request.method == "GET" {
                return ScriptedServer.Response(200, ["ETag": "\"e\"", S3Store.writeHeader: "another"], text: "\u{1}")
            }
            return exchange.request.path == "/bucket/p/a"
                ? ScriptedS3.fault(412, "PreconditionFailed") : try bucket.answer(exchange)
        }) { store, _ async throws in
            #expect(try await store.put([1], at: key("a"), condition: .ifAbsent) == .conflict)
        }
    }

    /// An error of the server may come after the write.
    @Test func aWriteThatFailedAfterAllIsRecognised() async throws {
        let bucket = ScriptedS3()
        let count = Mutex(0)
        try await withS3Store({ exchange in
            let answer = try bucket.answer(exchange)
            guard exchange.request.path == "/bucket/p/a", exchange.request.method == "PUT" else { return answer }
            let isFirst = count.withLock { count in
                count += 1
                return count == 1
            }
            return isFirst ? ScriptedS3.fault(500, "InternalError") : answer
        }) { store, _ async throws in
            let outcome = try await store.put([1], at: key("a"), condition: .ifAbsent)
            let object = try #require(try await store.get(key("a")))
            #expect(outcome == .stored(object.etag))
        }
    }

    /// What Ceph RGW 16.2.15 answers to those who swap the same version at once.
    @Test func aSwapThatCannotHaveBeenCarriedOutIsAConflict() async throws {
        let bucket = ScriptedS3()
        bucket.put([0], at: "p/a")
        let count = Mutex(0)
        try await withS3Store({ exchange in
            guard exchange.request.path == "/bucket/p/a", exchange.request.method == "PUT",
                count.withLock({ count in
                    count += 1
                    return count == 1
                })
            else { return try bucket.answer(exchange) }
            let seed = bucket.objects["p/a"]?.etag
            bucket.put([9], at: "p/a", replacing: seed)
            return ScriptedS3.fault(500, "UnknownError")
        }) { store, _ async throws in
            let seed = try #require(try await store.get(key("a")))
            #expect(try await store.put([1], at: key("a"), condition: .ifMatch(seed.etag)) == .conflict)
            #expect(try await store.get(key("a"))?.bytes == [9])
        }
    }

    @Test func aSwapWhoseReplyWasLostStaysOpenWhereAnotherFollowed() async throws {
        let bucket = ScriptedS3()
        bucket.put([0], at: "p/a")
        try await withS3Store(losingFirstReply(of: bucket, to: "a", then: { bucket.put([9], at: "p/a") })) {
            store, _ async throws in
            let seed = try #require(try await store.get(key("a")))
            await #expect {
                try await store.put([1], at: key("a"), condition: .ifMatch(seed.etag))
            } throws: { error in
                (error as? ObjectStoreError)?.code == .outcomeUnknown && "\(error)".contains("read the object")
            }
        }
    }

    /// SlowDown says that nothing was done, so a condition that fails afterwards is a conflict, without reading.
    @Test(arguments: [(503, "SlowDown"), (409, "ConditionalRequestConflict"), (400, "RequestTimeout")])
    func aRefusalForNowIsNoLostReply(status: Int, code: String) async throws {
        let bucket = ScriptedS3()
        bucket.put([0], at: "p/a")
        let count = Mutex(0)
        try await withS3Store({ exchange in
            guard exchange.request.path == "/bucket/p/a" else { return try bucket.answer(exchange) }
            let isFirst = count.withLock { count in
                count += 1
                return count == 1
            }
            return isFirst ? ScriptedS3.fault(status, code) : try bucket.answer(exchange)
        }) { store, server async throws in
            #expect(try await store.put([0], at: key("a"), condition: .ifAbsent) == .conflict)
            #expect(server.requests.filter { $0.path == "/bucket/p/a" }.map(\.method) == ["PUT", "PUT"])
        }
    }

    // MARK: Attempts

    @Test(arguments: [(500, "InternalError"), (503, "SlowDown"), (502, ""), (429, "TooManyRequests")])
    func goesOnAfterAFailure(_ status: Int, _ code: String) async throws {
        let bucket = ScriptedS3()
        bucket.put([1], at: "p/a")
        let count = Mutex(0)
        try await withS3Store({ exchange in
            let number = count.withLock { count in
                count += 1
                return count
            }
            return number < 3 ? ScriptedS3.fault(status, code) : try bucket.answer(exchange)
        }) { store, _ async throws in
            #expect(try await store.get(key("a"))?.bytes == [1])
        }
    }

    @Test func goesOnAfterABrokenAnswer() async throws {
        let bucket = ScriptedS3()
        bucket.put([1, 2, 3], at: "p/a")
        let count = Mutex(0)
        try await withS3Store({ exchange in
            let number = count.withLock { count in
                count += 1
                return count
            }
            let answer = try bucket.answer(exchange)
            return switch number {
            case 1: answer.failing(.reset, .answer)
            case 2: answer.failing(.close, .answerBody(2))
            default: answer
            }
        }) { store, _ async throws in
            #expect(try await store.get(key("a"))?.bytes == [1, 2, 3])
        }
    }

    @Test func holdsNoMoreThanItsRequestsAtOnce() async throws {
        let bucket = ScriptedS3()
        bucket.put([1], at: "p/a")
        try await withS3Store(bucket.answer) { store, server async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<200 { group.addTask { _ = try await store.get(ObjectKey("a")) } }
                try await group.waitForAll()
            }
            #expect(server.requests.count == 200)
            #expect(server.connectionCount <= S3Transport.concurrentRequests)
        }
    }

    @Test func whoWaitsForATurnCanBeCancelled() async throws {
        let gate = Gate()
        try await withS3Store({ exchange in
            try exchange.wait(gate)
            return ScriptedS3.fault(404, "NoSuchKey")
        }) { store, server async throws in
            let tasks = try (0..<S3Transport.concurrentRequests).map { number in
                let key = try ObjectKey("\(number)")
                return Task { try await store.get(key) }
            }
            try await server.until { $0.count == S3Transport.concurrentRequests }
            let waiting = Task { try await store.get(ObjectKey("a")) }
            waiting.cancel()
            await #expect(throws: ObjectStoreError.self) { try await waiting.value }
            gate.open()
            for task in tasks { #expect(try await task.value == nil) }
        }
    }
}
