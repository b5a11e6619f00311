import OCI
import ObjectStore
import Trust

extension CentralStore {
    /// Verifies the whole chain: that there is no gap, that each record follows the one before, that signatures are those
    /// of the keys that they name, that no event is there twice, and that environments have promoted what the chain says.
    ///
    /// Works on any copy of the store, or of its `audit` directory alone, and while others write: what points into the chain
    /// is read before the chain, so that all it can point to is there by then. Of the chain no more is held than each event's
    /// ID, 16 bytes.
    ///
    /// - Parameters:
    ///   - known: the end of the chain as it was noted before: the chain must still have that record, and who signed the
    ///     records up to it is not asked again
    ///   - fleet: the fleet, whose keys tell who signed records and witnesses; `nil` where nobody can tell
    /// - Throws: `ObjectStoreError` where the store cannot be read.
    public func verifyAudit(knowing known: AuditHead? = nil, fleet: Fleet? = nil) async throws -> AuditVerification {
        var verification = AuditVerification()
        let highest = try await highestAuditRecord()
        var heads: [Int64: Digest] = [:]
        do {
            if let head = try await storedHead() { heads[head.sequence] = head.digest }
        } catch let error as ReadinessError {
            verification.fault = .init(object: try Self.auditHeadKey().path, message: error.message)
        }
        let storedHead = heads
        if let known, let digest = known.digest { heads[known.sequence] = digest }
        let (witnesses, strangeWitness) = try await auditWitnesses(fleet, &verification)
        let states = try await promotedStates(&verification)

        var walk = AuditWalk(
            heads: heads, wanted: Set(heads.keys).union(witnesses.map(\.end.sequence)), settledAt: highest,
            signers: fleet.map { AuditSigners($0, after: known?.sequence ?? 0) })
        try await walkAudit(to: highest, &walk)
        let end = walk.end
        verification.take(walk, fleet: fleet)
        if known == nil, end.sequence > 0, await !isVouchedFor(end, by: storedHead) {
            let reason = storedHead.isEmpty && verification.fault == nil ? "audit/head.json is not there: " : ""
            verification.remarks.append(
                reason
                    + "nothing vouches for the content of the last record, nor that none came after it: compare the end with one"
                    + " that was noted before, with --head")
        }
        if let fault = try await chainFault(walk) ?? pointedFault(walk, witnesses) {
            verification.fault = fault
        } else if verification.fault == nil {
            verification.fault = strangeWitness ?? states.lazy.compactMap { $0.fault(in: walk) }.first
        }
        if verification.fault == nil { verification.fault = try await missingRevocation(walk) }
        return verification
    }

    // MARK: The chain

    /// Gives every object below `audit/` but the head, with its number where it is a record's: page by page, since a chain
    /// may be longer than a listing that is held whole.
    private func eachAuditKey(_ body: (ObjectKey, Int64?) -> Void) async throws {
        let (prefix, head) = (try ObjectKey("audit"), try Self.auditHeadKey())
        var continuation: ListPage.Continuation?
        var emptyPages = 0
        repeat {
            let page = try await objects.list(below: prefix, continuingFrom: continuation)
            for key in page.keys where key != head {
                let number = Int64(key.name.prefix { $0 != "." })
                body(key, try number.flatMap { try Self.auditKey($0) == key && $0 > 0 ? $0 : nil })
            }
            continuation = page.continuation
            emptyPages = page.keys.isEmpty ? emptyPages + 1 : 0
            guard emptyPages <= ObjectStoreLimit.listedPages else {
                throw ObjectStoreError(
                    .tooLarge, "a listing of more than \(ObjectStoreLimit.listedPages) empty pages", at: prefix.path)
            }
        } while continuation != nil
    }

    /// The highest number of a record that the store lists now; 0 where there is none.
    private func highestAuditRecord() async throws -> Int64 {
        var highest: Int64 = 0
        try await eachAuditKey { _, number in highest = max(highest, number ?? 0) }
        return highest
    }

    /// The first object below `audit/` that is no record of the chain.
    ///
    /// - Parameter end: where the chain ended when it was read; later numbers may have come since, if they follow it
    private func strayAuditObject(after end: Int64) async throws -> ObjectKey? {
        var stray: ObjectKey?
        var later: Set<Int64> = []
        try await eachAuditKey { key, number in
            if let number {
                if number > end, later.count < 100_000 { later.insert(number) }
            } else {
                stray = min(stray ?? key, key)
            }
        }
        guard let first = later.min(), first > end + 1 else { return stray }
        let gap = try Self.auditKey(first)
        return min(stray ?? gap, gap)
    }

