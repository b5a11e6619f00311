import ConfigurationFiles
import HTTP
import Logging
import OCI
import ObjectStore
import Readiness
import Registry
import Synchronization
import TestSupport
import Transfer
import Trust

@testable import Agent

/// A site of a fleet of one, with a real directory store, a real state directory, and a registry in memory.
struct SiteFixture: Sendable {
    let directory: TemporaryDirectory
    let central: CentralStore
    let fleet: Fleet
    let registry = FakeRegistry()
    let clock = FakeClock()
    let site: SiteName
    let environment: EnvironmentName
    let key: PrivateKey

    /// - Parameter origin: the URL of its registry, as the fleet file has it
    init(registry origin: String = "https://lab-1.example") throws {
        directory = try TemporaryDirectory("agent")
        _ = try directory.write("store/.keep", "")
        let location = try ObjectStoreLocation("file://\(directory.file("store"))")
        site = try SiteName("lab-1")
        environment = try EnvironmentName("lab")
        key = try PrivateKey.generate()
        central = CentralStore(try location.open())
        fleet = try Fleet(
            objectStore: location,
            environments: [
                Fleet.Environment(
                    name: environment,
                    sites: [.init(name: site, registry: origin, keys: [.init(key.publicKey)])])
            ])
    }

    /// The pass, with the state directory of this name; of a process that has seen nothing yet with an object store of its own.
    func pass(state: String = "state", central: CentralStore? = nil) throws -> SitePass {
        let clock = clock
        return SitePass(
            site: site, environment: environment, validity: .seconds(3600), version: "test", owner: "agent@host",
            central: central ?? self.central,
            registry: registry, state: try StateDirectory(path: directory.file(state)),
            journal: try journal(state), signingKey: key,
            now: { clock.now })
    }

