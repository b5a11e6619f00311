import FoundationEssentials
import OCI
import TestSupport
import Testing

/// Registries that ask who is there: credentials, certificates, plain HTTP on demand, other names.
@Suite(.timeLimit(.minutes(5))) struct AccessTests {
    static let user = "reader"
    static let password = "correct-horse-battery"

    /// The forms in which the password could leak.
    static let secrets = [password, Data("\(user):\(password)".utf8).base64EncodedString()]

    /// Basic authentication everywhere, TLS of a private authority everywhere, and a client certificate at the central
    /// registry: configured in agent.yaml for the agent, in certs.d for the coordinator, credentials in auth.json.
    @Test func credentialsAndCertificates() async throws {
        try await withTemporaryDirectory("certificates") { files in
            let certificates = try await Certificates(in: files)
            var configuration = RealRegistry.Configuration()
            configuration.user = (Self.user, Self.password)
            configuration.certificates = certificates
            configuration.demandsClientCertificate = true
            try await withRealRegistry(configuration) { central in
                try await push(to: central, certificates, files)
                configuration.demandsClientCertificate = false
                try await TestFleet.with(source: central.origin, registries: configuration) { fleet in
                    try await self.walk(fleet, central, certificates)
                }
            }
        }
    }

    private func walk(_ fleet: TestFleet, _ central: RealRegistry, _ certificates: Certificates) async throws {
        let site = try fleet.site("lab-1")
        var said: [CommandResult] = []
        func run(_ status: Int, _ executable: Executable, _ arguments: String...) async throws -> CommandResult {
            let result = try await fleet.expect(status, executable, arguments)
            said.append(result)
            return result
        }
        try fleet.directory.write(
            "web.yaml", "name: web\nsource: \(central.origin)\nimages:\n  - repository: web/api\n    tag: \"1\"\n")

        // Neither authority nor certificate nor credentials: each is asked for in turn.
        var result = try await run(1, .rollcall, "list", "resolve", "web.yaml", "-o", "web.json")
        #expect(result.errorText.contains(central.origin) && result.errorText.contains("certificate"))
        let host = ".config/containers/certs.d/\(central.authority)"
        try fleet.directory.write("\(host)/ca.crt", try bytes(certificates.otherCAFile))
        result = try await run(1, .rollcall, "list", "resolve", "web.yaml", "-o", "web.json")
        #expect(result.errorText.contains("certificate authority") && result.errorText.contains("certs.d"))
        try fleet.directory.write("\(host)/ca.crt", try bytes(certificates.caFile))
        result = try await run(1, .rollcall, "list", "resolve", "web.yaml", "-o", "web.json")
        #expect(result.errorText.contains(central.origin) && result.errorText.contains("certificate"))
        try fleet.directory.write("\(host)/client.cert", try bytes(certificates.clientCertificateFile))
        try fleet.directory.write("\(host)/client.key", try bytes(certificates.clientKeyFile))
        result = try await run(1, .rollcall, "list", "resolve", "web.yaml", "-o", "web.json")
        #expect(result.errorText.contains("401") && result.errorText.contains("log in"))
        let auth = try fleet.directory.write(
            "run/containers/auth.json", authFile([central.authority: Self.secrets[1]]))
        result = try await run(0, .rollcall, "list", "resolve", "web.yaml", "-o", "web.json")
        result = try await run(0, .rollcall, "stage", "web.json", "-e", "lab")

        // The agent knows only what its own file says: no authority, then a wrong one.
        try fleet.directory.remove(".config")
        result = try await run(1, .agent, "verify", "--config", site.config)
        #expect(result.errorText.contains(site.registry.origin) && result.errorText.contains("certificate"))
        try fleet.writeAgentFile(
            of: site, settings: "hosts: {'\(site.registry.authority)': {ca: \(certificates.otherCAFile)}}")
        result = try await run(1, .agent, "verify", "--config", site.config)
        result.expectFailure(of: .agent, 1, naming: [site.registry.origin, "certificate authority", "'ca'"])
        try fleet.writeAgentFile(
            of: site,
            settings: """
                authFile: \(fleet.directory.file("agent-auth.json"))
                hosts:
                  \(central.authority):
                    ca: \(certificates.caFile)
                    certificate: \(certificates.clientCertificateFile)
                    key: \(certificates.clientKeyFile)
                  \(site.registry.authority):
                    ca: \(certificates.caFile)
                """)
        result = try await run(64, .agent, "sync", "--config", site.config)
        #expect(result.errorText.contains("agent-auth.json"))
        try fleet.directory.write("agent-auth.json", authFile([central.authority: Self.secrets[1]]))
        result = try await run(1, .agent, "sync", "--config", site.config)
        #expect(result.errorText.contains(site.registry.origin) && result.errorText.contains("401"))
        // A wrong password is not told either.
        let wrong = Data("\(Self.user):wrong-\(Self.password)".utf8).base64EncodedString()
        try fleet.directory.write(
            "agent-auth.json", authFile([central.authority: Self.secrets[1], site.registry.authority: wrong]))
        result = try await run(1, .agent, "sync", "--config", site.config)
        #expect(result.errorText.contains(site.registry.origin) && result.errorText.contains("401"))
        try fleet.directory.write(
            "agent-auth.json",
            authFile([central.authority: Self.secrets[1], site.registry.authority: Self.secrets[1]]))
        result = try await run(0, .agent, "sync", "--config", site.config)
        result = try await run(0, .rollcall, "check", "web", "-e", "lab")
        result = try await run(0, .rollcall, "promote", "web", "-e", "lab")

        // A run, with its log, of the same.
        let agent = try Executable.agent.start(
            ["run", "--config", site.config], in: fleet.directory, errors: fleet.directory.file("run.log"))
        while agent.isRunning,
            !String(decoding: try fleet.directory.read("run.log"), as: UTF8.self).contains("finished")
        {
            try await Task.sleep(for: .milliseconds(20))
        }
        agent.signal(15)
        #expect(await agent.ended() == 0)

        // The password is where it was put, and nowhere else.
        for result in said {
            for secret in Self.secrets + [wrong] { #expect(!(result.text + result.errorText).contains(secret)) }
        }
        let places = [auth, fleet.directory.file("agent-auth.json")]
        for name in try FileManager.default.subpathsOfDirectory(atPath: fleet.directory.path) {
            guard let content = try? fleet.directory.read(name), !places.contains(fleet.directory.file(name)) else {
                continue
            }
            let text = String(decoding: content, as: UTF8.self)
            for secret in Self.secrets + [wrong] { #expect(!text.contains(secret), "\(name)") }
        }
    }

    private func bytes(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(filePath: path))) }

    private func authFile(_ entries: [String: String]) -> String {
        "{\"auths\":{\(entries.map { "\"\($0.key)\":{\"auth\":\"\($0.value)\"}" }.joined(separator: ","))}}"
    }

    /// Brings an image there with skopeo.
    private func push(to central: RealRegistry, _ certificates: Certificates, _ files: TemporaryDirectory) async throws
    {
        try await withScriptedRegistry { scripted in
            scripted.store(TestImage(seed: 21), in: "web/api", tag: "1")
            try files.write("skopeo-certificates/ca.crt", try bytes(certificates.caFile))
            try files.write("skopeo-certificates/client.cert", try bytes(certificates.clientCertificateFile))
            try files.write("skopeo-certificates/client.key", try bytes(certificates.clientKeyFile))
            let auth = try files.write("skopeo-auth.json", authFile([central.authority: Self.secrets[1]]))
            let result = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "--quiet", "--preserve-digests", "--src-tls-verify=false",
                "--dest-cert-dir", files.file("skopeo-certificates"), "--dest-authfile", auth,
                "docker://\(scripted.authority)/web/api:1", "docker://\(central.authority)/web/api:1",
            ])
            guard result.status == 0 else { throw TestSupportError("skopeo: \(result.errorText)") }
        }
    }

    /// A host that a URL says speaks HTTPS speaks plain HTTP where the command names it, and only there; repositories
    /// have other names at the site.
    @Test func plainHTTPAndOtherNames() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(index: [TestImage(seed: 22), TestImage(seed: 23, platform: "linux/arm64/v8")])
            source.store(image, in: "platform/api", tag: "1")
            source.store(TestImage(seed: 24), in: "thirdparty/vendor/tool", tag: "2")
            let secure = source.origin.replacing("http://", with: "https://")
            try await TestFleet.with(source: secure) { fleet in
                let site = try fleet.site("lab-1")
                try fleet.writeAgentFile(
                    of: site, registry: "https://\(site.registry.authority)",
                    settings: "repositories:\n  platform: mirror/platform\n  thirdparty/vendor: ''\n")
                let list = try await fleet.resolve(
                    "web", "platform/api:1", "thirdparty/vendor/tool:2", arguments: ["--plain-http", source.authority])
                try await fleet.stage("web")
                // No request leaves in the clear where nobody allowed it.
                let before = source.requests.count
                var result = try await fleet.agent("verify", "lab-1")
                #expect(result.status == 1)
                #expect(result.errorText.contains("https://\(site.registry.authority)"))
                result = try await fleet.agent("sync", "lab-1", "--plain-http", site.registry.authority)
                #expect(result.status == 1)
                #expect(result.errorText.contains(secure), "\(result.errorText)")
                #expect(source.requests.count == before)
                result = try await fleet.agent(
                    "sync", "lab-1", "--plain-http", site.registry.authority, "--plain-http", source.authority)
                #expect(result.status == 0, "\(result.errorText)")
                #expect(try await fleet.promote("web").outcome == "promoted")

                for (image, name) in zip(list.images, ["mirror/platform/api:1", "tool:2"]) {
                    let inspected = try await runCommand([
                        "skopeo", "inspect", "--tls-verify=false", "--raw",
                        "docker://\(site.registry.authority)/\(name)",
                    ])
                    #expect("\(Digest(of: inspected.output))" == image.digest, "\(inspected.errorText)")
                }
                let catalog = try await runCommand(["curl", "-s", "\(site.registry.origin)/v2/_catalog"])
                #expect(catalog.text == "{\"repositories\":[\"mirror/platform/api\",\"tool\"]}\n")
                // What is missing is told by the name that the list has.
                let layer = try #require(
                    list.closure.last { $0.repository == "thirdparty/vendor/tool" && $0.kind == "blob" })
                try await site.registry.restart { try site.registry.removeContent(try Digest(layer.digest)) }
                result = try await fleet.agent("verify", "lab-1", "--plain-http", site.registry.authority)
                #expect(result.status == 3)
                #expect(result.errorText.contains("thirdparty/vendor/tool@\(layer.digest)"))
                #expect(try await fleet.check("web").site("lab-1")?.missing.map(\.digest) == [layer.digest])
            }
        }
    }
}
