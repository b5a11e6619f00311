import OCI
import ObjectStore
import Testing
import Trust

@testable import Readiness

/// The comparison at a size where not everything is read.
@Suite(.timeLimit(.minutes(5))) struct InventoryTests {
    private let memory = MemoryStore()
    private var store: CentralStore { CentralStore(memory, backoff: { _ in }) }
    private var lab: EnvironmentName { get throws { try EnvironmentName("lab") } }

    /// As an agent publishes.
    private func publish(
        _ list: ImageList, missing: [ClosureEntry] = [], at site: String, sequence: Int64 = 1
    ) async throws {
        if let inventory = CacheManifest.Holding.inventory(of: list, missing: missing) {
            try await store.publish(inventory: inventory)
        }
        try await store.publish(
            try Fixture.manifest(of: site, sequence: sequence, Fixture.holding(list, missing: missing)),
            signedBy: Fixture.key(of: site))
    }

    private func check(_ list: ImageList, _ fleet: Fleet) async throws -> Verdict {
        try await store.check(list.name, in: lab, of: fleet, act: Fixture.act)
    }

    private func fleet(_ sites: Int) throws -> Fleet {
        try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [Fixture.environment(sites: (1...sites).map { "site-\($0)" })])
    }

    /// Equal roots settle a site with its manifest alone: not even the list is read.
    @Test func equalRootsAreSettledByOneReadASite() async throws {
        let (list, fleet) = (try Fixture.list(layers: 300), try fleet(20))
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        for site in fleet.environments[0].sites { try await publish(list, at: site.name.text) }
        #expect(try await check(list, fleet).isReady)
        memory.startCounting()
        let verdict = try await check(list, fleet)
        #expect(verdict.isReady)
        #expect(try await store.missing(of: verdict).isEmpty)
        let reads = memory.readsByKey
        let manifests = reads.filter { $0.key.path.hasPrefix("environments/lab/sites/") }
        #expect(manifests.count == 20 && manifests.values.allSatisfy { $0 == 1 })
        // Beside them, what the environment has once: what is staged, and what the gate remembers.
        #expect(
            Set(reads.keys).subtracting(manifests.keys).map(\.path).sorted() == [
                "environments/lab/gate.json", "environments/lab/record.json",
            ])
    }

    @Test func theDifferenceIsNamedFromInventoriesThatEqualSitesShare() async throws {
        let (list, fleet) = (try Fixture.list(layers: 300), try fleet(6))
        let entries = list.closure.entries
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        try await publish(list, at: "site-1")
        try await publish(list, missing: Array(entries.prefix(150)), at: "site-2")
        try await publish(list, missing: Array(entries.prefix(150)), at: "site-3")
        try await publish(list, missing: Array(entries.suffix(101)), at: "site-4")
        try await publish(list, missing: Array(entries.suffix(100)), at: "site-5")
        try await publish(list, missing: entries, at: "site-6")
        let inventories = try await memory.list(below: ObjectKey("inventories"))
        // The list's, and three of sites: two that are equal, one that the manifest names whole.
        #expect(inventories.count == 4)

        let verdict = try await check(list, fleet)
        #expect(verdict.sites.map { $0.holding?.missingEntries } == [0, 150, 150, 101, 100, 301])
        #expect(verdict.sites.map { $0.reasons.map(\.code) } == [[]] + Array(repeating: [.incomplete], count: 5))
        memory.startCounting()
        let missing = try await store.missing(of: verdict)
        #expect(missing.keys.map(\.text).sorted() == ["site-2", "site-3", "site-4", "site-6"])
        func digests(_ site: String) throws -> [Digest]? { missing[try SiteName(site)]?.map(\.digest) }
        #expect(try digests("site-2") == entries.prefix(150).map(\.digest))
        #expect(try digests("site-3") == entries.prefix(150).map(\.digest))
        #expect(try digests("site-4") == entries.suffix(101).map(\.digest))
        #expect(try digests("site-6") == entries.map(\.digest))
        #expect(memory.readsByKey.values.allSatisfy { $0 == 1 })
        #expect(memory.readsByKey.count == 4)

        // An inventory that is not what the signed root stands for names nothing.
        let root = try #require(verdict.sites[3].holding?.root)
        _ = try await memory.put(Array("lies".utf8), at: CentralStore.inventoryKey(root), condition: .none)
        #expect(try await store.missing(of: verdict)[SiteName("site-4")] == nil)
        #expect(try await store.missing(of: verdict)[SiteName("site-2")]?.count == 150)
    }

    @Test func whatNothingRefersToIsRemoved() async throws {
        let (list, fleet) = (try Fixture.list(layers: 300), try fleet(1))
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        try await publish(list, missing: Array(list.closure.entries.prefix(120)), at: "site-1")
        for index in 0..<CentralStore.tidyInventories {
            _ = try await memory.put(
                [], at: CentralStore.inventoryKey(Fixture.digest("inventory \(index)")), condition: .none)
        }
        _ = try await store.stage(Fixture.list("other"), to: lab, of: fleet, act: Fixture.act)
        #expect(try await memory.list(below: ObjectKey("inventories")).count == 3)
        #expect(try await store.missing(of: check(list, fleet))[SiteName("site-1")]?.count == 120)
    }

    /// What another fleet file's environments refer to is somebody's, and what a list needs is told by the list.
    @Test func whatOthersReferToStays() async throws {
        let (list, fleet) = (try Fixture.list(layers: 300), try fleet(1))
        let other = try Fixture.list("other", tag: "2", layers: 300)
        let theirs = try Fleet(
            objectStore: fleet.objectStore, environments: [Fixture.environment("elsewhere", sites: ["site-1"])])
        _ = try await store.stage(other, to: EnvironmentName("elsewhere"), of: theirs, act: Fixture.act)
        let missing = Array(other.closure.entries.prefix(120))
        let inventory = try #require(CacheManifest.Holding.inventory(of: other, missing: missing))
        try await store.publish(inventory: inventory)
        try await store.publish(
            try Fixture.manifest(in: "elsewhere", Fixture.holding(other, missing: missing)),
            signedBy: Fixture.key(of: "site-1"))
        for index in 0..<CentralStore.tidyInventories {
            _ = try await memory.put(
                [], at: CentralStore.inventoryKey(Fixture.digest("inventory \(index)")), condition: .none)
        }
        _ = try await store.stage(list, to: lab, of: fleet, act: Fixture.act)
        #expect(try await memory.list(below: ObjectKey("inventories")).count == 3)

        // Removed by somebody who stages at the same time, before the record pointed to it.
        try await publish(list, missing: Array(list.closure.entries.prefix(120)), at: "site-1")
        try await memory.delete(CentralStore.inventoryKey(list.closure.root))
        #expect(try await store.missing(of: check(list, fleet))[SiteName("site-1")]?.count == 120)
    }
}
