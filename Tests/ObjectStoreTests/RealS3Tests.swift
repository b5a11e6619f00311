import HTTP
import TestSupport
import Testing

@testable import ObjectStore

/// The S3 store on servers that are not ours: Ceph's RADOS gateway and SeaweedFS.
@Suite(.serialized) struct RealS3Tests {
    private func open(
        _ server: RealS3, bucket: String = "rollcall", prefix: String = "",
        environment: [String: String]? = nil, unixTime: (@Sendable () -> Double)? = nil
    ) throws -> S3Store {
        let url = server.url.replacing("//\(server.bucket)?", with: "//\(bucket)\(prefix)?")
        var access = ObjectStoreAccess(environment: environment ?? server.environment)
        access.proxy = ""
        access.retry = .ofBusyServers
        if let unixTime { access.timing.unixTime = unixTime }
        return try #require(try ObjectStoreLocation(url).open(access) as? S3Store)
    }

    /// One server for all that is asked of it: it takes longer to start than to answer.
    @Test(.timeLimit(.minutes(10)), arguments: RealS3.Kind.allCases)
    func keepsThePromisesOfAnObjectStore(_ kind: RealS3.Kind) async throws {
        try await withRealS3(kind) { server in
            try await whatIsPutIsRead(open(server, prefix: "/basics"))
            try await conditionsHoldOrConflict(open(server, prefix: "/conditions"))
            try await listsInOrder(open(server, prefix: "/order"))
            try await listsManyPages(open(server, prefix: "/many"))
            for swapping in [false, true] {
                let stores = try (0..<20).map { _ in try open(server, prefix: "/race-\(swapping)") }
                try await oneOfTwentyConcurrentWritersWins(stores, swapping: swapping)
            }
            try await refusalsSayWhy(server)
            let store = try open(server)
            try await store.prepare()
            #expect(try await store.writes.mode(of: store) == .exclusive(kind == .ceph ? .bare : .quoted))
            if kind == .ceph {
                try await versionedBucketsAreRefused(server)
                try await theVirtualStyleReachesTheSameBucket(server)
            }
        }
    }

    private func whatIsPutIsRead(_ store: S3Store) async throws {
        let key = try ObjectKey("a/b=c.d_e-f.json")
        #expect(try await store.get(key) == nil)
        #expect(try await store.get(key, ifNoneMatch: ETag("x")) == .absent)
        for bytes in [[], [0x78], [UInt8](repeating: 7, count: 3 << 20)] {
            let outcome = try await store.put(bytes, at: key, condition: .none)
            let object = try #require(try await store.get(key))
            #expect(object.bytes == bytes)
            #expect(outcome == .stored(object.etag))
            #expect(try await store.get(key, ifNoneMatch: object.etag) == .notModified)
            #expect(try await store.get(key, ifNoneMatch: ETag("x")) == .found(object))
        }
        try await store.delete(key)
        try await store.delete(key)
        #expect(try await store.get(key) == nil)
        #expect(try await store.list(below: nil) == [])
    }

    private func conditionsHoldOrConflict(_ store: S3Store) async throws {
        let key = try ObjectKey("a")
        #expect(try await store.put([0], at: key, condition: .ifMatch(ETag("x"))) == .conflict)
        #expect(try await store.get(key) == nil)
        guard case .stored(let first) = try await store.put([1], at: key, condition: .ifAbsent) else {
            Issue.record("an absent object must be created")
            return
        }
        #expect(try await store.put([2], at: key, condition: .ifAbsent) == .conflict)
        #expect(try await store.put([2], at: key, condition: .ifMatch(ETag("x"))) == .conflict)
        #expect(try await store.get(key)?.bytes == [1])
        #expect(try await store.put([2], at: key, condition: .ifMatch(first)) != .conflict)
        #expect(try await store.put([3], at: key, condition: .ifMatch(first)) == .conflict)
        #expect(try await store.get(key)?.bytes == [2])
        try await store.delete(key)
        #expect(try await store.put([4], at: key, condition: .ifMatch(first)) == .conflict)
        #expect(try await store.put([4], at: key, condition: .ifAbsent) != .conflict)
    }

