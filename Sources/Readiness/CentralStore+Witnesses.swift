import OCI
import ObjectStore

extension CentralStore {
    /// Why nothing is ready, whatever sites hold: the audit chain lacks the furthest record that a site has seen of it and
    /// signed, or this process has seen, or has another one in its place.
    ///
    /// One question for all of them. Whether what is before that record holds together with it is for `verifyAudit`.
    ///
    /// - Returns: `nil` where the record is there, and where nobody has seen any
    /// - Throws: `ObjectStoreError`.
    func cutOff(behind evidence: Evidence) async throws -> Reason? {
        var words = evidence.witnesses.map { word in
            (
                end: word.end, who: "'\(word.manifest.site)' has",
                signed: ", and signed that on \(word.manifest.issuedAt)",
                wayOut: "see 'Disaster recovery' in docs/installation.md"
            )
        }
        if let end = own.end {
            let wayOut = own.file.map { "delete \($0)" } ?? "start it anew"
            words.append((end: end, who: "this coordinator has", signed: "", wayOut: wayOut))
        }
        guard let furthest = words.map({ $0.end.sequence }).max() else { return nil }
        let found = try await digest(ofAuditRecord: furthest)
        guard let word = words.first(where: { $0.end.sequence == furthest && $0.end.digest != found }) else {
            return nil
        }
        return Reason(
            .auditCutOff,
            "\(word.who) seen record \(furthest) of the audit chain\(word.signed), and"
                + " \(found == nil ? "it is not there" : "another one is there"): records were removed, or the object store"
                + " serves old data; restore 'audit/', then run 'rollcall audit verify'; where the whole object store was"
                + " lost, \(word.wayOut)")
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
