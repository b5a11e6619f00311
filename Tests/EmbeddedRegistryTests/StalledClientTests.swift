import EmbeddedRegistry
import HTTP
import ImageLayout
import OCI
import TestSupport
import Testing

/// Clients that ask for something and take nothing of it.
@Suite(.timeLimit(.minutes(5)))
struct StalledClientTests {
    /// They hold every place that there is for a connection; but not for ever. What waits for each is less than what makes a
    /// channel unwritable.
    @Test func aClientThatReadsNothingGivesItsPlaceToOthers() async throws {
        try await withEmbeddedRegistry(
            configure: { configuration, _ in configuration.connections = 2 },
            adjust: { $0.writePatience = .milliseconds(300) }
        ) { registry in
            let bytes = GeneratedBytes(count: 100_000, seed: 1).all
            let digest = Digest(of: bytes)
            try registry.layout.putBlob(bytes, as: digest, in: try Repository("a"))
            let request = "GET /v2/a/blobs/\(digest) HTTP/1.1\r\nHost: x\r\nRange: bytes=0-59999\r\n\r\n"
            var stalled: [RawConnection] = []
            for _ in 0..<2 {
                let connection = try RawConnection(port: registry.port)
                try await connection.send(String(repeating: request, count: 150))
                await until { connection.hasAnswer }
                stalled.append(connection)
            }
            #expect(try await registry.send(.get, "/v2/").status == 200)
            #expect(stalled.count == 2)
        }
    }
}
