import FoundationEssentials
import Synchronization
import TestSupport
import Testing

@testable import ObjectStore

/// A store that keeps what it read: what is asked, what is fetched, and what is answered.
@Suite(.timeLimit(.minutes(5))) struct CachedStoreTests {
    /// Counts the objects that are fetched, and those that are only asked for.
    private final class Counting: ObjectStore {
        let store: DirectoryStore
        let counts = Mutex((asked: 0, fetched: 0))

        init(_ directory: TemporaryDirectory) { store = DirectoryStore(root: directory.path) }

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            let outcome = try await store.get(key, ifNoneMatch: etag)
            counts.withLock {
                $0.asked += 1
                if case .found = outcome { $0.fetched += 1 }
            }
            return outcome
        }

        func put(_ bytes: [UInt8], at key: ObjectKey, condition: PutCondition) async throws(ObjectStoreError)
            -> PutOutcome
        {
            try await store.put(bytes, at: key, condition: condition)
        }

        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            try await store.list(below: prefix, continuingFrom: continuation)
        }

        func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }

        /// What was asked and fetched since the last call.
        var since: [Int] {
            counts.withLock { counts in
                defer { counts = (0, 0) }
                return [counts.asked, counts.fetched]
            }
        }
    }

    private func withStores(_ body: (Counting, _ cache: String) async throws -> Void) async throws {
        try await withTemporaryDirectory("cached") { directory in
            try await withTemporaryDirectory("cache") { cache in
                try await body(Counting(directory), cache.file("a/b/c"))
            }
        }
    }

    @Test func whatHasNotChangedIsNotFetchedAgain() async throws {
        try await withStores { counting, cache in
            let key = try ObjectKey("a/b")
            _ = try await counting.put([1, 2, 3], at: key, condition: .none)
            let store = CachedStore(counting, directory: cache)
            for expected in [[1, 1], [1, 0], [1, 0]] {
                #expect(try await store.get(key)?.bytes == [1, 2, 3])
                #expect(counting.since == expected)
            }
            // Another process: from disk.
            let other = CachedStore(counting, directory: cache)
            #expect(try await other.get(key)?.bytes == [1, 2, 3])
            #expect(counting.since == [1, 0])
            // Without a directory: once for each process.
            #expect(try await CachedStore(counting).get(key)?.bytes == [1, 2, 3])
            #expect(counting.since == [1, 1])

            _ = try await counting.put([4], at: key, condition: .none)
            #expect(try await store.get(key)?.bytes == [4])
            #expect(counting.since == [1, 1])
            #expect(try await other.get(key)?.bytes == [4])
            // Who brings an ETag is answered as by the store.
            let etag = try #require(try await counting.store.get(key)).etag
            #expect(try await store.get(key, ifNoneMatch: etag) == .notModified)
            #expect(try await store.get(key, ifNoneMatch: ETag("x")) == .found(StoredObject(bytes: [4], etag: etag)))

            try await counting.delete(key)
            #expect(try await store.get(key) == nil)
            #expect(try await CachedStore(counting, directory: cache).get(key) == nil)
        }
    }

    @Test func writesAreSeen() async throws {
        try await withStores { counting, cache in
            let key = try ObjectKey("a")
            let store = CachedStore(counting, directory: cache)
            for value in [1, 2] as [UInt8] {
                guard case .stored(let etag) = try await store.put([value], at: key, condition: .none) else { return }
                #expect(try await store.get(key) == StoredObject(bytes: [value], etag: etag))
            }
            try await store.delete(key)
            #expect(try await store.get(key) == nil)
        }
    }

    @Test func damagedFilesAreFetchedAgain() async throws {
        try await withStores { counting, cache in
            let key = try ObjectKey("a")
            _ = try await counting.put(Array("content".utf8), at: key, condition: .none)
            _ = try await CachedStore(counting, directory: cache).get(key)
            let name = try #require(try FileManager.default.contentsOfDirectory(atPath: cache).first)
            let intact = try #require(FileManager.default.contents(atPath: "\(cache)/\(name)"))
            for damage in [Data(), Data("x".utf8), intact.dropLast(), intact + Data([1]), Data(intact.reversed())] {
                try Data(damage).write(to: URL(filePath: "\(cache)/\(name)"))
                _ = counting.since
                #expect(try await CachedStore(counting, directory: cache).get(key)?.bytes == Array("content".utf8))
                #expect(counting.since == [1, 1])
            }
        }
    }

    @Test func whatIsKeptIsBounded() async throws {
        try await withStores { counting, cache in
            let keys = try (0..<40).map { try ObjectKey("object-\($0)") }
            for key in keys {
                _ = try await counting.put([UInt8](repeating: 7, count: 1000), at: key, condition: .none)
            }
            let memory = CachedStore(counting, memoryLimit: 10_000)
            for key in keys { _ = try await memory.get(key) }
            _ = counting.since
            // The latest are here, the first are not.
            _ = try await memory.get(keys[39])
            #expect(counting.since == [1, 0])
            _ = try await memory.get(keys[0])
            #expect(counting.since == [1, 1])

            // Each is large enough to look at all.
            let disk = CachedStore(counting, memoryLimit: 0, directory: cache, directoryLimit: 10_000)
            for key in keys { _ = try await disk.get(key) }
            let files = try FileManager.default.contentsOfDirectory(atPath: cache)
            #expect((1...10).contains(files.count))
            // What takes more than a quarter is not kept.
            let large = try ObjectKey("large")
            _ = try await counting.put([UInt8](repeating: 7, count: 3000), at: large, condition: .none)
            for _ in 0..<2 { _ = try await disk.get(large) }
            #expect(try FileManager.default.contentsOfDirectory(atPath: cache).count == files.count)
        }
    }

    @Test func aCacheThatCannotBeWrittenIsNoError() async throws {
        try await withStores { counting, _ in
            let key = try ObjectKey("a")
            _ = try await counting.put([1], at: key, condition: .none)
            let store = CachedStore(counting, memoryLimit: 0, directory: "/proc/nowhere/cache")
            for _ in 0..<2 { #expect(try await store.get(key)?.bytes == [1]) }
        }
    }
}
