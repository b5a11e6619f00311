public import OCI
import ObjectStore

extension CentralStore {
    /// The most missing entries that are named for all sites of an answer together; all of them are counted.
    public static let maximumNamed = 100_000
    /// The most different inventories that are read to name what is missing.
    public static let maximumInventories = 64
    /// From how many on inventories that nothing refers to are removed.
    static let tidyInventories = 256

    static let inventoriesPrefix = "inventories"

    static func inventoryKey(_ root: Digest) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("\(inventoriesPrefix)/\(root.hex).txt")
    }

    /// Publishes the lines of a closure under its root: what a list needs, or what a site has of it. Sites that have the
    /// same share one object.
    ///
    /// - Throws: `ObjectStoreError`.
    public func publish(inventory: ClosureLines) async throws {
        _ = try await objects.put(inventory.bytes, at: Self.inventoryKey(inventory.root), condition: .ifAbsent)
    }

    /// The lines of a closure by its root; `nil` where they are not there, or are others.
    ///
    /// - Throws: `ObjectStoreError`.
    public func inventory(_ root: Digest) async throws -> ClosureLines? {
        guard let object = try await objects.get(Self.inventoryKey(root)) else { return nil }
        return ClosureLines(object.bytes, root: root)
    }

    /// Every missing entry at the sites that miss more than their manifests name: the difference between the list's lines
    /// and the inventory that the site's signed root stands for.
    ///
    /// - Returns: the entries by site, in the closure's order; a site whose inventory is not in the store is left out.
    ///   Bounded by `maximumNamed` and `maximumInventories`; how many there are is in the verdict.
    /// - Throws: `ObjectStoreError`.
    public func missing(of verdict: Verdict) async throws -> [SiteName: [ClosureLines.Line]] {
        guard let judged = verdict.judged else { return [:] }
        var sites: [Digest: [SiteName]] = [:]
        for site in verdict.sites {
            guard let holding = site.holding, holding.missingEntries > holding.missing.count else { continue }
            sites[holding.root, default: []].append(site.name)
        }
        guard !sites.isEmpty, let list = try await lines(of: judged) else { return [:] }
        var missing: [SiteName: [ClosureLines.Line]] = [:]
        var left = Self.maximumNamed
        // One after the other: each may have as many bytes as the list.
        for (root, names) in sites.sorted(by: { $0.value[0] < $1.value[0] }).prefix(Self.maximumInventories) {
            guard left > 0, let inventory = try await inventory(root) else { continue }
            let lines = list.missing(from: inventory, limit: left).lines
            left -= lines.count
            for name in names { missing[name] = lines }
        }
        return missing
    }

    /// The lines that a list needs. Where another coordinator removed them before a record pointed to the list, they are
    /// made again of the list.
    private func lines(of judged: EnvironmentRecord.Pointer) async throws -> ClosureLines? {
        if let lines = try await inventory(judged.closureRoot) { return lines }
        return try await list(judged.generation).map { ClosureLines($0.closure) }
    }

    /// Removes inventories that no list and no cache manifest of any environment refers to, once there are many.
    ///
    /// The environments are those that the store has: another fleet file may name others. What somebody is about to refer
    /// to may be removed all the same: an agent stores it again with its next pass, until which what it misses is counted
    /// and not named, and what a list needs is told by the list.
    func tidyInventories() async throws {
        let stored = try await objects.list(below: ObjectKey(Self.inventoriesPrefix))
        guard stored.count > Self.tidyInventories else { return }
        let keys = try await objects.list(below: ObjectKey("environments"))
        var used: Set<Digest> = []
        for first in stride(from: 0, to: keys.count, by: Int(Self.auditBatch)) {
            let batch = Int64(first)...Int64(min(first + Int(Self.auditBatch), keys.count) - 1)
            for roots in try await inOrder(batch, { try await roots(at: keys[Int($0)]) }) { used.formUnion(roots) }
        }
        let kept = Set(try used.map(Self.inventoryKey))
        for key in stored where !kept.contains(key) { try await objects.delete(key) }
    }

    /// The closure roots that an object of an environment refers to.
    private func roots(at key: ObjectKey) async throws -> [Digest] {
        let segments = key.path.split(separator: "/").map(String.init)
        if segments.count == 3, key.name == "record.json" {
            return try await record(of: EnvironmentName(segments[1])).record.lists.values.flatMap { state in
                ([state.staged, state.promoted].compactMap { $0 } + state.history).map(\.closureRoot)
            }
        }
        guard (4...5).contains(segments.count), segments[2] == "sites",
            let object = try await objects.get(key, limit: CacheManifest.maximumSize)
        else { return [] }
        // Whoever wrote it: at worst something is kept for nothing.
        return SiteReport(reading: object.bytes, keys: []).manifest?.holdings.map(\.root) ?? []
    }
}
