import FoundationEssentials
import HTTP
import OCI
import Serving
import TestSupport
import Testing

@testable import EmbeddedRegistry

/// Who may pull, push and delete.
@Suite(.timeLimit(.minutes(5)))
struct AccessTests {
    private func htpasswd(_ arguments: [String], _ password: String) async throws -> String {
        let result = try await runCommand(["htpasswd", "-ni"] + arguments, input: Array("\(password)\n".utf8))
        #expect(result.status == 0, "\(result.errorText)")
        return result.text.trimming
    }

    private func basic(_ user: String, _ password: String) -> HTTPHeaders {
        ["Authorization": "Basic \(Data("\(user):\(password)".utf8).base64EncodedString())"]
    }

    @Test func aRegistryIsReadOnlyUnlessSaid() async throws {
        try await withEmbeddedRegistry(configure: { configuration, _ in
            configuration.pushers = .nobody
            configuration.allowsDelete = false
        }) { registry in
            #expect(try await registry.send(.get, "/v2/").status == 200)
            for (method, target) in [
                (HTTPMethod.post, "/v2/a/blobs/uploads/"), (.put, "/v2/a/manifests/1"), (.delete, "/v2/a/manifests/1"),
                (.delete, "/v2/a/blobs/\(Digest(of: []))"),
                (.post, "/v2/a/blobs/uploads/?mount=\(Digest(of: []))&from=b"),
                (.get, "/v2/a/blobs/uploads/00000000000000000000000000000000"),
            ] {
                let answer = try await registry.send(method, target, [:], method == .put ? .bytes([1]) : .none)
                #expect(answer.status == 405)
                #expect(answer.errorCodes == ["UNSUPPORTED"])
            }
        }
    }

