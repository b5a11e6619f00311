import FoundationEssentials
import ObjectStore

/// A copied directory as an object store: of the whole store, or of its `audit` directory alone.
enum AuditCopy {
    static func open(_ path: String) throws -> any ObjectStore {
        let absolute = path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
        guard (try? FileManager.default.contentsOfDirectory(atPath: absolute)) != nil else {
            throw UsageError("\(path): not a directory that can be read")
        }
        let store = DirectoryStore(root: absolute)
        let hasAudit = FileManager.default.fileExists(atPath: "\(absolute)/audit")
        return hasAudit ? store : AuditDirectory(files: store)
    }
}

/// What lies in a directory, as if it were below `audit/`. For reading only.
private struct AuditDirectory: ObjectStore {
    static let prefix = "audit/"
    let files: DirectoryStore

    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        guard key.path.hasPrefix(Self.prefix) else { return .absent }
        return try await files.get(ObjectKey(String(key.path.dropFirst(Self.prefix.count))), ifNoneMatch: etag)
    }

    func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        guard prefix == nil || prefix?.path == "audit" else { return ListPage(keys: []) }
        var keys: [ObjectKey] = []
        for key in try await files.list(below: nil) { keys.append(try ObjectKey(Self.prefix + key.path)) }
        return ListPage(keys: keys)
    }

    func put(_ bytes: [UInt8], at key: ObjectKey, condition: PutCondition) async throws(ObjectStoreError) -> PutOutcome
    {
        throw Self.readOnly(key)
    }

    func delete(_ key: ObjectKey) async throws(ObjectStoreError) { throw Self.readOnly(key) }

    private static func readOnly(_ key: ObjectKey) -> ObjectStoreError {
        ObjectStoreError(.permissionDenied, "a copy is only read", at: key.path)
    }
}
