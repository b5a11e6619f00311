import HTTP
import OCI
import ObjectStore
import Readiness
import Registry
import TestSupport
import Testing

@testable import Agent
@testable import Transfer

@Suite struct PrunePlanTests {
    private let repository: Repository
    private let other: Repository

    init() throws {
        repository = try Repository("mirror/web")
        other = try Repository("mirror/db")
    }

    private func place(_ text: String, in repository: Repository? = nil) -> ProofJournal.Place {
        .init(repository: repository ?? self.repository, digest: Digest(of: Array(text.utf8)), kind: .manifest)
    }

    private func own(_ tag: String, _ text: String) throws -> ProofJournal.AssignedTag {
        .init(repository: repository, tag: try OCI.Tag(tag), digest: place(text).digest)
    }

    @Test func onlyWhatWasBroughtAndIsNotNeededMayGo() throws {
        let plan = PrunePlan(
            pushed: [place("old"), place("shared"), place("shared", in: other), place("new")],
            needed: [place("shared").digest, place("new").digest], own: [], usage: [:])
        #expect(plan.removable == [place("old")])
        #expect(plan.needed == 3)
        #expect(plan.kept.isEmpty)
    }

    @Test func whatOthersUseStays() throws {
        let usage = PrunePlan.Usage(
            tags: [
                try OCI.Tag("1"): place("old").digest, try OCI.Tag("theirs"): place("tagged").digest,
                try OCI.Tag("index"): place("an index of theirs").digest,
            ], children: [place("child").digest: try OCI.Tag("index")])
        let plan = PrunePlan(
            pushed: [place("old"), place("tagged"), place("child")], needed: [], own: [try own("1", "old")],
            usage: [repository: usage])
        #expect(plan.removable == [place("old")])
        #expect(plan.tags[place("old")] == [try OCI.Tag("1")])
        #expect(Set(plan.kept.map(\.place)) == [place("tagged"), place("child")])
        #expect(plan.kept.allSatisfy { $0.reason.contains("somebody else") })
    }

    /// A tag that the agent once set, and that somebody has moved onto it since, is theirs.
    @Test func aTagIsOwnOnlyWhereTheAgentPutIt() throws {
        let usage = PrunePlan.Usage(tags: [try OCI.Tag("1"): place("old").digest])
        let plan = PrunePlan(
            pushed: [place("old")], needed: [], own: [try own("1", "another")], usage: [repository: usage])
        #expect(plan.removable.isEmpty)
    }
}

