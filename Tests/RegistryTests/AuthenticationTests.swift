import FoundationEssentials
import HTTP
import OCI
import TestSupport
import Testing

@testable import Registry

@Suite(.timeLimit(.minutes(5)))
struct AuthenticationTests {
    private let repository: Repository
    private let user = (name: "robot", password: "hunter2")

    init() throws { repository = try Repository("team/app") }

    private func withRegistry<Result>(
        _ authorization: ScriptedRegistry.Authorization, clock: ManualClock = ManualClock(),
        credentials: Bool = true, _ body: (ScriptedRegistry, RegistryClient) async throws -> Result
    ) async throws -> Result {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.authorization = authorization
        return try await withScriptedRegistry(behaviour) { registry in
            registry.store(TestImage(seed: 1), in: "team/app", tag: "1.0")
            return try await withClient(registry.origin, user: credentials ? user : nil, clock: clock) {
                try await body(registry, $0)
            }
        }
    }

    private func upload(_ client: RegistryClient, _ bytes: [UInt8]) async throws {
        let session = try await client.startUpload(repository)
        try await client.uploadMonolithic(
            session, digest: Digest(of: bytes), length: Int64(bytes.count), source: BytesSource(bytes))
    }

    @Test func basic() async throws {
        try await withRegistry(.basic(user: "robot", password: "hunter2")) { registry, client async throws in
            try await upload(client, [1, 2, 3])
            // Asked once, then authorised from the first request on: no body is sent in vain.
            #expect(
                registry.requests.map(\.line) == [
                    "GET /v2/", "POST /v2/team/app/blobs/uploads/", "PUT /v2/team/app/blobs/uploads/session-1",
                ])
            #expect(registry.requests.map(\.status) == [401, 202, 201])
        }
    }

    @Test func tokens() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            try await upload(client, [1, 2, 3])
            // The token for pushing also serves pulling.
            #expect(try await client.blobSize(repository, Digest(of: [1, 2, 3])) == 3)
            #expect(
                registry.requests.map(\.line) == [
                    "GET /v2/", "GET /token", "POST /v2/team/app/blobs/uploads/",
                    "PUT /v2/team/app/blobs/uploads/session-1",
                    "HEAD /v2/team/app/blobs/\(Digest(of: [1, 2, 3]))",
                ])
            let token = try #require(registry.requests.first { $0.path == "/token" })
            #expect(token.queryValue("scope") == "repository:team/app:pull,push")
            #expect(token.queryValue("service") == "scripted")
        }
    }

    @Test func oneFetchServesManyRequests() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            let held = Gate()
            let reached = Gate()
            registry.intercept(where: { $0.path == "/token" }) { exchange, answer in
                reached.open()
                try exchange.wait(held)
                return try answer()
            }
            try await withThrowingTaskGroup { group in
                for _ in 0..<20 { group.addTask { _ = try await client.blobSize(repository, Digest(of: [1])) } }
                try await reached.opened()
                held.open()
                try await group.waitForAll()
            }
            #expect(registry.requests.filter { $0.path == "/token" }.count == 1)
            #expect(registry.requests.filter { $0.path == "/v2/" }.count == 1)
        }
    }

    @Test func whoIsCancelledLeavesAndTheOthersGetTheirToken() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            let held = Gate()
            let reached = Gate()
            registry.intercept(where: { $0.path == "/token" }) { exchange, answer in
                reached.open()
                try exchange.wait(held)
                return try answer()
            }
            let impatient = Task { try await client.prepare([.pull(repository)]) }
            try await reached.opened()
            let patient = Task { try await client.prepare([.pull(repository)]) }
            impatient.cancel()
            let error = try await registryError { try await impatient.value }
            #expect(error?.code == .cancelled)
            held.open()
            try await patient.value
            #expect(registry.requests.filter { $0.path == "/token" }.count == 1)
        }
    }

    @Test func aTokenIsRenewedBeforeItExpires() async throws {
        let clock = ManualClock()
        try await withRegistry(.bearer(user: "robot", password: "hunter2"), clock: clock) {
            registry, client async throws in
            try await client.prepare([.pull(repository)])
            clock.advance(by: .seconds(239))
            try await client.prepare([.pull(repository)])
            #expect(registry.requests.filter { $0.path == "/token" }.count == 1)
            clock.advance(by: .seconds(2))
            try await client.prepare([.pull(repository)])
            #expect(registry.requests.filter { $0.path == "/token" }.count == 2)
        }
    }

    @Test func aRefusedTokenIsRenewedOnce() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            try await client.prepare([.pull(repository)])
            registry.expireTokens()
            let head = try await client.manifestHead(repository, .tag(try OCI.Tag("1.0")))
            #expect(head != nil)
            #expect(registry.requests.filter { $0.path == "/token" }.count == 2)
            // Refused again and again: one renewal, then a clear end.
            registry.answer(.init(401, ["WWW-Authenticate": "Bearer realm=\"\(registry.origin)/token\""])) {
                $0.path.contains("/manifests/")
            }
            let before = registry.requests.count
            let error = try await registryError {
                _ = try await client.manifestHead(repository, .tag(try OCI.Tag("1.0")))
            }
            #expect(error?.code == .unauthorized)
            #expect(error?.message.contains("auth.json") == true)
            #expect(registry.requests.count == before + 3)
        }
    }

    /// As while the key that signs tokens is replaced: what is refused is the token, and the next one may be good.
    @Test func aTokenThatIsCalledInvalidIsRenewedAFewTimes() async throws {
        let clock = ManualClock()
        try await withRegistry(.bearer(user: "robot", password: "hunter2"), clock: clock) {
            registry, client async throws in
            let challenge = "Bearer realm=\"\(registry.origin)/token\",error=\"invalid_token\""
            registry.answer(.init(401, ["WWW-Authenticate": challenge]), times: 3) { $0.path.contains("/manifests/") }
            let head = { try await client.manifestHead(repository, .tag(try OCI.Tag("1.0"))) }
            #expect(try await head() != nil)
            registry.answer(.init(401, ["WWW-Authenticate": challenge])) { $0.path.contains("/manifests/") }
            let before = registry.requests.filter { $0.path.contains("/manifests/") }.count
            let error = try await registryError { _ = try await head() }
            #expect(error?.code == .unauthorized)
            #expect(registry.requests.filter { $0.path.contains("/manifests/") }.count == before + 4)
            // Each time the first renewal at once, and a wait before each further one.
            #expect(clock.sleeps == Array(repeating: .milliseconds(250), count: 4))
        }
    }

    @Test func aTokenThatExpiresInMidUploadIsRenewedForTheNextAttempt() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            let bytes = GeneratedBytes(count: 100_000, seed: 1).all
            let session = try await client.startUpload(repository)
            registry.expireTokens()
            let send = {
                try await client.uploadMonolithic(
                    session, digest: Digest(of: bytes), length: 100_000, source: BytesSource(bytes))
            }
            let error = try await registryError { try await send() }
            #expect(error?.code == .unauthorized)
            #expect(error?.isTransient == true)
            try await send()
            #expect(registry.blob(Digest(of: bytes), in: "team/app") != nil)
            #expect(registry.requests.filter { $0.method == "PUT" }.map(\.status) == [401, 201])
        }
    }

    /// Some token servers read the first scope only: what is newly demanded comes first.
    @Test func theDemandedScopeComesFirst() async throws {
        try await withRegistry(.bearer(user: "robot", password: "hunter2")) { registry, client async throws in
            let challenge =
                "Bearer realm=\"\(registry.origin)/token\",scope=\"repository:team/app:delete registry:x:admin\""
            registry.answer(.init(401, ["WWW-Authenticate": challenge]), times: 1) { $0.method == "HEAD" }
            let head = { try await client.manifestHead(repository, .tag(try OCI.Tag("1.0"))) }
            _ = try await head()
            let queries = registry.requests.filter { $0.path == "/token" }.compactMap(\.query)
            #expect(queries.count == 2)
            let scopes = queries[1].split(separator: "&").filter { $0.hasPrefix("scope=") }
            #expect(
                scopes == [
                    "scope=repository%3Ateam%2Fapp%3Adelete", "scope=registry%3Ax%3Aadmin",
                    "scope=repository%3Ateam%2Fapp%3Apull",
                ])
            // Remembered: the next request asks for no other token.
            _ = try await head()
            #expect(registry.requests.filter { $0.path == "/token" }.count == 2)
        }
    }

    @Test func withoutCredentialsTheMessageSaysWhereTheyWereLookedFor() async throws {
        for authorization in [
            ScriptedRegistry.Authorization.basic(user: "a", password: "b"), .bearer(user: "a", password: "b"),
        ] {
            try await withRegistry(authorization, credentials: false) { registry, client async throws in
                let error = try await registryError {
                    _ = try await client.blobSize(repository, Digest(of: [1]))
                }
                #expect(error?.code == .unauthorized)
                #expect(error?.message.contains("credentials") == true)
            }
        }
    }

    @Test func wrongCredentialsNameTheirFileAndNotTheSecret() async throws {
        for authorization in [
            ScriptedRegistry.Authorization.basic(user: "a", password: "b"), .bearer(user: "a", password: "b"),
        ] {
            try await withRegistry(authorization) { registry, client async throws in
                let error = try await registryError {
                    _ = try await client.blobSize(repository, Digest(of: [1]))
                }
                #expect(error?.code == .unauthorized)
                #expect(error?.message.contains("auth.json") == true)
                #expect(error.map { "\($0)".contains("hunter2") } == false)
            }
        }
    }

    @Test func anonymousAccessSendsNothing() async throws {
        try await withRegistry(.anonymous) { registry, client async throws in
            _ = try await client.blobSize(repository, Digest(of: [1]))
            #expect(registry.requests.allSatisfy { $0.header("Authorization") == nil })
        }
    }

    @Test func anUnreachableRegistry() async throws {
        try await withScriptedRegistry(isDown: true) { registry in
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError { _ = try await client.blobSize(repository, Digest(of: [1])) }
                #expect(error?.code == .network)
                #expect(error?.transport == .cannotConnect)
            }
        }
    }

    // MARK: Token servers

    private func withTokenServer<Result>(
        _ entry: String, _ answer: @escaping ScriptedServer.Handler,
        _ body: (ScriptedServer, ScriptedServer, RegistryClient) async throws -> Result
    ) async throws -> Result {
        try await withScriptedServer(answer) { tokens in
            try await withScriptedServer({ exchange in
                if exchange.request.header("Authorization") == "Bearer good" {
                    return .init(200, ["Content-Length": "7"])
                }
                return .init(401, ["WWW-Authenticate": "Bearer realm=\"\(tokens.origin)/t?x=1\",service=\"s\""])
            }) { registry in
                try await withTemporaryDirectory { directory in
                    let path = try directory.write("auth.json", "{\"auths\":{\"\(registry.authority)\":\(entry)}}")
                    let http = HTTPClient()
                    defer { http.shutdown() }
                    let clock = ManualClock()
                    let client = RegistryClient(
                        try RegistryEndpoint(registry.origin, proxy: ""), http: http,
                        credentials: CredentialStore(authFile: path, environment: [:]),
                        configuration: .init(gates: HostGates(timing: clock.timing), timing: clock.timing))
                    return try await body(registry, tokens, client)
                }
            }
        }
    }

    @Test func anIdentityTokenIsExchangedByPost() async throws {
        try await withTokenServer("{\"auth\":\"dTo=\",\"identitytoken\":\"id/1\"}") { exchange in
            let body = String(decoding: try exchange.readBody(), as: UTF8.self)
            let isRight = exchange.request.method == "POST" && body.contains("refresh_token=id%2F1")
            return .init(isRight ? 200 : 400, [:], text: "{\"access_token\":\"good\"}")
        } _: { registry, tokens, client async throws in
            try await client.prepare([.pull(repository)])
            #expect(tokens.requests.map(\.line) == ["POST /t"])
            #expect(tokens.requests.first?.header("Authorization") == nil)
            #expect(tokens.requests.first?.header("Content-Type") == "application/x-www-form-urlencoded")
        }
    }

    /// 404 (oauth.md), 405, and 401 at Artifactory.
    @Test(arguments: [401, 404, 405])
    func aTokenServerWithoutPostIsAskedWithGet(status: Int) async throws {
        try await withTokenServer("{\"auth\":\"dTo=\",\"identitytoken\":\"id\"}") { exchange in
            .init(exchange.request.method == "POST" ? status : 200, [:], text: "{\"token\":\"good\"}")
        } _: { registry, tokens, client async throws in
            try await client.prepare([.pull(repository)])
            #expect(tokens.requests.map(\.line) == ["POST /t", "GET /t"])
            #expect(tokens.requests.last?.query?.hasPrefix("x=1&client_id=rollcall&service=s&scope=") == true)
        }
    }

    @Test func aTokenReplyWithoutEndIsRefused() async throws {
        let content = GeneratedBytes(count: 1 << 20, seed: 1)
        try await withTokenServer("{\"username\":\"u\",\"password\":\"p\"}") { _ in
            var response = ScriptedServer.Response(200, headers: [], body: .generated(content, 0..<content.count))
            response.framing = .chunked
            return response
        } _: { registry, tokens, client async throws in
            let error = try await registryError { try await client.prepare([.pull(repository)]) }
            #expect(error?.code == .tooLarge)
        }
    }

    @Test func aRedirectedTokenRequestTakesNoCredentialsAlong() async throws {
        try await withScriptedServer({ _ in .init(200, [:], text: "{\"token\":\"good\"}") }) { elsewhere in
            try await withTokenServer("{\"username\":\"u\",\"password\":\"p\"}") { _ in
                .redirect(to: "\(elsewhere.origin)/t")
            } _: { registry, tokens, client async throws in
                try await client.prepare([.pull(repository)])
                #expect(tokens.requests.first?.header("Authorization") == "Basic dTpw")
                #expect(elsewhere.requests.first?.header("Authorization") == nil)
            }
        }
    }

    @Test(arguments: ["http://169.254.169.254/token", "http://10.0.0.1:x/", "gopher://x/"])
    func anUnsafeRealmGetsNothing(realm: String) async throws {
        try await withScriptedServer({ _ in .init(401, ["WWW-Authenticate": "Bearer realm=\"\(realm)\""]) }) { server in
            try await withClient(server.origin, user: user) { client async throws in
                let error = try await registryError { try await client.prepare([.pull(repository)]) }
                #expect(error?.code == .protocolViolation)
                #expect(error?.message.contains("token server") == true)
            }
        }
    }
}
