import OCI
import ObjectStore
public import Trust

extension CentralStore {
    /// The most objects among an environment's waivers.
    static let maximumWaivers = 10_000

    static func waiversKey(of environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/waivers")
    }

    static func key(ofWaiver id: String, in environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/waivers/\(id).json")
    }

    static func key(ofRevocation id: String, in environment: EnvironmentName) throws(ObjectStoreError) -> ObjectKey {
        try ObjectKey("environments/\(environment)/waivers/\(id).revoked.json")
    }

    /// Gives a waiver: records it, and then stores it. The chain may name a waiver that then was not stored, and never
    /// lacks one that was.
    ///
    /// - Parameters:
    ///   - waiver: the waiver
    ///   - key: the approver's key
    ///   - fleet: the fleet, whose file must have the approver with this key, and the site
    ///   - act: who stores it, and when
    /// - Throws: `ReadinessError.invalidWaiver` where it would not count; `.invalidFleet`; `ObjectStoreError`.
    public func add(_ waiver: Waiver, signedBy key: PrivateKey, of fleet: Fleet, act: Act) async throws {
        let place = try fleet.environment(waiver.environment)
        guard place.sites.contains(where: { $0.name == waiver.site }) else {
            throw ReadinessError(
                .invalidFleet,
                "the fleet file names no site '\(waiver.site)' in '\(waiver.environment)': nothing is waived")
        }
        let object = try waiver.objectBytes(signedBy: key)
        let report = WaiverReport(reading: object, id: waiver.id, in: place, isRevoked: false)
        if let reason = report.judgement(of: waiver.generation, at: act.at) {
            throw ReadinessError(.invalidWaiver, reason.message)
        }
        let objectKey = try Self.key(ofWaiver: waiver.id, in: waiver.environment)
        var event = AuditEvent(.waiverAdded, act)
        (event.environment, event.site) = (waiver.environment, waiver.site)
        (event.list, event.generation) = (waiver.list, waiver.generation)
        event.evidence = [.init(objectKey.path, Digest(of: object))]
        event.details = [
            "waiver": waiver.id, "approver": waiver.approver.text, "reason": waiver.reason,
            "expiresAt": waiver.expiresAt.description, "key": key.publicKey.id.description,
        ]
        // An approver needs no other key to say so.
        try await record(event, signedBy: signingKey ?? key)
        guard try await objects.put(object, at: objectKey, condition: .ifAbsent) != .conflict else {
            throw ReadinessError(
                .invalidWaiver, "there is a waiver of this ID already: run this again", in: objectKey.path)
        }
        // Housekeeping: the next waiver does what this one could not.
        try? await removeOldWaivers(of: place, at: act.at)
    }

    /// Takes a waiver back: whoever deletes one object brings none back. The gate remembers the ID until the waiver would
    /// have expired, the revocation says what was taken back, and the waiver itself is deleted last.
    ///
    /// - Returns: whether it had not been taken back before
    /// - Throws: `ReadinessError.invalidWaiver` where there is no such waiver; `ObjectStoreError`.
    public func revoke(waiver id: String, in environment: EnvironmentName, act: Act) async throws -> Bool {
        guard Waiver.isID(id) else { throw Self.noWaiver(id, in: environment) }
        let place = try Self.key(ofWaiver: id, in: environment)
        let key = try Self.key(ofRevocation: id, in: environment)
        let (object, isRevoked) = (try await objects.get(place), try await objects.get(key) != nil)
        guard let object else {
            guard isRevoked else { throw Self.noWaiver(id, in: environment) }
            return false
        }
        let document = try? Schema.waiver.envelope(object.bytes, .invalidWaiver)?.payload
        let waiver = document.flatMap { try? Waiver(parsing: $0) }
        // A clock that is wrong must not say which of those that were taken back before have ended. Asked for before anything is
        // recorded: where it cannot be, nothing was taken back.
        let now = skew(from: try await objects.clockLead()) == nil ? act.at : Timestamp(seconds: 0)
        if !isRevoked {
            var event = AuditEvent(.waiverRevoked, act)
            event.environment = environment
            (event.site, event.list, event.generation) = (waiver?.site, waiver?.list, waiver?.generation)
            event.details = ["waiver": id]
            try await record(event)
        }
        // One that cannot be read counts for nothing now; should it do so one day, it has ended by then.
        let end = waiver?.expiresAt ?? act.at.advanced(by: Waiver.maximumLifetime)
        try await changeMemory(of: environment) { $0.noteRevocation(of: id, until: end, at: now) }
        let revocation = WaiverRevocation(waiver: id, by: act.by, at: act.at, claim: waiver?.id == id ? waiver : nil)
        let outcome = try await objects.put(Document.encode(revocation, .invalidRecord), at: key, condition: .ifAbsent)
        try await objects.delete(place)
        return outcome != .conflict
    }

