import OCI
import ObjectStore
import Trust

extension CentralStore {
    /// Which records of the audit chain are asked for. A record fits where it fits every part that is given.
    public struct AuditFilter: Hashable, Sendable {
        /// In this environment.
        public var environment: EnvironmentName?
        /// About this site: of it, or blocked by it.
        public var site: SiteName?
        /// About this list.
        public var list: ListName?
        /// By this person: `USER`, or `USER@HOST`.
        public var person: String?
        /// Not before.
        public var since: Timestamp?
        /// Not after.
        public var until: Timestamp?

        /// Every record.
        public init() {}

        func fits(_ event: AuditEvent) -> Bool {
            if let environment, event.environment != environment { return false }
            if let list, event.list != list, !event.details.keys.contains(where: { $0.hasPrefix("\(list)@") }) {
                return false
            }
            if let site, event.site != site,
                !event.sites.contains(where: { $0.site == site && !($0.reasons.isEmpty && $0.waiver == nil) })
            {
                return false
            }
            if let person, event.by.user != person, event.by.text != person { return false }
            if let since, event.at < since { return false }
            if let until, event.at > until { return false }
            return true
        }
    }

    /// The latest records that fit, the earliest of them first.
    ///
    /// - Parameters:
    ///   - filter: which records
    ///   - limit: how many at most
    /// - Throws: `ObjectStoreError`; `ReadinessError.brokenChain` for a record that cannot be read.
    public func auditRecords(_ filter: AuditFilter = AuditFilter(), limit: Int) async throws -> [AuditRecord] {
        var sequence = try await auditEnd().sequence
        var found: [AuditRecord] = []
        while sequence > 0, found.count < limit {
            let batch = max(1, sequence - Self.auditBatch + 1)...sequence
            found += try await auditRecords(batch).reversed().filter { filter.fits($0.event) }
            sequence = batch.lowerBound - 1
        }
        return found.prefix(limit).reversed()
    }

    /// Records of the audit chain as one look finds them, the latest first.
    public struct AuditPage: Hashable, Sendable {
        /// The records that fit, the latest first; at most `maximumRecords`.
        public let records: [AuditRecord]
        /// Before which number there are records that were not looked at; `nil` where the look reached the beginning.
        public let older: Int64?

        /// The most records of one page.
        public static let maximumRecords = 100
        /// The most records that one look reads: a filter that nothing fits must not read the whole chain.
        public static let maximumLook: Int64 = 1024

        /// - Parameters:
        ///   - records: the records that fit, the latest first
        ///   - older: before which number there are records that were not looked at
        public init(records: [AuditRecord], older: Int64?) {
            self.records = records
            self.older = older
        }
    }

    /// The latest records that fit, in a bounded look.
    ///
    /// - Parameters:
    ///   - filter: which records
    ///   - number: only records of lower numbers; `nil` from the end of the chain
    /// - Throws: as `auditRecords(_:limit:)`.
    public func auditPage(_ filter: AuditFilter = AuditFilter(), before number: Int64? = nil) async throws -> AuditPage
    {
        let end = try await auditEnd().sequence
        let first = min(end, max(1, number ?? .max) - 1)
        var sequence = first
        var found: [AuditRecord] = []
        while sequence > 0, found.count < AuditPage.maximumRecords, first - sequence < AuditPage.maximumLook {
            let batch = max(1, sequence - Self.auditBatch + 1)...sequence
            found += try await auditRecords(batch).reversed().filter { filter.fits($0.event) }
            sequence = batch.lowerBound - 1
        }
        guard found.count > AuditPage.maximumRecords else {
            return AuditPage(records: found, older: sequence > 0 ? sequence + 1 : nil)
        }
        found = Array(found.prefix(AuditPage.maximumRecords))
        return AuditPage(records: found, older: found.last?.sequence)
    }

    /// Every record that fits, in order, in batches: a chain may be longer than memory.
    ///
    /// - Throws: as `auditRecords(_:limit:)`, and what `body` throws.
    public func eachAuditRecord(
        _ filter: AuditFilter = AuditFilter(), _ body: (AuditRecord) throws -> Void
    ) async throws {
        let end = try await auditEnd().sequence
        var sequence: Int64 = 1
        while sequence <= end {
            let batch = sequence...min(end, sequence + Self.auditBatch - 1)
            for record in try await auditRecords(batch) where filter.fits(record.event) { try body(record) }
            sequence = batch.upperBound + 1
        }
    }