    /// The reader of content, with the journal of the pass of this state directory.
    func audit(
        state: String = "state", journal: ProofJournal? = nil, _ change: (inout AgentFile.Audit) -> Void = { _ in },
        log: Logger? = nil
    ) throws -> ContentAudit {
        var settings = AgentFile.Audit(period: .seconds(30 * 86_400), rate: 16 << 20, quotaPerDay: nil)
        change(&settings)
        let clock = clock
        return ContentAudit(
            registry: registry, journal: try journal ?? self.journal(state), budget: ReadBudget(), settings: settings,
            timing: Timing(
                now: { .now }, unixTime: { Double(clock.now.seconds) }, sleep: { try await Task.sleep(for: $0) },
                chance: { 0.5 }),
            logger: log ?? Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
    }

    /// The journal beside a state directory.
    func journal(_ state: String = "state") throws -> ProofJournal {
        try ProofJournal(path: directory.file("\(state)-proofs.sqlite"), registry: "https://lab-1.example")
    }

    /// One pass over what is staged and promoted now.
    func run(_ mode: SitePass.Mode, state: String = "state") async throws -> PassReport {
        try await pass(state: state).run(mode, record: try await central.record(of: environment).record)
    }

    @discardableResult
    func stage(_ list: ImageList) async throws -> ImageList {
        _ = try await central.stage(list, to: environment, of: fleet, act: act)
        return list
    }

    func promote(_ name: String) async throws {
        let outcome = try await central.promote(ListName(name), in: environment, of: fleet, act: act)
        guard case .promoted = outcome else { throw Unexpected(outcome: "\(outcome)") }
    }

    func verdict(_ name: String) async throws -> Verdict {
        try await central.check(ListName(name), in: environment, of: fleet, act: act)
    }

    func manifest() async throws -> CacheManifest? {
        let report = try await central.report(of: site, in: environment, keys: [key.publicKey])
        guard case .signed(let manifest, by: _) = report?.content else { return nil }
        return manifest
    }

    private var act: Act { Act(by: "test@host", at: clock.now) }

    struct Unexpected: Error {
        let outcome: String
    }
}

/// A list of images with one layer each; the layer's bytes are the image's text.
func list(_ name: String, _ images: (repository: String, tag: String?, text: String)...) throws -> ImageList {
    var entries: [ClosureEntry] = []
    var pinned: [ImageList.Image] = []
    for image in images {
        let repository = try Repository(image.repository)
        let layer = Array(image.text.utf8)
        let manifest = Array("manifest of \(image.text)".utf8)
        entries.append(
            ClosureEntry(
                repository: repository, digest: Digest(of: layer), size: Int64(layer.count), kind: .blob,
                mediaType: MediaType("application/octet-stream")))
        entries.append(
            ClosureEntry(
                repository: repository, digest: Digest(of: manifest), size: Int64(manifest.count), kind: .manifest,
                mediaType: .ociManifest))
        pinned.append(
            ImageList.Image(
                repository: repository, tag: try image.tag.map { try Tag($0) }, digest: Digest(of: manifest),
                mediaType: .ociManifest, size: Int64(manifest.count)))
    }
    return try ImageList(
        name: try ListName(name), source: "https://central.example", images: pinned, closure: Closure(entries))
}

/// A registry that holds what it is told to.
final class FakeRegistry: SiteRegistry {
    struct State {
        var present: Set<ClosureEntry.Identity> = []
        /// What it is not asked for, by a fault of whoever asks.
        var unasked: Set<ClosureEntry.Identity> = []
        /// What cannot be brought, with the line that says why.
        var failing: [Digest: String] = [:]
        /// What is reported as brought and is not there afterwards.
        var losing: Set<Digest> = []
        var isUnreachable = false
        /// Why nothing is brought.
        var pause: TransferPause?
        var sourceFaults: [String: String] = [:]
        var inventories = 0
        /// How old its answers are when it gives them.
        var answerAge = Duration.zero
        var brought: [ClosureEntry] = []
        var tags: [TagAssignment] = []
        /// What is there by name, and damaged; with what reading it back finds.
        var damaged: [ClosureEntry.Identity: String] = [:]
        /// Damaged content that an upload does not replace.
        var stubborn: Set<ClosureEntry.Identity> = []
        /// What a look shows to be damaged.
        var broken: [ClosureEntry.Identity: String] = [:]
        /// Manifests that a push does not bring back.
        var forgotten: Set<ClosureEntry.Identity> = []
        var mended: [ClosureEntry] = []
        /// Runs before anything is brought.
        var beforeBringing: @Sendable () async -> Void = {}
        var readBack: [ClosureEntry] = []
        /// Runs while an entry is read back, when what it shows is settled.
        var duringReading: @Sendable (ClosureEntry) async -> Void = { _ in }
    }

    struct Unreachable: Error, CustomStringConvertible {
        var description: String { "lab-1.example: connection refused" }
    }

    private let state = Mutex(State())

    func with<Result>(_ body: (inout State) -> Result) -> Result {
        var result: Result?
        state.withLock { result = body(&$0) }
        // The closure above has run.
        guard let result else { preconditionFailure() }
        return result
    }

    func inventory(of entries: [ClosureEntry]) async throws -> Inventory {
        let answer: Inventory? = with { state in
            state.inventories += 1
            if state.isUnreachable { return nil }
            let (present, broken, unasked) = (state.present, state.broken, state.unasked)
            let asked = entries.filter { !unasked.contains($0.identity) }
            let isThere = { (entry: ClosureEntry) in
                present.contains(entry.identity) && broken[entry.identity] == nil
            }
            return Inventory(
                present: asked.filter(isThere), missing: asked.filter { !isThere($0) },
                broken: broken.filter { broken in entries.contains { $0.identity == broken.key } },
                unasked: entries.filter { unasked.contains($0.identity) })
        }
        guard let answer else { throw Unreachable() }
        return answer
    }

