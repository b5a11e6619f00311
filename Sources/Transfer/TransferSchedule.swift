public import OCI

/// One blob to bring to a destination: once over the network, however many repositories need it.
public struct BlobTask: Sendable, Hashable {
    /// The blob's digest.
    public let digest: Digest
    /// Its length in bytes.
    public let size: Int64
    /// Its media type, as some manifest names it.
    public let mediaType: MediaType
    /// The repositories, by their names at the source, that lack it at the destination.
    public let missingIn: [Repository]
    /// Repositories, by their names at the source, that have it at the destination already.
    public let presentIn: [Repository]

    var descriptor: Descriptor { Descriptor(mediaType: mediaType, digest: digest, size: size) }
}

/// What an inventory found out about one destination.
public struct Inventory: Sendable {
    /// Entries that the destination has.
    public let present: [ClosureEntry]
    /// Entries that it lacks, or has and does not serve.
    public let missing: [ClosureEntry]
    /// Why the destination does not serve what it says that it has: of some of the missing entries.
    public let broken: [ClosureEntry.Identity: String]

    /// - Parameters:
    ///   - present: entries that the destination has
    ///   - missing: entries that it lacks; one that is there twice, as in the closures of two lists, counts once
    ///   - broken: of the missing entries, those that it says it has, and why it does not serve them
    public init(present: [ClosureEntry], missing: [ClosureEntry], broken: [ClosureEntry.Identity: String] = [:]) {
        var seen: Set<ClosureEntry.Identity> = []
        self.present = present
        self.missing = missing.filter { seen.insert($0.identity).inserted }
        self.broken = broken
    }

    /// The inventory with some of its present entries as missing.
    ///
    /// Other repositories' copies of their content are no longer where it can be mounted from: behind a registry, they are
    /// often the same file.
    public func distrusting(_ entries: Set<ClosureEntry.Identity>) -> Inventory {
        guard !entries.isEmpty || !broken.isEmpty else { return self }
        let digests = Set(entries.map(\.digest)).union(broken.keys.map(\.digest))
        return Inventory(
            present: present.filter { !digests.contains($0.digest) },
            missing: missing + present.filter { entries.contains($0.identity) }, broken: broken)
    }

    /// The digests of the blobs that every repository which needs them has.
    var deliveredBlobs: Set<Digest> {
        func digests(_ entries: [ClosureEntry]) -> Set<Digest> {
            Set(entries.lazy.filter { $0.kind == .blob }.map(\.digest))
        }
        return digests(present).subtracting(digests(missing))
    }

    /// The missing blobs, each once, largest first, so that no large one is left for the end. One whose size two manifests
    /// do not agree on is two: only the one of the right size can be had, whoever named it.
    public var blobTasks: [BlobTask] {
        struct Content: Hashable {
            let digest: Digest
            let size: Int64
        }
        var missingIn: [Content: [ClosureEntry]] = [:]
        for entry in missing where entry.kind == .blob {
            missingIn[Content(digest: entry.digest, size: entry.size), default: []].append(entry)
        }
        var presentIn: [Content: [Repository]] = [:]
        for entry in present where entry.kind == .blob {
            presentIn[Content(digest: entry.digest, size: entry.size), default: []].append(entry.repository)
        }
        return missingIn.map { content, entries in
            BlobTask(
                digest: content.digest, size: content.size, mediaType: entries[0].mediaType,
                missingIn: entries.map(\.repository).sorted(), presentIn: (presentIn[content] ?? []).sorted())
        }.sorted { ($0.size, $0.digest) > ($1.size, $1.digest) }
    }
}

/// What to do next in one pass, and what became possible. A pure state machine: the engine carries out its work.
///
/// Blobs before the manifests that name them, child manifests before their index: a manifest is pushed once everything
/// that it names and the destination lacked has been delivered, and is given up once any of that has failed.
struct TransferSchedule {
    /// One unit of work.
    enum Work: Hashable {
        case blob(BlobTask)
        case fetchManifest(ClosureEntry)
        case pushManifest(ClosureEntry)
    }

    /// The most units of each kind in flight.
    struct Limits: Equatable, Sendable {
        /// Blobs worth several connections each.
        var largeBlobs = 4
        /// Blobs of one connection each: enough of them to fill a long link.
        var smallBlobs = 40
        /// Manifests on their way from the source.
        var manifestFetches = 16
        /// Manifests on their way to the destination.
        var manifestPushes = 8
        /// Blobs of more than this many bytes are large.
        var largeBlobSize: Int64 = 8 << 20
    }

    private let limits: Limits
    private var large: [BlobTask]
    private var small: [BlobTask]
    private var manifests: [ClosureEntry]
    private var ready: [ClosureEntry] = []
    private var inFlight: [Lane: Int] = [:]

