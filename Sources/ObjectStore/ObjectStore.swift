/// The central object store: the only state that coordinators and agents share.
///
/// The least that conditional-write object stores offer: reads that can be skipped by ETag, writes that can be made
/// conditional, listing in pages. Each operation is atomic: a reader sees a whole object, old or new. A write that has
/// returned is durable.
public protocol ObjectStore: Sendable {
    /// Makes sure that the store does what conditional writes need.
    ///
    /// A store does so by itself before its first conditional write; whoever runs for long calls this at its start, to
    /// fail there and not hours later.
    ///
    /// - Throws: `ObjectStoreError`; `unsupportedStore` where conditional writes do not exclude each other.
    func prepare() async throws(ObjectStoreError)

    /// Reads an object.
    ///
    /// - Parameters:
    ///   - key: the object's key
    ///   - etag: what the caller already holds; an object that still has it is not read again
    /// - Throws: `ObjectStoreError`; `tooLarge` for an object over `ObjectStoreLimit.objectSize`.
    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome

    /// Reads an object of a bounded size: what is larger is not taken into memory.
    ///
    /// - Parameters:
    ///   - key: the object's key
    ///   - etag: what the caller already holds; an object that still has it is not read again
    ///   - limit: the most bytes that are read, at most `ObjectStoreLimit.objectSize`
    /// - Throws: `ObjectStoreError`; `tooLarge` for an object over the limit.
    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int) async throws(ObjectStoreError) -> GetOutcome

    /// Writes an object, whole.
    ///
    /// - Parameters:
    ///   - bytes: the object, at most `ObjectStoreLimit.objectSize`
    ///   - key: the object's key
    ///   - condition: what must hold of the object there now; checked and written as one step among all processes
    /// - Throws: `ObjectStoreError`. It may then have been stored or not: read before deciding anything.
    func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome

    /// Lists keys, in the store's order: ascending by their bytes in most; SeaweedFS 4.48 lists what is below `a/` before
    /// `a-b`.
    ///
    /// - Parameters:
    ///   - prefix: the keys below this one, at any depth; all keys for `nil`
    ///   - continuation: what the page before carried; `nil` for the first page
    /// - Throws: `ObjectStoreError`.
    func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage

    /// Deletes an object. One that does not exist is deleted already.
    ///
    /// - Throws: `ObjectStoreError`.
    func delete(_ key: ObjectKey) async throws(ObjectStoreError)

    /// Sees that this user may write objects below a key, and changes nothing that anybody sees.
    ///
    /// - Parameter prefix: the key below which objects are to be written
    /// - Throws: `ObjectStoreError`; `permissionDenied` where this user may not.
    func requireWritable(below prefix: ObjectKey) async throws(ObjectStoreError)

    /// How far the store's clock is ahead of this machine's, as far as that can be told at little cost; negative where it
    /// is behind. Whole seconds; `nil` where nothing is known. A clock that only this machine has tells nothing.
    ///
    /// - Throws: `ObjectStoreError` where the store has a clock and it cannot be asked: nobody knows then whether this
    ///   machine's is right
    func clockLead() async throws(ObjectStoreError) -> Duration?

    /// The same, as far as a server's answers have told it by the way: nothing is asked and nothing written. `nil` for a
    /// store without a server, whose clock may be this machine's.
    func knownClockLead() async -> Duration?
}

/// The bounds that every store keeps.
public enum ObjectStoreLimit {
    /// The largest object that is read or written, in bytes: 256 MiB, held in memory whole.
    public static let objectSize = 256 << 20
    /// The most keys that one listing collects.
    public static let listedKeys = 1_000_000
    /// The most pages that one listing asks for: a store may give fewer keys in a page than were asked for, and none.
    public static let listedPages = 10_000
}

extension ObjectStore {
    /// Nothing to make sure of.
    public func prepare() async throws(ObjectStoreError) {}

    /// Nothing is known of a clock.
    public func clockLead() async throws(ObjectStoreError) -> Duration? { nil }

    /// By a write whose condition never holds, so that the store decides on the right alone.
    public func requireWritable(below prefix: ObjectKey) async throws(ObjectStoreError) {
        _ = try await put([], at: ObjectKey("\(prefix.path)/doctor"), condition: .ifMatch(ETag("doctor")))
    }

    /// Nothing was told.
    public func knownClockLead() async -> Duration? { nil }