    /// Records that are read together.
    private static let auditBatch: Int64 = 64

    private func auditRecords(_ range: ClosedRange<Int64>) async throws -> [AuditRecord] {
        try await inOrder(range) { sequence in
            guard let record = try await auditRecord(sequence) else {
                throw ReadinessError(
                    .brokenChain, "the record is not there: run 'rollcall audit verify'",
                    in: try Self.auditKey(sequence).path)
            }
            return record
        }
    }

    /// Reads objects by number, several at once, and gives them in order.
    private func inOrder<Value: Sendable>(
        _ range: ClosedRange<Int64>, _ read: @escaping @Sendable (Int64) async throws -> Value
    ) async throws -> [Value] {
        try await withThrowingTaskGroup(of: (Int64, Value).self) { group in
            var waiting = range.makeIterator()
            func addNext() {
                guard let sequence = waiting.next() else { return }
                group.addTask { (sequence, try await read(sequence)) }
            }
            for _ in 0..<Self.maximumConcurrentReads { addNext() }
            var values: [(Int64, Value)] = []
            while let value = try await group.next() {
                values.append(value)
                addNext()
            }
            return values.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    // MARK: Verifying

    /// Verifies the whole chain: that there is no gap, that each record follows the one before, that signatures are those
    /// of the keys that they name, and that environments have promoted what the chain says.
    ///
    /// Works on any copy of the store, or of its `audit` directory alone.
    ///
    /// - Parameter known: the end of the chain as it was noted before: the chain must still have that record
    /// - Throws: `ObjectStoreError` where the store cannot be read.
    public func verifyAudit(knowing known: AuditHead? = nil) async throws -> AuditVerification {
        var verification = AuditVerification()
        let (count, stray) = try await countAuditRecords()
        var links = AuditLinks()
        var promotions: [EnvironmentName: [ListName: Digest]] = [:]
        var sequence: Int64 = 1
        while sequence <= count {
            let batch = sequence...min(count, sequence + Self.auditBatch - 1)
            for result in try await inOrder(batch, { try await link($0) }) {
                links.append(result.link)
                if result.record?.signer != nil { verification.signed += 1 }
                guard let event = result.record?.event, let environment = event.environment, let list = event.list
                else { continue }
                if [.promoted, .rolledBack].contains(event.action) {
                    promotions[environment, default: [:]][list] = event.generation
                }
            }
            sequence = batch.upperBound + 1
        }
        verification.records = count
        verification.end = links.links.last.map { AuditHead(sequence: count, digest: $0.digest) } ?? .empty

        var heads: [Int64: Digest] = [:]
        do {
            if let head = try await storedHead() { heads[head.sequence] = head.digest }
        } catch let error as ReadinessError {
            verification.fault = .init(object: try Self.auditHeadKey().path, message: error.message)
        }
        if heads[count] == nil, known == nil, count > 0 {
            verification.remarks.append(
                "nothing vouches for the content of the last record, nor that none came after it: compare the end with one"
                    + " that was noted before, with --head")
        }
        let latest = (Array(heads.keys) + [known?.sequence].compactMap { $0 }).max() ?? 0
        if let known, let digest = known.digest { heads[known.sequence] = digest }
        if let fault = links.firstFault(heads: heads) {
            verification.fault = .init(object: try Self.auditKey(fault.sequence).path, message: fault.message)
        } else if let stray {
            verification.fault = .init(
                object: stray.path, message: "the record before it is not there, or it is no record")
        } else if latest > count {
            verification.fault = .init(
                object: try Self.auditKey(count + 1).path,
                message:
                    "it is not there, and the chain once had \(latest) records: the last \(latest - count) were removed"
            )
        } else if let head = heads.first(where: { links.links[Int($0.key) - 1].digest != $0.value }) {
            verification.fault = .init(
                object: try Self.auditKey(head.key).path,
                message:
                    "its content is not what was known of it, and the records after it agree with it: the chain was"
                    + " written anew, or what was known is wrong")
        }
        if verification.fault == nil { try await compareWitnesses(links, &verification) }
        if verification.fault == nil { try await compareRecords(promotions, &verification) }
        return verification
    }

    private func storedHead() async throws -> AuditHead? {
        let key = try Self.auditHeadKey()
        return try await objects.get(key).map {
            try Document.decode(AuditHead.self, from: $0.bytes, .brokenChain, in: key.path)
        }
    }

    /// How many records there are from number 1 without a gap, and the first object that is none of them.
    private func countAuditRecords() async throws -> (Int64, stray: ObjectKey?) {
        let head = try Self.auditHeadKey()
        var count: Int64 = 0
        for key in try await objects.list(below: ObjectKey("audit")) where key != head {
            guard try key == Self.auditKey(count + 1) else { return (count, key) }
            count += 1
        }
        return (count, nil)
    }

    private func link(_ sequence: Int64) async throws -> (link: AuditLinks.Link, record: AuditRecord?) {
        let key = try Self.auditKey(sequence)
        guard let object = try await objects.get(key) else {
            return (.init(digest: Digest(of: []), previous: nil, defect: "it is not there any more"), nil)
        }
        do throws(ReadinessError) {
            let record = try AuditRecord(parsing: object.bytes, in: key.path)
            let defect = record.sequence == sequence ? nil : "it is the record of number \(record.sequence)"
            return (.init(digest: record.digest, previous: record.previous, defect: defect), record)
        } catch {
            return (.init(digest: Digest(of: object.bytes), previous: nil, defect: error.message), nil)
        }
    }

    /// Compares the chain with what sites have seen of it and signed, where a copy has their manifests.
    private func compareWitnesses(_ links: AuditLinks, _ verification: inout AuditVerification) async throws {
        for key in try await objects.list(below: ObjectKey("environments")) {
            let segments = key.path.split(separator: "/")
            guard segments.count == 4, segments[2] == "sites", let object = try await objects.get(key),
                let envelope = try? Envelope(ifEnvelope: object.bytes),
                let manifest = try? CacheManifest(parsing: envelope.payload), let seen = manifest.auditHead
            else { continue }
            let count = Int64(links.links.count)
            let place = try Self.auditKey(min(seen.sequence, count + 1)).path
            let witness = "as '\(manifest.site)' in '\(manifest.environment)' saw and signed on \(manifest.issuedAt)"
            if seen.sequence > count {
                verification.fault = .init(
                    object: place,
                    message: "it is not there, and the chain once had \(seen.sequence) records, \(witness): the last"
                        + " \(seen.sequence - count) were removed")
                return
            }
            if links.links[Int(seen.sequence) - 1].digest != seen.digest {
                verification.fault = .init(
                    object: place, message: "it is another record than \(witness): the chain was written anew")
                return
            }
        }
    }

    /// Compares what environments have promoted with what the chain says, where a copy has their records.
    private func compareRecords(
        _ promotions: [EnvironmentName: [ListName: Digest]], _ verification: inout AuditVerification
    ) async throws {
        for key in try await objects.list(below: ObjectKey("environments")) where key.name == "record.json" {
            let segments = key.path.split(separator: "/")
            guard segments.count == 3, let environment = try? EnvironmentName(String(segments[1])) else { continue }
            let record: EnvironmentRecord
            do {
                record = try await self.record(of: environment).record
            } catch let error as ReadinessError {
                verification.fault = .init(object: key.path, message: error.message)
                return
            }
            let pending = record.outbox.events.map(\.event)
            if !pending.isEmpty {
                verification.remarks.append(
                    "\(key.path): \(pending.count) events are not in the chain yet: the next command that decides about"
                        + " '\(environment)' writes them")
            }
            for (list, state) in record.lists.sorted(by: { $0.key < $1.key }) {
                let unrecorded = pending.last { $0.list == list && [.promoted, .rolledBack].contains($0.action) }
                let expected = unrecorded?.generation ?? promotions[environment]?[list]
                guard state.promoted?.generation != expected else { continue }
                verification.fault = .init(
                    object: key.path,
                    message:
                        "it says that \(state.promoted?.generation.description ?? "nothing") is promoted as '\(list)',"
                        + " and the chain's last word is \(expected?.description ?? "nothing"): it was not changed by"
                        + " Rollcall")
                return
            }
        }
    }
}
