import Console
import FoundationEssentials
import Glibc
import ObjectStore
import Readiness
import TestSupport
import Testing
import Trust

@testable import Coordinator

/// `rollcall doctor`: each thing that can be wrong is found, with what to change.
@Suite(.timeLimit(.minutes(5))) struct DoctorTests {
    private struct Report: Decodable {
        struct Finding: Decodable {
            let check: String
            let state: String
            let message: String
            let advice: String?
        }
        let well: Bool
        let findings: [Finding]

        func states(_ check: String) -> [String] { findings.filter { $0.check == check }.map(\.state) }
    }

    private static func examine(_ workplace: Workplace, _ arguments: String...) async throws -> (Report, Int) {
        let result = try await workplace.run(["doctor", "--output", "json"] + arguments)
        return (try JSONDecoder().decode(Report.self, from: Data(result.output)), result.status)
    }

    /// A fleet of the workplace in which every site has reported.
    private static func well(_ workplace: Workplace) async throws {
        let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
        let start = try #require(fleet.firstRange(of: "  - name: production")).lowerBound
        try workplace.directory.write("fleet.yaml", String(fleet[..<start]))
        let list = try workplace.write(Workplace.list())
        _ = try await workplace.run("stage", "list.json", "--environment", "lab")
        for site in ["lab-1", "lab-2"] { try await workplace.prove(list, at: site) }
        _ = try await workplace.run("check", "platform", "--environment", "lab")
    }

    @Test func whatIsWellIsWell() async throws {
        try await Workplace.with { workplace in
            try await Self.well(workplace)
            let before = try FileManager.default.subpathsOfDirectory(atPath: workplace.directory.file("store")).sorted()
            let (report, status) = try await Self.examine(workplace)
            #expect(status == 0)
            #expect(report.well)
            #expect(report.findings.allSatisfy { ["ok", "skipped"].contains($0.state) }, "\(report.findings)")
            #expect(
                Set(report.findings.map(\.check)) == [
                    "fleet-file", "site-keys", "approvers", "signing-key", "store-reachable", "clock",
                    "store-semantics", "cache",
                    "audit-chain", "sites",
                ])
            let table = try await workplace.run("doctor", "--color", "never")
            #expect(table.status == 0)
            #expect(table.text.hasSuffix("\nall is well\n"))
            // It leaves nothing behind but an empty directory.
            let after = try FileManager.default.subpathsOfDirectory(atPath: workplace.directory.file("store"))
            #expect(
                after.filter { $0 != "doctor" && !$0.hasPrefix("~") }.sorted() == before.filter { !$0.hasPrefix("~") })
        }
    }

    @Test func whatIsWrongIsFound() async throws {
        try await Workplace.with { workplace in
            try await Self.well(workplace)
            let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
            let store = workplace.directory.file("store")
            func expect(_ check: String, _ state: String, status: Int = 3, _ words: String) async throws {
                let (report, code) = try await Self.examine(workplace)
                #expect(code == status, "\(check)")
                #expect(report.states(check).contains(state), "\(report.findings)")
                #expect(
                    report.findings.contains {
                        $0.check == check && "\($0.message) \($0.advice ?? "")".contains(words)
                    },
                    "\(words): \(report.findings)")
            }
            // A site without a key; one that does not report; one that nobody knows.
            try workplace.directory.write(
                "fleet.yaml",
                fleet.replacing(
                    "      - name: lab-1\n",
                    with: "      - name: lab-3\n        registry: https://r.example\n      - name: lab-1\n"))
            try await expect("site-keys", "failed", "lab/lab-3")
            try await expect("sites", "failed", "lab/lab-3: silent")
            let cut = try #require(fleet.firstRange(of: "      - name: lab-2")).lowerBound
            try workplace.directory.write("fleet.yaml", String(fleet[..<cut]))
            try await expect("sites", "failed", "lab/lab-2: unknown-site")
            try workplace.directory.write("fleet.yaml", "environments: []\n")
            try await expect("fleet-file", "failed", status: 64, "fleet.yaml")
            try workplace.directory.write("fleet.yaml", fleet)
            // The chain without a record, and with another one in its place.
            let record = try #require(
                try FileManager.default.contentsOfDirectory(atPath: "\(store)/audit").filter { $0 != "head.json" }.min()
            )
            let original = try workplace.directory.read("store/audit/\(record)")
            try workplace.directory.write(
                "store/audit/\(record)",
                Array(String(decoding: original, as: UTF8.self).replacing("lab", with: "lob").utf8))
            try await expect("audit-chain", "failed", "rollcall audit verify")
            try FileManager.default.removeItem(atPath: "\(store)/audit/\(record)")
            try await expect("audit-chain", "failed", "rollcall audit verify")
            try workplace.directory.write("store/audit/\(record)", original)
            // The store away.
            try FileManager.default.moveItem(atPath: store, toPath: store + ".away")
            try await expect("store-reachable", "failed", "mount or create")
            try await expect("sites", "skipped", "cannot be read")
            try FileManager.default.moveItem(atPath: store + ".away", toPath: store)
            let (report, status) = try await Self.examine(workplace, "--signing-key", "none.pem")
            #expect(status == 3)
            #expect(report.states("signing-key") == ["failed"])
            #expect(try await Self.examine(workplace).0.well)

            // Where the fleet file says whose keys count, ours has to be one of them.
            let key = try await workplace.run("keygen", "--output", "operator.key").text.split(separator: "\n")[0]
            let file = try workplace.directory.read("fleet.yaml")
            try workplace.directory.write(
                "fleet.yaml",
                String(decoding: file, as: UTF8.self) + "\ncoordinators: [{name: op, publicKey: \"\(key)\"}]\n")
            #expect(try await Self.examine(workplace).0.states("signing-key") == ["warning"])
            let named = try await Self.examine(workplace, "--signing-key", "operator.key")
            #expect(named.0.states("signing-key") == ["ok"])
            _ = try await workplace.run("keygen", "--output", "other.key")
            let other = try await Self.examine(workplace, "--signing-key", "other.key")
            #expect(other.0.states("signing-key") == ["warning"])
        }
    }

    /// The registry that lists are resolved from: what it lacks shows before a release is late for it.
    @Test func theSourceIsLookedAt() async throws {
        try await withScriptedRegistry { source in
            try await Workplace.with { workplace in
                try await Self.well(workplace)
                source.store(TestImage(seed: 1, layers: [10]), in: "platform/api", tag: "1")
                func examine(_ images: String, at origin: String) async throws -> (Report, Int) {
                    try workplace.directory.write("images.yaml", "name: x\nsource: \(origin)\nimages:\n\(images)")
                    return try await Self.examine(workplace, "--images", "images.yaml")
                }
                let there = "  - {repository: platform/api, tag: '1'}\n"
                var (report, status) = try await examine(there, at: source.origin)
                #expect(status == 0, "\(report.findings)")
                #expect(report.states("source") == ["ok"])

                (report, status) = try await examine(
                    there + "  - {repository: platform/db, tag: '9'}\n", at: source.origin)
                #expect(status == 3)
                let finding = try #require(report.findings.first { $0.check == "source" })
                #expect(finding.state == "failed")
                #expect(finding.message == "it does not have platform/db:9")

                (report, status) = try await examine(there, at: "http://127.0.0.1:1")
                #expect(status == 3)
                #expect(report.states("source") == ["failed"])

                (report, status) = try await examine("nonsense", at: source.origin)
                #expect(status == 64)
                #expect(report.states("images-file") == ["failed"])
            }
        }
    }

    /// Where an S3 store's objects are kept: without a place, every command is slow, and nothing says why.
    @Test func thePlaceOfTheCacheIsLookedAt() throws {
        let location = try ObjectStoreLocation("s3://bucket")
        let none = CacheChecks.finding(of: location, ObjectStoreAccess(environment: ["ROLLCALL_CACHE": "none"]))
        #expect(none.state == .warning)
        #expect(none.advice == "name a directory with ROLLCALL_CACHE")
        #expect(
            CacheChecks.finding(
                of: try ObjectStoreLocation("file:///srv"), ObjectStoreAccess(environment: [:])
            ).state == .skipped)
        let directory = try TemporaryDirectory("cache")
        defer { directory.remove() }
        // It is made where it is not there.
        let finding = CacheChecks.finding(
            of: location, ObjectStoreAccess(environment: ["ROLLCALL_CACHE": directory.file("a/b")]))
        #expect(finding.subject == directory.file("a/b"))
        #expect([.ok, .warning].contains(finding.state))
        #expect(finding.message.contains(" are free"))
        // A file where the directory would be.
        let path = try directory.write("file", "x")
        #expect(CacheChecks.finding(of: "\(path)/cache").message.contains("cannot be written to"))
    }

    /// A store that keeps no conditions, and one whose clock is another.
    private struct BadStore: ObjectStore {
        let store: any ObjectStore
        var ignoresConditions = false
        var lead: Double?

        func get(_ key: ObjectKey, ifNoneMatch etag: ETag?) async throws(ObjectStoreError) -> GetOutcome {
            try await store.get(key, ifNoneMatch: etag)
        }
        func put(
            _ bytes: [UInt8], at key: ObjectKey, condition: PutCondition
        ) async throws(ObjectStoreError) -> PutOutcome {
            try await store.put(bytes, at: key, condition: ignoresConditions ? .none : condition)
        }
        func list(
            below prefix: ObjectKey?, continuingFrom continuation: ListPage.Continuation?
        ) async throws(ObjectStoreError) -> ListPage {
            try await store.list(below: prefix, continuingFrom: continuation)
        }
        func delete(_ key: ObjectKey) async throws(ObjectStoreError) { try await store.delete(key) }
        func clockLead() async -> Duration? { lead.map { .seconds(-$0) } }
    }

    @Test(
        arguments: [
            (0.4, "ok", "agrees with the store's"), (-12, "ok", "12 s behind"), (60, "ok", "60 s ahead of"),
            (61, "warning", "61 s ahead of"),
            (-301, "failed", "301 s behind"),
        ] as [(Double, String, String)])
    func clocksAreCompared(_ lead: Double, _ state: String, _ words: String) async throws {
        try await withTemporaryDirectory { directory in
            let store = BadStore(store: DirectoryStore(root: directory.path), lead: lead)
            let (findings, isReadable) = await StoreChecks.findings(of: store, at: "here", clock: ContinuousClock())
            #expect(isReadable)
            let clock = try #require(findings.first { $0.check == "clock" })
            #expect(clock.state.rawValue == state)
            #expect(clock.message.contains(words), "\(clock.message)")
        }
    }

    @Test func aStoreWithoutConditionsIsFound() async throws {
        try await withTemporaryDirectory { directory in
            let store = BadStore(store: DirectoryStore(root: directory.path), ignoresConditions: true)
            let (findings, _) = await StoreChecks.findings(of: store, at: "here", clock: ContinuousClock())
            let semantics = try #require(findings.first { $0.check == "store-semantics" })
            #expect(semantics.state == .failed)
            #expect(semantics.message.contains("an object can be created twice"))
        }
    }

    @Test func keysThatEndAreFound() throws {
        let now = Timestamp(seconds: 1_772_366_400)
        func state(_ notAfter: Duration?, keyless: Bool = false, accepts: Bool = false) throws -> Checkup.State? {
            let key = try Workplace.key(of: "a").publicKey
            let site = Fleet.Site(
                name: try SiteName("a"), registry: "https://a.example",
                keys: keyless ? [] : [.init(key, notAfter: notAfter.map { now.advanced(by: $0) })])
            let fleet = try Fleet(
                objectStore: ObjectStoreLocation("file:///srv"),
                environments: [.init(name: EnvironmentName("lab"), sites: [site], acceptsUnsigned: accepts)])
            return FleetChecks.findings(fleet, at: now).first { $0.check == "site-keys" }?.state
        }
        #expect(try state(nil) == .ok)
        #expect(try state(.seconds(31 * 86_400)) == .ok)
        #expect(try state(.seconds(29 * 86_400)) == .warning)
        #expect(try state(.seconds(-1)) == .failed)
        #expect(try state(nil, keyless: true) == .failed)
        #expect(try state(nil, keyless: true, accepts: true) == .warning)
    }
}