    /// Reads the chain to its end, in order, and gives it to the walk.
    ///
    /// - Parameter listed: the highest number that was listed before
    private func walkAudit(to listed: Int64, _ walk: inout AuditWalk) async throws {
        while true {
            let next = walk.end.sequence + 1
            // Beyond what was listed there is little, if anything.
            let batch = next...max(next, min(listed, next + Self.auditBatch - 1))
            var results = try await inOrder(batch) { try await auditLink($0) }
            // A record that came while its successors were read is read again.
            if let gap = results.firstIndex(where: { $0 == nil }) { results.removeSubrange(gap...) }
            guard !results.isEmpty else { return }
            for case (let link, let record)? in results { walk.append(link, record) }
            if walk.isSettled { return }
        }
    }

    /// A record as a link of the chain; `nil` where there is none of the number.
    private func auditLink(_ sequence: Int64) async throws -> (link: AuditLinks.Link, record: AuditRecord?)? {
        let key = try Self.auditKey(sequence)
        let object: StoredObject
        do throws(ObjectStoreError) {
            guard let found = try await objects.get(key, limit: AuditRecord.maximumSize) else { return nil }
            object = found
        } catch {
            guard error.code == .tooLarge else { throw error }
            return (.init(digest: Digest(of: []), previous: nil, defect: error.message), nil)
        }
        do throws(ReadinessError) {
            let record = try AuditRecord(parsing: object.bytes, in: key.path)
            let defect = record.sequence == sequence ? nil : "it is the record of number \(record.sequence)"
            return (.init(digest: record.digest, previous: record.previous, defect: defect), record)
        } catch {
            return (.init(digest: Digest(of: object.bytes), previous: nil, defect: error.message), nil)
        }
    }

    /// What does not fit in the chain itself, or beside its records.
    private func chainFault(_ walk: AuditWalk) async throws -> AuditVerification.Fault? {
        if let fault = walk.fault {
            return .init(object: try Self.auditKey(fault.sequence).path, message: fault.message)
        }
        guard let stray = try await strayAuditObject(after: walk.end.sequence) else { return nil }
        return .init(object: stray.path, message: "the record before it is not there, or it is no record")
    }

    /// What was known of the chain, and is not so.
    private func pointedFault(_ walk: AuditWalk, _ witnesses: [AuditWitness]) throws -> AuditVerification.Fault? {
        let count = walk.end.sequence
        if let latest = walk.heads.keys.max(), latest > count {
            return .init(
                object: try Self.auditKey(count + 1).path,
                message:
                    "it is not there, and the chain once had \(latest) records: the last \(latest - count) were removed"
            )
        }
        for (sequence, digest) in walk.heads.sorted(by: { $0.key < $1.key }) where walk.digests[sequence] != digest {
            return .init(
                object: try Self.auditKey(sequence).path,
                message:
                    "its content is not what was known of it, and the records after it agree with it: the chain was"
                    + " written anew, or what was known is wrong")
        }
        for witness in witnesses {
            let seen = witness.end
            let place = try Self.auditKey(min(seen.sequence, count + 1)).path
            if seen.sequence > count {
                return .init(
                    object: place,
                    message:
                        "it is not there, and the chain once had \(seen.sequence) records, \(witness.words): the last"
                        + " \(seen.sequence - count) were removed; where the whole object store was lost, see 'Disaster recovery'"
                        + " in docs/installation.md")
            }
            if walk.digests[seen.sequence] != seen.digest {
                return .init(
                    object: place, message: "it is another record than \(witness.words): the chain was written anew")
            }
        }
        return nil
    }

    /// Whether a head knows the last record: that of before the chain was read, or, where others wrote meanwhile, that of now.
    private func isVouchedFor(_ end: AuditHead, by heads: [Int64: Digest]) async -> Bool {
        if heads[end.sequence] != nil { return true }
        guard let now = try? await storedHead(), now.sequence > heads.keys.max() ?? 0 else { return false }
        return now.sequence > end.sequence || now == end
    }

    private func storedHead() async throws -> AuditHead? {
        let key = try Self.auditHeadKey()
        return try await objects.get(key, limit: AuditHead.maximumSize).map {
            try Document.decode(AuditHead.self, from: $0.bytes, .brokenChain, in: key.path)
        }
    }

    // MARK: What points into it

    /// What a site has seen of the chain and signed.
    struct AuditWitness {
        let end: AuditHead
        /// `as SITE in ENVIRONMENT saw and signed on TIME`.
        let words: String
    }