    func bring(_ entries: [ClosureEntry], tags: [TagAssignment], events: PassEvents) async throws -> Delivery {
        let before = try await inventory(of: entries)
        with { $0.inventories -= 1 }
        guard before.broken.isEmpty else { return Delivery(inventory: before, needsMending: true) }
        if !before.missing.isEmpty { await events.surveyed(before) }
        var delivery = try await bringMissing(before, pushed: events.pushed)
        delivery.inventory = try await inventory(of: entries)
        let absent = Set(delivery.inventory.missing.map(\.identity))
        delivery.brought = before.missing.filter { !absent.contains($0.identity) }
        delivery.answerAge = with { $0.answerAge }
        let unproved = absent.subtracting(delivery.undelivered)
        delivery.needsMending =
            delivery.pause == nil && (!unproved.isEmpty || !delivery.inventory.broken.isEmpty)
        if !delivery.needsMending {
            delivery.failures += try await assignTags(
                tags.filter { !absent.contains($0.identity) }, assigned: events.assigned)
        }
        return delivery
    }

    func bringMissing(
        _ inventory: Inventory, pushed: @escaping @Sendable (ClosureEntry) -> Void
    ) async throws -> Delivery {
        await with { $0.beforeBringing }()
        let (delivery, manifests): (Delivery, [ClosureEntry]) = with { state in
            var delivery = Delivery(sourceFaults: state.sourceFaults)
            if let pause = state.pause {
                delivery.pause = pause
                delivery.postponed = inventory.missing.count
                return (delivery, [])
            }
            var manifests: [ClosureEntry] = []
            for entry in inventory.missing {
                if let reason = state.failing[entry.digest] {
                    delivery.failures.append("\(entry.repository)@\(entry.digest): \(reason)")
                    delivery.undelivered.insert(entry.identity)
                    continue
                }
                state.brought.append(entry)
                if entry.kind == .manifest { manifests.append(entry) }
                if state.forgotten.contains(entry.identity) { continue }
                if !state.losing.contains(entry.digest) { state.present.insert(entry.identity) }
                if !state.stubborn.contains(entry.identity) {
                    state.damaged[entry.identity] = nil
                    state.broken[entry.identity] = nil
                }
            }
            return (delivery, manifests)
        }
        manifests.forEach(pushed)
        return delivery
    }

    /// What happens while something is brought.
    func whileBringing(_ body: @escaping @Sendable () async -> Void) { with { $0.beforeBringing = body } }

    func mend(_ manifests: [ClosureEntry]) async throws -> [String] {
        with { state in
            state.mended += manifests
            for entry in manifests where state.forgotten.remove(entry.identity) != nil {
                state.present.insert(entry.identity)
            }
        }
        return []
    }

    func readBack(_ entry: ClosureEntry, isBudgeted: Bool) async throws -> ContentProof {
        let answer: ContentProof? = with { state in
            if state.isUnreachable { return nil }
            state.readBack.append(entry)
            if let reason = state.damaged[entry.identity] ?? state.broken[entry.identity] { return .broken(reason) }
            return state.present.contains(entry.identity) ? .shown : .absent
        }
        guard let answer else { throw Unreachable() }
        await with { $0.duringReading }(entry)
        return answer
    }

    /// What happens while something is read back.
    func whileReading(_ body: @escaping @Sendable (ClosureEntry) async -> Void) { with { $0.duringReading = body } }

    func assignTags(
        _ tags: [TagAssignment], assigned: @escaping @Sendable (TagAssignment) -> Void
    ) async throws -> [String] {
        with { $0.tags = tags }
        tags.forEach(assigned)
        return []
    }

    func place(of entry: ClosureEntry.Identity) throws -> ProofJournal.Place {
        ProofJournal.Place(
            repository: try Repository("mirror/\(entry.repository)"), digest: entry.digest, kind: entry.kind)
    }
}

/// A clock that is set by hand.
final class FakeClock: Sendable {
    // Long ago: a process with the real clock must not take it for that of a coordinator ahead.
    private let seconds = Mutex<Int64>(1_700_000_000)

    var now: Timestamp { Timestamp(seconds: seconds.withLock { $0 }) }

    func advance(by count: Int64) { seconds.withLock { $0 += count } }
}
