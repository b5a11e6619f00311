import EmbeddedRegistry
import Glibc
import HTTP
import ImageLayout
import OCI
import TestSupport
import Testing

/// Requests that no client library sends.
@Suite(.timeLimit(.minutes(5)))
struct RawRequestTests {
    /// Sends bytes, and returns all that comes back until the server closes or the peer's half is closed.
    private func exchange(_ registry: EmbeddedFixture, _ text: String) async throws -> String {
        let result = try await runCommand(
            ["curl", "--silent", "--max-time", "100", "--http0.9", "telnet://\(registry.authority)"],
            input: Array(text.utf8))
        return result.text
    }

    @Test(arguments: ["/v2/../tags/list", "/v2/a/../b/tags/list", "/v2/./tags/list"])
    func dotSegments(target: String) async throws {
        try await withEmbeddedRegistry { registry in
            let answer = try await exchange(
                registry, "GET \(target) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.contains("NAME_INVALID"))
        }
    }

    @Test func aBodyThatIsRefusedIsNotReadToItsEnd() async throws {
        try await withEmbeddedRegistry(configure: { configuration, _ in configuration.pushers = .nobody }) { registry in
            // A terabyte is announced; the answer comes at once, and the connection ends.
            let answer = try await exchange(
                registry,
                "PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 405 "))
            #expect(answer.lowercased().contains("connection: close"))
        }
    }

    @Test(arguments: ["", "Connection: close\r\n"])
    func aClientThatReadsOnlyWhenItHasSentAllGetsTheRefusal(header: String) async throws {
        try await withEmbeddedRegistry { registry in
            let length = 16 << 20
            let head = "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\n\(header)Content-Length: \(length)\r\n\r\n"
            let request = Array(head.utf8) + [UInt8](repeating: 0, count: length)
            let answer = try await sendThenReceive(request, port: registry.port)
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
            #expect(answer.lowercased().contains("connection: close"))
        }
    }

    /// Refused in the middle of its body, which does not say how long it is.
    @Test func aClientThatReadsOnlyWhenItHasSentAllGetsALateRefusal() async throws {
        try await withEmbeddedRegistry { registry in
            let head = "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            var request = Array(head.utf8)
            for _ in 0..<16 {
                request += Array("100000\r\n".utf8)
                request += [UInt8](repeating: 0, count: 1 << 20)
                request += Array("\r\n".utf8)
            }
            request += Array("0\r\n\r\n".utf8)
            let answer = try await sendThenReceive(request, port: registry.port)
            #expect(answer.hasPrefix("HTTP/1.1 413 "))
        }
    }

    /// What is read of a refused body has an end, however fast it comes.
    @Test func aClientThatGoesOnSendingIsCutOff() async throws {
        try await withEmbeddedRegistry { registry in
            let connection = try RawConnection(port: registry.port)
            try await connection.send(
                "PUT /v2/a/manifests/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n")
            let piece = [UInt8](repeating: 0, count: 1 << 20)
            var sent = 0
            // 64 MiB, and what the sockets hold.
            while sent < 256, (try? await connection.send(piece)) != nil { sent += 1 }
            #expect(sent < 256)
        }
    }

    @Test func aClientThatAsksFirstIsToldToGoOn() async throws {
        try await withEmbeddedRegistry { registry in
            let answer = try await exchange(
                registry,
                "POST /v2/a/blobs/uploads/?digest=\(Digest(of: [120])) HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
                    + "Expect: 100-continue\r\nConnection: close\r\n\r\nx")
            #expect(answer.hasPrefix("HTTP/1.1 100 Continue\r\n"))
            #expect(answer.contains("HTTP/1.1 201 "))
        }
    }

    @Test func anAnswerBeforeTheBodyIsNoContinue() async throws {
        try await withEmbeddedRegistry(configure: { configuration, _ in configuration.pushers = .nobody }) { registry in
            let answer = try await exchange(
                registry,
                "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n"
            )
            #expect(answer.hasPrefix("HTTP/1.1 405 "))
        }
    }

