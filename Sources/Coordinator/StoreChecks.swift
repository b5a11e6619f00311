import Console
import ObjectStore
import OCI
import Readiness

/// Whether the object store does what gates and agents need of it.
enum StoreChecks {
    /// How far clocks may be apart before it is worth a word, in seconds; at 300 gates block.
    static let tolerableSkew = 30.0

    /// - Returns: the findings, and whether the store could be read at all
    static func findings(
        of store: any ObjectStore, at location: String, clock: ContinuousClock
    ) async -> ([Checkup.Finding], isReadable: Bool) {
        let start = clock.now
        do throws(ObjectStoreError) {
            _ = try await store.list(below: ObjectKey("environments"), continuingFrom: nil)
        } catch {
            return ([.init(name(of: error), .failed, error.description, advice: advice(on: error))], false)
        }
        let milliseconds = (clock.now - start) / .milliseconds(1)
        var findings = [
            Checkup.Finding("store-reachable", .ok, "\(location) answers in \(Int(milliseconds.rounded(.up))) ms")
        ]
        findings.append(await skew(of: store))
        findings.append(await semantics(of: store))
        return (findings, true)
    }

    private static func name(of error: ObjectStoreError) -> String {
        switch error.code {
        case .noCredentials, .permissionDenied: "store-credentials"
        case .clockSkewed: "clock"
        case .unsupportedStore: "store-semantics"
        default: "store-reachable"
        }
    }

    private static func advice(on error: ObjectStoreError) -> String? {
        switch error.code {
        case .noCredentials:
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file in the store's URL (docs/object-store.md)"
        case .permissionDenied:
            "let this user read, write and delete below the store's place (docs/object-store.md names the rights)"
        case .missingRoot: "mount or create the directory, or correct 'objectStore' in the fleet file"
        case .clockSkewed: "set this machine's clock by a time server"
        case .unsupportedStore: "use a store whose conditional writes hold (docs/object-store.md names some)"
        case .unavailable, .busy:
            "see that the store runs, and that this machine reaches it: names, routes, proxies, TLS"
        default: nil
        }
    }

    /// By what the store told of its clock when it was asked for something else.
    private static func skew(of store: any ObjectStore) async -> Checkup.Finding {
        guard let ahead = await store.clockLead() else {
            return .init("clock", .skipped, "the store has no clock of its own to compare with")
        }
        let lead = -(ahead / .seconds(1))
        let seconds = Int(lead.rounded())
        let words = seconds == 0 ? "agrees with" : "is \(abs(seconds)) s \(seconds > 0 ? "ahead of" : "behind")"
        guard abs(lead) > tolerableSkew else {
            return .init("clock", .ok, "this machine's clock \(words) the store's")
        }
        return .init(
            "clock", abs(lead) > Double(clockSkewTolerance.components.seconds) ? .failed : .warning,
            "this machine's clock \(words) the store's; from \(clockSkewTolerance.rounded) on, gates block",
            advice: "set this machine's clock by a time server")
    }

    /// Writes, as gates do, an object that nobody else looks at.
    private static func semantics(of store: any ObjectStore) async -> Checkup.Finding {
        do throws(ObjectStoreError) {
            try await store.prepare()
            let name = String((0..<16).compactMap { _ in "0123456789abcdef".randomElement() })
            let key = try ObjectKey("doctor/\(name)")
            let finding = try await exclusion(of: store, at: key)
            try await store.delete(key)
            return finding
        } catch {
            return .init(
                name(of: error) == "store-reachable" ? "store-semantics" : name(of: error), .failed, error.description,
                advice: advice(on: error))
        }
    }

    private static func exclusion(
        of store: any ObjectStore, at key: ObjectKey
    ) async throws(ObjectStoreError) -> Checkup.Finding {
        func broken(_ what: String) -> Checkup.Finding {
            .init(
                "store-semantics", .failed, "conditional writes cannot be relied on: \(what)",
                advice: "use a store whose conditional writes hold (docs/object-store.md names some)")
        }
        guard case .stored(let first) = try await store.put([1], at: key, condition: .ifAbsent) else {
            return broken("a new object cannot be created")
        }
        guard try await store.put([2], at: key, condition: .ifAbsent) == .conflict else {
            return broken("an object can be created twice")
        }
        guard case .stored(let second) = try await store.put([3], at: key, condition: .ifMatch(first)) else {
            return broken("the version that is there cannot be replaced")
        }
        guard try await store.put([4], at: key, condition: .ifMatch(first)) == .conflict else {
            return broken("a version can be replaced twice")
        }
        guard case .found(let object) = try await store.get(key, ifNoneMatch: nil), object.bytes == [3],
            object.etag == second
        else { return broken("what was written is not what is read") }
        return .init("store-semantics", .ok, "writes are exclusive, and read back as written")
    }
}

/// Whether the end of the audit chain is in order.
enum AuditChecks {
    static func finding(in central: CentralStore) async -> Checkup.Finding {
        do {
            return finding(try await central.auditPage().records)
        } catch {
            return .init(
                "audit-chain", .failed, "\(error)",
                advice: "run 'rollcall audit verify', and find out who changed the store")
        }
    }

    /// Whether records, the latest first, follow each other.
    static func finding(_ records: [AuditRecord]) -> Checkup.Finding {
        guard let last = records.first else { return .init("audit-chain", .ok, "nothing is recorded yet") }
        for (record, before) in zip(records, records.dropFirst())
        where record.previous != before.digest || record.sequence != before.sequence + 1 {
            return .init(
                "audit-chain", .failed, "record \(record.sequence) does not follow record \(before.sequence)",
                advice: "run 'rollcall audit verify', and find out who changed the store")
        }
        return .init(
            "audit-chain", .ok,
            "ends with record \(last.sequence); the last \(records.count) follow each other ('rollcall audit verify' looks"
                + " at all)")
    }
}
