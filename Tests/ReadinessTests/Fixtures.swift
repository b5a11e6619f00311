import OCI
import ObjectStore
import Synchronization

@testable import Readiness
@testable import Trust

/// Values that the tests share. `now` is a fixed moment.
enum Fixture {
    static let now = Timestamp(seconds: 1_772_366_400)  // 2026-03-01T12:00:00Z
    static let act = Act(by: "operator@host", at: now)

    /// The key of a site of this name, the same every time.
    static func key(of site: String) throws -> PrivateKey {
        let seed = digest("key of \(site)").hex.utf8.prefix(32)
        return try PrivateKey(secret: Array(seed))
    }

    static func digest(_ text: String) -> Digest { Digest(of: Array(text.utf8)) }

    /// A list of one image with a config and some layers.
    static func list(_ name: String = "platform", tag: String = "1", layers: Int = 2) throws -> ImageList {
        let repository = try Repository("platform/api")
        func entry(_ text: String, _ size: Int64, _ kind: ClosureEntry.Kind, _ type: MediaType) -> ClosureEntry {
            ClosureEntry(
                repository: repository, digest: digest("\(text) \(tag)"), size: size, kind: kind, mediaType: type)
        }
        let manifest = entry("manifest", 500, .manifest, .ociManifest)
        let blobs = (0..<layers).map {
            entry(
                "layer \($0)", Int64(1000 * ($0 + 1)), .blob, MediaType("application/vnd.oci.image.layer.v1.tar+gzip"))
        }
        let image = ImageList.Image(
            repository: repository, tag: try Tag(tag), digest: manifest.digest, mediaType: manifest.mediaType,
            size: manifest.size)
        return try ImageList(
            name: ListName(name), source: "https://registry.central.example", images: [image],
            closure: Closure([manifest] + blobs))
    }

    /// The ladder lab → production, with two sites each.
    static func fleet() throws -> Fleet {
        try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [environment("lab"), environment("production")])
    }

    static func environment(
        _ name: String = "lab", sites: [String] = ["site-1", "site-2"], freshness: Duration = .seconds(3600),
        hasKeys: Bool = true, acceptsUnsigned: Bool = false
    ) throws -> Fleet.Environment {
        try Fleet.Environment(
            name: EnvironmentName(name),
            sites: sites.map {
                Fleet.Site(
                    name: try SiteName($0), registry: "https://registry.\($0).example",
                    keys: hasKeys ? [Fleet.Key(try key(of: $0).publicKey)] : [])
            }, freshness: freshness, acceptsUnsigned: acceptsUnsigned)
    }

    static func holding(
        _ list: ImageList, missing: [ClosureEntry] = [], verified: Duration = .seconds(-60)
    ) -> CacheManifest.Holding {
        CacheManifest.Holding(of: list, missing: missing, verifiedAt: now.advanced(by: verified), depth: .presence)
    }

    /// What a reader who knows site-1's key makes of a manifest that it, or another, signed.
    static func report(
        _ manifest: CacheManifest, signedBy signer: String? = "site-1", at site: String = "site-1"
    ) throws -> SiteReport {
        SiteReport(
            reading: try manifest.objectBytes(signedBy: signer.map { try key(of: $0) }),
            keys: [try key(of: site).publicKey])
    }

    static func manifest(
        of site: String = "site-1", in environment: String = "lab", sequence: Int64 = 1,
        issued: Duration = .seconds(-30),
        expires: Duration = .seconds(3600), _ holdings: CacheManifest.Holding...
    ) throws -> CacheManifest {
        try CacheManifest(
            environment: EnvironmentName(environment), site: SiteName(site), sequence: sequence,
            issuedAt: now.advanced(by: issued), expiresAt: now.advanced(by: expires), agentVersion: "0.1.0",
            holdings: holdings)
    }
}

/// An object store in memory, which can be made to fail, or to let somebody else write just before a write.
final class MemoryStore: ObjectStore {
    private struct State {
        var objects: [ObjectKey: [UInt8]] = [:]
        var reads = 0
        var readsByKey: [ObjectKey: Int] = [:]
        var failure: ObjectStoreError?
        var beforePut: (@Sendable (ObjectKey) async -> Void)?
        var failingPuts: (@Sendable (ObjectKey) -> Bool)?
        typealias LosingReply = (key: ObjectKey, isCarriedOut: Bool, then: @Sendable () async throws -> Void)
        var losingReply: LosingReply?
        var clockLead: Duration?
        var knownClockLead: Duration?
        var clockFailure: ObjectStoreError?
    }
    private let state = Mutex(State())

