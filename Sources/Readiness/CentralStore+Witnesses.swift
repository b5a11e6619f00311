import OCI
import ObjectStore

extension CentralStore {
    /// Why nothing is ready, whatever sites hold: the audit chain lacks the furthest record that a site has seen of it and
    /// signed, or has another one in its place.
    ///
    /// One question for all sites. Whether what is before that record holds together with it is for `verifyAudit`.
    ///
    /// - Returns: `nil` where the record is there, and where no site has seen any
    /// - Throws: `ObjectStoreError`.
    func cutOff(behind reports: Reports) async throws -> Reason? {
        let words = reports.all.compactMap { report -> (end: AuditHead, manifest: CacheManifest)? in
            // Whoever can write to the store can write what nobody signed.
            guard case .signed(let manifest, by: _) = report.content else { return nil }
            return manifest.auditHead.map { (end: $0, manifest: manifest) }
        }
        guard let furthest = words.map({ $0.end.sequence }).max() else { return nil }
        let found = try await digest(ofAuditRecord: furthest)
        guard let word = words.first(where: { $0.end.sequence == furthest && $0.end.digest != found }) else {
            return nil
        }
        return Reason(
            .auditCutOff,
            "'\(word.manifest.site)' has seen record \(furthest) of the audit chain, and signed that on"
                + " \(word.manifest.issuedAt), and \(found == nil ? "it is not there" : "another one is there"): records"
                + " were removed, or the object store serves old data; restore 'audit/', then run 'rollcall audit verify';"
                + " where the whole object store was lost, see 'Disaster recovery' in docs/installation.md")
    }

    /// The SHA-256 of what is at a record's place; `nil` where nothing is.
    private func digest(ofAuditRecord sequence: Int64) async throws(ObjectStoreError) -> Digest? {
        do throws(ObjectStoreError) {
            return try await objects.get(Self.auditKey(sequence), limit: AuditRecord.maximumSize)
                .map { Digest(of: $0.bytes) }
        } catch {
            // No record of the chain is that large.
            guard error.code == .tooLarge else { throw error }
            return Digest(of: [])
        }
    }
}