    private func listsInOrder(_ store: S3Store) async throws {
        for path in ["b", "a/2", "a/1", "a/b/c", "a-b", "ab/1", "a=b", "a.b", "A"] {
            _ = try await store.put([], at: ObjectKey(path), condition: .none)
        }
        #expect(
            try await store.list(below: nil).map(\.path)
                == ["A", "a-b", "a.b", "a/1", "a/2", "a/b/c", "a=b", "ab/1", "b"])
        #expect(try await store.list(below: ObjectKey("a")).map(\.path) == ["a/1", "a/2", "a/b/c"])
        #expect(try await store.list(below: ObjectKey("b")) == [])
        var small = store
        small.pageSize = 2
        #expect(try await small.list(below: ObjectKey("a")).map(\.path) == ["a/1", "a/2", "a/b/c"])
        #expect(try await small.list(below: nil) == store.list(below: nil))
    }

    /// More than the 1000 keys that one answer holds.
    private func listsManyPages(_ store: S3Store) async throws {
        let keys = try (0..<1050).map { try ObjectKey("\($0 % 7)/\(String(repeating: "k", count: 64))-\($0)") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for key in keys { group.addTask { _ = try await store.put([1], at: key, condition: .none) } }
            try await group.waitForAll()
        }
        #expect(try await store.list(below: nil) == keys.sorted())
        #expect(try await store.list(below: ObjectKey("3")).count == 150)
    }

    /// Twenty writers, each with a store of its own, write at once, in forty rounds: one write is stored, and it is what is
    /// read. The rounds overlap, since SeaweedFS makes the losers of one wait for seconds.
    private func oneOfTwentyConcurrentWritersWins(_ stores: [S3Store], swapping: Bool) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for round in 0..<40 {
                let key = try ObjectKey("\(round)")
                group.addTask {
                    var condition = PutCondition.ifAbsent
                    if swapping, case .stored(let seed) = try await stores[0].put([255], at: key, condition: .none) {
                        condition = .ifMatch(seed)
                    }
                    let winners = try await withThrowingTaskGroup(of: UInt8?.self) { [condition] group in
                        for (writer, store) in stores.enumerated() {
                            group.addTask {
                                let outcome = try await store.put([UInt8(writer)], at: key, condition: condition)
                                return outcome == .conflict ? nil : UInt8(writer)
                            }
                        }
                        return try await group.reduce(into: []) { $0 += $1.map { [$0] } ?? [] }
                    }
                    #expect(winners.count == 1, "round \(round)")
                    #expect(try await stores[1].get(key)?.bytes == winners, "round \(round)")
                }
            }
            try await group.waitForAll()
        }
    }

    private func refusalsSayWhy(_ server: RealS3) async throws {
        let wrong = ["AWS_ACCESS_KEY_ID": "rollcalltest", "AWS_SECRET_ACCESS_KEY": "wrong"]
        let unknown = ["AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "rollcall-test-secret"]
        let cases: [(S3Store, ObjectStoreError.Code, String)] = [
            (try open(server, environment: wrong), .permissionDenied, "secret key from the environment"),
            (try open(server, environment: unknown), .permissionDenied, "does not know the access key"),
            (try open(server, bucket: "no-such-bucket"), .missingRoot, "create it"),
            (
                try open(server, unixTime: { Timing.system.unixTime() - 3600 }), .clockSkewed,
                "behind the store's: set this machine's clock"
            ),
        ]
        for (store, code, words) in cases {
            for operation in [
                { _ = try await store.get(try ObjectKey("a")) }, { _ = try await store.list(below: nil) },
                { _ = try await store.put([1], at: try ObjectKey("a"), condition: .none) },
            ] {
                await #expect("\(words)") {
                    try await operation()
                } throws: { error in
                    (error as? ObjectStoreError)?.code == code && "\(error)".contains(words)
                        && "\(error)".contains(store.transport.bucket.server)
                        && !"\(error)".contains("rollcall-test-secret")
                }
            }
        }
    }

    /// Ceph 16.2.15 answers 200 to If-None-Match: * there, and makes a new version.
    private func versionedBucketsAreRefused(_ server: RealS3) async throws {
        try await server.makeBucket("versioned", versioned: true)
        let store = try open(server, bucket: "versioned")
        await #expect {
            try await store.prepare()
        } throws: { error in
            (error as? ObjectStoreError)?.code == .unsupportedStore
                && "\(error)".contains("use a bucket without versioning")
        }
    }

    private func theVirtualStyleReachesTheSameBucket(_ server: RealS3) async throws {
        let endpoint = server.endpoint.replacing("127.0.0.1", with: "localhost")
        let location = try ObjectStoreLocation("s3://rollcall/style?endpoint=\(endpoint)&style=virtual")
        var access = ObjectStoreAccess(environment: server.environment)
        access.proxy = ""
        let store = try location.open(access)
        _ = try await store.put([1], at: ObjectKey("a"), condition: .none)
        #expect(try await open(server, prefix: "/style").get(ObjectKey("a"))?.bytes == [1])
        #expect(try await store.list(below: nil).map(\.path) == ["a"])
    }
}

extension RetryPolicy {
    /// For servers that share their processors with other tests: they may be short of time for longer than their users
    /// would wait.
    fileprivate static let ofBusyServers = RetryPolicy(
        attempts: 12, firstWait: .milliseconds(200), longestWait: .seconds(5), totalWait: .seconds(120))
}
