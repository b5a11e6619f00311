import HeapModule
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

/// What is known about one destination.
public struct Inventory: Sendable {
    /// Entries that the destination has.
    public let present: [ClosureEntry]
    /// Entries that it lacks, or has and does not serve.
    public let missing: [ClosureEntry]
    /// Why the destination does not serve what it says that it has: of some of the missing entries.
    public let broken: [ClosureEntry.Identity: String]
    /// Entries that it was not asked for yet.
    public let unasked: [ClosureEntry]

    /// An entry that is there twice, as in the closures of two lists, counts once.
    ///
    /// - Parameters:
    ///   - present: entries that the destination has
    ///   - missing: entries that it lacks
    ///   - broken: of the missing entries, those that it says it has, and why it does not serve them
    ///   - unasked: entries that it was not asked for yet
    public init(
        present: [ClosureEntry] = [], missing: [ClosureEntry] = [], broken: [ClosureEntry.Identity: String] = [:],
        unasked: [ClosureEntry] = []
    ) {
        var seen: Set<ClosureEntry.Identity> = []
        self.present = present.filter { seen.insert($0.identity).inserted }
        self.missing = missing.filter { seen.insert($0.identity).inserted }
        self.broken = broken
        self.unasked = unasked.filter { seen.insert($0.identity).inserted }
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
            missing: missing + present.filter { entries.contains($0.identity) }, broken: broken, unasked: unasked)
    }
}

/// What to do next in one pass, and what became possible. A pure state machine: the engine carries out its work.
///
/// The destination is asked for each entry that nothing is known of, and what it lacks is brought while others are still
/// being asked for. Blobs before the manifests that name them, child manifests before their index: a manifest is pushed
/// once everything that it names and the destination lacked has been delivered, and is given up once any of that has
/// failed.
struct TransferSchedule {
    /// One unit of work.
    enum Work: Hashable {
        case ask(ClosureEntry)
        case blob(BlobTask)
        case fetchManifest(ClosureEntry)
        case pushManifest(ClosureEntry)
    }

    /// The most units of each kind in flight.
    struct Limits: Equatable, Sendable {
        /// Questions to the destination.
        var questions = 32
        /// Blobs worth several connections each.
        var largeBlobs = 4
        /// Blobs of one connection each: enough of them to fill a long link.
        var middlingBlobs = 40
        /// Blobs that cost a round trip and hardly any bandwidth. Beside the others they fill what those leave of the
        /// link; after them, everything would wait for round trips.
        var tinyBlobs = 16
        /// Manifests on their way from the source.
        var manifestFetches = 16
        /// Manifests on their way to the destination.
        var manifestPushes = 8
        /// Blobs of more than this many bytes are large.
        var largeBlobSize: Int64 = 8 << 20
        /// Blobs of at most this many bytes are tiny.
        var tinyBlobSize: Int64 = 64 << 10
        /// Whose blobs are to be brought; others are handed out all the same, and are no part of the totals.
        var shard: Shard?
    }

    /// What is to be brought, as far as it is known.
    struct Totals: Equatable {
        var blobs = 0
        var bytes: Int64 = 0
        var manifests = 0
        /// The manifests among them that are no index.
        var images = 0
    }

    /// What is to be brought, of what the destination was asked for so far.
    private(set) var totals = Totals()

    private let limits: Limits
    private var questions: [ClosureEntry]
    private var large = Heap<Sized>()
    private var middling = Heap<Sized>()
    private var tiny = Heap<Sized>()
    private var manifests: [ClosureEntry] = []
    private var ready: [ClosureEntry] = []
    private var inFlight: [Lane: Int] = [:]

    /// Who has which blob, until everyone was asked.
    private var holders: [Content: Holders] = [:]
    /// What a fetched manifest still waits for.
    private var waitingFor: [ClosureEntry.Identity: Set<ClosureEntry.Identity>] = [:]
    private var waiters: [ClosureEntry.Identity: [ClosureEntry]] = [:]
    /// Entries that are not known to be at the destination.
    private var undelivered: Set<ClosureEntry.Identity>
    private var failed: Set<ClosureEntry.Identity> = []

    private enum Lane: Hashable { case ask, large, middling, tiny, fetch, push }

    /// A blob whose size two manifests do not agree on is two: only the one of the right size can be had, whoever named
    /// it.
    private struct Content: Hashable {
        let digest: Digest
        let size: Int64

        init(_ entry: ClosureEntry) {
            digest = entry.digest
            size = entry.size
        }
    }

    private struct Holders {
        let mediaType: MediaType
        var present: [Repository] = []
        var missing: [Repository] = []
        var unasked = 0
    }

    private struct Sized: Comparable {
        let task: BlobTask

