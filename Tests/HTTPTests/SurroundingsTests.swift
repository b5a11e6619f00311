import TestSupport
import Testing

/// The tests' own surroundings, looked at with clients that are not ours.
@Suite(.timeLimit(.minutes(1)))
struct SurroundingsTests {
    @Test func curlReadsWhatTheScriptSays() async throws {
        try await withScriptedServer { exchange in
            let body = try exchange.readBody()
            return .init(201, ["X-Method": exchange.request.method], text: "got \(body.count)")
        } _: { server in
            let result = try await runCommand([
                "curl", "-sS", "-i", "-T", "/etc/hostname", "\(server.origin)/a?b=c%20d",
            ])
            #expect(result.text.contains("201"))
            #expect(result.text.contains("X-Method: PUT"))
            let request = try #require(server.requests.first)
            #expect(request.path == "/a")
            #expect(request.query == "b=c%20d")
            #expect(request.queryValue("b") == "c d")
            #expect(request.bodyLength > 0)
            #expect(request.bodyDigest != nil)
        }
    }

    @Test(arguments: [
        (ScriptedServer.Response(200, [:], text: "abcdef").failing(.reset, .requestHead), 56),
        (ScriptedServer.Response(200, [:], text: "abcdef").failing(.close, .answer), 52),
        (ScriptedServer.Response(200, [:], text: "abcdef").failing(.close, .answerBody(3)), 18),
        (ScriptedServer.Response(200, [:], text: "abcdef").failing(.reset, .answerBody(3)), 56),
        (ScriptedServer.Response(200, [:], text: "abcdef"), 0),
    ])
    func curlSeesTheFaults(response: ScriptedServer.Response, code: Int) async throws {
        try await withScriptedServer({ _ in response }) { server in
            let result = try await runCommand(["curl", "-sS", server.origin])
            #expect(result.status == code, "\(result.errorText)")
        }
    }

    @Test func generatedBytesAreTheSameFromEveryOffset() {
        let content = GeneratedBytes(count: 100, seed: 7)
        for start in 0..<100 {
            #expect(content.bytes(Int64(start)..<100) == Array(content.all[start...]))
        }
    }

    @Test func realRegistryAnswersAndRestarts() async throws {
        try await withRealRegistry { registry in
            for _ in 0..<2 {
                let result = try await runCommand(["curl", "-sS", "-w", "%{http_code}", "\(registry.origin)/v2/"])
                #expect(result.text == "{}200")
                try await registry.restart()
            }
        }
    }

    @Test func realRegistryDemandsPasswordAndClientCertificate() async throws {
        try await withTemporaryDirectory { directory in
            let certificates = try await Certificates(in: directory)
            var configuration = RealRegistry.Configuration()
            configuration.certificates = certificates
            configuration.demandsClientCertificate = true
            configuration.user = ("alice", "wonder land")
            try await withRealRegistry(configuration) { registry in
                let client = [
                    "--cacert", certificates.caFile, "--cert", certificates.clientCertificateFile, "--key",
                    certificates.clientKeyFile,
                ]
                let status = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "\(registry.origin)/v2/"]
                func curl(_ arguments: [String]) async throws -> String {
                    let result = try await runCommand(["curl"] + arguments)
                    return "\(result.status) \(result.text)"
                }
                let anonymous = try await curl(client + status)
                #expect(anonymous == "0 401")
                let known = ["-u", "alice:wonder land"] + status
                let accepted = try await curl(client + known)
                #expect(accepted == "0 200")
                let withoutCertificate = try await curl(["--cacert", certificates.caFile] + known)
                #expect(withoutCertificate.hasSuffix(" 000"))
                let withoutAuthority = try await curl(known)
                #expect(withoutAuthority == "60 000")
            }
        }
    }
}
