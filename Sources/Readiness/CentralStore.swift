public import OCI
public import ObjectStore
public import Trust

/// The domain's objects in the central object store: which object is where, and how each is changed.
///
/// | key | object | written |
/// |---|---|---|
/// | `lists/GENERATION-HEX.json` | image list | once, never changed |
/// | `inventories/ROOT-HEX.txt` | the lines of a closure: of a list, or of what a site has of one | once, never changed |
/// | `environments/ENV/record.json` | environment record | by compare-and-swap |
/// | `environments/ENV/sites/SITE.json` | cache manifest | by the site's agent alone, whole |
/// | `environments/ENV/sites/SITE/INDEX-of-COUNT.json` | cache manifest of one of several agents | by that agent alone, whole |
/// | `environments/ENV/gate.json` | gate memory | by compare-and-swap |
/// | `environments/ENV/waivers/ID.json` | waiver | once, never changed |
/// | `environments/ENV/waivers/ID.revoked.json` | revocation of a waiver | once, never changed |
/// | `audit/NUMBER.json` | audit record | once, never changed |
/// | `audit/head.json` | audit head | by compare-and-swap |
///
/// A store that cannot be reached throws, whatever is asked: what is not known is never taken for ready.
public struct CentralStore: Sendable {
    /// How many objects are read at once.
    public static let maximumConcurrentReads = 16
    /// How often a change of a record is tried while others change it. Of those who try at once one always wins, and each
    /// needs to win twice (the change, and taking its recorded event out again), so half as many writers can meet.
    public static let maximumAttempts = 256

    let objects: any ObjectStore
    let signingKey: PrivateKey?
    let clock: (@Sendable () -> Timestamp)?
    let backoff: @Sendable (Int) async -> Void
    /// What this process has seen of the objects, as long as a copy of this value lives.
    let own: OwnMemory

    /// - Parameters:
    ///   - objects: where the objects are
    ///   - signingKey: what signs the audit records that this writes, if anything
    ///   - clock: the time of each decision, taken when what it rests on has been read; unless given, it is the time of the
    ///     act that asks for it
    ///   - file: where is kept, between processes, what was seen of the objects; `nil` for nowhere
    ///   - backoff: waits after the attempt of this number, from 0, at which another writer was first
    public init(
        _ objects: any ObjectStore, signingKey: PrivateKey? = nil, clock: (@Sendable () -> Timestamp)? = nil,
        keeping file: String? = nil, backoff: @escaping @Sendable (Int) async -> Void = Self.waitAtRandom
    ) {
        own = OwnMemory(file: file)
        self.objects = objects
        self.signingKey = signingKey
        self.clock = clock
        self.backoff = backoff
    }

    /// Makes sure that the store does what changes by several at once need. Costs something the first time only.
    ///
    /// - Throws: as `ObjectStore.prepare()`
    public func prepare() async throws { try await objects.prepare() }

    /// The act at the present.
    func timed(_ act: Act) -> Act { clock.map { Act(by: act.by, at: $0(), key: act.key) } ?? act }

    /// Waits at random, up to 10 ms after the first attempt and up to half a second after the sixth and later ones, so that
    /// writers who met do not meet again. Ends early, and without an error, when the task is cancelled.
    public static let waitAtRandom: @Sendable (Int) async -> Void = { attempt in
        let longest = min(500, 10 << min(attempt, 6))
        try? await Task.sleep(for: .milliseconds(Int.random(in: 0...longest)))
    }

    // MARK: Image lists

    /// Publishes a list under its generation. A list that is there already is left as it is.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidList` where what is there is damaged.
    public func publish(_ list: ImageList) async throws {
        let key = try Self.key(ofList: list.generation)
        // First: whoever finds the list finds its lines.
        try await publish(inventory: ClosureLines(list.closure))
        switch try await objects.put(list.documentBytes, at: key, condition: .ifAbsent) {
        case .stored: return
        case .conflict:
            guard let present = try await self.list(list.generation), present == list else {
                throw ReadinessError(
                    .invalidList, "another list is stored under this generation: restore or delete the object",
                    in: key.path)
            }
        }
    }

    /// Reads the list of a generation; `nil` where it was never published.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidList` or `.unknownSchema` where it cannot be used.
    public func list(_ generation: Digest) async throws -> ImageList? {
        let key = try Self.key(ofList: generation)
        guard let object = try await objects.get(key) else { return nil }
        let list = try ImageList(parsing: object.bytes, in: key.path)
        guard list.generation == generation else {
            throw ReadinessError(
                .invalidList, "it is the list of generation \(list.generation): restore the object", in: key.path)
        }
        return list
    }

    // MARK: Environment records

    /// An environment's record with the version that it was read at.
    public struct VersionedRecord: Sendable {
        /// The record; an empty one where nothing was ever staged.
        public internal(set) var record: EnvironmentRecord
        /// The version to swap against; `nil` where there is no object yet.
        public let etag: ETag?
        /// The SHA-256 of the object; `nil` where there is none.
        let digest: Digest?
    }

