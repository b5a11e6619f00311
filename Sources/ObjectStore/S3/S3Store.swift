import HTTP

/// The central object store in a bucket of an S3 store.
///
/// An object is the one at PREFIX/KEY. Beside them the store uses keys below `PREFIX/~probe/`, which are no keys of
/// objects, for its probe.
///
/// Conditional writes exclude each other only where the S3 store does its part, and several do not; see `prepare`. Reads,
/// unconditional writes, listings and deletions are sent again when they fail; so are conditional writes, see `put`.
public struct S3Store: ObjectStore {
    let transport: S3Transport
    let writes: ConditionalWrites
    let timing: Timing
    /// Keys in one page of a listing: as many as S3 gives at once.
    var pageSize = 1000

    /// - Throws: `ObjectStoreError.invalidLocation` where the location's parts make no URL
    init(_ location: S3Location, _ access: ObjectStoreAccess) throws(ObjectStoreError) {
        transport = try S3Transport(location, access)
        writes = ConditionalWrites(allowsSingleWriter: access.singleWriter)
        timing = access.timing
    }

    /// Probes whether the store's conditional writes exclude each other, in a race too: 250 to 1200 small requests, once for
    /// this store, and again only in a process without the note that it was done (`ObjectStoreAccess.notes`).
    ///
    /// - Throws: `ObjectStoreError.unsupportedStore` where they do not, unless the store was opened for a single writer
    public func prepare() async throws(ObjectStoreError) {
        try await writes.prove(self)
    }

    /// Reads an object. Its answer to a conditional read may lack an ETag: Ceph RGW 16 sends none with 304.
    public func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        try await get(key, ifNoneMatch: etag, limit: ObjectStoreLimit.objectSize)
    }

    /// As the `Date` of its last answer has it.
    public func clockLead() async -> Duration? { transport.clock.lead }
    public func knownClockLead() async -> Duration? { transport.clock.lead }

    public func get(
        _ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int
    ) async throws(ObjectStoreError) -> GetOutcome {
        let path = path(of: key)
        var call = S3Transport.Call(
            method: .get, key: path, limit: max(S3BodySink.errorLimit, min(limit, ObjectStoreLimit.objectSize)))
        if let etag { call.headers["If-None-Match"] = ETagForm.quoted.write(etag) }
        let answer = try await transport.send(call) {
            $0.status == 200 || $0.isAbsent || ($0.status == 304 && etag != nil)
        }
        switch answer.status {
        case 304: return .notModified
        case 404: return .absent
        default:
            guard let current = answer.etag else { throw unexpected("an object without an ETag", path) }
            guard answer.body.count <= limit else {
                throw ObjectStoreError(
                    .tooLarge, "the object has \(answer.body.count) bytes; at most \(limit) are read",
                    at: transport.bucket.place(of: path))
            }
            // A store that does not know conditional reads sends the object again.
            return current == etag ? .notModified : .found(StoredObject(bytes: answer.body, etag: current))
        }
    }

    public func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        let base = transport.bucket.prefix
        var call = S3Transport.Call(method: .get, key: nil)
        call.query = [
            ("list-type", "2"), ("encoding-type", "url"), ("max-keys", "\(pageSize)"),
            ("prefix", base + (prefix.map { "\($0)/" } ?? "")),
        ]
        if let continuation { call.query.append(("continuation-token", continuation.token)) }
        // A key has 1024 bytes, which encoding triples, and its entry some 500 more.
        call.limit = pageSize * 4096 + 65_536
        let answer = try await transport.send(call) { $0.status == 200 }
        let listing: S3Listing
        do {
            listing = try S3Listing(answer.body)
        } catch {
            throw unexpected("a listing that is not well-formed (at byte \(error.offset))", base)
        }
        if let token = listing.continuation, token == continuation?.token {
            throw unexpected("a listing that does not go on", base)
        }
        // Others' objects, and those of the probe, are not ours.
        let keys = listing.keys.compactMap { key in
            key.hasPrefix(base) ? try? ObjectKey(String(key.dropFirst(base.count))) : nil
        }
        return ListPage(keys: keys, continuation: listing.continuation.map(ListPage.Continuation.init(_:)))
    }

    public func delete(_ key: ObjectKey) async throws(ObjectStoreError) {
        try await delete(path: path(of: key))
    }

    func delete(path: String) async throws(ObjectStoreError) {
        let call = S3Transport.Call(method: .delete, key: path)
        _ = try await transport.send(call) { [200, 202, 204].contains($0.status) || $0.isAbsent }
    }

    /// The key in the bucket.
    func path(of key: ObjectKey) -> String { transport.bucket.prefix + key.path }

    func unexpected(_ what: String, _ path: String?) -> ObjectStoreError {
        ObjectStoreError(
            .unavailable, "the store answers with \(what): check that the endpoint is an S3 store's",
            at: transport.bucket.place(of: path))
    }
}