    /// What a fetched manifest still waits for.
    private var waitingFor: [ClosureEntry.Identity: Set<ClosureEntry.Identity>] = [:]
    private var waiters: [ClosureEntry.Identity: [ClosureEntry]] = [:]
    /// Entries that were missing when the pass began, and what became of them.
    private var undelivered: Set<ClosureEntry.Identity>
    private var failed: Set<ClosureEntry.Identity> = []

    private enum Lane: Hashable { case large, small, fetch, push }

    init(_ inventory: Inventory, limits: Limits = Limits()) {
        self.limits = limits
        let blobs = inventory.blobTasks
        // Taken from the end: the largest last.
        large = blobs.filter { $0.size > limits.largeBlobSize }.reversed()
        small = blobs.filter { $0.size <= limits.largeBlobSize }.reversed()
        manifests = inventory.missing.filter { $0.kind == .manifest }.reversed()
        undelivered = Set(inventory.missing.map(\.identity))
    }

    /// The next unit of work that may start now; `nil` when all limits are reached or nothing is ready.
    mutating func next() -> Work? {
        if let entry = take(.push, limit: limits.manifestPushes, from: \.ready) { return .pushManifest(entry) }
        if let blob = take(.large, limit: limits.largeBlobs, from: \.large) { return .blob(blob) }
        if let entry = take(.fetch, limit: limits.manifestFetches, from: \.manifests) { return .fetchManifest(entry) }
        if let blob = take(.small, limit: limits.smallBlobs, from: \.small) { return .blob(blob) }
        return nil
    }

    /// Whether nothing is left to start or to wait for.
    var isFinished: Bool {
        large.isEmpty && small.isEmpty && manifests.isEmpty && ready.isEmpty && inFlight.values.allSatisfy { $0 == 0 }
    }

    /// What was never started, or waits for something that was not.
    var abandoned: [ClosureEntry.Identity] {
        (large + small).flatMap { blob in
            blob.missingIn.map { ClosureEntry.Identity(repository: $0, digest: blob.digest, kind: .blob) }
        } + manifests.map(\.identity) + ready.map(\.identity) + waitingFor.keys
    }

    /// Records a blob's end.
    ///
    /// - Parameter missing: the repositories that still lack it; empty after success
    /// - Returns: manifests that cannot be pushed any more, with the entry that they lack
    mutating func finish(blob: BlobTask, missing: Set<Repository>) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        inFlight[blob.size > limits.largeBlobSize ? .large : .small, default: 1] -= 1
        return blob.missingIn.flatMap { repository in
            let identity = ClosureEntry.Identity(repository: repository, digest: blob.digest, kind: .blob)
            return missing.contains(repository) ? fail(identity) : deliver(identity)
        }
    }

    /// Records a fetched manifest and what it names.
    mutating func finish(
        fetched entry: ClosureEntry, children: [ClosureEntry.Identity]
    ) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        inFlight[.fetch, default: 1] -= 1
        if let lacks = children.first(where: failed.contains) { return [(entry, lacks)] + fail(entry.identity) }
        let open = Set(children).intersection(undelivered)
        if open.isEmpty {
            ready.insert(entry, at: 0)
        } else {
            waitingFor[entry.identity] = open
            for child in open { waiters[child, default: []].append(entry) }
        }
        return []
    }

    /// Records that a manifest could not be fetched.
    mutating func finish(unfetched entry: ClosureEntry) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        inFlight[.fetch, default: 1] -= 1
        return fail(entry.identity)
    }

    /// Records a push's end.
    mutating func finish(pushed entry: ClosureEntry, success: Bool) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        inFlight[.push, default: 1] -= 1
        return success ? deliver(entry.identity) : fail(entry.identity)
    }

    private mutating func take<Element>(_ lane: Lane, limit: Int, from queue: WritableKeyPath<Self, [Element]>)
        -> Element?
    {
        // A limit below one would leave everything undone without a word.
        guard inFlight[lane, default: 0] < max(1, limit), let element = self[keyPath: queue].popLast() else {
            return nil
        }
        inFlight[lane, default: 0] += 1
        return element
    }

    private mutating func deliver(_ identity: ClosureEntry.Identity) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        undelivered.remove(identity)
        for waiter in waiters.removeValue(forKey: identity) ?? [] {
            waitingFor[waiter.identity]?.remove(identity)
            if waitingFor[waiter.identity]?.isEmpty == true {
                waitingFor[waiter.identity] = nil
                ready.insert(waiter, at: 0)
            }
        }
        return []
    }

    private mutating func fail(_ identity: ClosureEntry.Identity) -> [(ClosureEntry, lacks: ClosureEntry.Identity)] {
        failed.insert(identity)
        var given: [(ClosureEntry, lacks: ClosureEntry.Identity)] = []
        for waiter in waiters.removeValue(forKey: identity) ?? [] where waitingFor[waiter.identity] != nil {
            waitingFor[waiter.identity] = nil
            given.append((waiter, identity))
            given += fail(waiter.identity)
        }
        return given
    }
}