    /// Reads an environment's record.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidRecord` or `.unknownSchema`.
    public func record(of environment: EnvironmentName) async throws -> VersionedRecord {
        try await record(of: environment, changedSince: nil)
            ?? VersionedRecord(
                record: EnvironmentRecord(environment: environment), etag: nil, digest: nil)
    }

    /// Reads an environment's record unless it is still the version that the caller knows: for polling.
    ///
    /// - Parameters:
    ///   - environment: the environment
    ///   - etag: the version that the caller knows; `nil` for none, or for no object
    /// - Returns: `nil` where the record is still that version
    /// - Throws: as `record(of:)`
    public func record(of environment: EnvironmentName, changedSince etag: ETag?) async throws -> VersionedRecord? {
        let key = try Self.recordKey(of: environment)
        switch try await objects.get(key, ifNoneMatch: etag) {
        case .notModified: return nil
        case .absent:
            return VersionedRecord(record: EnvironmentRecord(environment: environment), etag: nil, digest: nil)
        case .found(let object):
            return VersionedRecord(
                record: try EnvironmentRecord(parsing: object.bytes, of: environment, in: key.path), etag: object.etag,
                digest: Digest(of: object.bytes))
        }
    }

    /// What the sites of any environment hold, and by which versions of the records.
    public struct Retained: Sendable {
        /// The generations.
        public let generations: Set<Digest>
        fileprivate let versions: [EnvironmentName: ETag]
    }

    /// The generations that the sites of any environment hold, as the records say.
    ///
    /// - Throws: as `record(of:)`, also where one record of several cannot be read.
    public func retainedGenerations() async throws -> Retained {
        let root = try ObjectKey("environments")
        var generations: Set<Digest> = []
        var versions: [EnvironmentName: ETag] = [:]
        for key in try await objects.list(below: root) where key.name == "record.json" {
            let parts = key.path.split(separator: "/")
            guard parts.count == 3 else { continue }
            let current = try await record(of: try EnvironmentName(String(parts[1])))
            generations.formUnion(current.record.retainedGenerations)
            versions[current.record.environment] = current.etag
        }
        return Retained(generations: generations, versions: versions)
    }

    /// Whether each record is still the one that was read: one small question for each environment. An environment that is
    /// new since is not noticed.
    ///
    /// - Throws: `ObjectStoreError`.
    public func isCurrent(_ retained: Retained) async throws -> Bool {
        for (environment, etag) in retained.versions {
            guard case .notModified = try await objects.get(Self.recordKey(of: environment), ifNoneMatch: etag) else {
                return false
            }
        }
        return true
    }

    /// Swaps an environment's record against the version that it was read at.
    ///
    /// The events in the record's outbox have happened then. They are recorded by `settle`.
    ///
    /// - Parameters:
    ///   - record: the new record
    ///   - etag: the version that it takes the place of
    ///   - deed: the event that this swap, and no other, puts into the outbox; `nil` where doing it twice is as well as once
    /// - Returns: whether it was still that version
    func swap(
        _ record: EnvironmentRecord, against etag: ETag?, doing deed: Outbox.Pending? = nil
    ) async throws -> Bool {
        try await swap(
            Document.encode(record, .invalidRecord), at: Self.recordKey(of: record.environment), against: etag
        ) {
            guard let deed else { return false }
            return try await wasDone(deed, in: record.environment)
        }
    }

    /// Swaps an object against the version that it was read at.
    ///
    /// - Parameter wasDone: says whether it happened, where the store could not tell
    /// - Returns: whether it was still that version
    func swap(
        _ bytes: [UInt8], at key: ObjectKey, against etag: ETag?, wasDone: () async throws -> Bool
    ) async throws -> Bool {
        do throws(ObjectStoreError) {
            return try await objects.put(bytes, at: key, condition: etag.map { .ifMatch($0) } ?? .ifAbsent)
                != .conflict
        } catch {
            guard error.code == .outcomeUnknown else { throw error }
        }
        return try await wasDone()
    }

    /// Whether a change of a record happened: its event lies in the record's outbox until it is in the chain.
    private func wasDone(_ deed: Outbox.Pending, in environment: EnvironmentName) async throws -> Bool {
        // In this order: what leaves the outbox is in the chain by then.
        if try await record(of: environment).record.outbox.events.contains(deed) { return true }
        return try await isRecorded(deed)
    }

    // MARK: Keys

    static func key(ofList generation: Digest) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("lists/\(generation.hex).json")
    }

    static func recordKey(of environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/record.json")
    }

    static func memoryKey(of environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/gate.json")
    }

    static func sitesKey(of environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/sites")
    }

    static func key(
        of site: SiteName, in environment: EnvironmentName, shard: Shard? = nil
    ) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/sites/\(site)\(shard.map { "/\($0.name)" } ?? "").json")
    }
}
