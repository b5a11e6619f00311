import Console
import ObjectStore
import OCI
import Readiness

/// Whether the object store does what gates and agents need of it.
enum StoreChecks {
    /// How far clocks may be apart before it is worth a word, in seconds; at 300 gates block.
    static let tolerableSkew = 60.0

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
        let told: Duration?
        do throws(ObjectStoreError) {
            told = try await store.clockLead()
        } catch {
            return .init("clock", .failed, error.description, advice: advice(on: error))
        }
        guard let ahead = told else {
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
            guard let fault = try await store.faultOfExclusion(at: .ofDoctor()) else {
                return .init("store-semantics", .ok, "writes are exclusive, and read back as written")
            }
            return .init(
                "store-semantics", .failed, "conditional writes cannot be relied on: \(fault)",
                advice: "use a store whose conditional writes hold (docs/object-store.md names some)")
        } catch {
            return .init(
                name(of: error) == "store-reachable" ? "store-semantics" : name(of: error), .failed, error.description,
                advice: advice(on: error))
        }
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
