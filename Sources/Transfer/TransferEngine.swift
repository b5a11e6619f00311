import Glibc
public import ImageLayout
public import OCI
public import Registry
import Synchronization

/// Brings content from sources to one destination registry: the way of the bytes, for the agent and for single copies.
///
/// One engine is one site's: its limits hold over everything it does at once.
public final class TransferEngine: Sendable {
    /// The figures of everything this engine has done.
    public let progress: ProgressBoard

    let sources: [ActiveSource]
    let destination: Destination
    let spool: SpoolDirectory
    let context: TransferContext

    /// - Parameters:
    ///   - sources: where content comes from; of equal priority, the first goes before the others
    ///   - destination: the registry it is brought to
    ///   - mapping: which names the list's repositories have there
    ///   - spool: a directory for blobs under way; created if its parent exists
    ///   - ledger: a file that bytes from sources are counted in by day, across runs; `nil` for none, which needs limits
    ///     without quotas
    ///   - limits: the bounds
    /// - Throws: `TransferError.spoolFailed` when the directory or the ledger cannot be had
    public convenience init(
        sources: [TransferSource], destination: RegistryClient, mapping: RepositoryMapping = RepositoryMapping(),
        spool: String, ledger: String? = nil, limits: TransferLimits = TransferLimits()
    ) throws(TransferError) {
        try self.init(
            sources: sources, destination: destination, mapping: mapping, spool: spool, limits: limits,
            meter: Self.meter(limits, ledger: ledger))
    }

    /// - Parameters:
    ///   - sources: where content comes from; of equal priority, the first goes before the others
    ///   - layout: the layout it is brought to; what is under way is kept on its file system
    ///   - mapping: which names the list's repositories have there
    ///   - ledger: a file that bytes from sources are counted in by day, across runs; `nil` for none
    ///   - limits: the bounds
    ///   - before: the engine of this process whose place this one takes: what it has of the layout is taken over
    /// - Throws: `TransferError.spoolFailed` when the layout's directory or the ledger cannot be had
    public convenience init(
        sources: [TransferSource], layout: ImageLayout, mapping: RepositoryMapping = RepositoryMapping(),
        ledger: String? = nil, limits: TransferLimits = TransferLimits(), replacing before: TransferEngine? = nil
    ) throws(TransferError) {
        try self.init(
            sources: sources, destination: LayoutStore(layout), mapping: mapping, spool: layout.spoolPath,
            limits: limits, meter: Self.meter(limits, ledger: ledger), spoolLock: before?.spool.lock)
    }

    /// Tests bring their own meter, time and chance: seconds of a monotonic clock, and a random number in `0..<1`; and their
    /// own patience (`TransferContext`).
    init(
        sources: [TransferSource], destination: any DestinationStore, mapping: RepositoryMapping, spool: String,
        limits: TransferLimits, meter: any ByteMeter = Unmetered(), spoolLock: SpoolLock? = nil,
        clock: @escaping @Sendable () -> Double = TransferEngine.monotonicClock,
        chance: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }, patience: Duration = .seconds(5)
    ) throws(TransferError) {
        let board = ProgressBoard {
            switch meter.standing {
            case .open: nil
            case .held(let pause), .stopped(let pause): pause
            }
        }
        progress = board
        let site = ConnectionBudget(max(1, limits.siteConnections))
        self.sources = sources.map {
            ActiveSource(
                $0, connections: limits.connections, site: site, cap: limits.rate,
                window: limits.receiveBuffer(connections: $0.connections ?? limits.connections), board: board,
                clock: clock, chance: chance)
        }
        self.destination = Destination(client: destination, mapping: mapping)
        self.spool = try SpoolDirectory(
            path: spool, memoryLimit: limits.memory / 2, diskLimit: limits.spool,
            smallBlobSize: SpoolDirectory.memoryBlobSize, keepsFiles: destination.keepsSpoolFiles, lock: spoolLock)
        context = TransferContext(
            limits: limits, pool: SegmentPool(limit: max(4, Int(limits.memory / 2) / SegmentPool.segmentSize)),
            board: board, meter: meter, clock: clock, chance: chance, patience: patience)
    }

    static func meter(_ limits: TransferLimits, ledger: String?) throws(TransferError) -> any ByteMeter {
        let unixTime: @Sendable () -> Int64 = { Int64(time(nil)) }
        let ledger = try ledger.map { path throws(TransferError) in
            try ByteLedger(
                path: path, quotas: ByteTally.Quotas(perDay: limits.quotaPerDay, perMonth: limits.quotaPerMonth),
                timeZone: limits.windows.timeZone, now: unixTime())
        }
        guard ledger != nil || limits.rate != nil || !limits.windows.windows.isEmpty else { return Unmetered() }
        return SiteMeter(
            rate: limits.rate, windows: limits.windows, ledger: ledger, clock: monotonicClock, unixTime: unixTime)
    }

    private static let start = ContinuousClock.now
    static let monotonicClock: @Sendable () -> Double = {
        let elapsed = start.duration(to: .now).components
        return Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
    }

    /// Asks the destination for what an inventory does not tell, and brings what is missing: blobs, then the manifests
    /// that name them, then tags. What is brought is asked for afterwards: the answer to a push is a promise.
    ///
    /// One failure does not stop the rest; what depends on it is held back. Cancelling the task stops everything, and
    /// large blobs continue from their spool files next time. So does a long pause of the site's limits: then the report
    /// says until when. A question that gets no answer stops everything: what is not known to be there or to be missing
    /// must not be taken for either.
    ///
    /// - Parameters:
    ///   - inventory: what is known of the destination
    ///   - tags: what tags are to point at; of manifests in the inventory
    ///   - events: whom to tell what happens
    public func bring(
        _ inventory: Inventory, tags: [TagAssignment] = [], events: PassEvents = PassEvents()
    ) async -> TransferReport {
        defer {
            spool.flush()
            context.meter.flush()
        }
        var report = await TransferPass(
            inventory: inventory, tags: tags, sources: sources, destination: destination, spool: spool,
            context: context, events: events
        ).run()
        guard report.unanswered == nil, !Task.isCancelled else { return report }
        let present = Set(report.inventory.present.map(\.identity))
        let waiting = tags.filter { !report.tagged.contains($0) && present.contains($0.identity) }
        report.tagFailures = await assign(waiting, onAssign: events.assigned)
        return report
    }

    /// Points tags at manifests that are at the destination.
    ///
    /// - Parameters:
    ///   - tags: the tags
    ///   - onAssign: called with each tag that was changed, as soon as it was
    /// - Returns: the assignments that could not be carried out, with the reason
    public func assign(
        _ tags: [TagAssignment], onAssign: @escaping @Sendable (TagAssignment) -> Void = { _ in }
    ) async -> [(TagAssignment, TransferError)] {
        let destination = destination
        let answers = await bounded(tags, atOnce: context.limits.checks) { tag -> TransferError? in
            do throws(TransferError) {
                if try await destination.assign(tag) { onAssign(tag) }
                return nil
            } catch {
                return error
            }
        }
        return zip(tags, answers).compactMap { tag, answer in
            switch answer {
            case .some(let error): error.map { (tag, $0) }
            case nil: (tag, TransferError(.cancelled, "the tag was not assigned: the transfer was stopped"))
            }
        }
    }
}

