import OCI
import ObjectStore
import Readiness
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

    init() throws {
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
                    sites: [.init(name: site, registry: "https://lab-1.example", keys: [.init(key.publicKey)])])
            ])
    }

    /// The pass, with the state directory of this name.
    func pass(state: String = "state") throws -> SitePass {
        let clock = clock
        return SitePass(
            site: site, environment: environment, validity: .seconds(3600), version: "test", central: central,
            registry: registry, state: try StateDirectory(path: directory.file(state)), signingKey: key,
            now: { clock.now })
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
        try await central.check(ListName(name), in: environment, of: fleet, at: clock.now)
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
            return Inventory(
                present: entries.filter { state.present.contains($0.identity) },
                missing: entries.filter { !state.present.contains($0.identity) })
        }
        guard let answer else { throw Unreachable() }
        return answer
    }

    func bring(_ entries: [ClosureEntry], tags: [TagAssignment]) async throws -> Delivery {
        let missing = try await inventory(of: entries).missing
        return with { state in
            var delivery = Delivery(sourceFaults: state.sourceFaults)
            if let pause = state.pause {
                delivery.pause = pause
                delivery.postponed = missing.count
            } else {
                for entry in missing {
                    if let reason = state.failing[entry.digest] {
                        delivery.failures.append("\(entry.repository)@\(entry.digest): \(reason)")
                        continue
                    }
                    if !state.losing.contains(entry.digest) {
                        state.brought.append(entry)
                        state.present.insert(entry.identity)
                    }
                }
                delivery.brought = state.brought.filter { missing.contains($0) }
            }
            delivery.inventory = Inventory(
                present: entries.filter { state.present.contains($0.identity) },
                missing: entries.filter { !state.present.contains($0.identity) })
            delivery.answerAge = state.answerAge
            state.tags = tags
            return delivery
        }
    }
}

/// A clock that is set by hand.
final class FakeClock: Sendable {
    private let seconds = Mutex<Int64>(1_800_000_000)

    var now: Timestamp { Timestamp(seconds: seconds.withLock { $0 }) }

    func advance(by count: Int64) { seconds.withLock { $0 += count } }
}
