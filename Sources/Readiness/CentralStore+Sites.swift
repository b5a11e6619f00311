import OCI
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
        let place = try Self.key(of: manifest.site, in: manifest.environment)
        let object = try manifest.objectBytes(signedBy: key)
        _ = try await objects.put(object, at: place, condition: .none)
        return AuditEvent.Object(place.path, Digest(of: object))
    }

    /// What a site reported last; `nil` for a silent one.
    ///
    /// - Parameters:
    ///   - site: the site
    ///   - environment: where it is
    ///   - keys: the keys that may have signed it
    /// - Throws: `ObjectStoreError` where the store cannot be reached. A report that cannot be understood is an answer.
    public func report(
        of site: SiteName, in environment: EnvironmentName, keys: [PublicKey] = []
    ) async throws -> SiteReport? {
        try await report(at: Self.key(of: site, in: environment), keys: keys)
    }

    /// What every site of an environment reported last, also those that the fleet does not name, with their signatures
    /// checked.
    ///
    /// - Throws: `ObjectStoreError` where the store cannot be reached; `ReadinessError.invalidRecord` for an object among
    ///   the cache manifests that has no site's name.
    public func reports(of environment: Fleet.Environment) async throws -> [SiteName: SiteReport] {
        let keys = Dictionary(
            environment.sites.map { ($0.name, $0.keys.map(\.publicKey)) }, uniquingKeysWith: { first, _ in first })
        var sites: [(SiteName, ObjectKey)] = []
        for key in try await objects.list(below: Self.sitesKey(of: environment.name)) {
            guard key.name.hasSuffix(".json"), let site = try? SiteName(String(key.name.dropLast(".json".count))),
                try Self.key(of: site, in: environment.name) == key
            else {
                throw ReadinessError(
                    .invalidRecord, "an object among the cache manifests has no site's name: delete it", in: key.path)
            }
            sites.append((site, key))
        }
        guard sites.count(where: { keys[$0.0] == nil }) <= Self.maximumUnknownSites else {
            throw ReadinessError(
                .invalidRecord,
                "there are cache manifests of more than \(Self.maximumUnknownSites) sites that the fleet file does not name:"
                    + " delete them, or use the file that does", in: try Self.sitesKey(of: environment.name).path)
        }
        return try await withThrowingTaskGroup(of: (SiteName, SiteReport?).self) { group in
            var reports: [SiteName: SiteReport] = [:]
            var waiting = sites.makeIterator()
            func addNext() {
                guard let (site, key) = waiting.next() else { return }
                group.addTask {
                    guard let own = keys[site] else { return (site, try await unnamedReport(at: key)) }
                    return (site, try await report(at: key, keys: own, owners: environment.owners))
                }
            }
            for _ in 0..<Self.maximumConcurrentReads { addNext() }
            while let (site, report) = try await group.next() {
                reports[site] = report
                addNext()
            }
            return reports
        }
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

    /// Deletes a site's cache manifest, and what the gate remembers of it.
    ///
    /// - Returns: whether there was a manifest
    /// - Throws: `ObjectStoreError`; `ReadinessError.contention` and `.brokenChain`.
    public func forget(_ site: SiteName, in environment: EnvironmentName, act: Act) async throws -> Bool {
        let key = try Self.key(of: site, in: environment)
        let manifest = try await objects.get(key)
        let seen = try await lastSequence(of: site, in: environment)
        guard manifest != nil || seen != nil else { return false }
        // Recorded first: the chain may name what was then not done, and never lacks what was.
        var event = AuditEvent(.siteForgotten, act)
        (event.environment, event.site) = (environment, site)
        if let manifest { event.evidence = [.init(key.path, Digest(of: manifest.bytes))] }
        try await record(event)
        if manifest != nil { try await objects.delete(key) }
        try await changeMemory(of: environment) { $0.sites[site] = nil }
        return manifest != nil
    }
}
