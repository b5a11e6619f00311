import Synchronization

/// An object store whose objects are kept here as they were last read, so that what has not changed is asked for and not
/// fetched again.
///
/// Every read still asks the store, with the ETag of what is here: nothing is answered that the store would not answer now.
/// What is kept is bounded, in memory and, where a directory is given, on disk. A cache that cannot be read or written is
/// no error; a kept object whose content has changed is fetched again.
public struct CachedStore: ObjectStore {
    private let store: any ObjectStore
    private let memory: MemoryCache
    private let files: FileCache?

    /// - Parameters:
    ///   - store: where the objects are
    ///   - memoryLimit: bytes that are kept in memory at most: 64 MiB unless said
    ///   - directory: a directory of this store's own to keep objects in between processes, made where it is not there;
    ///     `nil` for none
    ///   - directoryLimit: bytes that are kept on disk at most: 1 GiB unless said
    public init(
        _ store: any ObjectStore, memoryLimit: Int = 64 << 20, directory: String? = nil, directoryLimit: Int = 1 << 30
    ) {
        self.store = store
        memory = MemoryCache(limit: memoryLimit)
        files = directory.map { FileCache(directory: $0, limit: directoryLimit) }
    }

    public func prepare() async throws(ObjectStoreError) { try await store.prepare() }

    public func requireWritable(below prefix: ObjectKey) async throws(ObjectStoreError) {
        try await store.requireWritable(below: prefix)
    }

    public func clockLead() async throws(ObjectStoreError) -> Duration? { try await store.clockLead() }
    public func knownClockLead() async -> Duration? { await store.knownClockLead() }

    public func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        try await get(key, ifNoneMatch: etag, limit: ObjectStoreLimit.objectSize)
    }

    public func get(
        _ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int
    ) async throws(ObjectStoreError) -> GetOutcome {
        // Who brings an ETag has the object.
        var kept = etag == nil ? memory.object(key) ?? files?.object(key) : nil
        if let size = kept?.bytes.count, size > limit { kept = nil }
        let outcome = try await store.get(key, ifNoneMatch: etag ?? kept?.etag, limit: limit)
        switch outcome {
        case .found(let object):
            keep(object, of: key)
            return outcome
        case .notModified:
            guard let kept else { return outcome }
            memory.keep(kept, of: key)
            return .found(kept)
        case .absent:
            forget(key)
            return outcome
        }
    }

    public func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        // Written elsewhere or here, what is kept is asked for again all the same.
        try await store.put(bytes, at: key, condition: condition)
    }

    public func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        try await store.list(below: prefix, continuingFrom: continuation)
    }

    public func delete(_ key: ObjectKey) async throws(ObjectStoreError) {
        forget(key)
        try await store.delete(key)
    }

    private func keep(_ object: StoredObject, of key: ObjectKey) {
        memory.keep(object, of: key)
        files?.keep(object, of: key)
    }

    private func forget(_ key: ObjectKey) {
        memory.forget(key)
        files?.forget(key)
    }
}

/// Objects in memory; the ones that were asked for longest ago go first.
final class MemoryCache: Sendable {
    private struct State {
        var objects: [ObjectKey: (object: StoredObject, use: UInt64)] = [:]
        var bytes = 0
        var uses: UInt64 = 0
    }
    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    func object(_ key: ObjectKey) -> StoredObject? { state.withLock { $0.objects[key]?.object } }

    func keep(_ object: StoredObject, of key: ObjectKey) {
        // One that takes a quarter would drive out too many.
        guard object.bytes.count <= limit / 4 else { return forget(key) }
        state.withLock { state in
            state.uses += 1
            state.bytes += object.bytes.count - (state.objects[key]?.object.bytes.count ?? 0)
            state.objects[key] = (object, state.uses)
            guard state.bytes > limit else { return }
            // Down to three quarters at once, so that not every later one has to look through all of them.
            for (key, entry) in state.objects.sorted(by: { $0.value.use < $1.value.use }) {
                guard state.bytes > limit / 4 * 3 else { break }
                state.objects[key] = nil
                state.bytes -= entry.object.bytes.count
            }
        }
    }

    func forget(_ key: ObjectKey) {
        state.withLock { state in
            if let entry = state.objects.removeValue(forKey: key) { state.bytes -= entry.object.bytes.count }
        }
    }
}