    /// What is refused for its head alone is not asked for: too long for a manifest, an upload that is not there, bytes that
    /// do not follow.
    @Test func aRefusalOfTheHeadIsNoContinue() async throws {
        try await withEmbeddedRegistry { registry in
            let session = try #require(try await registry.send(.post, "/v2/a/blobs/uploads/").headers["Location"])
            for (request, header, status) in [
                ("PUT /v2/a/manifests/1", "Content-Length: 5000000", 413),
                ("PATCH \(session)0", "Content-Length: 1000000", 404),
                ("PATCH \(session)", "Content-Length: 1000000\r\nContent-Range: 5-1000004", 416),
            ] {
                let answer = try await exchange(
                    registry, "\(request) HTTP/1.1\r\nHost: x\r\n\(header)\r\nExpect: 100-continue\r\n\r\n")
                #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
            }
        }
    }

    /// A file that cannot be read to its end while it is sent: the client sees the connection end, and the log says why.
    @Test func aDownloadThatBreaksOffIsLogged() async throws {
        let lines = Lines()
        try await withEmbeddedRegistry(configure: { _, _ in }, lines: lines) { registry in
            // More than sockets hold.
            let bytes = GeneratedBytes(count: 64 << 20, seed: 1).all
            let digest = Digest(of: bytes)
            try registry.layout.putBlob(bytes, as: digest, in: try Repository("a"))
            let connection = try RawConnection(port: registry.port)
            try await connection.send("GET /v2/a/blobs/\(digest) HTTP/1.1\r\nHost: x\r\n\r\n")
            await until { connection.hasAnswer }
            let path = "\(registry.layout.path)/a/blobs/sha256/\(digest.hex)"
            #expect(chmod(path, 0o644) == 0)
            #expect(truncate(path, 0) == 0)
            _ = try? await connection.receiveAll()
            #expect(
                lines.all.contains {
                    $0.hasPrefix("download broke off reason=") && $0.contains("the file became shorter")
                })
        }
    }

    @Test func severalRequestsOnOneConnection() async throws {
        try await withEmbeddedRegistry { registry in
            try await registry.push([1, 2, 3], to: "a")
            let request = "GET /v2/a/blobs/\(Digest(of: [1, 2, 3])) HTTP/1.1\r\nHost: x\r\n"
            let answer = try await exchange(
                registry, "\(request)\r\n\(request)\r\n\(request)Connection: close\r\n\r\n")
            #expect(answer.split(separator: "HTTP/1.1 200 OK").count == 3)
        }
    }

    /// A body in chunks does not say how long it is; `Content-Range` does, and holds.
    @Test(arguments: ["5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"])
    func aChunkOfAnotherLengthThanAnnounced(body: String) async throws {
        try await withEmbeddedRegistry { registry in
            let location = try #require(try await registry.send(.post, "/v2/a/blobs/uploads/").headers["Location"])
            let answer = try await exchange(
                registry,
                "PATCH \(location) HTTP/1.1\r\nHost: x\r\nContent-Range: 0-7\r\nTransfer-Encoding: chunked\r\n"
                    + "Connection: close\r\n\r\n\(body)")
            #expect(answer.hasPrefix("HTTP/1.1 400 "))
            #expect(answer.contains("BLOB_UPLOAD_INVALID"))
            // Nor may there be no bytes at all.
            let none = try await registry.send(.patch, location, ["Content-Range": "0-7"])
            #expect(none.status == 400)
        }
    }

    @Test func chunkedUploads() async throws {
        try await withEmbeddedRegistry { registry in
            let answer = try await exchange(
                registry,
                "POST /v2/a/blobs/uploads/?digest=\(Digest(of: Array("hello world".utf8))) HTTP/1.1\r\nHost: x\r\n"
                    + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
            #expect(answer.hasPrefix("HTTP/1.1 201 "))
        }
    }
}
