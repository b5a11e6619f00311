import Dispatch

/// The embedded object store: a directory on one machine or on a shared file system.
///
/// An object is the file at ROOT/KEY, readable with any tool. Beside them the store keeps two files whose names are no keys:
/// `~lock`, and `~incoming/` with objects that are being written.
///
/// Conditional writes are exclusive among all processes that use the directory. On NFS that needs version 4, whose locks
/// reach across hosts, and whose server opens files by their names; docs/object-store.md names the mount options. The root
/// must exist: a mistyped path must not become a new and empty store. Whoever writes needs write permission on the root.
/// Where the root bears the set-group-ID bit, all that is below it belongs to the root's group, and gets the root's
/// permissions whatever the writers' umasks are: so users of one group share a store.
public struct DirectoryStore: ObjectStore {
    let files: StoreFiles

    /// - Parameter root: the absolute path of an existing directory; looked at by each operation, not here
    public init(root: String) {
        self.init(files: StoreFiles(root: root))
    }

    init(files: StoreFiles) { self.files = files }

    public func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        try await get(key, ifNoneMatch: etag, limit: ObjectStoreLimit.objectSize)
    }

    public func get(
        _ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int
    ) async throws(ObjectStoreError) -> GetOutcome {
        try await offTheExecutor { () throws(ObjectStoreError) in try files.get(key, ifNoneMatch: etag, limit: limit) }
    }

    /// The clock of who keeps the files, on a shared file system the server's: it is told by a file that is written and
    /// removed.
    public func clockLead() async throws(ObjectStoreError) -> Duration? {
        try await offTheExecutor { () throws(ObjectStoreError) in try files.clockLead() }
    }

    /// By a file that is written and removed, under a name that is no key.
    public func requireWritable(below prefix: ObjectKey) async throws(ObjectStoreError) {
        try await offTheExecutor { () throws(ObjectStoreError) in try files.requireWritable(below: prefix) }
    }

    public func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        try await offTheExecutor { () throws(ObjectStoreError) in try files.put(bytes, at: key, condition: condition) }
    }

    /// One page with every key: a directory has no snapshot to continue from.
    public func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        ListPage(keys: try await offTheExecutor { () throws(ObjectStoreError) in try files.list(below: prefix) })
    }

    public func delete(_ key: ObjectKey) async throws(ObjectStoreError) {
        try await offTheExecutor { () throws(ObjectStoreError) in try files.delete(key) }
    }

    /// Disk and lock waits block their thread, so they run on Dispatch's threads (64 at most), not on the few that all
    /// tasks share.
    private func offTheExecutor<Value: Sendable>(
        _ work: @escaping @Sendable () throws(ObjectStoreError) -> Value
    ) async throws(ObjectStoreError) -> Value {
        let result: Result<Value, ObjectStoreError> = await withCheckedContinuation { continuation in
            Self.queue.async { continuation.resume(returning: Result(catching: work)) }
        }
        return try result.get()
    }

    private static let queue = DispatchQueue(label: "rollcall.object-store", attributes: .concurrent)
}
