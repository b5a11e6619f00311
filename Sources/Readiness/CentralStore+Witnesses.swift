import OCI
import ObjectStore

extension CentralStore {
    /// Why nothing is ready, whatever sites hold: the audit chain lacks the furthest record that a site has seen of it and
    /// signed, or that this process has seen, or has another one in its place.
    ///
    /// One question for all sites. Whether what is before that record holds together with it is for `verifyAudit`.
    ///
    /// - Parameters:
    ///   - evidence: what sites say
    ///   - environment: the sites' environment
    ///   - now: the coordinator's time
    /// - Returns: `nil` where the record is there, and where nobody has seen any
    /// - Throws: `ObjectStoreError`.
    func cutOff(
        behind evidence: Evidence, in environment: Fleet.Environment, at now: Timestamp
    ) async throws -> Reason? {
        let words = evidence.witnesses(in: environment, at: now)
        if let furthest = words.map({ $0.end.sequence }).max() {
            let found = try await digest(ofAuditRecord: furthest)
            if let word = words.first(where: { $0.end.sequence == furthest && $0.end.digest != found }) {
                let site = word.manifest.site
                return Reason(
                    .auditCutOff,
                    Self.cutOff(
                        found,
                        "'\(site)' has seen record \(furthest) of the audit chain, and signed that on"
                            + " \(word.manifest.issuedAt)",
                        wayOut:
                            "see 'Disaster recovery' in docs/installation.md; or the agent of '\(site)' was used with"
                            + " another store: remove its 'audit-head'"))
            }
        }
        guard let end = own.end else { return nil }
        let found = try await digest(ofAuditRecord: end.sequence)
        guard found != end.digest else { return nil }
        return Reason(.auditCutOff, ownCutOff(end, finding: found))
    }

    /// Why nothing is recorded: the chain lacks what this process has seen of it.
    ///
    /// - Parameter found: the SHA-256 of the record that is in the place; `nil` where none is
    func behind(_ seen: AuditHead, finding found: Digest?) throws(ObjectStoreError) -> ReadinessError {
        ReadinessError(.brokenChain, ownCutOff(seen, finding: found), in: try Self.auditKey(seen.sequence).path)
    }

    private func ownCutOff(_ seen: AuditHead, finding found: Digest?) -> String {
        let wayOut =
            own.file.map { "end every rollcall process of this machine, delete \($0), start again" }
            ?? "start it anew (see 'Disaster recovery' in docs/installation.md)"
        return Self.cutOff(
            found, "this process has seen record \(seen.sequence) of the audit chain", wayOut: wayOut)
    }

    private static func cutOff(_ found: Digest?, _ word: String, wayOut: String) -> String {
        "\(word), and \(found == nil ? "it is not there" : "another one is there"): records were removed, or the object"
            + " store serves old data; restore 'audit/', then run 'rollcall audit verify'; where the whole object store"
            + " was lost, \(wayOut)"
    }

    /// The SHA-256 of what is at a record's place; `nil` where nothing is.
    func digest(ofAuditRecord sequence: Int64) async throws(ObjectStoreError) -> Digest? {
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
    /// What sites have seen of the audit chain and signed, in manifests that count now. Whoever can write to the store can
    /// write what nobody signed; and whoever has a key that has ended must not close the gate with it.
    fileprivate func witnesses(
        in environment: Fleet.Environment, at now: Timestamp
    ) -> [(end: AuditHead, manifest: CacheManifest)] {
        var words: [(end: AuditHead, manifest: CacheManifest)] = []
        func hear(_ report: SiteReport, of site: Fleet.Site, _ shard: Shard?) {
            guard report.isOwn(of: site, in: environment, shard: shard, at: now),
                case .signed(let manifest, by: _) = report.content, now < manifest.expiresAt,
                let end = manifest.auditHead
            else { return }
            words.append((end: end, manifest: manifest))
        }
        for site in environment.sites {
            if let report = reports[site.name] { hear(report, of: site, nil) }
            for (shard, report) in shards[site.name] ?? [:] { hear(report, of: site, shard) }
        }
        return words
    }
}
