import Testing

@testable import Registry

struct ChallengeTests {
    @Test(arguments: [
        (
            ["Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a/b:pull,push\""],
            [
                Challenge(
                    scheme: "bearer",
                    parameters: [
                        "realm": "https://auth.example/token", "service": "registry",
                        "scope": "repository:a/b:pull,push",
                    ])
            ]
        ),
        // Blanks after commas and around '=': swift-container-plugin's parser failed on them.
        (
            ["BEARER  Realm = \"r\" ,  SERVICE=s ,, scope=\"x\""],
            [Challenge(scheme: "bearer", parameters: ["realm": "r", "service": "s", "scope": "x"])]
        ),
        // Several challenges in one header, quoted commas and escapes.
        (
            ["Basic realm=\"a, \\\"b\\\" Bearer realm=c\", Bearer realm=\"d\", Negotiate"],
            [
                Challenge(scheme: "basic", parameters: ["realm": "a, \"b\" Bearer realm=c"]),
                Challenge(scheme: "bearer", parameters: ["realm": "d"]), Challenge(scheme: "negotiate"),
            ]
        ),
        // Several headers; a token68 form is not a parameter.
        (
            ["Negotiate YWJj==, Basic realm=x", "Bearer realm=https://a.example/t?x=1,service=y"],
            [
                Challenge(scheme: "negotiate"), Challenge(scheme: "basic", parameters: ["realm": "x"]),
                Challenge(scheme: "bearer", parameters: ["realm": "https://a.example/t?x=1", "service": "y"]),
            ]
        ),
        // The first of a repeated parameter counts.
        (["Bearer realm=\"a\",realm=\"b\""], [Challenge(scheme: "bearer", parameters: ["realm": "a"])]),
        // Cut off within a quote: the value is not used.
        (
            ["Bearer realm=\"a\",service=\"half"], [Challenge(scheme: "bearer", parameters: ["realm": "a"])]
        ),
        (["Basic"], [Challenge(scheme: "basic")]),
        ([""], []), (["=,=,\"\""], []), ([], []),
        (["Bearer realm=\"\\"], [Challenge(scheme: "bearer")]),
        (["Bearer realm=\"\""], [Challenge(scheme: "bearer", parameters: ["realm": ""])]),
    ])
    func parses(headers: [String], expected: [Challenge]) {
        #expect(Challenge.parse(headers) == expected)
    }

    @Test func endsOnAnyInput() {
        // Every prefix of something involved, and the same with a byte replaced, terminates and does not trap.
        let header =
            "Basic realm=\"a\\\"b\", Bearer realm=\"https://x/y\" , service=z,Digest q=\"\u{e9}\" , Negotiate AA=="
        for end in 0...header.count {
            _ = Challenge.parse([String(header.prefix(end))])
            for replacement in ["\"", "=", ",", "\\", " ", "\u{0}"] {
                _ = Challenge.parse([header.prefix(end) + replacement + header.dropFirst(end + 1)])
            }
        }
    }

    @Test(arguments: [
        ("repository:a/b:pull", [TokenScope(resource: "repository:a/b", actions: ["pull"])]),
        (
            "repository:host:5000/a:push,pull registry:catalog:*",
            [
                TokenScope(resource: "repository:host:5000/a", actions: ["pull", "push"]),
                TokenScope(resource: "registry:catalog", actions: ["*"]),
            ]
        ),
        ("nonsense a: :b a:b", []), ("", []),
    ])
    func readsScopes(text: String, expected: [TokenScope]) {
        #expect(TokenScope.parse(text) == expected)
    }

    @Test func scopeCoversLess() {
        let push = TokenScope(resource: "repository:a", actions: ["pull", "push"])
        let pull = TokenScope(resource: "repository:a", actions: ["pull"])
        #expect(push.covers(pull))
        #expect(!pull.covers(push))
        #expect(TokenScope(resource: "repository:a", actions: ["*"]).covers(push))
        #expect(!push.covers(TokenScope(resource: "repository:b", actions: ["pull"])))
        #expect(push.description == "repository:a:pull,push")
    }
}