/// Pruning through a pass's journal, on a scripted registry and on Debian's docker-registry.
@Suite(.timeLimit(.minutes(5))) struct PruneTests {
    /// A site whose passes go to a registry, and the pruning of it.
    private struct Site {
        let fixture: SiteFixture
        let pass: SitePass
        let pruning: Pruning

        func stageAndPromote(_ list: ImageList) async throws {
            try await fixture.stage(list)
            let report = try await run()
            #expect(report.isComplete, "\(report.complaints)")
            try await fixture.promote(list.name.text)
        }

        func carryOut(_ plan: PrunePlan) async throws -> Pruning.Outcome {
            let act = Act(by: "agent@host", at: fixture.clock.now)
            return try await pruning.carryOut(
                plan, by: .init(environment: fixture.environment, site: fixture.site, act: { act }))
        }

        /// What the chain says of pruning: what was done, and what came of it.
        func records() async throws -> [AuditEvent] {
            try await fixture.central.auditRecords(limit: 1000).map(\.event).filter {
                [.pruneStarted, .sitePruned].contains($0.action)
            }
        }

        func run() async throws -> PassReport {
            try await pass.run(.sync, record: fixture.central.record(of: fixture.environment).record)
        }
    }

    private func withSite(
        of registry: String, source: ScriptedRegistry, _ body: (Site) async throws -> Void
    ) async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        let http = HTTPClient()
        defer { http.shutdown() }
        let configuration = RegistryClient.Configuration(certificates: CertificateDirectory(paths: []))
        func client(_ origin: String) throws -> RegistryClient {
            RegistryClient(try RegistryEndpoint(origin, proxy: ""), http: http, configuration: configuration)
        }
        let engine = try TransferEngine(
            sources: [TransferSource(name: "source", client: try client(source.origin))],
            destination: try client(registry), mapping: RepositoryMapping(),
            spool: fixture.directory.file("spool"), limits: TransferLimits())
        let pass = try fixture.pass()
        let regional = RegionalRegistry(engine: engine, mapping: RepositoryMapping(), budget: ReadBudget())
        try await body(
            Site(
                fixture: fixture,
                pass: SitePass(
                    site: pass.site, environment: pass.environment, validity: pass.validity, version: pass.version,
                    owner: pass.owner, central: pass.central, registry: regional, state: pass.state,
                    journal: pass.journal, signingKey: pass.signingKey, now: pass.now),
                pruning: Pruning(central: pass.central, client: try client(registry), journal: pass.journal)))
    }

    /// One generation of the list `web`, of one image under the tag `1`.
    private func list(_ image: TestImage, tag: String = "1") throws -> ImageList {
        let repository = try Repository("web/api")
        let manifest = ClosureEntry(
            repository: repository, digest: image.descriptor.digest, size: image.descriptor.size, kind: .manifest,
            mediaType: image.descriptor.mediaType)
        let blobs = image.blobs.map {
            ClosureEntry(
                repository: repository, digest: $0.descriptor.digest, size: $0.descriptor.size, kind: .blob,
                mediaType: $0.descriptor.mediaType)
        }
        return try ImageList(
            name: ListName("web"), source: "https://central.example",
            images: [
                .init(
                    repository: repository, tag: OCI.Tag(tag), digest: manifest.digest, mediaType: manifest.mediaType,
                    size: manifest.size)
            ], closure: Closure([manifest] + blobs))
    }

    private let images = (1...4).map { TestImage(seed: UInt64($0), layers: [100]) }

    private func source(_ registry: ScriptedRegistry) {
        for (index, image) in images.enumerated() { registry.store(image, in: "web/api", tag: "\(index)") }
    }

    /// Of four generations: one staged, one promoted, one to return to; the first may go, with its tag.
    @Test func whatIsNeededStays() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                try await withSite(of: registry.origin, source: central) { site in
                    for (index, image) in images.dropLast().enumerated() {
                        try await site.stageAndPromote(list(image, tag: "v\(index)"))
                    }
                    try await site.fixture.stage(list(images[3], tag: "v3"))
                    _ = try await site.run()
                    // Promoted lists move their tags with the next pass.
                    #expect(registry.manifests(in: "web/api").count == 4)
                    let plan = try await site.pruning.plan()
                    #expect(plan.removable.map(\.digest) == [images[0].descriptor.digest])
                    #expect(plan.needed == 3)
                    #expect(plan.lines.last == "4 manifests brought: 3 needed, 0 used by others, 1 to remove")
                    // Showing removes nothing.
                    #expect(registry.manifests(in: "web/api").count == 4)
                    let outcome = try await site.carryOut(plan)
                    #expect(outcome.removed == 1 && outcome.failures.isEmpty)
                    #expect(registry.manifests(in: "web/api") == Set(images.dropFirst().map(\.descriptor.digest)))
                    #expect(registry.tag("v0", in: "web/api") == nil)
                    #expect(registry.tag("v1", in: "web/api") == images[1].descriptor.digest)
                    #expect(try await site.pruning.plan().removable.isEmpty)
                    #expect(try await site.run().isComplete)
                }
            }
        }
    }

    /// What was in the registry before the agent came, or has a tag of somebody else's, is not touched.
    @Test func whatOthersPushedStays() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                registry.store(images[0], in: "web/api")
                try await withSite(of: registry.origin, source: central) { site in
                    for image in images { try await site.stageAndPromote(list(image)) }
                    registry.storeManifest(images[1].manifest, in: "web/api", tag: "pinned")
                    let plan = try await site.pruning.plan()
                    // The first is not ours; the second is pinned; the last two are promoted, and to return to.
                    #expect(plan.removable.isEmpty)
                    #expect(plan.kept.map(\.place.digest) == [images[1].descriptor.digest])
                }
            }
        }
    }

    /// A tag that somebody gave to something else after the plan was made is theirs.
    @Test func aTagThatMovedMeanwhileStays() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                try await withSite(of: registry.origin, source: central) { site in
                    for (index, image) in images.enumerated() {
                        try await site.stageAndPromote(list(image, tag: "v\(index)"))
                    }
                    let plan = try await site.pruning.plan()
                    #expect(plan.removable.count == 2)
                    registry.storeManifest(images[3].manifest, in: "web/api", tag: "v0")
                    let outcome = try await site.carryOut(plan)
                    #expect(outcome.removed == 2 && outcome.failures.isEmpty)
                    #expect(registry.tag("v0", in: "web/api") == images[3].descriptor.digest)
                    #expect(registry.tag("v1", in: "web/api") == nil)
                    #expect(registry.manifests(in: "web/api") == Set(images.suffix(2).map(\.descriptor.digest)))
                }
            }
        }
    }

    @Test func aRegistryThatDoesNotDeleteSaysSo() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                registry.answer(.init(405), where: { $0.method == "DELETE" })
                try await withSite(of: registry.origin, source: central) { site in
                    for image in images { try await site.stageAndPromote(list(image)) }
                    let plan = try await site.pruning.plan()
                    #expect(plan.removable.count == 2)
                    let error = await #expect(throws: AgentError.self) { try await site.carryOut(plan) }
                    #expect(error?.message.contains("this registry does not delete") == true)
                    let records = try await site.records()
                    #expect(records.map(\.action) == [.pruneStarted, .sitePruned])
                    #expect(records.map { $0.details["plan"] } == [plan.digest.description, plan.digest.description])
                    #expect(records.map { $0.details["manifests"] } == ["2", "2"])
                    #expect(records[1].details["removed"] == "0")
                    #expect(records[1].details["aborted"]?.contains("this registry does not delete") == true)
                    #expect(records[1].site == site.fixture.site)
                    #expect(registry.manifests(in: "web/api").count == 4)
                    #expect(try await site.pruning.plan() == plan)
                }
            }
        }
    }

    /// Somebody stages what is about to go: it is noticed before the next one goes, and what went is recorded.
    @Test func aListThatIsStagedMeanwhileIsKept() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                try await withSite(of: registry.origin, source: central) { site in
                    for image in images { try await site.stageAndPromote(list(image)) }
                    let plan = try await site.pruning.plan()
                    #expect(plan.removable.count == 2)
                    let last = try #require(plan.removable.last).digest
                    let wanted = try #require(images.first { $0.descriptor.digest == last })
                    let needed = try list(wanted)
                    let watched = Pruning(
                        central: site.pruning.central,
                        client: Interrupted(registry: site.pruning.client) {
                            _ = try? await site.fixture.stage(needed)
                        }, journal: site.pruning.journal)
                    let act = Act(by: "agent@host", at: site.fixture.clock.now)
                    let error = await #expect(throws: AgentError.self) {
                        try await watched.carryOut(
                            plan,
                            by: .init(environment: site.fixture.environment, site: site.fixture.site, act: { act }))
                    }
                    #expect(error?.message.contains("other lists are needed") == true)
                    #expect(registry.manifests(in: "web/api").contains(last))
                    #expect(registry.manifests(in: "web/api").count == 3)
                    let records = try await site.records()
                    #expect(records.map(\.action) == [.pruneStarted, .sitePruned])
                    #expect(records[1].details["removed"] == "1")
                    #expect(records[1].details["aborted"]?.contains("other lists are needed") == true)
                }
            }
        }
    }

    /// A registry at which something happens before a manifest is deleted by its digest.
    private struct Interrupted: RegistryContents {
        let registry: any RegistryContents
        let before: @Sendable () async -> Void

        func tags(_ repository: Repository) async throws(RegistryError) -> [OCI.Tag] {
            try await registry.tags(repository)
        }

        func manifestHead(
            _ repository: Repository, _ reference: ManifestReference
        ) async throws(RegistryError) -> ManifestHead? { try await registry.manifestHead(repository, reference) }

        func manifest(
            _ repository: Repository, _ reference: ManifestReference
        ) async throws(RegistryError) -> FetchedManifest { try await registry.manifest(repository, reference) }

        func deleteManifest(
            _ repository: Repository, _ reference: ManifestReference
        ) async throws(RegistryError) {
            await before()
            try await registry.deleteManifest(repository, reference)
        }
    }

    /// Another environment's sites may use the same registry.
    @Test func whatAnyEnvironmentNeedsStays() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withScriptedRegistry { registry in
                try await withSite(of: registry.origin, source: central) { site in
                    for image in images { try await site.stageAndPromote(list(image)) }
                    let other = try EnvironmentName("production")
                    let fleet = try Fleet(
                        objectStore: site.fixture.fleet.objectStore, environments: [.init(name: other, sites: [])])
                    _ = try await site.fixture.central.stage(
                        list(images[0]), to: other, of: fleet, act: Act(by: "a@b", at: site.fixture.clock.now))
                    #expect(try await site.pruning.plan().removable.map(\.digest) == [images[1].descriptor.digest])
                    // A needed list that cannot be read: nobody knows what may go.
                    let generation = try list(images[0]).generation
                    try await site.fixture.fleet.objectStore.open().delete(
                        ObjectKey("lists/\(generation.hex).json"))
                    await #expect(throws: AgentError.self) { try await site.pruning.plan() }
                }
            }
        }
    }

    @Test func distributionDropsTagsWithTheirManifest() async throws {
        try await withScriptedRegistry { central in
            source(central)
            try await withRealRegistry { registry in
                try await withSite(of: registry.origin, source: central) { site in
                    for (index, image) in images.enumerated() {
                        try await site.stageAndPromote(list(image, tag: "v\(index)"))
                    }
                    let outcome = try await site.carryOut(try await site.pruning.plan())
                    #expect(outcome.removed == 2 && outcome.failures.isEmpty)
                    let tags = try await site.pruning.client.tags(Repository("web/api"))
                    #expect(Set(tags.map(\.name)) == ["v2", "v3"])
                    #expect(try await site.run().isComplete)
                }
            }
        }
    }
}

/// The command, beside an agent that has the state directory.
@Suite(.timeLimit(.minutes(5))) struct PruneCommandTests {
    @Test func passesAndPruningExcludeEachOther() async throws {
        let fixture = try SiteFixture()
        defer { fixture.directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let pass = try fixture.pass()
        let path = pass.state.path
        fixture.registry.whileBringing {
            let error = #expect(throws: AgentError.self) { try PassTurn(in: path) }
            #expect(error?.code == .stateLocked)
        }
        var turn: PassTurn? = try PassTurn(in: path)
        let record = try await fixture.central.record(of: fixture.environment).record
        let run = Task { try await pass.run(.sync, record: record) }
        // It waits: nothing is said while the turn is somebody else's.
        #expect(turn != nil)
        #expect(try await fixture.manifest() == nil)
        turn = nil
        #expect(try await run.value.isComplete)
        _ = try PassTurn(in: path)
    }
}
