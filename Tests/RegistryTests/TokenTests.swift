import HTTP
import Testing

@testable import Registry

struct TokenTests {
    private func token(_ reply: String, at instant: ContinuousClock.Instant) -> Token? {
        Token(reply: Array(reply.utf8), scopes: [], requested: instant)
    }

    /// Replies and the seconds after which they are renewed.
    @Test(arguments: [
        ("{\"token\":\"t\",\"expires_in\":300}", 240), ("{\"access_token\":\"t\",\"expires_in\":3600}", 3540),
        // 60 s where nothing or less is said.
        ("{\"token\":\"t\"}", 48), ("{\"token\":\"t\",\"expires_in\":5}", 48),
        ("{\"token\":\"t\",\"expires_in\":-1}", 48), ("{\"token\":\"t\",\"expires_in\":\"300\"}", 240),
        ("{\"token\":\"t\",\"expires_in\":1e300}", 86_340), ("{\"token\":\"\",\"access_token\":\"t\"}", 48),
        ("{\"token\":\"t\",\"expires_in\":300,\"issued_at\":\"1999-01-01T00:00:00Z\"}", 240),
    ])
    func lifetimes(reply: String, seconds: Int) {
        let now = ContinuousClock.now
        #expect(token(reply, at: now)?.renewal == now + .seconds(seconds))
        #expect(token(reply, at: now)?.secret.text == "Bearer t")
    }

    @Test(arguments: ["", "{}", "{\"token\":\"\"}", "{\"token\":\"a b\"}", "{\"token\":\"a\\nX: y\"}", "[]", "<html>"])
    func refusedReplies(reply: String) {
        #expect(token(reply, at: .now) == nil)
    }

    @Test func choosesTokensBeforePasswords() throws {
        let url = try HTTPURL("https://r.example/v2/")
        let bearer = Challenge(scheme: "bearer", parameters: ["realm": "/token", "service": "s"])
        let basic = Challenge(scheme: "basic")
        // Relative realms occur.
        let expected = AuthenticationScheme.bearer(realm: try HTTPURL("https://r.example/token"), service: "s")
        #expect(try AuthenticationScheme.choose([basic, bearer], at: url, registry: url) == expected)
        #expect(try AuthenticationScheme.choose([basic], at: url, registry: url) == .basic)
        #expect(try AuthenticationScheme.choose([Challenge(scheme: "negotiate")], at: url, registry: url) == nil)
        #expect(try AuthenticationScheme.choose([Challenge(scheme: "bearer")], at: url, registry: url) == nil)
    }

    @Test(arguments: ["http://auth.example/token", "https://169.254.169.254/token", "ftp://x/", "https://u:p@x/"])
    func refusesUnsafeRealms(realm: String) throws {
        let url = try HTTPURL("https://r.example/v2/")
        let challenges = [Challenge(scheme: "bearer", parameters: ["realm": realm]), Challenge(scheme: "basic")]
        // No way back to Basic either: the registry's word is not to be trusted then.
        #expect { try AuthenticationScheme.choose(challenges, at: url, registry: url) } throws: { error in
            (error as? RegistryError)?.code == .protocolViolation
        }
    }

    @Test func asksInTheFormsOfTheSpecification() throws {
        let request = TokenRequest(
            realm: try HTTPURL("https://auth.example/token?a=b"), service: "my registry",
            scopes: [
                TokenScope(resource: "repository:a/b", actions: ["push", "pull"]),
                TokenScope(resource: "repository:c", actions: ["pull"]),
            ])
        let get = request.get(Credential(username: "u", secret: Secret("p"), origin: "f"))
        #expect(
            get.url.query
                == "a=b&client_id=rollcall&service=my%20registry&scope=repository%3Aa%2Fb%3Apull%2Cpush"
                + "&scope=repository%3Ac%3Apull")
        #expect(get.authorization?.text == "Basic dTpw")
        #expect(request.get(nil).authorization == nil)
        let post = request.post(refreshToken: Secret("r/t"))
        #expect(post.authorization == nil)
        #expect(post.url.query == "a=b")
        guard case .bytes(let body) = post.body else {
            Issue.record("no body")
            return
        }
        #expect(
            String(decoding: body, as: UTF8.self)
                == "grant_type=refresh_token&client_id=rollcall&service=my%20registry"
                + "&scope=repository%3Aa%2Fb%3Apull%2Cpush%20repository%3Ac%3Apull&refresh_token=r%2Ft")
    }
}