    var reads: Int { state.withLock { $0.reads } }
    /// How often each object was asked for since the last `startCounting`.
    var readsByKey: [ObjectKey: Int] { state.withLock { $0.readsByKey } }

    func startCounting() { state.withLock { $0.readsByKey = [:] } }

    func fail(with error: ObjectStoreError?) { state.withLock { $0.failure = error } }
    /// Runs before the next write, once.
    func beforeNextPut(_ action: @escaping @Sendable (ObjectKey) async -> Void) {
        state.withLock { $0.beforePut = action }
    }

    /// Makes writes of some keys fail; none for `nil`.
    func failPuts(_ matches: (@Sendable (ObjectKey) -> Bool)?) { state.withLock { $0.failingPuts = matches } }

    /// Makes the reply to the next write of a key get lost, once: the write is carried out or not, others go on from
    /// there, and the store cannot tell any more.
    func loseReply(
        to key: ObjectKey, isCarriedOut: Bool, then: @escaping @Sendable () async throws -> Void
    ) {
        state.withLock { $0.losingReply = (key, isCarriedOut, then) }
    }

    func setClockLead(_ lead: Duration?) { state.withLock { $0.clockLead = lead } }

    /// Makes its clock one that cannot be asked; `nil` ends that.
    func failClock(with error: ObjectStoreError?) { state.withLock { $0.clockFailure = error } }

    func clockLead() async throws(ObjectStoreError) -> Duration? {
        let (failure, lead) = state.withLock { ($0.clockFailure, $0.clockLead) }
        if let failure { throw failure }
        return lead
    }

    /// What the store tells without being asked, as a server does.
    func setKnownClockLead(_ lead: Duration?) {
        state.withLock { ($0.clockLead, $0.knownClockLead) = (lead, lead) }
    }

    func knownClockLead() async -> Duration? { state.withLock { $0.knownClockLead } }

    private func access<Value: Sendable>(_ body: (inout State) -> Value) throws(ObjectStoreError) -> Value {
        let result: Result<Value, ObjectStoreError> = state.withLock { state in
            state.failure.map { .failure($0) } ?? .success(body(&state))
        }
        return try result.get()
    }

    func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
        try access { state in
            state.reads += 1
            state.readsByKey[key, default: 0] += 1
            guard let bytes = state.objects[key] else { return .absent }
            let current = ETag(Digest(of: bytes).hex)
            return current == etag ? .notModified : .found(StoredObject(bytes: bytes, etag: current))
        }
    }

    func put(
        _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
    ) async throws(ObjectStoreError) -> PutOutcome {
        let action = state.withLock { state in
            defer { state.beforePut = nil }
            return state.beforePut
        }
        await action?(key)
        if let failing = state.withLock({ $0.failingPuts }), failing(key) {
            throw ObjectStoreError(.unavailable, "down", at: key.path)
        }
        let losing = state.withLock { state in
            guard state.losingReply?.key == key else { return nil as State.LosingReply? }
            defer { state.losingReply = nil }
            return state.losingReply
        }
        if let losing {
            if losing.isCarriedOut { _ = try write(bytes, at: key, condition) }
            do { try await losing.then() } catch { throw ObjectStoreError(.unavailable, "\(error)", at: key.path) }
            throw ObjectStoreError(.outcomeUnknown, "the reply was lost", at: key.path)
        }
        return try write(bytes, at: key, condition)
    }

    private func write(
        _ bytes: [UInt8], at key: ObjectKey, _ condition: PutCondition
    ) throws(ObjectStoreError) -> PutOutcome {
        try access { state in
            let current = state.objects[key].map { ETag(Digest(of: $0).hex) }
            let holds =
                switch condition {
                case .none: true
                case .ifAbsent: current == nil
                case .ifMatch(let etag): current == etag
                }
            guard holds else { return .conflict }
            state.objects[key] = bytes
            return .stored(ETag(Digest(of: bytes).hex))
        }
    }

    /// Pages of two keys, so that every listing has to follow continuations.
    func list(
        below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
    ) async throws(ObjectStoreError) -> ListPage {
        try access { state in
            let keys = state.objects.keys.sorted().filter { key in
                (prefix.map { key.path.hasPrefix("\($0.path)/") } ?? true)
                    && (continuation.map { key.path > $0.token } ?? true)
            }
            let page = Array(keys.prefix(2))
            return ListPage(
                keys: page, continuation: keys.count > 2 ? page.last.map { ListPage.Continuation($0.path) } : nil)
        }
    }

    func delete(_ key: ObjectKey) async throws(ObjectStoreError) {
        try access { $0.objects[key] = nil }
    }
}
