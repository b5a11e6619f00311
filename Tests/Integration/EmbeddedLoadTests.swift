import HTTP
import OCI
import TestSupport
import Testing

/// Many clients of one server: what they cost in its memory, which is its own process's.
@Suite(.serialized, .timeLimit(.minutes(5))) struct EmbeddedLoadTests {
    /// Counts a body and keeps none of it. Its calls come one after the other.
    private final class CountingSink: BodySink, @unchecked Sendable {
        private(set) var count: Int64 = 0

        func begin(_ head: HTTPResponseHead, _ control: TransferControl) -> BodyDisposition { .stream }

        func receive(_ bytes: UnsafeRawBufferPointer) -> BodySinkAnswer {
            count += Int64(bytes.count)
            return .consumed
        }
    }

    /// 64 pulls of a blob of 100 MiB at once, and the push before them: no error, and no more than 100 MiB of memory.
    @Test func manyPullsWithinABoundOfMemory() async throws {
        try await withEmbeddedServer { server in
            let http = HTTPClient()
            defer { http.shutdown() }
            let content = GeneratedBytes(count: 100 << 20, seed: 1)
            let digest = content.digest()
            var push = HTTPRequest(
                .post, try HTTPURL("\(server.origin)/v2/a/blobs/uploads/?digest=\(digest)"), body: .bytes(content.all))
            push.proxy = ""
            // Nothing is sent while the server waits for its disk.
            push.timeouts.stall = 600
            let pushed = try await http.send(push)
            #expect(pushed.status == 201)
            let url = try HTTPURL("\(server.origin)/v2/a/blobs/\(digest)")
            try await withThrowingTaskGroup(of: Int64.self) { group in
                for _ in 0..<64 {
                    group.addTask {
                        var request = HTTPRequest(.get, url)
                        request.proxy = ""
                        let sink = CountingSink()
                        let answer = try await http.send(request, into: sink)
                        #expect(answer.status == 200)
                        return sink.count
                    }
                }
                for try await count in group { #expect(count == content.count) }
            }
            let peak = try server.peakMemory()
            #expect(peak < 100 << 20, "\(peak >> 20) MiB")
        }
    }
}