/// A tag to point at a manifest.
public struct TagAssignment: Sendable, Hashable {
    /// The repository, by its name at the source.
    public let repository: Repository
    /// The tag.
    public let tag: Tag
    /// What it is to point at.
    public let digest: Digest
    /// Whether a tag that points elsewhere is moved. A list that is only staged must not move what clusters may use.
    public let moves: Bool

    /// - Parameters:
    ///   - repository: the repository, by its name at the source
    ///   - tag: the tag
    ///   - digest: what it is to point at
    ///   - moves: whether a tag that points elsewhere is moved
    public init(repository: Repository, tag: Tag, digest: Digest, moves: Bool) {
        self.repository = repository
        self.tag = tag
        self.digest = digest
        self.moves = moves
    }

    /// The manifest's identity in a closure.
    public var identity: ClosureEntry.Identity { .init(repository: repository, digest: digest, kind: .manifest) }
}

/// What a pass came to.
public struct TransferReport: Sendable {
    /// One entry that is still missing.
    public struct Failure: Sendable {
        /// The entry.
        public let entry: ClosureEntry.Identity
        /// Why.
        public let error: TransferError
    }

    /// Entries that are still missing because something failed, in the order they did.
    public let failures: [Failure]
    /// Entries that are still missing because transfers are paused.
    public let postponed: Int
    /// Why, and until when; `nil` where nothing is postponed.
    public let pause: TransferPause?
    /// The sources that served wrong bytes, or that failed to the end, by name, with the latest reason: also where
    /// another source made up for it.
    public let sourceFaults: [String: String]
    /// What the destination has and lacks at the end, as it says itself; what it gave no answer about is `unasked`.
    public let inventory: Inventory
    /// Entries that the destination took and does not serve; they are among the failures.
    public let unproved: Set<ClosureEntry.Identity>
    /// Entries that were brought, and that the destination has.
    public let brought: [ClosureEntry]
    /// Seconds since the oldest of the answers that `inventory` rests on.
    public let answerAge: Double
    /// Why the pass was given up: a question to the destination that got no answer.
    public let unanswered: TransferError?
    /// Tags that could not be assigned, with the reason; those of missing manifests are not among them.
    public internal(set) var tagFailures: [(TagAssignment, TransferError)] = []
    /// Tags that were found right, or were assigned along with their manifests.
    let tagged: Set<TagAssignment>

    /// Whether everything was delivered.
    public var isComplete: Bool { failures.isEmpty && postponed == 0 && unanswered == nil && tagFailures.isEmpty }
}

/// Runs `body` over all elements with at most `atOnce` in flight; answers in the elements' order, `nil` for those that
/// were not started after `stopWhen` said so or the task was cancelled.
func bounded<Element: Sendable, Answer: Sendable>(
    _ elements: [Element], atOnce: Int, _ body: @escaping @Sendable (Element) async -> Answer,
    stopWhen: (Answer) -> Bool = { _ in false }
) async -> [Answer?] {
    var answers = [Answer?](repeating: nil, count: elements.count)
    await withTaskGroup(of: (Int, Answer).self) { group in
        var next = 0
        var isStopped = false
        func start() {
            guard next < elements.count, !isStopped, !Task.isCancelled else { return }
            let index = next
            next += 1
            group.addTask { (index, await body(elements[index])) }
        }
        for _ in 0..<max(1, atOnce) { start() }
        for await (index, answer) in group {
            answers[index] = answer
            if stopWhen(answer) {
                isStopped = true
                group.cancelAll()
            }
            start()
        }
    }
    return answers
}
