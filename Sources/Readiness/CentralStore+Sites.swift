import OCI
import ObjectStore
public import Trust

extension CentralStore {
    /// Publishes a site's cache manifest in the place of the one before.
    ///
    /// - Parameters:
    ///   - manifest: what the site says
    ///   - key: the site's key, which signs it; `nil` for a site that has none
    /// - Throws: `ObjectStoreError`; `ReadinessError.signing` and `.invalidManifest`.
    public func publish(_ manifest: CacheManifest, signedBy key: PrivateKey? = nil) async throws {
        _ = try await objects.put(
            manifest.objectBytes(signedBy: key), at: Self.key(of: manifest.site, in: manifest.environment),
            condition: .none)
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
        return try await withThrowingTaskGroup(of: (SiteName, SiteReport?).self) { group in
            var reports: [SiteName: SiteReport] = [:]
            var waiting = sites.makeIterator()
            func addNext() {
                guard let (site, key) = waiting.next() else { return }
                group.addTask { (site, try await report(at: key, keys: keys[site] ?? [])) }
            }
            for _ in 0..<Self.maximumConcurrentReads { addNext() }
            while let (site, report) = try await group.next() {
                reports[site] = report
                addNext()
            }
            return reports
        }
    }

    private func report(at key: ObjectKey, keys: [PublicKey]) async throws -> SiteReport? {
        do throws(ObjectStoreError) {
            return try await objects.get(key).map { SiteReport(reading: $0.bytes, keys: keys) }
        } catch {
            guard error.code == .tooLarge else { throw error }
            return SiteReport(.unreadable(error.message), digest: Digest(of: []))
        }
    }

    /// Deletes a site's cache manifest, and what the gate remembers of it.
    ///
    /// - Returns: whether there was a manifest
    /// - Throws: `ObjectStoreError`; `ReadinessError.contention`.
    public func forget(_ site: SiteName, in environment: EnvironmentName) async throws -> Bool {
        let key = try Self.key(of: site, in: environment)
        let existed = try await objects.get(key) != nil
        if existed { try await objects.delete(key) }
        try await changeMemory(of: environment) { $0.sites[site] = nil }
        return existed
    }

    // MARK: What was seen before

    /// Reads what every site reported last, and remembers it: what a decision rests on.
    ///
    /// The memory is read before the reports, so that what is remembered is never younger than what is read. Where another
    /// coordinator has seen something younger meanwhile, both are read again.
    ///
    /// - Throws: as `reports(of:)`, and `ReadinessError.contention` where others kept changing the memory.
    func evidence(of environment: Fleet.Environment) async throws -> Evidence {
        for _ in 0..<Self.maximumAttempts {
            let (memory, etag) = try await memory(of: environment.name)
            let reports = try await reports(of: environment)
            var latest = memory
            latest.remember(reports, of: environment)
            if latest == memory { return Evidence(reports: reports, memory: memory) }
            if try await swap(latest, against: etag) { return Evidence(reports: reports, memory: latest) }
        }
        throw contention(over: environment.name)
    }

    /// What a decision would rest on, without remembering anything: for looking.
    ///
    /// - Throws: as `reports(of:)`.
    public func observe(_ environment: Fleet.Environment) async throws -> Evidence {
        let (memory, _) = try await memory(of: environment.name)
        return Evidence(reports: try await reports(of: environment), memory: memory)
    }

    /// What the gate remembers of an environment, and its version.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidRecord` or `.unknownSchema`.
    func memory(of environment: EnvironmentName) async throws -> (memory: GateMemory, etag: ETag?) {
        let key = try Self.memoryKey(of: environment)
        guard let object = try await objects.get(key) else { return (GateMemory(environment: environment), nil) }
        return (try GateMemory(parsing: object.bytes, of: environment, in: key.path), object.etag)
    }

    /// The highest sequence number that a gate has seen of a site: what its agent must not go back behind.
    ///
    /// - Throws: as `memory(of:)`.
    public func lastSequence(of site: SiteName, in environment: EnvironmentName) async throws -> Int64? {
        try await memory(of: environment).memory.sites[site]?.sequence
    }

    private func changeMemory(
        of environment: EnvironmentName, _ change: (inout GateMemory) -> Void
    ) async throws {
        for _ in 0..<Self.maximumAttempts {
            let (memory, etag) = try await memory(of: environment)
            var changed = memory
            change(&changed)
            if changed == memory { return }
            if try await swap(changed, against: etag) { return }
        }
        throw contention(over: environment)
    }

    private func swap(_ memory: GateMemory, against etag: ETag?) async throws -> Bool {
        let outcome = try await objects.put(
            Document.encode(memory, .invalidRecord), at: Self.memoryKey(of: memory.environment),
            condition: etag.map { .ifMatch($0) } ?? .ifAbsent)
        return outcome != .conflict
    }
}