    /// What sites have seen of the chain and signed, where a copy has their manifests, and the first that is not the site's.
    ///
    /// Without the sites' keys, whoever can write to the store can write witnesses too: that their signatures were not
    /// checked is said.
    private func auditWitnesses(
        _ fleet: Fleet?, _ verification: inout AuditVerification
    ) async throws -> ([AuditWitness], AuditVerification.Fault?) {
        var witnesses: [AuditWitness] = []
        var fault: AuditVerification.Fault?
        for key in try await objects.list(below: ObjectKey("environments")) {
            let segments = key.path.split(separator: "/")
            guard (4...5).contains(segments.count), segments[2] == "sites",
                let object = try await objects.get(key, limit: CacheManifest.maximumSize)
            else { continue }
            verification.siteManifests += 1
            guard let envelope = try? Envelope(ifEnvelope: object.bytes),
                let manifest = try? CacheManifest(parsing: envelope.payload), let seen = manifest.auditHead
            else { continue }
            let site = fleet?.environments.first { $0.name.text == segments[1] }?.sites
                .first { $0.name.text == segments[3] || "\($0.name).json" == segments[3] }
            if let site, !site.keys.isEmpty {
                guard envelope.signer(among: site.keys.map(\.publicKey)) != nil else {
                    fault =
                        fault
                        ?? .init(
                            object: key.path,
                            message:
                                "none of the site's keys in the fleet file signed it: what it says of the chain was"
                                + " written by somebody else, or its key was changed since; run 'rollcall-agent verify'"
                                + " there")
                    continue
                }
                verification.checkedWitnesses += 1
            }
            verification.witnesses += 1
            witnesses.append(
                AuditWitness(
                    end: seen,
                    words: "as '\(manifest.site)' in '\(manifest.environment)' saw and signed on \(manifest.issuedAt)"))
        }
        let unchecked = verification.witnesses - verification.checkedWitnesses
        if unchecked > 0 {
            verification.remarks.append(
                "of \(verification.witnesses) sites' words on the chain, the signatures of \(unchecked) were not checked: "
                    + (fleet == nil
                        ? "give --fleet FILE, whose keys tell whether the sites signed them"
                        : "the fleet file has no key for those sites"))
        }
        return (witnesses, fault)
    }

    /// What an environment's record says is promoted, as it was read before the chain.
    private enum PromotedState {
        case of(EnvironmentRecord, at: ObjectKey)
        case unreadable(AuditVerification.Fault)

        /// What the chain has to say about it: the environment had promoted this when the chain was read up to where it was
        /// listed, or any of what was promoted since; or it is promoted, and its record is still to be written.
        func fault(in walk: AuditWalk) -> AuditVerification.Fault? {
            guard case .of(let record, let key) = self else {
                if case .unreadable(let fault) = self { return fault }
                return nil
            }
            let pending = record.outbox.events.map(\.event)
            for (list, state) in record.lists.sorted(by: { $0.key < $1.key }) {
                let unrecorded = pending.last { $0.list == list && [.promoted, .rolledBack].contains($0.action) }
                let words = walk.promotions[record.environment]?[list]
                let expected: [Digest?] =
                    if let unrecorded { [unrecorded.generation] } else { [words?.settled] + (words?.since ?? []) }
                guard !expected.contains(state.promoted?.generation) else { continue }
                return .init(
                    object: key.path,
                    message:
                        "it says that \(state.promoted?.generation.description ?? "nothing") is promoted as '\(list)',"
                        + " and the chain's last word is \((expected.last ?? nil)?.description ?? "nothing"): it was not"
                        + " changed by Rollcall")
            }
            return nil
        }
    }

    /// What environments have promoted, where a copy has their records.
    private func promotedStates(_ verification: inout AuditVerification) async throws -> [PromotedState] {
        var states: [PromotedState] = []
        for key in try await objects.list(below: ObjectKey("environments")) where key.name == "record.json" {
            let segments = key.path.split(separator: "/")
            guard segments.count == 3, let environment = try? EnvironmentName(String(segments[1])) else { continue }
            do {
                let record = try await self.record(of: environment).record
                let pending = record.outbox.events.count
                if pending > 0 {
                    verification.remarks.append(
                        "\(key.path): \(pending) events are not in the chain yet: the next command that decides about"
                            + " '\(environment)' writes them")
                }
                states.append(.of(record, at: key))
            } catch let error as ReadinessError {
                states.append(.unreadable(.init(object: key.path, message: error.message)))
            }
        }
        return states
    }

    /// A waiver that the chain says was taken back, and whose revocation was removed.
    private func missingRevocation(_ walk: AuditWalk) async throws -> AuditVerification.Fault? {
        for revoked in walk.revocations {
            let waiver = try Self.key(ofWaiver: revoked.waiver, in: revoked.environment)
            let revocation = try Self.key(ofRevocation: revoked.waiver, in: revoked.environment)
            // Both are removed long after the waiver has expired.
            guard try await objects.get(waiver) != nil, try await objects.get(revocation) == nil else { continue }
            return .init(
                object: waiver.path,
                message:
                    "record \(revoked.sequence) of the chain says that this waiver was taken back, and its revocation"
                    + " is not there: it was removed; run 'rollcall waiver revoke \(revoked.waiver) --environment"
                    + " \(revoked.environment)' again")
        }
        return nil
    }
}
