import FoundationEssentials
import OCI
import ObjectStore
import TestSupport
import Testing
import Trust

@testable import Readiness

/// What is written fits docs/schemas, all of it, and the schemas would notice if it did not.
@Suite(.timeLimit(.minutes(5))) struct SchemaTests {
    private static let directory =
        #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/docs/schemas"

    private static func schema(_ name: String) throws -> JSONSchema {
        let bytes = try #require(FileManager.default.contents(atPath: "\(directory)/\(name)"), "\(name)")
        return try JSONSchema(parsing: Array(bytes))
    }

    /// A store in which everything was written that is ever written.
    private static func writeEverything() async throws -> MemoryStore {
        let memory = MemoryStore()
        let operatorKey = try Fixture.key(of: "operator")
        let store = CentralStore(memory, signingKey: operatorKey, backoff: { _ in })
        let lab = try EnvironmentName("lab")
        let jane = Fleet.Approver(
            name: try ApproverName("jane"), keys: [.init(try Fixture.key(of: "jane").publicKey)])
        let fleet = try Fleet(
            objectStore: ObjectStoreLocation("file:///srv/rollcall"),
            environments: [
                Fixture.environment(sites: ["site-1", "site-2", "site-3"]), Fixture.environment("production"),
            ],
            approvers: [jane],
            coordinators: [.init(name: CoordinatorName("operator"), keys: [.init(operatorKey.publicKey)])])
        let act = Act(by: "operator@host", at: Fixture.now, key: operatorKey.publicKey)
        let (one, two) = (try Fixture.list(layers: 200), try Fixture.list(tag: "2", layers: 200))
        _ = try await store.stage(one, to: EnvironmentName("production"), of: fleet, act: act)
        for (sequence, list) in [(1, one), (2, two)] as [(Int64, ImageList)] {
            _ = try await store.stage(list, to: lab, of: fleet, act: act)
            for site in ["site-1", "site-2"] {
                let manifest =
                    sequence == 1
                    ? try Fixture.manifest(of: site, Fixture.holding(one))
                    : try Fixture.manifest(of: site, sequence: 2, Fixture.holding(one), Fixture.holding(two))
                try await store.publish(manifest, signedBy: Fixture.key(of: site))
            }
            let missing = Array(list.closure.entries.prefix(150))
            let lossy = try CacheManifest(
                environment: lab, site: SiteName("site-3"), sequence: sequence, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(60)), agentVersion: "0.1.0",
                holdings: [
                    .init(
                        of: list, missing: missing, verifiedAt: Fixture.now, depth: .content,
                        contentVerifiedAt: Fixture.now)
                ],
                progress: .init(
                    bytesDone: 1, bytesTotal: 2, bytesPerSecond: 3, estimatedReadyAt: Fixture.now,
                    pausedUntil: Fixture.now,
                    sources: [.init(name: "central.example", bytes: 1, bytesPerSecond: 3)]),
                auditHead: try await store.witnessedEnd(after: nil),
                registry: .init(
                    url: "https://registry.site-3.example",
                    mapping: RepositoryMapping([.init(source: "", destination: "mirror")])))
            if let inventory = CacheManifest.Holding.inventory(of: list, missing: missing) {
                try await store.publish(inventory: inventory)
            }
            try await store.publish(lossy, signedBy: sequence == 1 ? nil : Fixture.key(of: "site-3"))
            _ = try await store.check(list.name, in: lab, of: fleet, act: act)
            let waiver = try Waiver(
                environment: lab, site: SiteName("site-3"), list: list.name, generation: list.generation,
                reason: "the link is down", approver: jane.name, issuedAt: Fixture.now,
                expiresAt: Fixture.now.advanced(by: .seconds(3600)))
            try await store.add(waiver, signedBy: Fixture.key(of: "jane"), of: fleet, act: act)
            _ = try await store.promote(list.name, in: lab, of: fleet, act: act)
            if sequence == 1 { _ = try await store.revoke(waiver: waiver.id, in: lab, act: act) }
        }
        _ = try await store.promote(one.name, in: lab, of: fleet, act: act, move: .rollback)
        _ = try await store.check(one.name, in: lab, of: fleet, act: act, about: .promoted)
        // Somebody decides by another file.
        let other = try Fleet(
            objectStore: fleet.objectStore,
            environments: [
                Fixture.environment(sites: ["site-1", "site-2", "site-3"], freshness: .seconds(7200)),
                Fixture.environment("production"),
            ], approvers: fleet.approvers, coordinators: fleet.coordinators)
        _ = try await store.check(one.name, in: lab, of: other, act: act)
        _ = try await store.check(one.name, in: lab, of: other, act: act, about: .promoted)
        _ = try await CentralStore(memory).forget(SiteName("site-2"), in: lab, act: Fixture.act)
        // An event that a crash left in each of the two objects that hold some.
        var record = try await store.record(of: lab)
        try record.record.outbox.add(AuditEvent(.staged, act), after: 1, signedBy: operatorKey)
        try record.record.outbox.add(AuditEvent(.staged, Fixture.act), after: 1, signedBy: nil)
        #expect(try await store.swap(record.record, against: record.etag))
        var outbox = Outbox()
        try outbox.add(AuditEvent(.checked, act), after: 1, signedBy: operatorKey)
        try await store.changeMemory(of: lab) { [outbox] in $0.outbox = outbox }
        return memory
    }

    /// The schema that an object's key, or its envelope, says that it has.
    private static func schemaName(of key: ObjectKey, payloadType: String?) -> String? {
        if let payloadType {
            let name = payloadType.split(separator: ".").dropFirst(2).joined(separator: ".")
            return name.replacing("+json", with: "").replacing("application/vnd.", with: "") + ".json"
        }
        let path = key.path
        if path.hasPrefix("lists/") { return "image-list.v1.json" }
        if path == "audit/head.json" { return "audit-head.v1.json" }
        if path.hasPrefix("audit/") { return "audit-record.v1.json" }
        if path.hasSuffix("/record.json") { return "environment-record.v1.json" }
        if path.hasSuffix("/gate.json") { return "gate-memory.v1.json" }
        if path.hasSuffix(".revoked.json") { return "waiver-revocation.v1.json" }
        if path.contains("/sites/") { return "cache-manifest.v1.json" }
        return nil
    }

    @Test func everyObjectFitsItsSchemaAndEverySchemaHasAnObject() async throws {
        let memory = try await Self.writeEverything()
        var seen: [String: JSONValue] = [:]
        for key in try await memory.list(below: nil) {
            let bytes = try #require(try await memory.get(key)).bytes
            if key.path.hasPrefix("inventories/") {
                // The one object that is no JSON: its name is its hash.
                #expect(key.path == "inventories/\(Digest(of: bytes).hex).txt")
                continue
            }
            var document = try JSONValue(parsing: bytes)
            var payloadType: String?
            if let envelope = try Envelope(ifEnvelope: bytes) {
                #expect(try Self.schema("dsse-envelope.v1.json").faults(in: document) == [], "\(key)")
                seen["dsse-envelope.v1.json"] = document
                payloadType = envelope.payloadType
                document = try JSONValue(parsing: envelope.payload)
            }
            for statement in Self.statements(in: document) {
                #expect(try Self.schema("dsse-envelope.v1.json").faults(in: statement) == [], "\(key)")
                let payload = try #require(statement["payload"]?.text.flatMap { Data(base64Encoded: $0) })
                let content = try JSONValue(parsing: Array(payload))
                #expect(try Self.schema("audit-statement.v1.json").faults(in: content) == [], "\(key)")
                seen["audit-statement.v1.json"] = content
            }
            let name = try #require(Self.schemaName(of: key, payloadType: payloadType), "\(key)")
            #expect(try Self.schema(name).faults(in: document) == [], "\(key)")
            // The schema's name is the document's own.
            if let own = document["schema"]?.text {
                #expect("rollcall.\(name)" == own.replacing("/", with: ".") + ".json")
            }
            if Self.size(of: document) > (seen[name].map(Self.size) ?? 0) { seen[name] = document }
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.directory).filter { $0.hasSuffix(".json") }
        #expect(Set(seen.keys) == Set(files))

        // A key less, a key more, or a value of another type anywhere: each is noticed.
        for (name, document) in seen {
            let schema = try Self.schema(name)
            guard case .object(let members) = document else { continue }
            for key in members.keys {
                var changed = members
                changed[key] = .object(["unheard": .null])
                #expect(try !schema.faults(in: .object(changed)).isEmpty, "\(name): \(key)")
            }
            #expect(try !schema.faults(in: .object(members.merging(["unheard": .null]) { $1 })).isEmpty)
            #expect(try !schema.faults(in: .object([:])).isEmpty)
            #expect(try !schema.faults(in: .array([])).isEmpty)
        }
    }

    /// The envelopes that lie in another document.
    private static func statements(in value: JSONValue) -> [JSONValue] {
        switch value {
        case .array(let items): items.flatMap(statements)
        case .object(let members):
            members.flatMap { $0.key == "statement" ? [$0.value] : statements(in: $0.value) }
        default: []
        }
    }

    private static func size(of value: JSONValue) -> Int {
        switch value {
        case .array(let items): items.reduce(1) { $0 + size(of: $1) }
        case .object(let members): members.values.reduce(1) { $0 + size(of: $1) }
        default: 1
        }
    }

    /// The validator itself, on cases that must not fit.
    @Test(arguments: [
        (#"{"type": "string"}"#, "1"), (#"{"type": "integer"}"#, "1.5"), (#"{"type": "integer"}"#, "true"),
        (#"{"const": "a"}"#, #""b""#), (#"{"enum": ["a", "b"]}"#, #""c""#), (#"{"pattern": "^a$"}"#, #""ab""#),
        (#"{"minLength": 2}"#, #""a""#), (#"{"maxLength": 1}"#, #""ab""#), (#"{"minimum": 2}"#, "1"),
        (#"{"maximum": 2}"#, "3"), (#"{"items": {"type": "string"}}"#, #"["a", 1]"#), (#"{"minItems": 1}"#, "[]"),
        (#"{"maxItems": 1}"#, "[1, 2]"), (#"{"required": ["a"]}"#, "{}"),
        (#"{"properties": {"a": {"type": "null"}}}"#, #"{"a": 1}"#),
        (#"{"properties": {"a": {}}, "additionalProperties": false}"#, #"{"b": 1}"#),
        (#"{"additionalProperties": {"type": "string"}}"#, #"{"b": 1}"#),
        (#"{"propertyNames": {"pattern": "^a"}}"#, #"{"b": 1}"#),
        (##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}}"##, "1"),
    ])
    func whatDoesNotFitIsSaid(_ schema: String, _ document: String) throws {
        let schema = try JSONSchema(parsing: Array(schema.utf8))
        #expect(try schema.faults(in: JSONValue(parsing: Array(document.utf8))).count == 1)
    }

    @Test func unknownKeywordsAreErrors() throws {
        let schema = try JSONSchema(parsing: Array(#"{"maxLenght": 1}"#.utf8))
        #expect(throws: TestSupportError.self) { try schema.faults(in: .null) }
    }
}