    private static func noWaiver(_ id: String, in environment: EnvironmentName) -> ReadinessError {
        ReadinessError(
            .invalidWaiver,
            "there is no waiver '\(id.prefix(40))' in '\(environment)': 'rollcall waiver list' shows those there are")
    }

    /// Every waiver of an environment, also those that do not count, by ID.
    ///
    /// - Throws: `ObjectStoreError`; `ReadinessError.invalidRecord` for an object among them that has no waiver's name.
    public func waivers(of environment: Fleet.Environment) async throws -> [WaiverReport] {
        try await waivers(of: environment, remembering: try await memory(of: environment.name).memory)
    }

    /// The same, with what the gate remembers of those that were taken back.
    func waivers(of environment: Fleet.Environment, remembering memory: GateMemory) async throws -> [WaiverReport] {
        var ids: Set<String> = []
        var revoked: Set<String> = []
        let keys = try await objects.list(below: Self.waiversKey(of: environment.name))
        guard keys.count <= Self.maximumWaivers else {
            throw ReadinessError(
                .invalidRecord, "'\(environment.name)' has more than \(Self.maximumWaivers) waivers: remove old ones")
        }
        for key in keys {
            let id = String(key.name.prefix { $0 != "." })
            guard Waiver.isID(id) else { throw Self.strayWaiver(key) }
            switch key {
            case try Self.key(ofWaiver: id, in: environment.name): ids.insert(id)
            case try Self.key(ofRevocation: id, in: environment.name): revoked.insert(id)
            default: throw Self.strayWaiver(key)
            }
        }
        let taken = revoked.union(memory.revokedWaivers.keys)
        let (given, withoutWaiver) = (ids, revoked.subtracting(ids))
        return try await withThrowingTaskGroup(of: WaiverReport?.self) { group in
            var waiting = given.union(withoutWaiver).sorted().makeIterator()
            func addNext() {
                guard let id = waiting.next() else { return }
                group.addTask {
                    if withoutWaiver.contains(id) {
                        return try await waiver(at: Self.key(ofRevocation: id, in: environment.name), id) {
                            WaiverReport(ofRevocation: $0, id: id)
                        }
                    }
                    return try await waiver(at: Self.key(ofWaiver: id, in: environment.name), id) {
                        WaiverReport(reading: $0, id: id, in: environment, isRevoked: taken.contains(id))
                    }
                }
            }
            for _ in 0..<Self.maximumConcurrentReads { addNext() }
            var reports: [WaiverReport] = []
            while let report = try await group.next() {
                if let report { reports.append(report) }
                addNext()
            }
            return reports.sorted { $0.id < $1.id }
        }
    }

    /// Reads an object among the waivers. One that is too large is an answer, and counts for nothing.
    private func waiver(
        at key: ObjectKey, _ id: String, _ read: ([UInt8]) -> WaiverReport
    ) async throws -> WaiverReport? {
        do throws(ObjectStoreError) {
            return try await objects.get(key, limit: Waiver.maximumSize).map { read($0.bytes) }
        } catch {
            guard error.code == .tooLarge else { throw error }
            return WaiverReport(unread: id, because: error.message)
        }
    }

    /// Removes waivers that expired long ago: every decision has to read those that are there. The audit chain keeps what
    /// they were.
    private func removeOldWaivers(of environment: Fleet.Environment, at now: Timestamp) async throws {
        for report in try await waivers(of: environment) {
            guard let claim = report.claim, now.since(claim.expiresAt) > Waiver.maximumLifetime else { continue }
            try await objects.delete(Self.key(ofWaiver: report.id, in: environment.name))
            try await objects.delete(Self.key(ofRevocation: report.id, in: environment.name))
        }
    }

    private static func strayWaiver(_ key: ObjectKey) -> ReadinessError {
        ReadinessError(
            .invalidRecord, "an object among the waivers has no waiver's name: delete it", in: key.path)
    }
}
