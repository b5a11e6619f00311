public import OCI
import ObjectStore

extension CentralStore {
    /// Sees that the agent of a site can read and write what it has to: its cache manifest, inventories and audit records.
    /// Nothing is changed that anybody sees.
    ///
    /// - Throws: `ObjectStoreError`, whose location is what the agent has no access to; as `record(of:)` for what cannot be
    ///   understood.
    public func requireRights(ofAgentOf site: SiteName, in environment: EnvironmentName, shard: Shard? = nil)
        async throws
    {
        _ = try await lastSequence(of: site, in: environment, shard: shard)
        _ = try await objects.get(Self.auditHeadKey(), limit: AuditHead.maximumSize)
        _ = try await objects.get(Self.auditKey(1), limit: AuditRecord.maximumSize)
        _ = try await objects.get(Self.key(of: site, in: environment, shard: shard), limit: CacheManifest.maximumSize)
        let sites = try Self.sitesKey(of: environment)
        let own = try shard == nil ? sites : ObjectKey("\(sites.path)/\(site)")
        for prefix in [own, try ObjectKey(Self.inventoriesPrefix), try ObjectKey("audit")] {
            try await objects.requireWritable(below: prefix)
        }
    }
}