        static func < (left: Sized, right: Sized) -> Bool {
            (left.task.size, left.task.digest) < (right.task.size, right.task.digest)
        }
    }

    init(_ inventory: Inventory, limits: Limits = Limits()) {
        self.limits = limits
        questions = Self.order(inventory.unasked, limits)
        undelivered = Set((inventory.missing + inventory.unasked).map(\.identity))
        func hold(_ entries: [ClosureEntry], _ change: (inout Holders, Repository) -> Void) {
            for entry in entries where entry.kind == .blob {
                change(&holders[Content(entry), default: Holders(mediaType: entry.mediaType)], entry.repository)
            }
        }
        hold(inventory.missing) { $0.missing.append($1) }
        hold(inventory.present) { $0.present.append($1) }
        hold(inventory.unasked) { holders, _ in holders.unasked += 1 }
        for content in holders.keys.sorted(by: { ($0.size, $0.digest) > ($1.size, $1.digest) }) { settle(content) }
        // Taken from the end.
        manifests = inventory.missing.filter { $0.kind == .manifest }.reversed()
        totals.manifests = manifests.count
        totals.images = manifests.count { !$0.mediaType.isIndex }
    }

    /// The largest blobs first, since they take longest; then manifests and tiny blobs, whose ways have the most steps for
    /// their bytes; then the others. Taken from the end.
    private static func order(_ entries: [ClosureEntry], _ limits: Limits) -> [ClosureEntry] {
        func rank(_ entry: ClosureEntry) -> Int {
            if entry.kind == .manifest || entry.size <= limits.tinyBlobSize { return 1 }
            return entry.size > limits.largeBlobSize / 8 ? 2 : 0
        }
        return entries.sorted {
            (rank($0), $0.size, $0.digest, $0.repository) < (rank($1), $1.size, $1.digest, $1.repository)
        }
    }

    /// The next unit of work that may start now; `nil` when all limits are reached or nothing is ready.
    ///
    /// - Parameter onlyAsking: whether nothing may be transferred now
    mutating func next(onlyAsking: Bool = false) -> Work? {
        if let entry = take(.ask, limit: limits.questions, { $0.questions.popLast() }) { return .ask(entry) }
        guard !onlyAsking else { return nil }
        if let entry = take(.push, limit: limits.manifestPushes, { $0.ready.popLast() }) { return .pushManifest(entry) }
        if let blob = take(.large, limit: limits.largeBlobs, { $0.large.popMax() }) { return .blob(blob.task) }
        if let entry = take(.fetch, limit: limits.manifestFetches, { $0.manifests.popLast() }) {
            return .fetchManifest(entry)
        }
        if let blob = take(.middling, limit: limits.middlingBlobs, { $0.middling.popMax() }) {
            return .blob(blob.task)
        }
        if let blob = take(.tiny, limit: limits.tinyBlobs, { $0.tiny.popMax() }) { return .blob(blob.task) }
        return nil
    }

    private func lane(ofBlobOf size: Int64) -> Lane {
        size > limits.largeBlobSize ? .large : size > limits.tinyBlobSize ? .middling : .tiny
    }

    /// What is not known to be at the destination, was not given up, and was never finished: what was never started, or
    /// waits for something that was not. Where the destination was not asked, that is not among it.
    var abandoned: [ClosureEntry.Identity] {
        let blobs = (large.unordered + middling.unordered + tiny.unordered).flatMap { sized in
            sized.task.missingIn.map {
                ClosureEntry.Identity(repository: $0, digest: sized.task.digest, kind: .blob)
            }
        }
        // Of a blob that not everyone was asked for, no transfer was begun.
        let unsettled = holders.flatMap { content, holders in
            holders.missing.map { ClosureEntry.Identity(repository: $0, digest: content.digest, kind: .blob) }
        }
        return blobs + unsettled + manifests.map(\.identity) + ready.map(\.identity) + waitingFor.keys
    }

    /// What became of an event.
    typealias HeldBack = [(ClosureEntry, lacks: ClosureEntry.Identity)]

    /// Records the destination's answer.
    ///
    /// - Returns: the blob's digest where every repository that needs it has it, so that nothing of it is to be kept
    mutating func finish(asked entry: ClosureEntry, isPresent: Bool) -> Digest? {
        inFlight[.ask, default: 1] -= 1
        if isPresent { deliver(entry.identity) }
        guard entry.kind == .blob else {
            if !isPresent {
                manifests.append(entry)
                totals.manifests += 1
                if !entry.mediaType.isIndex { totals.images += 1 }
            }
            return nil
        }
        let content = Content(entry)
        holders[content]?.unasked -= 1
        if isPresent {
            holders[content]?.present.append(entry.repository)
        } else {
            holders[content]?.missing.append(entry.repository)
        }
        return settle(content)
    }

