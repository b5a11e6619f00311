public import OCI
import ObjectStore
public import Trust

extension CentralStore {
    /// Publishes a site's cache manifest in the place of the one before.
    ///
    /// - Parameters:
    ///   - manifest: what the site says
    ///   - key: the site's key, which signs it; `nil` for a site that has none
    /// - Returns: the object's key and hash, as evidence
    /// - Throws: `ObjectStoreError`; `ReadinessError.signing` and `.invalidManifest`.
    @discardableResult
    public func publish(
        _ manifest: CacheManifest, signedBy key: PrivateKey? = nil
    ) async throws -> AuditEvent.Object {
        let place = try Self.key(of: manifest.site, in: manifest.environment, shard: manifest.shard)
        let object = try manifest.objectBytes(signedBy: key)
        _ = try await objects.put(object, at: place, condition: .none)
        return AuditEvent.Object(place.path, Digest(of: object))
    }

    /// What a site reported last; `nil` for a silent one.
    ///
    /// - Parameters:
    ///   - site: the site
    ///   - environment: where it is
    ///   - shard: which of its agents, where several serve it
    ///   - keys: the keys that may have signed it
    /// - Throws: `ObjectStoreError` where the store cannot be reached. A report that cannot be understood is an answer.
    public func report(
        of site: SiteName, in environment: EnvironmentName, shard: Shard? = nil, keys: [PublicKey] = []
    ) async throws -> SiteReport? {
        try await report(at: Self.key(of: site, in: environment, shard: shard), keys: keys)
    }

    /// What every site of an environment that one agent serves reported last, also those that the fleet does not name, with
    /// their signatures checked.
    ///
    /// - Throws: as `allReports(of:)`.
    public func reports(of environment: Fleet.Environment) async throws -> [SiteName: SiteReport] {
        try await allReports(of: environment).sites
    }

    /// What the agents of an environment reported last.
    struct Reports {
        /// Of sites that one agent serves.
        var sites: [SiteName: SiteReport] = [:]
        /// Of sites that several serve.
        var shards: [SiteName: [Shard: SiteReport]] = [:]
    }

    /// What every agent of an environment reported last, also those of sites that the fleet does not name, with their
    /// signatures checked.
    ///
    /// - Throws: `ObjectStoreError` where the store cannot be reached; `ReadinessError.invalidRecord` for an object among
    ///   the cache manifests that has no site's name.
    func allReports(of environment: Fleet.Environment) async throws -> Reports {
        let keys = Dictionary(
            environment.sites.map { ($0.name, $0.keys.map(\.publicKey)) }, uniquingKeysWith: { first, _ in first })
        var places: [(SiteName, Shard?, ObjectKey)] = []
        for key in try await objects.list(below: Self.sitesKey(of: environment.name)) {
            guard let (site, shard) = try Self.site(at: key, in: environment.name) else {
                throw ReadinessError(
                    .invalidRecord, "an object among the cache manifests has no site's name: delete it", in: key.path)
            }
            places.append((site, shard, key))
        }
        guard places.count(where: { keys[$0.0] == nil }) <= Self.maximumUnknownSites else {
            throw ReadinessError(
                .invalidRecord,
                "there are cache manifests of more than \(Self.maximumUnknownSites) sites that the fleet file does not name:"
                    + " delete them, or use the file that does", in: try Self.sitesKey(of: environment.name).path)
        }
        return try await withThrowingTaskGroup(of: (SiteName, Shard?, SiteReport?).self) { group in
            var reports = Reports()
            var waiting = places.makeIterator()
            func addNext() {
                guard let (site, shard, key) = waiting.next() else { return }
                group.addTask {
                    guard let own = keys[site] else { return (site, shard, try await unnamedReport(at: key)) }
                    return (site, shard, try await report(at: key, keys: own, owners: environment.owners))
                }
            }
            for _ in 0..<Self.maximumConcurrentReads { addNext() }
            while let (site, shard, report) = try await group.next() {
                if let shard {
                    reports.shards[site, default: [:]][shard] = report
                } else {
                    reports.sites[site] = report
                }
                addNext()
            }
            return reports
        }
    }

    /// Whose place a key is; `nil` for a key that is no agent's.
    private static func site(
        at key: ObjectKey, in environment: EnvironmentName
    ) throws(ObjectStoreError) -> (SiteName, Shard?)? {
        let parts = key.path.split(separator: "/").map(String.init)
        guard key.name.hasSuffix(".json") else { return nil }
        let last = String(key.name.dropLast(".json".count))
        let (name, shard): (String, Shard?) =
            parts.count == 5 ? (parts[3], Shard(last)) : (last, nil)
        guard let site = try? SiteName(name), try Self.key(of: site, in: environment, shard: shard) == key else {
            return nil
        }
        return (site, shard)
    }

    /// The most sites that report and that the fleet file does not name.
    static let maximumUnknownSites = 1000

    private func report(
        at key: ObjectKey, keys: [PublicKey], owners: [String: Fleet.Environment.Owner] = [:]
    ) async throws -> SiteReport? {
        do throws(ObjectStoreError) {
            return try await objects.get(key, limit: CacheManifest.maximumSize).map {
                SiteReport(reading: $0.bytes, keys: keys, owners: owners)
            }
        } catch {
            guard error.code == .tooLarge else { throw error }
            return SiteReport(.unreadable(error.message), digest: Digest(of: []))
        }
    }

    /// What there is of a site that nobody named: its hash is evidence, and nothing in it is looked at.
    private func unnamedReport(at key: ObjectKey) async throws -> SiteReport? {
        let reason = "the fleet file does not name its site"
        do throws(ObjectStoreError) {
            return try await objects.get(key, limit: CacheManifest.maximumSize).map {
                SiteReport(.unreadable(reason), digest: Digest(of: $0.bytes))
            }
        } catch {
            guard error.code == .tooLarge else { throw error }
            return SiteReport(.unreadable(reason), digest: Digest(of: []))
        }
    }

    /// Deletes a site's cache manifest, or those of all of its agents, and what the gate remembers of it.
    ///
    /// - Returns: whether there was a manifest
    /// - Throws: `ObjectStoreError`; `ReadinessError.contention` and `.brokenChain`.
    public func forget(_ site: SiteName, in environment: EnvironmentName, act: Act) async throws -> Bool {
        var keys = [try Self.key(of: site, in: environment)]
        keys += try await objects.list(below: ObjectKey("environments/\(environment)/sites/\(site)"))
        var event = AuditEvent(.siteForgotten, act)
        (event.environment, event.site) = (environment, site)
        for key in keys {
            guard let manifest = try await objects.get(key) else { continue }
            event.evidence.append(.init(key.path, Digest(of: manifest.bytes)))
        }
        let isRemembered = try await memory(of: environment).memory.remembers(site)
        guard !event.evidence.isEmpty || isRemembered else { return false }
        let isThere = !event.evidence.isEmpty
        // Recorded first: the chain may name what was then not done, and never lacks what was. Those who have seen the site
        // themselves are told by the gate's memory which record to look at.
        let number = try await record(event).sequence
        if isThere { for key in keys { try await objects.delete(key) } }
        try await changeMemory(of: environment) { $0.forget(site, at: number) }
        own.forget(site, in: environment, at: number)
        return isThere
    }
}
