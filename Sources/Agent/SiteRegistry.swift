import OCI
import Readiness
import Registry
import Transfer

/// What a pass needs of the site's regional registry and of the sources.
protocol SiteRegistry: Sendable {
    /// Asks the registry to show each entry.
    ///
    /// - Throws: as soon as one question gets no answer: what is not known must not be taken for there or missing
    func inventory(of entries: [ClosureEntry]) async throws -> Inventory

    /// Asks the registry to show each entry, brings what is missing meanwhile, and points tags at what is there. What the
    /// registry has and does not serve is left as it is.
    ///
    /// - Throws: as soon as one question gets no answer; `CancellationError`
    func bring(_ entries: [ClosureEntry], tags: [TagAssignment], events: PassEvents) async throws -> Delivery

    /// Brings what is missing. What fails does not stop the rest, and each cause of it comes back as a line for people.
    ///
    /// - Parameter pushed: called with each manifest that the registry has taken
    /// - Throws: `CancellationError` only
    func bringMissing(
        _ inventory: Inventory, pushed: @escaping @Sendable (ClosureEntry) -> Void
    ) async throws -> Delivery

    /// Pushes manifests once more that the registry took and does not serve. What fails comes back as a line for people
    /// each.
    ///
    /// - Throws: `CancellationError` only
    func mend(_ manifests: [ClosureEntry]) async throws -> [String]

    /// Reads an entry back and hashes it.
    ///
    /// - Parameter isBudgeted: whether it counts against the budget for reading back, and waits for it
    /// - Throws: where nothing is known
    func readBack(_ entry: ClosureEntry, isBudgeted: Bool) async throws -> ContentProof

    /// Points tags at images that are there. What fails comes back as a line for people each.
    ///
    /// - Parameter assigned: called with each tag that was changed
    /// - Throws: `CancellationError` only
    func assignTags(
        _ tags: [TagAssignment], assigned: @escaping @Sendable (TagAssignment) -> Void
    ) async throws -> [String]

    /// Where an entry is in the registry.
    func place(of entry: ClosureEntry.Identity) throws -> ProofJournal.Place

    /// The same registry, and somebody to whom each piece that is read back is a sign of life.
    func signing(_ sign: @escaping @Sendable () -> Void) -> any SiteRegistry
}

extension SiteRegistry {
    /// What reads nothing in pieces has nothing to say.
    func signing(_ sign: @escaping @Sendable () -> Void) -> any SiteRegistry { self }
}

/// What came of bringing what was missing.
struct Delivery: Sendable {
    /// What the registry shows at the end; where it was asked.
    var inventory = Inventory()
    /// How long ago the oldest of its answers was asked for.
    var answerAge = Duration.zero
    /// Entries that were brought, and that it shows.
    var brought: [ClosureEntry] = []
    /// Whether it has something, of before or just taken, that it does not serve.
    var needsMending = false
    /// What failed, as a line for people each.
    var failures: [String] = []
    /// The entries that failed.
    var undelivered: Set<ClosureEntry.Identity> = []
    /// Entries that wait until transfers go on.
    var postponed = 0
    /// Why they wait, and until when.
    var pause: TransferPause?
    /// Sources that served wrong bytes or failed to the end, with the latest reason, also where others made up for it.
    var sourceFaults: [String: String] = [:]
}

/// The regional registry, through the engine.
struct RegionalRegistry: SiteRegistry {
    let engine: TransferEngine
    /// Which name a source's repository has there.
    let mapping: RepositoryMapping
    let budget: ReadBudget
    /// A piece was read back.
    var sign: @Sendable () -> Void = {}

    func signing(_ sign: @escaping @Sendable () -> Void) -> any SiteRegistry {
        var registry = self
        registry.sign = sign
        return registry
    }

    func inventory(of entries: [ClosureEntry]) async throws -> Inventory { try await engine.inventory(of: entries) }

    func bring(_ entries: [ClosureEntry], tags: [TagAssignment], events: PassEvents) async throws -> Delivery {
        let report = await engine.bring(Inventory(unasked: entries), tags: tags, events: events)
        try Task.checkCancellation()
        if let error = report.unanswered { throw error }
        return Delivery(
            inventory: report.inventory, answerAge: .seconds(report.answerAge), brought: report.brought,
            needsMending: !report.inventory.broken.isEmpty || !report.unproved.isEmpty,
            failures: report.causes + report.tagFailures.map { "\($0.0.repository):\($0.0.tag): \($0.1)" },
            undelivered: Set(report.failures.map(\.entry)), postponed: report.postponed, pause: report.pause,
            sourceFaults: report.sourceFaults)
    }

    func bringMissing(
        _ inventory: Inventory, pushed: @escaping @Sendable (ClosureEntry) -> Void
    ) async throws -> Delivery {
        var events = PassEvents()
        events.pushed = pushed
        let report = await engine.bring(inventory, events: events)
        try Task.checkCancellation()
        // What it took and does not serve is for a closer look, and to be mended.
        return Delivery(
            failures: report.causes(leavingOut: report.unproved),
            undelivered: Set(report.failures.map(\.entry)).subtracting(report.unproved), postponed: report.postponed,
            pause: report.pause, sourceFaults: report.sourceFaults)
    }

    func mend(_ manifests: [ClosureEntry]) async throws -> [String] {
        let failures = await engine.mend(manifests)
        try Task.checkCancellation()
        return failures.map { "\($0.0.repository)@\($0.0.digest): \($0.1)" }
    }

    func readBack(_ entry: ClosureEntry, isBudgeted: Bool) async throws -> ContentProof {
        try await engine.readBack(entry, budget: (isBudgeted ? budget : ReadBudget()).telling(sign))
    }

    func assignTags(
        _ tags: [TagAssignment], assigned: @escaping @Sendable (TagAssignment) -> Void
    ) async throws -> [String] {
        let failures = await engine.assign(tags, onAssign: assigned)
        try Task.checkCancellation()
        return failures.map { "\($0.0.repository):\($0.0.tag): \($0.1)" }
    }

    func place(of entry: ClosureEntry.Identity) throws -> ProofJournal.Place {
        ProofJournal.Place(
            repository: try mapping.destination(of: entry.repository), digest: entry.digest, kind: entry.kind)
    }
}
