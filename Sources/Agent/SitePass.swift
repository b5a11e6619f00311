import OCI
import ObjectStore
import Readiness
import Transfer
import Trust

/// What a pass needs of the site's regional registry and of the sources.
protocol SiteRegistry: Sendable {
    /// Asks the registry which entries it has.
    ///
    /// - Throws: as soon as one question gets no answer: what is not known must not be taken for there or missing
    func inventory(of entries: [ClosureEntry]) async throws -> Inventory

    /// Brings what is missing, asks for it, and points tags at manifests that are there. What fails does not stop the
    /// rest, and each cause of it comes back as a line for people.
    ///
    /// - Throws: as soon as one question gets no answer; `CancellationError`
    func bring(_ entries: [ClosureEntry], tags: [TagAssignment]) async throws -> Delivery
}

/// What came of bringing what was missing.
struct Delivery: Sendable {
    /// What the registry has and lacks at the end, as it says itself.
    var inventory = Inventory()
    /// How long ago the oldest of its answers was asked for.
    var answerAge = Duration.zero
    /// Entries that were brought.
    var brought: [ClosureEntry] = []
    /// What failed, as a line for people each.
    var failures: [String] = []
    /// Entries that wait until transfers go on.
    var postponed = 0
    /// Why they wait, and until when.
    var pause: TransferPause?
    /// Sources that served wrong bytes or failed to the end, with the latest reason, also where others made up for it.
    var sourceFaults: [String: String] = [:]
}

/// One pass of the agent: from the environment's record to the cache manifest.
struct SitePass: Sendable {
    /// What a pass may do to the site's registry.
    enum Mode {
        /// Fetch what is missing.
        case sync
        /// Look only.
        case verify
    }

    let site: SiteName
    let environment: EnvironmentName
    /// How long the cache manifest holds.
    let validity: Duration
    let version: String
    let central: CentralStore
    let registry: any SiteRegistry
    let state: StateDirectory
    /// What signs the cache manifests; `nil` leaves them unsigned.
    let signingKey: PrivateKey?
    let now: @Sendable () -> Timestamp

    /// Reads the lists, brings what is missing, verifies at the destination, and publishes the cache manifest.
    ///
    /// A list that cannot be read, or an entry that cannot be brought, does not stop the others: the manifest then says
    /// what is missing, and the gate stays closed on it.
    ///
    /// - Throws: where nothing can be said about the site: the central store or the regional registry is out of reach,
    ///   or the state directory is unusable. No manifest is published then, and the one before it runs out.
    func run(_ mode: Mode, record: EnvironmentRecord) async throws -> PassReport {
        var failures: [String] = []
        let lists = try await lists(of: record, failures: &failures)
        let closure = Closure(lists.flatMap(\.closure.entries))

        var delivery = Delivery()
        switch mode {
        case .sync:
            delivery = try await registry.bring(closure.entries, tags: Self.tags(of: lists, record: record))
            failures += delivery.failures
        case .verify:
            let start = ContinuousClock.now
            delivery.inventory = try await registry.inventory(of: closure.entries)
            delivery.answerAge = .now - start
        }
        let missing = delivery.inventory.missing
        try await publish(lists, missing: missing, answerAge: delivery.answerAge)
        return PassReport(
            lists: lists.count, unreadableLists: Self.generations(of: record).count - lists.count,
            entries: closure.entries.count, bytes: closure.uniqueBytes, missing: missing, delivered: delivery.brought,
            failures: failures,
            postponed: delivery.postponed, pause: delivery.pause, sourceFaults: delivery.sourceFaults)
    }

    /// What is staged and what is promoted, each generation once.
    static func generations(of record: EnvironmentRecord) -> [Digest] {
        Set(record.lists.values.flatMap { [$0.staged?.generation, $0.promoted?.generation] }.compactMap { $0 }).sorted()
    }

    /// What tags are to point at once it is there. A promoted list moves its tags; one that is only staged names what has
    /// no name yet, and does not change what clusters may use.
    static func tags(of lists: [ImageList], record: EnvironmentRecord) -> [TagAssignment] {
        let promoted = Set(record.lists.values.compactMap { $0.promoted?.generation })
        var assignments: [String: TagAssignment] = [:]
        // In a fixed order, so that of two promoted lists that disagree on a tag, the same one has it every time.
        for list in lists.sorted(by: { ($0.name, $0.generation) < ($1.name, $1.generation) }) {
            let moves = promoted.contains(list.generation)
            for image in list.images {
                guard let tag = image.tag else { continue }
                let name = "\(image.repository):\(tag)"
                if let other = assignments[name], other.moves || !moves { continue }
                assignments[name] = TagAssignment(
                    repository: image.repository, tag: tag, digest: image.digest, moves: moves)
            }
        }
        return assignments.sorted { $0.key < $1.key }.map(\.value)
    }

    private func lists(of record: EnvironmentRecord, failures: inout [String]) async throws -> [ImageList] {
        var lists: [ImageList] = []
        for generation in Self.generations(of: record) {
            do {
                if let list = try await central.list(generation) {
                    lists.append(list)
                } else {
                    failures.append("the list of generation \(generation) is not in the central store: stage it again")
                }
            } catch let error as ReadinessError {
                failures.append("\(error)")
            }
        }
        return lists
    }

    private func publish(_ lists: [ImageList], missing: [ClosureEntry], answerAge: Duration) async throws {
        let published = try await lastSequence()
        // From the age, not from the clock before the pass: that may have been set meanwhile. A second more for the part of
        // one that the age leaves out.
        let issuedAt = now()
        let verifiedAt = issuedAt.advanced(by: .zero - answerAge - .seconds(1))
        try await central.publish(
            CacheManifest(
                environment: environment, site: site, sequence: try state.nextSequence(after: published),
                issuedAt: issuedAt, expiresAt: issuedAt.advanced(by: validity), agentVersion: version,
                holdings: lists.map { list in
                    CacheManifest.Holding(of: list, missing: missing, verifiedAt: verifiedAt, depth: .presence)
                }), signedBy: signingKey)
    }

    /// The highest sequence number of the site that the central store knows of, so that an agent whose state was lost does
    /// not go back: that of the manifest which is published, where it is our own, and that which a gate saw last.
    private func lastSequence() async throws -> Int64? {
        let keys = signingKey.map { [$0.publicKey] } ?? []
        let published: Int64?
        switch try await central.report(of: site, in: environment, keys: keys)?.content {
        case .signed(let manifest, by: _): published = manifest.sequence
        case .unproved(let manifest): published = signingKey == nil ? manifest.sequence : nil
        case .wronglySigned, .unreadable, nil: published = nil
        }
        let seen = try await central.lastSequence(of: site, in: environment)
        return [published, seen].compactMap { $0 }.max()
    }
}
