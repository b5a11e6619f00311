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
        var sequence = try await foundEnd().sequence
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
        let end = try await foundEnd().sequence
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
        let end = try await foundEnd().sequence
        var sequence: Int64 = 1
        while sequence <= end {
            let batch = sequence...min(end, sequence + Self.auditBatch - 1)
            for record in try await auditRecords(batch) where filter.fits(record.event) { try body(record) }
            sequence = batch.upperBound + 1
        }
    }

    /// Records that are read together.
    static let auditBatch: Int64 = 64

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
    func inOrder<Value: Sendable>(
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
}
