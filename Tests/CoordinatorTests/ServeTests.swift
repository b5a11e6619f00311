import ArgumentParser
import Console
import FoundationEssentials
import Glibc
import HTTP
import Readiness
import Synchronization
import TestSupport
import Testing

@testable import Coordinator

/// `rollcall serve` as a process, asked as a pipeline asks.
@Suite(.timeLimit(.minutes(5))) struct ServeTests {
    @Test func theGateFollowsTheStoreAndTheFleet() async throws {
        try await Workplace.with { workplace in
            let list = try workplace.write(Workplace.list())
            _ = try await workplace.run("stage", "list.json", "--environment", "lab")
            try await workplace.prove(list, at: "lab-1")
            let server = try await GateProcess(workplace, "--without-tokens")
            let gate = "/v1/gate/lab/platform"
            var answer = try await server.get(gate)
            #expect(answer.status == 409)
            // The same document as `check` writes.
            let check = try await workplace.run("check", "platform", "--environment", "lab", "--output", "json")
            #expect(Self.withoutTime(answer.body) == Self.withoutTime(check.output))

            try await workplace.prove(list, at: "lab-2")
            #expect(try await server.get(gate).status == 200)
            #expect(try await server.get("\(gate)?generation=\(list.generation)").status == 200)
            #expect(try await server.get("/v1/gate/moon/platform").status == 404)
            let status = try await server.get("/v1/status")
            #expect(status.status == 200)
            #expect(String(decoding: status.body, as: UTF8.self).contains("\"environment\" : \"production\""))
            // Figures do not wait for long: a busy machine may be asked again.
            let figure = "rollcall_gate_ready{environment=\"lab\",list=\"platform\",of=\"staged\"} 1\n"
            while try await !String(decoding: server.get("/metrics").body, as: UTF8.self).contains(figure) {}

            // A site that the file names since now has proved nothing.
            let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
            let grown = fleet.replacing(
                "      - name: lab-2\n",
                with: "      - name: lab-3\n        registry: https://registry.lab-3.example\n      - name: lab-2\n")
            try workplace.directory.write("fleet.yaml", grown)
            answer = try await server.get(gate)
            #expect(answer.status == 409)
            #expect(String(decoding: answer.body, as: UTF8.self).contains("lab-3"))
            try workplace.directory.write("fleet.yaml", "environments: nonsense\n")
            #expect(try await server.get(gate).status == 503)
            try workplace.directory.write("fleet.yaml", fleet)
            #expect(try await server.get(gate).status == 200)

            // Unreachable is unknown, and never ready.
            try FileManager.default.moveItem(
                atPath: workplace.directory.file("store"), toPath: workplace.directory.file("away"))
            answer = try await server.get(gate)
            #expect(answer.status == 503)
            #expect(String(decoding: answer.body, as: UTF8.self).contains("\"ready\" : false"))
            #expect(try await server.get("/healthz").status == 200)
            try FileManager.default.moveItem(
                atPath: workplace.directory.file("away"), toPath: workplace.directory.file("store"))
            #expect(try await server.get(gate).status == 200)
            await server.end()
        }
    }

    private static func withoutTime(_ document: [UInt8]) -> [String] {
        String(decoding: document, as: UTF8.self).split(separator: "\n").filter { !$0.contains("decidedAt") }
            .map(String.init)
    }

    /// Has the fleet file name a bucket of this server.
    private static func useBucket(at origin: String, _ workplace: Workplace) throws {
        try workplace.directory.write("keys", "AWS_ACCESS_KEY_ID=KEY\nAWS_SECRET_ACCESS_KEY=SECRET\n")
        let fleet = String(decoding: try workplace.directory.read("fleet.yaml"), as: UTF8.self)
        try workplace.directory.write(
            "fleet.yaml",
            fleet.replacing(
                "file://\(workplace.directory.file("store"))",
                with: "s3://bucket?endpoint=\(origin)&credentials=\(workplace.directory.file("keys"))"))
    }

    /// A store that does not answer keeps nobody from asking the process how it is, and gates are not known until it has
    /// been proved.
    @Test func itServesBeforeTheStoreIsProved() async throws {
        let held = Gate()
        try await withScriptedServer({ exchange in
            try exchange.wait(held)
            return .init(503)
        }) { store in
            try await Workplace.with { workplace in
                try Self.useBucket(at: store.origin, workplace)
                let server = try await GateProcess(workplace, "--without-tokens")
                #expect(try await server.get("/healthz").status == 200)
                try await store.until { !$0.isEmpty }
                held.open()
                for path in ["/v1/gate/lab/platform", "/"] {
                    #expect(try await server.get(path).status == 503, "\(path)")
                }
                #expect(try await server.get("/healthz").status == 200)
                await server.end()
            }
        }
    }

    /// Who may only read the store can show how the fleet stands: that needs no race of writers, and decides nothing.
    @Test func lookingWritesNothing() async throws {
        let writes = Mutex(0)
        try await withScriptedServer({ exchange in
            guard exchange.request.method == "GET" else {
                writes.withLock { $0 += 1 }
                return .init(
                    403, ["Content-Type": "application/xml"],
                    text: "<Error><Code>AccessDenied</Code><Message>no</Message></Error>")
            }
            guard exchange.request.queryValue("list-type") == nil else {
                return .init(200, [:], text: "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
            }
            return .init(
                404, ["Content-Type": "application/xml"],
                text: "<Error><Code>NoSuchKey</Code><Message>none</Message></Error>")
        }) { store in
            try await Workplace.with { workplace in
                try Self.useBucket(at: store.origin, workplace)
                let server = try await GateProcess(workplace, "--without-tokens")
                for path in ["/v1/status", "/", "/audit"] {
                    #expect(try await server.get(path).status == 200, "\(path)")
                }
                #expect(try await server.get("/v1/gate/lab/platform").status == 503)
                await server.end()
            }
            // The proof at the start has tried.
            #expect(writes.withLock { $0 } > 0)
        }
    }

    @Test func tokensAreAskedFor() async throws {
        try await Workplace.with { workplace in
            let token = String(repeating: "t", count: 40)
            try workplace.directory.write("tokens", "\(token)\n")
            let server = try await GateProcess(workplace, "--tokens", "tokens")
            #expect(try await server.get("/v1/gate/lab/platform").status == 401)
            #expect(try await server.get("/v1/gate/lab/platform", token: token).status == 409)
            await server.end()
        }
    }

    /// SIGHUP is how daemons are told to read their files again; it ends who does not expect it.
    @Test func aHangupHasTheFilesReadAgain() async throws {
        try await Workplace.with { workplace in
            let token = String(repeating: "t", count: 40)
            try workplace.directory.write("tokens", "\(token)\n")
            let server = try await GateProcess(workplace, "--tokens", "tokens")
            server.process.signal(SIGHUP)
            while !String(decoding: try workplace.directory.read("serve.log"), as: UTF8.self).contains(
                "read the tokens again")
            {
                try #require(server.process.isRunning)
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await server.get("/v1/gate/lab/platform", token: token).status == 409)
            await server.end()
        }
    }

    @Test func theLevelIsTaken() throws {
        let arguments = ["--without-tls", "--without-tokens"]
        let usual = try ServeCommand.parse(arguments).logging.level
        #expect("\(usual)" == "info")
        let named = try ServeCommand.parse(arguments + ["--log-level", "error"]).logging.level
        #expect("\(named)" == "error")
    }

    @Test(arguments: [
        (["--without-tls", "--without-tokens", "--log-level", "loud"], 64, "'loud' is invalid for '--log-level"),
        (["--without-tls"], 64, "say who may ask"),
        (["--without-tokens"], 64, "say how to speak"),
        (["--without-tokens", "--certificate", "x", "--without-tls"], 64, "belong together"),
        (["--without-tls", "--tokens", "none"], 64, "none: cannot be read (No such file or directory)"),
        (["--without-tls", "--tokens", "fleet.yaml"], 64, "fleet.yaml:1: a token has at least 16 characters"),
        (["--without-tls", "--without-tokens", "--listen", "nowhere"], 64, "nowhere"),
        (
            ["--without-tokens", "--certificate", "x", "--key", "y"], 64,
            "x: cannot be read (No such file or directory)"
        ),
        (["--without-tls", "--without-tokens", "--fleet", "none.yaml"], 64, "none.yaml"),
    ])
    func whatIsWrongIsSaid(_ arguments: [String], _ status: Int, _ words: String) async throws {
        try await Workplace.with { workplace in
            let result = try await workplace.run(["serve"] + arguments)
            #expect(result.status == status)
            #expect(result.errorText.contains(words), "\(result.errorText)")
        }
    }
}
