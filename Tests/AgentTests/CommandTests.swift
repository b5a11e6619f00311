import FoundationEssentials
import Glibc
import OCI
import ObjectStore
import Readiness
import TestSupport
import Testing

@testable import Agent

/// The commands as processes, against a real registry.
@Suite(.timeLimit(.minutes(5))) struct CommandTests {
    @Test func syncAndVerifyTellTheTruth() async throws {
        try await RealSite.with { site in
            var result = try await site.run("verify")
            #expect(result.status == 3)
            #expect(result.text == "lab-1: 1 list, 4 entries, 2.9 MiB: 4 missing (2.9 MiB)\n")
            #expect(result.errorText.split(separator: "\n").count == 4)
            #expect(try await !site.verdict().isReady)

            result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.text == "lab-1: 1 list, 4 entries, 2.9 MiB: brought 4 (2.9 MiB): complete\n")
            #expect(try await site.verdict().isReady)

            let layer = try #require(site.image.blobs.last).descriptor.digest
            try await site.destination.restart {
                try site.destination.removeContent(layer)
            }
            result = try await site.run("verify")
            #expect(result.status == 3)
            #expect(result.errorText == "rollcall-agent: missing: platform/api@\(layer) (blob, 2.9 MiB)\n")
            #expect(try await !site.verdict().isReady)

            result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try await site.verdict().isReady)
            #expect(try await site.run("verify").status == 0)
        }
    }

    /// A layer that the source serves with other bytes never arrives, and everything else is told apart from it.
    @Test func syncNamesWhatItCannotBring() async throws {
        try await RealSite.with { site in
            let layer = try #require(site.image.blobs.last).descriptor
            site.source.answer(
                .init(200, body: .bytes([UInt8](repeating: 0, count: Int(layer.size)))),
                where: { $0.target.contains("/blobs/\(layer.digest)") })
            let result = try await site.run("sync")
            #expect(result.status == 1, "\(result.errorText.suffix(4000))")
            #expect(result.text.hasSuffix("2 missing (2.9 MiB)\n"))
            let lines = result.errorText.split(separator: "\n")
            #expect(lines.contains { $0.hasPrefix("rollcall-agent: platform/api@\(layer.digest): ") })
            #expect(try await !site.verdict().isReady)
            #expect(try await site.site.manifest()?.holdings.first?.missing.count == 2)
        }
    }

    @Test func runGoesOnUntilItIsTold() async throws {
        try await RealSite.with { site in
            let errors = site.directory.file("run.log")
            let process = try ChildProcess(
                [AgentProcess.path, "run", "--config", site.config],
                environment: AgentProcess.environment(site.directory), directory: site.directory.path,
                output: "/dev/null", errors: errors)
            func log() -> String {
                (try? Data(contentsOf: URL(filePath: errors))).map { String(decoding: $0, as: UTF8.self) } ?? ""
            }
            while !log().contains("\"pass finished\""), process.isRunning {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await site.verdict().isReady)
            // The state directory is taken.
            let second = try await site.run("run")
            #expect(second.status == 1)
            #expect(second.errorText.contains("state: another rollcall-agent (process \(process.pid)) uses this state"))
            process.signal(SIGTERM)
            #expect(await process.ended() == 0)
            #expect(log().split(separator: "\n").allSatisfy { $0.hasPrefix("{\"time\":\"") && $0.hasSuffix("}") })
            #expect(log().contains("\"message\":\"stopped\""))
            // And is free again.
            #expect(try await site.run("verify").status == 0)
        }
    }

    /// Outside its windows a site fetches nothing, proves what it has, and says until when; in JSON too.
    @Test func syncOutsideTheWindowsSaysSo() async throws {
        try await RealSite.with { site in
            // From half a day from now, for an hour.
            let minute = Int(time(nil) / 60 % 1440)
            func text(_ minute: Int) -> String {
                let digits = { (number: Int) in "\(number / 10)\(number % 10)" }
                return "\(digits(minute / 60 % 24)):\(digits(minute % 60))"
            }
            let file = String(
                decoding: try Data(contentsOf: URL(filePath: site.directory.file(site.config))), as: UTF8.self)
            try site.directory.write(
                site.config,
                file + "windows: [{from: '\(text(minute + 720))', to: '\(text(minute + 780))'}]\n")
            var result = try await site.run("sync")
            #expect(result.status == 1)
            #expect(result.text.hasSuffix("4 missing (2.9 MiB)\n"))
            #expect(
                result.errorText.hasPrefix(
                    "rollcall-agent: transfers are paused, 4 entries wait: no transfer window is open until "))
            #expect(result.errorText.filter(\.isNewline).count == 1)
            #expect(
                !site.source.requests.contains { $0.target.contains("/blobs/") || $0.target.contains("/manifests/") })
            #expect(try await site.site.manifest()?.holdings.first?.missing.count == 4)

            result = try await site.run("sync", "--progress", "json")
            #expect(result.status == 1)
            let last = try #require(result.text.split(separator: "\n").last)
            #expect(last.contains(#""state":"paused""#))
            #expect(last.contains(#""pause":{"reason":"window","until":""#))
        }
    }

    /// A quota holds across processes: the next one does not begin anew.
    @Test func syncStopsAtTheQuota() async throws {
        try await RealSite.with { site in
            let file = String(
                decoding: try Data(contentsOf: URL(filePath: site.directory.file(site.config))), as: UTF8.self)
            // On one connection: of several, one that stands for a moment has its range taken over by another, and what is on
            // its way then comes twice.
            try site.directory.write(site.config, file + "limits: {quotaPerMonth: 1MiB, connections: 1}\n")
            var result = try await site.run("sync")
            #expect(result.status == 1)
            #expect(
                result.errorText.contains(" wait: the month's quota of 1048576 bytes is used up until "),
                "\(result.errorText)")
            // Also what the process sent last, and did not wait for.
            try await site.source.server.untilOpenConnections(0)
            let requests = site.source.requests.count
            result = try await site.run("sync")
            #expect(result.status == 1)
            try await site.source.server.untilOpenConnections(0)
            #expect(site.source.requests.count == requests)
            // With a greater one it goes on. There is no room to fetch again what it has.
            try site.directory.write(
                site.config, file + "limits: {quotaPerMonth: 3584KiB, rate: 80Mbit/s, connections: 1}\n")
            result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
        }
    }

    /// Standard output is JSON lines and nothing else; the last says how it ended. The ledger has what was fetched.
    @Test func progressForPrograms() async throws {
        try await RealSite.with { site in
            let result = try await site.run("sync", "--progress", "json")
            #expect(result.status == 0, "\(result.errorText)")
            struct Line: Decodable {
                struct Source: Decodable { let bytes: Int64 }
                let state: String
                let message: String?
                let bytes: [String: Int64]
                let sources: [String: Source]
            }
            let lines = try result.text.split(separator: "\n").map {
                try JSONDecoder().decode(Line.self, from: Data($0.utf8))
            }
            let last = try #require(lines.last)
            #expect(last.state == "complete")
            #expect(last.message == "1 list, 4 entries, 2.9 MiB: brought 4 (2.9 MiB): complete")
            #expect(last.bytes["delivered"] == last.bytes["total"])
            #expect(last.sources[site.source.authority]?.bytes == last.bytes["fetched"])
            #expect(lines.dropLast().allSatisfy { $0.state == "running" && $0.message == nil })
            #expect(FileManager.default.fileExists(atPath: site.directory.file("state/ledger.sqlite")))
        }
    }

    @Test func anInterruptedSyncSaysSo() async throws {
        try await RealSite.with { site in
            let (reached, mayGoOn) = (Gate(), Gate())
            site.source.intercept(where: { $0.target.contains("/blobs/") }) { exchange, proceed in
                reached.open()
                try exchange.wait(mayGoOn)
                return try proceed()
            }
            let errors = site.directory.file("sync.log")
            let process = try ChildProcess(
                [AgentProcess.path, "sync", "--config", site.config],
                environment: AgentProcess.environment(site.directory), directory: site.directory.path,
                output: "/dev/null", errors: errors)
            try await reached.opened()
            // While it waits for a blob, it says what is missing.
            while try await site.site.manifest() == nil { try await Task.sleep(for: .milliseconds(10)) }
            process.signal(SIGINT)
            #expect(await process.ended() == 1)
            mayGoOn.open()
            let text = String(decoding: try Data(contentsOf: URL(filePath: errors)), as: UTF8.self)
            #expect(text.contains("rollcall-agent: interrupted: "), "\(text)")
            // What was missing when it began is all that was said.
            let holding = try #require(try await site.site.manifest()?.holdings.first)
            #expect(holding.missingEntries > 0 && holding.entries == 0)
        }
    }

    @Test func copyCopiesOneImage() async throws {
        try await RealSite.with { site in
            let plain = ["--plain-http", site.source.authority, "--plain-http", site.destination.authority]
            let digest = site.image.descriptor.digest
            let copy = { (from: String, to: String) in
                try await runCommand(
                    [AgentProcess.path, "copy", from, to] + plain,
                    environment: AgentProcess.environment(site.directory), directory: site.directory.path)
            }
            let target = "\(site.destination.authority)/mirror/api"
            var result = try await copy("\(site.source.authority)/platform/api:1", "\(target):latest")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(
                result.text == "\(target)@\(digest): 4 entries, 2.9 MiB, of which 4 (2.9 MiB) were brought\n")
            let inspected = try await runCommand([
                "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://\(target):latest",
            ])
            #expect(inspected.text == "\(digest)\n")
            // Nothing is kept where nothing is to be continued.
            #expect(
                try FileManager.default.contentsOfDirectory(atPath: site.directory.file("cache/rollcall/copy")).isEmpty)

            result = try await copy("\(site.source.authority)/platform/api:1", "\(target)@\(Digest(of: []))")
            #expect(result.status == 64)
            #expect(result.errorText.contains("the image at the source has the digest \(digest)"))
            result = try await copy("\(site.source.authority)/platform/nothing:1", "\(target):1")
            #expect(result.status == 1)
            #expect(
                result.errorText.hasPrefix("rollcall-agent: \(site.source.origin)/v2/platform/nothing/manifests/1: "))
        }
    }
}

