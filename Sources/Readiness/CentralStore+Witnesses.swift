import OCI
import ObjectStore

extension CentralStore {
    /// Why nothing is ready, whatever sites hold: the audit chain lacks the furthest record that a site has seen of it and
    /// signed, or that this process has seen, or has another one in its place.
    ///
    /// One question for all sites. Whether what is before that record holds together with it is for `verifyAudit`.
    ///
    /// - Returns: `nil` where the record is there, and where nobody has seen any
    /// - Throws: `ObjectStoreError`.
    func cutOff(behind evidence: Evidence) async throws -> Reason? {
        let words = evidence.witnesses
        if let furthest = words.map({ $0.end.sequence }).max() {
            let found = try await digest(ofAuditRecord: furthest)
            if let word = words.first(where: { $0.end.sequence == furthest && $0.end.digest != found }) {
                return Self.cutOff(
                    found,
                    "'\(word.manifest.site)' has seen record \(furthest) of the audit chain, and signed that on"
                        + " \(word.manifest.issuedAt)", wayOut: "see 'Disaster recovery' in docs/installation.md")
            }
        }
        guard let end = own.end else { return nil }
        let found = try await digest(ofAuditRecord: end.sequence)
        guard found != end.digest else { return nil }
        return Self.cutOff(
            found, "this coordinator has seen record \(end.sequence) of the audit chain",
            wayOut: own.file.map { "delete \($0)" } ?? "start it anew")
    }

    private static func cutOff(_ found: Digest?, _ word: String, wayOut: String) -> Reason {
        Reason(
            .auditCutOff,
            "\(word), and \(found == nil ? "it is not there" : "another one is there"): records were removed, or the object"
                + " store serves old data; restore 'audit/', then run 'rollcall audit verify'; where the whole object store"
                + " was lost, \(wayOut)")
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

extension Evidence {
    /// What sites have seen of the audit chain and signed. Whoever can write to the store can write what nobody signed.
    fileprivate var witnesses: [(end: AuditHead, manifest: CacheManifest)] {
        (Array(reports.values) + shards.values.flatMap(\.values)).compactMap {
            report -> (end: AuditHead, manifest: CacheManifest)? in
            guard case .signed(let manifest, by: _) = report.content, let end = manifest.auditHead else { return nil }
            return (end: end, manifest: manifest)
        }
    }

    /// The number of the furthest record of the audit chain that a site has seen and signed; 0 where none has.
    var furthestWitnessed: Int64 { witnesses.map { $0.end.sequence }.max() ?? 0 }
}
