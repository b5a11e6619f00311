import OCI
import TestSupport
import Testing

/// The tests' own surroundings, looked at with clients that are not ours.
@Suite(.timeLimit(.minutes(5)))
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

    @Test(arguments: [false, true])
    func skopeoCopiesFromAndToTheScriptedRegistry(isDocker: Bool) async throws {
        let image = TestImage(
            index: [
                TestImage(seed: 1, layers: [], platform: "linux/amd64", isDocker: isDocker),
                TestImage(seed: 2, layers: [], platform: "linux/arm64/v8", isDocker: isDocker),
            ], isDocker: isDocker)
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.authorization = .bearer(user: "u", password: "p")
        behaviour.redirectsBlobs = true
        try await withScriptedRegistry(behaviour) { registry in
            registry.store(image, in: "a/b", tag: "1")
            let copy = try await runCommand([
                "skopeo", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false",
                "--src-creds=u:p", "--dest-creds=u:p", "docker://\(registry.authority)/a/b:1",
                "docker://\(registry.authority)/c:2",
            ])
            #expect(copy.status == 0, "\(copy.errorText)")
            #expect(registry.tag("2", in: "c") == image.descriptor.digest)
            #expect(registry.manifests(in: "c").union(registry.blobs(in: "c")) == image.allDigests)
            #expect(registry.uploadCount == 0)
            #expect(registry.storage.requests.allSatisfy { $0.header("Authorization") == nil })
        }
    }

    @Test func scriptedRegistryTakesChunksAtTheRightOffsetOnly() async throws {
        try await withScriptedRegistry { registry in
            func curl(_ arguments: String...) async throws -> (status: String, location: String, range: String) {
                let text = try await runCommand(["curl", "-sS", "-i"] + arguments).text
                func header(_ name: String) -> String {
                    let line = text.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(name): ") }
                    return line.map { String($0.dropFirst(name.count + 2)) } ?? ""
                }
                return (String(text.dropFirst(9).prefix(3)), header("Location"), header("Range"))
            }
            let start = try await curl("-X", "POST", "\(registry.origin)/v2/a/blobs/uploads/")
            #expect(start.status == "202")
            let first = try await curl(
                "-X", "PATCH", "-H", "Content-Range: 0-4", "--data-binary", "01234", start.location)
            #expect(first.status == "202" && first.range == "0-4")
            let stale = try await curl("-X", "PATCH", "--data-binary", "56789", start.location)
            #expect(stale.status == "404")
            let wrong = try await curl(
                "-X", "PATCH", "-H", "Content-Range: 4-8", "--data-binary", "56789", first.location)
            #expect(wrong.status == "416" && wrong.range == "0-4")
            let digest = Digest(of: Array("0123456789".utf8))
            let lie = try await curl("-X", "PUT", "\(wrong.location)&digest=\(digest)")
            #expect(lie.status == "400")
            #expect(registry.blob(digest, in: "a") == nil)
            let again = try await curl("-X", "POST", "\(registry.origin)/v2/a/blobs/uploads/")
            let done = try await curl(
                "-X", "PUT", "--data-binary", "0123456789", "\(again.location)&digest=\(digest)")
            #expect(done.status == "201")
            let part = try await runCommand(["curl", "-sS", "-r", "3-5", "\(registry.origin)/v2/a/blobs/\(digest)"])
            #expect(part.text == "345")
        }
    }
}
