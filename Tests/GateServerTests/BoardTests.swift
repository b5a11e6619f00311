import FoundationEssentials
import HTTP
import ObjectStore
import Readiness
import Synchronization
import TestSupport
import Testing

@testable import GateServer

/// The board over real connections: who may see it, and what it is sent with.
@Suite(.timeLimit(.minutes(5))) struct BoardTests {
    @Test func pagesAreServed() async throws {
        try await LiveServer.with { server in
            for path in [
                "/", "/waivers", "/audit", "/audit?environment=lab&by=", "/environments/lab",
                "/environments/lab?state=ready", "/environments/lab/lists/platform", "/environments/lab/sites/a",
            ] {
                let answer = try await server.get(path)
                #expect(answer.status == 200, "\(path)")
                #expect(answer.headers["Content-Type"] == "text/html; charset=utf-8")
                #expect(answer.headers["Cache-Control"] == "no-store")
                #expect(answer.headers["X-Content-Type-Options"] == "nosniff")
                #expect(answer.headers["X-Frame-Options"] == "DENY")
                #expect(answer.headers["Referrer-Policy"] == "no-referrer")
                #expect(answer.text.hasPrefix("<!DOCTYPE html>"))
                let policy = answer.headers["Content-Security-Policy"] ?? ""
                let nonce = try #require(policy.split(separator: "'nonce-").dropFirst().first?.prefix { $0 != "'" })
                #expect(answer.text.contains("<script nonce=\"\(nonce)\">"))
                #expect(policy.hasPrefix("default-src 'none';"))
                // New for each answer.
                #expect(try await server.get(path).headers["Content-Security-Policy"] != policy)
            }
            #expect(try await server.get("/").text.contains("The gate is ready."))
            #expect(try await server.get("/metrics").text.contains("{route=\"board\",status=\"200\"}"))
        }
    }

    @Test(arguments: [
        ("/environments/moon", 404), ("/environments/lab/sites/moon", 404), ("/environments/lab/x/y", 404),
        ("/environments/-", 400), ("/environments/lab?state=x", 400), ("/environments/%3Cscript%3E", 400),
        ("/audit?x=1", 400), ("/environments/lab/lists/platform?page=-1", 400),
    ])
    func whatIsNotThereIsSaidAsAPage(_ path: String, _ status: Int) async throws {
        try await LiveServer.with { server in
            let answer = try await server.get(path)
            #expect(answer.status == status)
            #expect(answer.headers["Content-Type"] == "text/html; charset=utf-8")
            #expect(!answer.text.contains("<script>"))
            #expect(answer.text.contains("class=\"failure\""))
        }
    }

    @Test func whatIsNotKnownIsNotShown() async throws {
        try await LiveServer.with { server in
            server.gate.answer { _, _ in throw ObjectStoreError(.unavailable, "<away>", at: "store") }
            for path in ["/", "/audit", "/environments/lab"] {
                let answer = try await server.get(path)
                #expect(answer.status == 503)
                #expect(answer.headers["Retry-After"] == "10")
                #expect(answer.text.contains("Nothing is known at present: store: &lt;away&gt;"))
            }
        }
    }

    /// A browser can send a token as a password only, and only the board takes it so.
    @Test func aTokenIsABrowsersPassword() async throws {
        try await withTemporaryDirectory { directory in
            let token = String(repeating: "t", count: 30) + ":x"
            let path = try directory.write("tokens", "\(token)\n")
            let log = Lines()
            try await LiveServer.with(configuration: { $0.tokens = try TokenFile(path, logger: log.logger) }) {
                server in
                func status(_ path: String, _ authorization: String?) async throws -> (Int, String?) {
                    var request = HTTPRequest(.get, try HTTPURL(server.origin + path))
                    if let authorization { request.headers["Authorization"] = authorization }
                    request.proxy = ""
                    let answer = try await server.client.send(request)
                    return (answer.status, answer.headers["WWW-Authenticate"])
                }
                func basic(_ user: String, _ password: String) -> String {
                    "Basic " + Data("\(user):\(password)".utf8).base64EncodedString()
                }
                #expect(try await status("/", basic("anybody", token)).0 == 200)
                #expect(try await status("/audit", basic("", token).replacing("Basic", with: "bAsIC")).0 == 200)
                #expect(try await status("/", "Bearer \(token)").0 == 200)
                for wrong in [
                    nil, basic("ann", "wrong"), basic("ann", ""), basic(token, ""), "Basic", "Basic ",
                    "Basic \(Data(token.utf8).base64EncodedString().dropLast())", "Basic \(token)",
                    "Bearer " + Data("ann:\(token)".utf8).base64EncodedString(), basic("ann", token + "y"),
                ] {
                    let (code, challenge) = try await status("/environments/lab", wrong)
                    #expect(code == 401, "\(wrong ?? "-")")
                    #expect(challenge == "Basic realm=\"Rollcall\", charset=\"UTF-8\"")
                }
                // A page of another site makes a browser send a password along, and the gate's answers are recorded.
                let (code, challenge) = try await status("/v1/gate/lab/platform", basic("anybody", token))
                #expect(code == 401)
                #expect(challenge == "Bearer")
            }
        }
    }
}
