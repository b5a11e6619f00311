import FoundationEssentials
import HTTP
import OCI
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(5)))
struct CredentialTests {
    private func auth(_ user: String, _ password: String) -> String {
        "{\"auth\":\"\(Data("\(user):\(password)".utf8).base64EncodedString())\"}"
    }

    private func user(_ json: String, _ host: String, _ repository: String? = nil) async throws -> String? {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("auth.json", json)
            let store = CredentialStore(authFile: path, environment: [:])
            let repository = try repository.map { try Repository($0) }
            return try await store.credential(for: try RegistryEndpoint(host), repository: repository)?.username
        }
    }

    @Test(
        arguments: [
            ("r.example", "team/app/web", "app"), ("r.example", "team/other", "team"),
            ("r.example", "elsewhere", "host"),
            ("r.example", nil, "host"), ("other.example", "team/app", nil), ("r.example", "team/appendix", "team"),
            ("r.example:443", "x", "host"), ("r.example:5000", "x", nil), ("p.example", "x", "port"),
        ] as [(String, String?, String?)])
    func longestNamespaceWins(host: String, repository: String?, expected: String?) async throws {
        let json = """
            {"auths":{"r.example":\(auth("host", "p")),"r.example/team":\(auth("team", "p")),
            "r.example/team/app":\(auth("app", "p")),"p.example:443":\(auth("port", "p"))}}
            """
        #expect(try await user(json, host, repository) == expected)
    }

    @Test(arguments: ["https://r.example/v1/", "https://r.example", "http://r.example/v2/", "r.example/", "R.example"])
    func keysInOldForms(key: String) async throws {
        #expect(try await user("{\"auths\":{\"\(key)\":\(auth("u", "p"))}}", "r.example", "a") == "u")
    }

    @Test(arguments: ["https://index.docker.io/v1/", "docker.io", "registry-1.docker.io", "index.docker.io/v1/"])
    func dockerHubsKeys(key: String) async throws {
        #expect(try await user("{\"auths\":{\"\(key)\":\(auth("u", "p"))}}", "docker.io", "library/a") == "u")
    }

    @Test func formsOfEntries() async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write(
                "auth.json",
                """
                {"auths":{"a.example":\(auth("u", "p:with:colons")),
                "b.example":{"username":"u","password":"p"},
                "c.example":{"auth":"\(Data("u:p\0\0".utf8).base64EncodedString())"},
                "d.example":{"auth":"\(Data("u:".utf8).base64EncodedString())","identitytoken":"id"},
                "e.example":{}, "f.example":{"auth":"not base64!"}},"unknown":[1]}
                """)
            let store = CredentialStore(authFile: path, environment: [:])
            let find = { (host: String) in try await store.credential(for: try RegistryEndpoint(host)) }
            #expect(try await find("a.example")?.secret.text == "p:with:colons")
            #expect(try await find("b.example")?.secret.text == "p")
            #expect(try await find("c.example")?.secret.text == "p")
            #expect(try await find("d.example")?.kind == .identityToken)
            #expect(try await find("d.example")?.secret.text == "id")
            #expect(try await find("a.example")?.origin == path)
            #expect(try await find("e.example") == nil)
            #expect(try await find("f.example") == nil)
        }
    }

    @Test func placesInOrder() {
        #expect(
            CredentialStore.defaultPaths(["HOME": "/h", "XDG_RUNTIME_DIR": "/r"]) == [
                "/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg",
            ])
        #expect(
            CredentialStore.defaultPaths([
                "HOME": "/h", "XDG_RUNTIME_DIR": "/r", "XDG_CONFIG_HOME": "/c",
                "DOCKER_CONFIG": "/d",
            ]) == ["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json", "/h/.dockercfg"])
        #expect(CredentialStore.defaultPaths(["XDG_RUNTIME_DIR": ""]).first?.hasPrefix("/run/containers/") == true)
        #expect(CredentialStore.defaultPaths([:]).count == 1)
    }

    @Test func anExplicitFileIsUsedAlone() async throws {
        try await withTemporaryDirectory { directory in
            let explicit = try directory.write("explicit.json", "{\"auths\":{\"a.example\":\(auth("explicit", "p"))}}")
            let named = try directory.write("named.json", "{\"auths\":{\"a.example\":\(auth("named", "p"))}}")
            try directory.write("run/containers/auth.json", "{\"auths\":{\"b.example\":\(auth("run", "p"))}}")
            try directory.write(".docker/config.json", "{\"auths\":{\"b.example\":\(auth("docker", "p"))}}")
            try directory.write(".dockercfg", "{\"c.example\":\(auth("old", "p"))}")
            var environment = ["HOME": directory.path, "XDG_RUNTIME_DIR": directory.file("run")]
            let find = { (store: CredentialStore, host: String) in
                try await store.credential(for: try RegistryEndpoint(host))?.username
            }
            let standard = CredentialStore(environment: environment)
            #expect(try await find(standard, "b.example") == "run")
            #expect(try await find(standard, "c.example") == "old")
            environment["REGISTRY_AUTH_FILE"] = named
            #expect(try await find(CredentialStore(environment: environment), "a.example") == "named")
            #expect(try await find(CredentialStore(environment: environment), "b.example") == nil)
            let store = CredentialStore(authFile: explicit, environment: environment)
            #expect(try await find(store, "a.example") == "explicit")
        }
    }

    @Test func aRotatedFileIsReadAgain() async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("auth.json", "{\"auths\":{\"a.example\":\(auth("u", "old"))}}")
            let store = CredentialStore(authFile: path, environment: [:])
            let endpoint = try RegistryEndpoint("a.example")
            #expect(try await store.credential(for: endpoint)?.secret.text == "old")
            // Replaced, as Kubernetes does: another file of the same length under the same name.
            try directory.write("new.json", "{\"auths\":{\"a.example\":\(auth("u", "new"))}}")
            try FileManager.default.removeItem(atPath: path)
            try FileManager.default.moveItem(atPath: directory.file("new.json"), toPath: path)
            #expect(try await store.credential(for: endpoint)?.secret.text == "new")
        }
    }

    @Test(arguments: ["", "[]", "{\"auths\":5}", "{\"auths\":{\"a.example\":{\"auth\":\"c2VjcmV0"])
    func malformedFilesAreNamedAndNotQuoted(content: String) async throws {
        try await withTemporaryDirectory { directory in
            let path = try directory.write("auth.json", content)
            let store = CredentialStore(authFile: path, environment: [:])
            let error = await #expect(throws: RegistryError.self) {
                try await store.credential(for: try RegistryEndpoint("a.example"))
            }
            #expect(error?.code == .credentialsUnreadable)
            #expect(error?.description.contains(path) == true)
            #expect(error?.description.contains("c2VjcmV0") == false)
        }
    }

    @Test func aMissingExplicitFileIsAnError() async throws {
        let store = CredentialStore(authFile: "/nonexistent/auth.json", environment: [:])
        let error = await #expect(throws: RegistryError.self) {
            try await store.credential(for: try RegistryEndpoint("a.example"))
        }
        #expect(error?.code == .credentialsUnreadable)
    }

    // MARK: Helpers

    /// Writes a program, by another process. What this one has open for writing, each process that another test starts
    /// has open too until it runs its own program, and nobody can run what is open for writing (ETXTBSY).
    private func install(_ text: String, at path: String) async throws {
        let result = try await runCommand(
            ["install", "-D", "-m", "755", "/dev/stdin", path], input: Array(text.utf8))
        #expect(result.status == 0, "\(result.errorText)")
    }

    private func withHelper<Result>(
        _ script: String, _ json: String,
        _ body: (CredentialStore, TemporaryDirectory, ManualClock) async throws -> Result
    ) async throws -> Result {
        try await withTemporaryDirectory { directory in
            try await install("#!/bin/sh\n\(script)\n", at: directory.file("bin/docker-credential-test"))
            let path = try directory.write("auth.json", json)
            let clock = ManualClock()
            let store = CredentialStore(
                authFile: path, environment: ["PATH": "/nonexistent:\(directory.file("bin"))"], timing: clock.timing)
            return try await body(store, directory, clock)
        }
    }

    private static let answering = """
        read host; echo "$1 $host" >> "$(dirname "$0")/log"
        case $host in none*) echo "credentials not found in native keychain"; exit 1;; esac
        echo '{"ServerURL":"x","Username":"'$host'","Secret":"from-helper"}'
        """

    @Test func helpersComeBeforeEntriesAndTheStoreLast() async throws {
        let json = """
            {"credHelpers":{"a.example":"test","none.example":"test"},"credsStore":"test",
            "auths":{"a.example":\(auth("file", "p")),"b.example":\(auth("file", "p")),"none.example":\(auth("file", "p"))}}
            """
        try await withHelper(Self.answering, json) { store, directory, clock in
            let find = { (host: String) in try await store.credential(for: try RegistryEndpoint(host)) }
            #expect(try await find("a.example")?.username == "a.example")
            #expect(try await find("a.example")?.secret.text == "from-helper")
            #expect(try await find("b.example")?.username == "file")
            #expect(try await find("c.example")?.username == "c.example")
            // Not found is no failure.
            #expect(try await find("none.example")?.username == "file")
            #expect(try await find("docker.io")?.username == "https://index.docker.io/v1/")
            let log = { String(decoding: try directory.read("bin/log"), as: UTF8.self).split(separator: "\n") }
            // One run for each host while its answer is fresh.
            #expect(try log().filter { $0 == "get a.example" }.count == 1)
            clock.advance(by: .seconds(301))
            _ = try await find("a.example")
            #expect(try log().filter { $0 == "get a.example" }.count == 2)
            await store.forget()
            _ = try await find("a.example")
            #expect(try log().filter { $0 == "get a.example" }.count == 3)
        }
    }

    /// A request whose token is called invalid again and again runs the helper once more, not each time.
    @Test func aHelperIsAskedAnewOncePerRequest() async throws {
        try await withScriptedRegistry { registry in
            try await withHelper(Self.answering, "{\"credsStore\":\"test\"}") { store, directory, clock in
                registry.behaviour.authorization = .bearer(user: registry.authority, password: "from-helper")
                let challenge = "Bearer realm=\"\(registry.origin)/token\",error=\"invalid_token\""
                registry.answer(.init(401, ["WWW-Authenticate": challenge]), times: 3) {
                    $0.path.contains("/manifests/")
                }
                let http = HTTPClient()
                defer { http.shutdown() }
                let client = RegistryClient(
                    try RegistryEndpoint(registry.origin, proxy: ""), http: http, credentials: store,
                    configuration: RegistryClient.Configuration(
                        gates: HostGates(limits: HostGate.Limits(), timing: clock.timing), timing: clock.timing,
                        certificates: CertificateDirectory(paths: [])))
                let repository = try Repository("team/app")
                try await client.prepare([.pull(repository)])
                _ = try await client.manifestHead(repository, .tag(try OCI.Tag("1.0")))
                let runs = String(decoding: try directory.read("bin/log"), as: UTF8.self).split(separator: "\n")
                #expect(runs == ["get \(registry.authority)", "get \(registry.authority)"])
            }
        }
    }

    @Test func anIdentityTokenFromAHelper() async throws {
        let script = "echo '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"id\"}'"
        try await withHelper(script, "{\"credsStore\":\"test\"}") { store, _, _ in
            let credential = try await store.credential(for: try RegistryEndpoint("a.example"))
            #expect(credential?.kind == .identityToken)
        }
    }

    @Test(arguments: [
        ("echo oops >&2; exit 3", "failed with status 3"),
        ("echo not json", "something other"),
        ("head -c 100000 /dev/zero", "more than 65536 bytes"),
        ("kill -9 $$", "failed with status 137"),
    ])
    func failingHelpers(script: String, words: String) async throws {
        try await withHelper("PATH=/usr/bin:/bin; \(script)", "{\"credsStore\":\"test\"}") { store, _, _ in
            let error = await #expect(throws: RegistryError.self) {
                try await store.credential(for: try RegistryEndpoint("a.example"))
            }
            #expect(error?.code == .credentialsUnreadable)
            #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("docker-credential-test") == true)
        }
    }

    @Test func aHelperThatHangsIsEnded() async throws {
        try await withTemporaryDirectory { directory in
            // With a child that keeps the output open, too.
            try await install(
                "#!/bin/sh\n/bin/sleep 1000 &\n/bin/sleep 1000\n", at: directory.file("docker-credential-test"))
            let helper = CredentialHelper(searchPath: directory.path, timeout: 200)
            await #expect(throws: RegistryError.self) {
                _ = try await helper.get("test", server: "a.example", path: "auth.json")
            }
        }
    }

    @Test(arguments: ["../../bin/sh", "a/b", "", "a b", "a;b"])
    func helperNamesLeaveNoSearchPath(name: String) async throws {
        let helper = CredentialHelper(searchPath: "/bin:/usr/bin")
        let error = await #expect(throws: RegistryError.self) {
            _ = try await helper.get(name, server: "a.example", path: "auth.json")
        }
        #expect(error?.message.contains("letters") == true)
    }

    @Test func aMissingHelperIsNamed() async throws {
        let helper = CredentialHelper(searchPath: "/nonexistent")
        let error = await #expect(throws: RegistryError.self) {
            _ = try await helper.get("absent", server: "a.example", path: "/h/auth.json")
        }
        #expect(error?.description.contains("/h/auth.json") == true)
        #expect(error?.message.contains("docker-credential-absent") == true)
    }

    // MARK: Certificates

    @Test func certificateDirectories() async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("one/a.example:5000/ca.crt", "")
            try directory.write("one/a.example:5000/client.cert", "")
            try directory.write("one/a.example:5000/client.key", "")
            try directory.write("two/a.example:5000/other.crt", "")
            try directory.write("two/b.example/ca.crt", "")
            let found = CertificateDirectory(paths: [directory.file("one"), directory.file("two")])
            let tls = { (host: String) in try found.configuration(for: try RegistryEndpoint(host).url) }
            let a = try tls("a.example:5000")
            #expect(a.caFile == directory.file("one/a.example:5000/ca.crt"))
            #expect(a.certificateFile == directory.file("one/a.example:5000/client.cert"))
            #expect(a.keyFile == directory.file("one/a.example:5000/client.key"))
            #expect(try tls("b.example").caFile == directory.file("two/b.example/ca.crt"))
            #expect(try tls("b.example").certificateFile == nil)
            #expect(try tls("a.example").caFile == nil)
        }
    }

    @Test(arguments: [["a.crt", "b.crt"], ["a.cert"], ["a.key"], ["a.cert", "b.key"], ["a.cert", "a.key", "b.cert"]])
    func brokenCertificateDirectories(names: [String]) {
        #expect { try CertificateDirectory.configuration(directory: "/d", names: names) } throws: { error in
            (error as? RegistryError)?.code == .invalidConfiguration
        }
    }
}