    @Test(arguments: [["-B"], ["-B", "-C", "10"], ["-2"], ["-5"]])
    func usersLogIn(scheme: [String]) async throws {
        let line = try await htpasswd(scheme + ["reader"], "right")
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", "# who may\n\n\(line)\n")
            configuration.pushers = .nobody
        }) { registry in
            let nobody = try await registry.send(.get, "/v2/")
            #expect(nobody.status == 401)
            #expect(nobody.errorCodes == ["UNAUTHORIZED"])
            #expect(nobody.headers["WWW-Authenticate"]?.hasPrefix("Basic realm=") == true)
            // Twice: the second answer is remembered.
            for _ in 0..<2 {
                #expect(try await registry.send(.get, "/v2/", basic("reader", "right")).status == 200)
                for (user, password) in [("reader", "wrong"), ("reader", ""), ("stranger", "right"), ("", "right")] {
                    #expect(try await registry.send(.get, "/v2/", basic(user, password)).status == 401)
                }
            }
            // What exists is not told either.
            #expect(try await registry.send(.get, "/v2/a/manifests/1").status == 401)
            #expect(try await registry.send(.get, "/v2/A/manifests/1").status == 401)
            #expect(try await registry.send(.get, "/").status == 401)
        }
    }

    @Test(arguments: [
        "Basic", "Basic ", "Basic !!!", "Basic cmVhZGVy", "Bearer x", "basic \(String(repeating: "A", count: 10_000))",
        "Basic \(Data("reader\0:right".utf8).base64EncodedString())",
    ])
    func headersThatAreNoCredentials(header: String) async throws {
        let line = try await htpasswd(["-2", "reader"], "right")
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", line)
        }) { registry in
            let answer = try await registry.send(.get, "/v2/", ["Authorization": header])
            #expect(answer.status == 401)
        }
    }

    @Test func writersPushAndReadersDoNot() async throws {
        let lines = [try await htpasswd(["-2", "reader"], "r"), try await htpasswd(["-2", "ci"], "c")]
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", lines.joined(separator: "\n"))
            configuration.pushers = .users(["ci"])
        }) { registry in
            let target = "/v2/a/blobs/uploads/?digest=\(Digest(of: [1]))"
            #expect(try await registry.send(.post, target, [:], .bytes([1])).status == 401)
            let reader = try await registry.send(.post, target, basic("reader", "r"), .bytes([1]))
            #expect(reader.status == 403)
            #expect(reader.errorCodes == ["DENIED"])
            #expect(try await registry.send(.post, target, basic("ci", "c"), .bytes([1])).status == 201)
            let blob = "/v2/a/blobs/\(Digest(of: [1]))"
            #expect(try await registry.send(.get, blob, basic("reader", "r")).body == [1])
            #expect(try await registry.send(.delete, blob, basic("reader", "r")).status == 403)
            #expect(try await registry.send(.delete, blob, basic("ci", "c")).status == 202)
        }
    }

    @Test func anyoneMayPullWhereThatIsSaid() async throws {
        let line = try await htpasswd(["-2", "ci"], "c")
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", line)
            configuration.pushers = .users(["ci"])
            configuration.allowsAnonymousPull = true
        }) { registry in
            let pulled = try await registry.send(.get, "/v2/")
            #expect(pulled.status == 200)
            // Who can log in is told so, as clients that look nowhere else need.
            #expect(pulled.headers["WWW-Authenticate"]?.hasPrefix("Basic realm=") == true)
            let known = try await registry.send(.get, "/v2/", basic("ci", "c"))
            #expect(known.status == 200 && known.headers["WWW-Authenticate"] == nil)
            // skopeo's way of saying that it has no credentials.
            #expect(try await registry.send(.get, "/v2/a/tags/list", basic("", "")).status == 404)
            #expect(try await registry.send(.post, "/v2/a/blobs/uploads/", basic("", "")).status == 401)
            #expect(try await registry.send(.get, "/v2/", basic("", "c")).status == 401)
            #expect(try await registry.send(.post, "/v2/a/blobs/uploads/").status == 401)
            #expect(try await registry.send(.post, "/v2/a/blobs/uploads/", basic("ci", "c")).status == 202)
            // Who says a wrong password is told.
            #expect(try await registry.send(.get, "/v2/", basic("ci", "x")).status == 401)
        }
    }

    @Test func usersAreReadAgain() async throws {
        let first = try await htpasswd(["-2", "first"], "1")
        let second = try await htpasswd(["-2", "second"], "2")
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", first)
        }) { registry in
            #expect(try await registry.send(.get, "/v2/", basic("first", "1")).status == 200)
            try registry.directory.write("users", second + "\n")
            // Also one that was remembered.
            #expect(try await registry.send(.get, "/v2/", basic("first", "1")).status == 401)
            #expect(try await registry.send(.get, "/v2/", basic("second", "2")).status == 200)
            // Of a file that cannot be read, nobody is a user.
            try registry.directory.write("users", "garbage")
            #expect(try await registry.send(.get, "/v2/", basic("second", "2")).status == 401)
        }
    }

    @Test(arguments: [
        ("", "users: there is no user: add one with 'htpasswd -B users USER'"), ("x", "users:1: write USER:HASH"),
        (":$2y$05$x", "users:1: write USER:HASH"), ("# c\n\na:plain", "users:3: the hash of 'a' is neither"),
        ("a:$apr1$x$y", "users:1: the hash of 'a' is neither"), ("a:$1$x$y", "users:1: the hash of 'a' is neither"),
        ("a:$2y$20$abc", "users:1: the hash of 'a' is neither"),
        ("a:$6$rounds=999999999$salt$x", "users:1: the hash of 'a' is neither"),
        ("a:$5$s$x\na:$5$s$x", "users:2: the user 'a' is listed twice"),
    ])
    func filesThatAreNoUsers(text: String, message: String) {
        do {
            _ = try PasswordFile(text: text, path: "users")
            Issue.record("it was read")
        } catch {
            #expect(error.message.hasPrefix(message))
        }
    }

    /// Many wrong passwords at once: some are refused before their turn, and nothing else waits for them.
    @Test func aFloodOfWrongPasswords() async throws {
        let line = try await htpasswd(["-B", "-C", "10", "a"], "right")
        try await withEmbeddedRegistry(configure: { configuration, directory in
            configuration.usersFile = try directory.write("users", line)
            configuration.allowsAnonymousPull = true
        }) { registry in
            let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<300 {
                    group.addTask { try await registry.send(.get, "/v2/", basic("a", "wrong \(number)")).status }
                }
                return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
            }
            #expect(Set(statuses.keys).isSubset(of: [401, 429]))
            #expect((statuses[429] ?? 0) > 0)
            #expect(try await registry.send(.get, "/v2/").status == 200)
        }
    }
}

extension String {
    fileprivate var trimming: String {
        String(self[..<(lastIndex { !$0.isWhitespace }.map(index(after:)) ?? startIndex)])
    }
}
