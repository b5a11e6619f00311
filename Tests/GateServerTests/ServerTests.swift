import FoundationEssentials
import HTTP
import ObjectStore
import OCI
import Readiness
import Synchronization
import Serving
import TestSupport
import Testing

@testable import GateServer

/// The server over real connections.
@Suite(.timeLimit(.minutes(5))) struct ServerTests {
    @Test func threeAnswers() async throws {
        try await LiveServer.with { server in
            var answer = try await server.get("/v1/gate/lab/platform")
            #expect(answer.status == 200)
            #expect(answer.text == "{\"ready\":true,\"reasons\":[]}\n")
            #expect(answer.headers["Content-Type"] == "application/json")
            #expect(answer.headers["Cache-Control"] == "no-store")

            server.gate.answer { list, environment in try madeVerdict(list.text, in: environment.text, ready: ["a"]) }
            answer = try await server.get("/v1/gate/lab/platform")
            #expect(answer.status == 409)
            #expect(answer.text.contains("\"ready\":false"))

            server.gate.answer { _, _ in throw ObjectStoreError(.unavailable, "away", at: "store") }
            answer = try await server.get("/v1/gate/lab/platform")
            #expect(answer.status == 503)
            #expect(answer.headers["Retry-After"] == "10")
            let fault = try JSONDecoder().decode(Fault.self, from: Data(answer.body))
            #expect(fault == Fault(ready: false, error: .init(code: "unknown", message: "store: away")))
        }
    }

    private struct Fault: Decodable, Equatable {
        struct Cause: Decodable, Equatable { let code: String, message: String }
        let ready: Bool
        let error: Cause
    }

    @Test func aGenerationBindsTheAnswer() async throws {
        try await LiveServer.with { server in
            let staged = try imageList("platform").generation
            let other = try imageList("platform", tag: "2").generation
            #expect(try await server.get("/v1/gate/lab/platform?generation=\(staged)").status == 200)
            let answer = try await server.get("/v1/gate/lab/platform?generation=\(other)")
            #expect(answer.status == 409)
            #expect(answer.text.contains("another-staged"))
            // What is misspelt must not become a question for any generation.
            for query in [
                "generation=", "generation=latest", "generatoin=\(other)", "generation=\(staged)&x=1",
                "generation=\(staged)&generation=\(other)", "generation=\(staged)&generation=\(staged)",
            ] {
                #expect(try await server.get("/v1/gate/lab/platform?\(query)").status == 400, "\(query)")
            }
        }
    }

    @Test func whatAGateIsOfIsTold() async throws {
        try await LiveServer.with { server in
            let staged = try imageList("platform").generation
            for query in [
                "", "?of=staged", "?of=promoted", "?generation=\(staged)", "?of=promoted&generation=\(staged)",
            ] {
                #expect(try await server.get("/v1/gate/lab/platform\(query)").status == 200, "\(query)")
            }
            #expect(server.gate.subjects == [nil, .staged, .promoted, nil, .promoted])
            // What is misspelt, or there twice, must not become another question.
            for query in [
                "of=", "of=both", "of=Promoted", "OF=promoted", "of=staged&of=promoted", "of=promoted&of=promoted",
                "generation=\(staged)&generation=\(staged)",
            ] {
                let answer = try await server.get("/v1/gate/lab/platform?\(query)")
                #expect(answer.status == 400, "\(query)")
                #expect(answer.text.contains("bad-question"))
            }
            #expect(server.gate.subjects.count == 5)
        }
    }

    @Test func whatIsNoQuestionIsRefused() async throws {
        try await LiveServer.with { server in
            for path in [
                "/v1", "/v1/gate", "/v1/gate/lab", "/v1/gate/lab/platform/x", "/v2/gate/lab/platform", "/v1/Status",
            ] {
                #expect(try await server.get(path).status == 404, "\(path)")
            }
            for path in ["/v1/gate/lab/-x", "/v1/gate/l%2Fb/platform", "/v1/gate/lab/%00"] {
                #expect(try await server.get(path).status == 400, "\(path)")
            }
            for method in [HTTPMethod.post, .put, .delete] {
                let answer = try await server.get("/v1/gate/lab/platform", method: method)
                #expect(answer.status == 405)
                #expect(answer.headers["Allow"] == "GET, HEAD")
            }
            for path in ["/healthz", "/"] {
                let answer = try await server.get(path, method: .head)
                #expect(answer.status == 200, "\(path)")
                #expect(answer.text.isEmpty)
            }
            server.gate.answer { _, _ in throw ReadinessError(.invalidFleet, "the fleet has no environment 'moon'") }
            let answer = try await server.get("/v1/gate/moon/platform")
            #expect(answer.status == 404)
            #expect(answer.text.contains("unknown-environment"))
            #expect(answer.text.contains("\"ready\" : false"))
        }
    }

    @Test func onlyTokensOfTheFileMayAsk() async throws {
        try await withTemporaryDirectory { directory in
            let (first, second) = (String(repeating: "a", count: 32), String(repeating: "b", count: 32))
            let path = try directory.write("tokens", "# pipelines\n\n\(first)\n")
            let log = Lines()
            try await LiveServer.with(
                log: log, configuration: { $0.tokens = try TokenFile(path, logger: log.logger) }
            ) { server in
                #expect(try await server.get("/v1/gate/lab/platform", token: first).status == 200)
                for token in [nil, second, String(first.dropLast()), first + "a", ""] {
                    for page in ["/v1/gate/lab/platform", "/v1/status", "/metrics", "/nothing"] {
                        let answer = try await server.get(page, token: token)
                        #expect(answer.status == 401, "\(page)")
                        #expect(answer.headers["WWW-Authenticate"] == "Bearer")
                    }
                }
                #expect(server.gate.reads == 1)
                #expect(try await server.get("/healthz").status == 200)
                // Rotation, with an overlap and without; and what cannot be read any more lets nobody in.
                try directory.write("tokens", "  \(first)\r\n\(second)\n")
                #expect(try await server.get("/v1/gate/lab/platform", token: first).status == 200)
                #expect(try await server.get("/v1/gate/lab/platform", token: second).status == 200)
                try directory.write("tokens", "\(second)\n")
                #expect(try await server.get("/v1/gate/lab/platform", token: first).status == 401)
                for content in ["", "short\n", "\(second) \(second)\n", "\(second)\u{FC}\n"] {
                    try directory.write("tokens", content)
                    #expect(try await server.get("/v1/gate/lab/platform", token: second).status == 401, "\(content)")
                }
                try FileManager.default.removeItem(atPath: path)
                #expect(try await server.get("/v1/gate/lab/platform", token: second).status == 401)
                try directory.write("tokens", "\(second)\n")
                #expect(try await server.get("/v1/gate/lab/platform", token: second).status == 200)
                #expect(log.all.contains { $0.hasPrefix("nobody may ask \(path)") })
                #expect(!log.all.contains { $0.contains(first) || $0.contains(second) })
            }
        }
    }

    @Test func certificatesAreReplacedWhileItServes() async throws {
        try await withTemporaryDirectory { directory in
            let (old, new) = (try TemporaryDirectory("old"), try TemporaryDirectory("new"))
            defer {
                old.remove()
                new.remove()
            }
            let before = try await Certificates(in: old)
            let after = try await Certificates(in: new)
            func install(_ file: String, as name: String) throws {
                try directory.write(name, Array(Data(contentsOf: URL(filePath: file))))
            }
            try install(before.serverCertificateFile, as: "crt")
            try install(before.serverKeyFile, as: "key")
            let log = Lines()
            try await LiveServer.with(
                log: log,
                configuration: {
                    $0.certificate = try CertificateFiles(
                        certificate: directory.file("crt"), key: directory.file("key"), logger: log.logger)
                }
            ) { server in
                var (old, new) = (server, server)
                old.tls.caFile = before.caFile
                new.tls.caFile = after.caFile
                #expect(try await old.get("/v1/gate/lab/platform").status == 200)
                await #expect(throws: HTTPError.self) { try await new.get("/v1/gate/lab/platform") }
                // Between the replacement of the one and of the other the pair before serves.
                try install(after.serverCertificateFile, as: "crt")
                let fresh = HTTPClient()
                defer { fresh.shutdown() }
                let between = LiveServer(origin: server.origin, gate: server.gate, client: fresh, tls: old.tls)
                #expect(try await between.get("/healthz").status == 200)
                try install(after.serverKeyFile, as: "key")
                #expect(try await new.get("/v1/gate/lab/platform").status == 200)
                #expect(log.all.contains { $0.hasPrefix("the certificate before is still used") })
                #expect(log.all.contains("read the certificate again"))
            }
        }
    }

    @Test func aStoreThatHangsIsUnknown() async throws {
        let gate = ScriptedGate()
        let (releases, release) = AsyncStream<Void>.makeStream()
        gate.answer { list, environment in
            for await _ in releases { break }
            return try madeVerdict(list.text, in: environment.text)
        }
        try await LiveServer.with(gate, configuration: { $0.patience = .milliseconds(50) }) { server in
            let answer = try await server.get("/v1/gate/lab/platform")
            #expect(answer.status == 503)
            #expect(answer.text.contains("did not answer within"))
            // The process itself is well, and the figures say what is not known.
            #expect(try await server.get("/healthz").status == 200)
            let figures = try await server.get("/metrics").text
            #expect(figures.contains("rollcall_store_reachable 0\n"))
            release.finish()
        }
    }

    /// Prometheus gives up sooner than a pipeline does, and would then not learn that the store hangs.
    @Test func figuresDoNotWaitForAStoreThatHangs() async throws {
        #expect(GateServer.Configuration().scrapePatience < .seconds(10))
        let gate = ScriptedGate()
        let (releases, release) = AsyncStream<Void>.makeStream()
        gate.answer { list, environment in
            for await _ in releases { break }
            return try madeVerdict(list.text, in: environment.text)
        }
        try await LiveServer.with(gate, configuration: { $0.scrapePatience = .milliseconds(50) }) { server in
            let figures = try await server.get("/metrics").text
            #expect(figures.contains("rollcall_store_reachable 0\n"))
            release.finish()
        }
    }

    @Test func figuresAreForPrometheus() async throws {
        try await LiveServer.with { server in
            _ = try await server.get("/v1/gate/lab/platform")
            server.gate.answer { list, environment in try madeVerdict(list.text, in: environment.text, ready: ["a"]) }
            _ = try await server.get("/v1/gate/lab/platform")
            _ = try await server.get("/v1/gate/lab/-")
            let answer = try await server.get("/metrics")
            #expect(answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = answer.text.split(separator: "\n")
            for line in [
                "rollcall_info{version=\"1.2.3\"} 1", "rollcall_store_reachable 1",
                "rollcall_gates{state=\"blocked\"} 1",
                "rollcall_gate_ready{environment=\"lab\",list=\"platform\",of=\"staged\"} 0",
                "rollcall_gate_sites{environment=\"lab\",list=\"platform\",of=\"staged\",state=\"ready\"} 1",
                "rollcall_gate_reasons{environment=\"lab\",list=\"platform\",of=\"staged\",code=\"silent\"} 1",
                "rollcall_gate_answers_total{answer=\"ready\"} 1", "rollcall_gate_answers_total{answer=\"blocked\"} 1",
                "rollcall_gate_answers_total{answer=\"refused\"} 1",
                "rollcall_http_requests_total{route=\"gate\",status=\"409\"} 1",
                "rollcall_gate_answer_seconds_bucket{le=\"+Inf\"} 3", "rollcall_gate_answer_seconds_count 3",
            ] { #expect(lines.contains { $0 == line }, "\(line)") }
            #expect(try await server.get("/v1/status").text == "{\"environments\":[]}\n")
            // Nothing is said of gates that nothing is known of.
            server.gate.answer { _, _ in throw ObjectStoreError(.unavailable, "away", at: "store") }
            let unknown = try await server.get("/metrics").text
            #expect(unknown.contains("rollcall_store_reachable 0\n"))
            #expect(!unknown.contains("rollcall_gate_ready"))
            #expect(try await server.get("/v1/status").status == 503)
        }
    }

    /// An address in use is one line, with what to do.
    @Test func anAddressInUseIsRefused() async throws {
        try await LiveServer.with { server in
            let port = try #require(Int(server.origin.split(separator: ":").last ?? ""))
            var configuration = GateServer.Configuration()
            configuration.port = port
            let second = GateServer(server.gate, version: "1", configuration: configuration, logger: Lines().logger)
            await #expect {
                try await second.run()
            } throws: {
                ($0 as? GateServerError)?.code == .cannotListen
            }
        }
    }
}