    /// Whether every question was answered.
    var isSurveyed: Bool { questions.isEmpty && inFlight[.ask, default: 0] == 0 }

    /// Records a question that got no answer, or one that is for others to deal with: nothing is brought.
    mutating func finish(unanswered entry: ClosureEntry) -> HeldBack {
        inFlight[.ask, default: 1] -= 1
        if entry.kind == .blob {
            holders[Content(entry)]?.unasked -= 1
            settle(Content(entry))
        }
        return fail(entry.identity)
    }

    /// Makes a task of a blob once everyone was asked who needs it.
    ///
    /// - Returns: the digest where nobody lacks it
    @discardableResult
    private mutating func settle(_ content: Content) -> Digest? {
        guard let known = holders[content], known.unasked <= 0 else { return nil }
        holders[content] = nil
        guard !known.missing.isEmpty else { return content.digest }
        let task = BlobTask(
            digest: content.digest, size: content.size, mediaType: known.mediaType, missingIn: known.missing.sorted(),
            presentIn: known.present.sorted())
        // What is left to another shard is nothing that this one has to do.
        guard limits.shard?.owns(content.digest) ?? true else {
            queue(task)
            return nil
        }
        totals.blobs += 1
        // Sizes are what manifests claim: each is bounded, their sum is not.
        let (sum, isTooMuch) = totals.bytes.addingReportingOverflow(content.size)
        totals.bytes = isTooMuch ? .max : sum
        queue(task)
        return nil
    }

    private mutating func queue(_ task: BlobTask) {
        switch lane(ofBlobOf: task.size) {
        case .large: large.insert(Sized(task: task))
        case .middling: middling.insert(Sized(task: task))
        default: tiny.insert(Sized(task: task))
        }
    }

    /// Records a blob's end.
    ///
    /// - Parameter missing: the repositories that still lack it; empty after success
    /// - Returns: manifests that cannot be pushed any more, with the entry that they lack
    mutating func finish(blob: BlobTask, missing: Set<Repository>) -> HeldBack {
        inFlight[lane(ofBlobOf: blob.size), default: 1] -= 1
        return blob.missingIn.flatMap { repository -> HeldBack in
            let identity = ClosureEntry.Identity(repository: repository, digest: blob.digest, kind: .blob)
            guard missing.contains(repository) else {
                deliver(identity)
                return []
            }
            return fail(identity)
        }
    }

    /// Records a fetched manifest and what it names.
    mutating func finish(fetched entry: ClosureEntry, children: [ClosureEntry.Identity]) -> HeldBack {
        inFlight[.fetch, default: 1] -= 1
        if let lacks = children.first(where: failed.contains) { return [(entry, lacks)] + fail(entry.identity) }
        let open = Set(children).intersection(undelivered)
        if open.isEmpty {
            ready.append(entry)
        } else {
            waitingFor[entry.identity] = open
            for child in open { waiters[child, default: []].append(entry) }
        }
        return []
    }

    /// Records that a manifest could not be fetched.
    mutating func finish(unfetched entry: ClosureEntry) -> HeldBack {
        inFlight[.fetch, default: 1] -= 1
        return fail(entry.identity)
    }

    /// Records a push's end.
    mutating func finish(pushed entry: ClosureEntry, success: Bool) -> HeldBack {
        inFlight[.push, default: 1] -= 1
        guard success else { return fail(entry.identity) }
        deliver(entry.identity)
        return []
    }

    private mutating func take<Element>(_ lane: Lane, limit: Int, _ next: (inout Self) -> Element?) -> Element? {
        // A limit below one would leave everything undone without a word.
        guard inFlight[lane, default: 0] < max(1, limit), let element = next(&self) else { return nil }
        inFlight[lane, default: 0] += 1
        return element
    }

    private mutating func deliver(_ identity: ClosureEntry.Identity) {
        undelivered.remove(identity)
        for waiter in waiters.removeValue(forKey: identity) ?? [] {
            waitingFor[waiter.identity]?.remove(identity)
            if waitingFor[waiter.identity]?.isEmpty == true {
                waitingFor[waiter.identity] = nil
                ready.append(waiter)
            }
        }
    }

    private mutating func fail(_ identity: ClosureEntry.Identity) -> HeldBack {
        failed.insert(identity)
        var given: HeldBack = []
        for waiter in waiters.removeValue(forKey: identity) ?? [] where waitingFor[waiter.identity] != nil {
            waitingFor[waiter.identity] = nil
            given.append((waiter, identity))
            given += fail(waiter.identity)
        }
        return given
    }
}
