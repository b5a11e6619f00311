import Glibc
import Serving
import Testing

@testable import EmbeddedRegistry

/// How many files the process may have open, and how many connections follow from that.
@Suite(.timeLimit(.minutes(5)))
struct OpenFilesTests {
    @Test func theLimitIsRaised() {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        let isTold = getrlimit(resource, &limit) == 0
        #expect(isTold)
        let most = min(limit.rlim_max, rlim_t(OpenFiles.most))
        // By one, which no other test of this process notices.
        limit.rlim_cur = most - 1
        let isLowered = setrlimit(resource, &limit) == 0
        #expect(isLowered)
        #expect(OpenFiles.raiseLimit() == Int(most))
        _ = getrlimit(resource, &limit)
        #expect(limit.rlim_cur == most)
        // A second server of the process finds it so.
        #expect(OpenFiles.raiseLimit() == Int(most))
    }

    @Test(arguments: [(65_536, 1024), (2560, 1024), (1024, 256), (512, 16), (0, 16), (Int.max, 1024)])
    func connectionsFollow(files: Int, connections: Int) {
        var configuration = RegistryConfiguration(host: "127.0.0.1", port: 0)
        #expect(configuration.connectionLimit(ofFiles: files) == connections)
        configuration.connections = 2
        #expect(configuration.connectionLimit(ofFiles: files) == 2)
    }

    @Test func aServerSaysHowManyItTakes() async throws {
        let lines = Lines()
        try await withEmbeddedRegistry(configure: { _, _ in }, lines: lines) { _ in }
        let files = OpenFiles.raiseLimit()
        let connections = RegistryConfiguration(host: "127.0.0.1", port: 0).connectionLimit(ofFiles: files)
        #expect(
            lines.all.contains {
                $0.hasPrefix("registry listens ") && $0.contains(" connections=\(connections) files=\(files) ")
            })
    }
}