    /// Reads an object whole, and refuses it afterwards: for stores that have it in memory.
    public func get(
        _ key: ObjectKey, ifNoneMatch etag: ETag?, limit: Int
    ) async throws(ObjectStoreError) -> GetOutcome {
        let outcome = try await get(key, ifNoneMatch: etag)
        guard case .found(let object) = outcome, object.bytes.count > limit else { return outcome }
        throw ObjectStoreError(
            .tooLarge, "the object has \(object.bytes.count) bytes; at most \(limit) are read", at: key.path)
    }

    /// Reads an object; `nil` where there is none.
    ///
    /// - Parameters:
    ///   - key: the object's key
    ///   - limit: the most bytes that are read: as many as any object may have unless said
    /// - Throws: `ObjectStoreError`; `tooLarge` for an object over the limit.
    public func get(
        _ key: ObjectKey, limit: Int = ObjectStoreLimit.objectSize
    ) async throws(ObjectStoreError) -> StoredObject? {
        switch try await get(key, ifNoneMatch: nil, limit: limit) {
        case .found(let object): object
        case .absent: nil
        case .notModified:
            throw ObjectStoreError(.unavailable, "answered 'not modified' to an unconditional read", at: key.path)
        }
    }

    /// Lists every key below a key, in ascending order of their bytes.
    ///
    /// - Throws: `ObjectStoreError`; `tooLarge` over `ObjectStoreLimit.listedKeys`.
    public func list(below prefix: ObjectKey?) async throws(ObjectStoreError) -> [ObjectKey] {
        var keys: [ObjectKey] = []
        var continuation: ListPage.Continuation?
        var pages = 0
        repeat {
            pages += 1
            guard pages <= ObjectStoreLimit.listedPages else {
                throw ObjectStoreError(
                    .tooLarge, "a listing of more than \(ObjectStoreLimit.listedPages) pages",
                    at: prefix?.path ?? "the store")
            }
            let page = try await list(below: prefix, continuingFrom: continuation)
            keys += page.keys
            continuation = page.continuation
            guard keys.count <= ObjectStoreLimit.listedKeys else {
                throw ObjectStoreError(
                    .tooLarge, "more than \(ObjectStoreLimit.listedKeys) objects", at: prefix?.path ?? "the store")
            }
        } while continuation != nil
        return keys.sorted()
    }
}

/// A version of an object: equal ETags of one key mean equal bytes. Opaque, quotes not included.
public struct ETag: Hashable, Sendable, CustomStringConvertible {
    /// The tag's text.
    public let text: String

    /// - Parameter text: the tag as the store gave it, without quotes
    public init(_ text: String) { self.text = text }

    public var description: String { text }
}

/// An object as it was read.
public struct StoredObject: Hashable, Sendable {
    /// The whole content.
    public let bytes: [UInt8]
    /// The version that the content is of.
    public let etag: ETag

    /// - Parameters:
    ///   - bytes: the whole content
    ///   - etag: the version that the content is of
    public init(bytes: [UInt8], etag: ETag) {
        self.bytes = bytes
        self.etag = etag
    }
}

/// What a read found.
public enum GetOutcome: Hashable, Sendable {
    /// The object.
    case found(StoredObject)
    /// The object is still the version that the caller named.
    case notModified
    /// There is no such object.
    case absent
}

/// What must hold for a write to happen.
public enum PutCondition: Hashable, Sendable {
    /// Nothing: the last writer wins.
    case none
    /// There is no such object: create-if-absent.
    case ifAbsent
    /// The object is of this version: compare-and-swap.
    case ifMatch(ETag)
}

/// What became of a write.
public enum PutOutcome: Hashable, Sendable {
    /// Stored, as this version.
    case stored(ETag)
    /// The condition did not hold; nothing was written.
    case conflict
}

/// A part of a listing.
public struct ListPage: Sendable {
    /// Where the next page starts: opaque, as the store gave it.
    public struct Continuation: Hashable, Sendable {
        /// The store's token.
        public let token: String

        /// - Parameter token: the store's token
        public init(_ token: String) { self.token = token }
    }

    /// The keys, in the store's order.
    public let keys: [ObjectKey]
    /// Where the next page starts; `nil` on the last page.
    public let continuation: Continuation?

    /// - Parameters:
    ///   - keys: the keys, in the store's order
    ///   - continuation: where the next page starts; `nil` on the last page
    public init(keys: [ObjectKey], continuation: Continuation? = nil) {
        self.keys = keys
        self.continuation = continuation
    }
}