/// Bad input ends with one line that says what, where and what to do, and with the right exit code.
@Suite(.timeLimit(.minutes(5))) struct CommandBadInputTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        /// The agent's file, with one thing wrong; `{…}` stands for what the test fills in.
        let replacing: String
        let with: String
        let status: Int
        let message: String
        var testDescription: String { name }

        init(_ name: String, _ replacing: String, _ with: String, _ status: Int, _ message: String) {
            (self.name, self.replacing, self.with, self.status, self.message) = (name, replacing, with, status, message)
        }
    }

    private static let file = """
        site: lab-1
        environment: lab
        sources:
          - url: http://127.0.0.1:1
        registry:
          url: http://127.0.0.1:1
        objectStore:
          url: file://{directory}/store
        state: state

        """

    @Test(arguments: [
        Case(
            "unknown key", "site:", "siet:", 64,
            "agent.yaml:1:1: unknown key 'siet' in the agent's file: did you mean 'site'?"),
        Case("malformed", "sources:", "sources: [", 64, "agent.yaml:"),
        Case("no store", "/store", "/nowhere", 1, "{directory}/nowhere"),
        Case("other store", "file://", "ftp://", 64, "agent.yaml:8:8: 'url': "),
        Case(
            "state below a file", "state: state", "state: agent.yaml/state", 1,
            "agent.yaml/state/lock: cannot use the state directory"),
        Case("no registry listens", "lab-1", "lab-1", 1, "http://127.0.0.1:1/v2/"),
    ])
    func theAgentsFile(_ input: Case) async throws {
        let fixture = try SiteFixture()
        let directory = fixture.directory
        defer { directory.remove() }
        try await fixture.stage(list("web", ("web/api", nil, "api")))
        let text = Self.file.replacing(input.replacing, with: input.with).replacing("{directory}", with: directory.path)
        try directory.write("agent.yaml", text)
        let result = try await AgentProcess.run("verify", "--config", "agent.yaml", in: directory)
        #expect(result.status == input.status)
        #expect(result.text.isEmpty)
        #expect(result.errorText.hasPrefix("rollcall-agent: "))
        #expect(result.errorText.filter(\.isNewline).count == 1)
        #expect(
            result.errorText.contains(input.message.replacing("{directory}", with: directory.path)),
            "\(result.errorText)")
    }

    @Test(
        arguments: [
            ([], 0, ""),
            (["sync"], 64, "Missing expected argument '--config <file>'"),
            (
                ["sync", "--config", "nowhere.yaml"], 64,
                "nowhere.yaml: cannot read the agent's file: No such file or directory"
            ),
            (["sync", "--config", "a", "--progress", "loud"], 64, "'loud' is invalid for '--progress"),
            (["copy", "api:1", "b.example/api:1"], 64, "'api:1' names no registry"),
            (["copy", "a.example/api", "b.example/api:1"], 64, "ends in neither a tag nor a digest"),
            (
                ["copy", "a.example/api:1", "b.example/api:1", "--plain-http", "http://a"], 64,
                "write HOST or HOST:PORT"
            ),
            (["fly"], 64, "Unexpected argument 'fly'"),
        ] as [([String], Int, String)])
    func arguments(_ arguments: [String], status: Int, message: String) async throws {
        try await withTemporaryDirectory { directory in
            let result = try await runCommand(
                [AgentProcess.path] + arguments, environment: AgentProcess.environment(directory),
                directory: directory.path)
            #expect(result.status == status)
            #expect(result.errorText.contains(message), "\(result.errorText)")
            if status != 0 {
                #expect(result.errorText.hasPrefix("rollcall-agent: "))
                #expect(result.errorText.filter(\.isNewline).count == 1)
            }
        }
    }

    /// What is written where something else belongs may be a URL with a password, and the parser quotes what it is given.
    @Test(arguments: [
        ["copy", "https://user:secret@a.example/api:1", "b.example/api:1"],
        ["copy", "user:secret@a.example/api:1", "b.example/api:1"], ["copy", "user:secret/x@a.example/api:1", "b/a:1"],
        ["copy", "a.example/api:1", "b.example/api:1", "--plain-http", "user:secret@a"],
        ["copy", "a.example/api:1", "b.example/api:1", "--plain-http=https://user:secret@a"],
        ["registry", "serve", "--listen", "https://user:se cret@a:1"], ["fly", "https://user:secret@a"],
    ])
    func noPasswordIsShown(arguments: [String]) async throws {
        try await withTemporaryDirectory { directory in
            let result = try await runCommand(
                [AgentProcess.path] + arguments, environment: AgentProcess.environment(directory),
                directory: directory.path)
            #expect(result.status == 64)
            #expect(!result.errorText.contains("cret"), "\(result.errorText)")
            #expect(!result.text.contains("cret"), "\(result.text)")
        }
    }
}
