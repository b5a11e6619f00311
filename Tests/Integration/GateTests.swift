import FoundationEssentials
import OCI
import TestSupport
import Testing
import Trust

/// What the gate makes of what sites report, of several lists, and of several people.
@Suite(.timeLimit(.minutes(5))) struct GateTests {
    /// A fleet whose source has `web/api:1`, `web/api:2` and `db/store:1`.
    private func withFleet(
        _ ladder: KeyValuePairs<String, [String]> = ["lab": ["lab-1", "lab-2"]],
        _ body: (TestFleet, ScriptedRegistry) async throws -> Void
    ) async throws {
        try await withScriptedRegistry { source in
            source.store(TestImage(seed: 1, layers: [1000, 100_000]), in: "web/api", tag: "1")
            source.store(TestImage(seed: 2, layers: [1000, 100_000]), in: "web/api", tag: "2")
            source.store(TestImage(seed: 3, isDocker: true), in: "db/store", tag: "1")
            try await TestFleet.with(ladder, source: source.origin) { try await body($0, source) }
        }
    }

    @Test func listsLiveSideBySide() async throws {
        try await withFleet(["lab": ["lab-1"]]) { fleet, _ in
            try await fleet.resolve("web", "web/api:1")
            try await fleet.resolve("db", "db/store:1")
            try await fleet.stage("web")
            try await fleet.sync("lab-1")
            try await fleet.stage("db")
            #expect(try await fleet.check("web").ready)
            #expect(try await fleet.check("db").site("lab-1")?.codes == ["unknown-list"])
            #expect(try await fleet.promote("web").outcome == "promoted")
            #expect(try await fleet.promote("db").outcome == "refused")
            try await fleet.sync("lab-1")
            // Two lists are promoted at once into one record: neither undoes the other.
            async let web = fleet.promote("web")
            async let db = fleet.promote("db")
            #expect(try await [web.outcome, db.outcome] == ["already-promoted", "promoted"])
            let status: StatusDocument = try await fleet.rollcall("status", "--output", "json").decoded()
            for name in ["web", "db"] { #expect(status.list(name, in: "lab")?.promoted != nil) }
            // Staging the same again changes nothing.
            let before = try fleet.storedObjects
            try await fleet.stage("web")
            #expect(try fleet.storedObjects == before)
        }
    }

    /// A generation that is staged while a site prefetches the one before is not covered by what that pass proves.
    @Test func stagingAnewDuringAPassClosesTheGate() async throws {
        try await withFleet(["lab": ["lab-1"]]) { fleet, source in
            let first = try await fleet.resolve("web", "web/api:1")
            try await fleet.stage("web")
            try await fleet.sync("lab-1")
            #expect(try await fleet.promote("web").outcome == "promoted")

            let second = try await fleet.resolve("web", "web/api:1", "web/api:2")
            let reached = Gate()
            let mayGoOn = Gate()
            source.intercept(times: 1, where: { $0.method == "GET" && $0.target.contains("/blobs/") }) {
                exchange, proceed in
                reached.open()
                try exchange.wait(mayGoOn)
                return try proceed()
            }
            try await fleet.stage("web")
            let errors = fleet.directory.file("sync.log")
            let pass = try Executable.agent.start(
                ["sync", "--config", "lab-1.yaml"], in: fleet.directory, errors: errors)
            try await reached.opened()
            let third = try await fleet.resolve("web", "web/api:2")
            try await fleet.stage("web")
            mayGoOn.open()
            #expect(
                await pass.ended() == 0,
                "\(String(decoding: (try? fleet.directory.read("sync.log")) ?? [], as: UTF8.self))")

            var verdict = try await fleet.check("web")
            #expect(verdict.staged?.generation == third.generation)
            #expect(verdict.site("lab-1")?.codes == ["other-generation"])
            let promotion = try await fleet.promote("web")
            #expect(promotion.outcome == "refused")
            let status: StatusDocument = try await fleet.rollcall("status", "--output", "json").decoded()
            #expect(status.list("web", in: "lab")?.promoted?.generation == first.generation)
            #expect(Set([first, second, third].map(\.generation)).count == 3)

            try await fleet.sync("lab-1")
            verdict = try await fleet.check("web")
            #expect(verdict.ready)
            #expect(try await fleet.promote("web").promoted?.generation == third.generation)
        }
    }

    @Test func waiting() async throws {
        try await withFleet(["lab": ["lab-1"]]) { fleet, _ in
            try await fleet.resolve("web", "web/api:1")
            try await fleet.stage("web")
            let late = try await fleet.rollcall(
                "check", "web", "--environment", "lab", "--wait", "--timeout", "1s", "--interval", "1s", "--output",
                "json")
            #expect(late.status == 3)
            #expect(try late.decoded(VerdictDocument.self).site("lab-1")?.codes == ["silent"])

            let wait = try Executable.rollcall.start(
                ["check", "web", "--environment", "lab", "--wait", "--timeout", "5m", "--interval", "1s"],
                in: fleet.directory, output: fleet.directory.file("out"), errors: fleet.directory.file("err"))
            // It has looked once when it says that it waits.
            while wait.isRunning, (try? fleet.directory.read("err"))?.isEmpty != false {
                try await Task.sleep(for: .milliseconds(20))
            }
            try await fleet.sync("lab-1")
            #expect(await wait.ended() == 0)
            #expect(String(decoding: try fleet.directory.read("out"), as: UTF8.self).contains("READY"))
            let said = String(decoding: try fleet.directory.read("err"), as: UTF8.self)
            // The site may have said meanwhile what it misses.
            #expect(
                said.hasPrefix("rollcall: waiting: 0 of 1 sites ready\nrollcall:   lab-1: silent: no estimate yet\n"))
        }
    }

    /// What is at a site's place in the store, and what the gate says to it.
    struct Report: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The site that is named, and the reason's code.
        let site: String
        let code: String
        let words: [String]
        /// Changes the store of a fleet that is ready.
        let change: @Sendable (TemporaryDirectory) throws -> Void

        init(
            _ name: String, site: String = "lab-2", _ code: String, _ words: [String],
            _ change: @escaping @Sendable (TemporaryDirectory) throws -> Void
        ) {
            (testDescription, self.site, self.code, self.words, self.change) = (name, site, code, words, change)
        }
    }

    private static let path = TestFleet.manifest(of: "lab-2")

    private static func edit(
        _ directory: TemporaryDirectory, _ key: String, _ value: (String) throws -> String
    ) throws {
        let envelope = try #require(try Envelope(ifEnvelope: directory.read(path)))
        var lines = String(decoding: envelope.payload, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false
        ).map(String.init)
        var edited = 0
        for (index, line) in lines.enumerated() where line.contains("\"\(key)\"") {
            let parts = line.split(separator: "\"", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 5 else { continue }
            lines[index] = (parts[..<3] + [try value(parts[3]), parts[4]]).joined(separator: "\"")
            edited += 1
        }
        guard edited > 0 else { throw TestSupportError("the cache manifest has no '\(key)'") }
        try directory.write(
            path, signed(lines.joined(separator: "\n"), as: envelope.payloadType, by: "lab-2", directory))
    }

    /// A document that a site's own key signed.
    private static func signed(
        _ text: String, as type: String, by site: String, _ directory: TemporaryDirectory
    ) throws -> [UInt8] {
        let key = try PrivateKey(path: directory.file("\(site).key"))
        return try Envelope(signing: Array(text.utf8), as: type, with: [key]).documentBytes()
    }

    static let reports = [
        Report("deleted", "silent", ["rollcall-agent sync"]) { try $0.remove(path) },
        Report("empty", "unreadable", ["rollcall-agent verify"]) { try $0.write(path, "") },
        Report("no JSON", "unreadable", ["line 1"]) { try $0.write(path, "{\"schema\": nonsense") },
        Report("cut off", "unreadable", ["rollcall-agent verify"]) {
            let bytes = try $0.read(path)
            try $0.write(path, Array(bytes.prefix(bytes.count / 2)))
        },
        Report("another schema", "unreadable", ["schema"]) { directory in
            try edit(directory, "schema") { "\($0)-of-the-future" }
        },
        Report("another site's", "misplaced", ["lab-1", "rollcall-agent verify"]) {
            try $0.write(path, try $0.read(TestFleet.manifest(of: "lab-1")))
        },
        Report("not signed", "unsigned", ["signingKey"]) { directory in
            let envelope = try #require(try Envelope(ifEnvelope: directory.read(path)))
            try directory.write(path, envelope.payload)
        },
        Report("of another site with this one's key", "misplaced", ["'lab-7'"]) { directory in
            try edit(directory, "site") { _ in "lab-7" }
        },
        Report("signed as something else", "unreadable", ["audit-record"]) { directory in
            let envelope = try #require(try Envelope(ifEnvelope: directory.read(path)))
            let text = String(decoding: envelope.payload, as: UTF8.self)
            try directory.write(
                path, signed(text, as: "application/vnd.rollcall.audit-record.v1+json", by: "lab-2", directory))
        },
        Report("another environment's", "misplaced", ["'prod'"]) { directory in
            try edit(directory, "environment") { _ in "prod" }
        },
        Report("an unknown site's", site: "lab-9", "unknown-site", ["rollcall site forget lab-9 --environment lab"]) {
            try $0.write(TestFleet.manifest(of: "lab-9"), try $0.read(path))
        },
        Report("expired", "expired", ["see whether rollcall-agent runs there"]) { directory in
            let (hourAgo, halfAnHourAgo) = (Date.now.addingTimeInterval(-3600), Date.now.addingTimeInterval(-1800))
            try edit(directory, "verifiedAt") { _ in hourAgo.formatted(.iso8601) }
            try edit(directory, "issuedAt") { _ in hourAgo.formatted(.iso8601) }
            try edit(directory, "expiresAt") { _ in halfAnHourAgo.formatted(.iso8601) }
        },
        Report("verified long ago", "stale", ["'lab' allows"]) { directory in
            try edit(directory, "verifiedAt") { _ in "2020-01-01T00:00:00Z" }
        },
        Report("from the future", "clock-skew", ["time server"]) { directory in
            try edit(directory, "issuedAt") { _ in "2120-01-01T00:00:00Z" }
            try edit(directory, "expiresAt") { _ in "2120-01-02T00:00:00Z" }
        },
        Report("another root", "contradictory", ["rollcall-agent verify"]) { directory in
            try edit(directory, "verifiedRoot") { _ in "\(Digest(of: []))" }
        },
        Report("another generation", "other-generation", ["rollcall-agent sync"]) { directory in
            try edit(directory, "generation") { _ in "\(Digest(of: []))" }
        },
    ]

    /// Whatever is not proved blocks, and is told with the site's name; what agents then do mends it.
    @Test func reportsThatProveNothing() async throws {
        try await withFleet { fleet, _ in
            try await fleet.resolve("web", "web/api:1")
            try await fleet.stage("web")
            try await fleet.sync("lab-1", "lab-2")
            #expect(try await fleet.check("web").ready)
            let intact = try fleet.directory.read(Self.path)
            for report in Self.reports {
                let name = Comment(rawValue: report.testDescription)
                // A gate that has seen the intact one would not get as far as to read it.
                try? fleet.directory.remove("store/environments/lab/gate.json")
                try report.change(fleet.directory)
                let verdict = try await fleet.check("web")
                #expect(!verdict.ready, name)
                let site = try #require(verdict.site(report.site), name)
                #expect(site.codes == [report.code], name)
                for word in report.words {
                    #expect(
                        site.reasons.contains { $0.message.contains(word) },
                        "\(report.testDescription): \(site.reasons)")
                }
                #expect(verdict.sites.count { !$0.ready } == 1, name)
                let table = try await fleet.rollcall("check", "web", "--environment", "lab")
                #expect(table.status == 3 && table.text.contains(report.site), name)
                // A refusal leaves nothing but its audit record.
                let before = try fleet.storedObjects.filter { !$0.key.hasPrefix("audit/") }
                #expect(try await fleet.promote("web").outcome == "refused", name)
                #expect(try fleet.storedObjects.filter { !$0.key.hasPrefix("audit/") } == before, name)

                if report.site == "lab-9" {
                    try await fleet.expect(0, .rollcall, ["site", "forget", "lab-9", "--environment", "lab"])
                }
                try fleet.directory.write(Self.path, intact)
            }
            // An agent puts its own manifest in the place of what is there.
            try? fleet.directory.remove("store/environments/lab/gate.json")
            try fleet.directory.write(Self.path, "{}")
            #expect(try await fleet.agent("verify", "lab-2").status == 0)
            #expect(try await fleet.promote("web").outcome == "promoted")
        }
    }

    /// A manifest that expires while nobody runs the agent: validity, at its shortest.
    @Test func anAgentsValidityIsWhatItsFileSays() async throws {
        try await withFleet(["lab": ["lab-1"]]) { fleet, _ in
            try fleet.writeAgentFile(of: fleet.site("lab-1"), settings: "validity: 60s")
            try await fleet.resolve("web", "web/api:1")
            try await fleet.stage("web")
            try await fleet.sync("lab-1")
            let object = try fleet.directory.read(TestFleet.manifest(of: "lab-1"))
            let document = try #require(try Envelope(ifEnvelope: object)).payload
            struct Times: Decodable { let issuedAt, expiresAt: String }
            let times = try JSONDecoder().decode(Times.self, from: Data(document))
            let format = Date.ISO8601FormatStyle()
            #expect(try format.parse(times.expiresAt).timeIntervalSince(try format.parse(times.issuedAt)) == 60)
        }
    }

    /// Of several promotions at once exactly one moves the pointer; the others agree with it, or are told.
    @Test func concurrentPromotions() async throws {
        try await withFleet(["lab": ["lab-1"]]) { fleet, _ in
            var promoted = 0
            for tag in ["1", "2", "1"] {
                try await fleet.resolve("web", "web/api:\(tag)")
                try await fleet.stage("web")
                try await fleet.sync("lab-1")
                let outcomes = try await withThrowingTaskGroup(of: String.self) { group in
                    for _ in 0..<4 { group.addTask { try await fleet.promote("web").outcome } }
                    return try await group.reduce(into: [String]()) { $0.append($1) }
                }
                #expect(outcomes.count { $0 == "promoted" } == 1, "\(outcomes)")
                #expect(outcomes.allSatisfy { ["promoted", "already-promoted", "refused"].contains($0) })
                promoted += 1
                #expect(try fleet.pointers(of: "web") == promoted)
            }
        }
    }
}

extension TestFleet {
    /// How often a list was promoted in lab, by the record.
    fileprivate func pointers(of list: String) throws -> Int {
        struct Record: Decodable {
            struct State: Decodable {
                struct Pointer: Decodable { let generation: String }
                let promoted: Pointer?
                let history: [Pointer]
            }
            let lists: [String: State]
        }
        let bytes = try directory.read("store/environments/lab/record.json")
        let state = try #require(try JSONDecoder().decode(Record.self, from: Data(bytes)).lists[list])
        return state.history.count + (state.promoted == nil ? 0 : 1)
    }
}

extension TemporaryDirectory {
    /// Removes a file.
    func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: file(name)) }
}
