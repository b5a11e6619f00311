import FoundationEssentials
import Glibc
import OCI
import Synchronization
import TestSupport
import Testing

/// Agents that are ended in the middle of their work.
@Suite(.timeLimit(.minutes(5))) struct InterruptionTests {
    /// After `kill -9`, twice, what has arrived is not fetched again: at most one range per connection is.
    @Test func killedAgentsGoOn() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(seed: 11, layers: [32 << 20, 24 << 20, 16 << 20, 8 << 20])
            source.store(image, in: "big/data", tag: "1")
            let count = ServedBytes(source)
            try await TestFleet.with(source: source.origin) { fleet in
                let list = try await fleet.resolve("data", "big/data:1")
                let size = list.closure.filter { $0.kind == "blob" }.reduce(0) { $0 + $1.size }
                try await fleet.stage("data")
                for part in [size / 3, size * 2 / 3] {
                    let (reached, mayGoOn) = count.stall(after: part)
                    let agent = try Executable.agent.start(
                        ["sync", "--config", "lab-1.yaml"], in: fleet.directory,
                        errors: fleet.directory.file("sync.log"))
                    try await reached.opened()
                    try await fleet.settle(image) { count.total - source.openSegments }
                    agent.signal(SIGKILL)
                    #expect(await agent.ended() == 128 + Int(SIGKILL))
                    mayGoOn.open()
                    // Nothing is said, and nothing is there that depends on what is not.
                    #expect(try await fleet.check("data").site("lab-1")?.codes == ["silent"])
                    let manifest = try await runCommand([
                        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                        "\(try fleet.site("lab-1").registry.origin)/v2/big/data/manifests/\(image.descriptor.digest)",
                    ])
                    #expect(manifest.text == "404")
                }
                count.stallNoMore()
                let result = try await fleet.agent("sync", "lab-1")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(try await fleet.check("data").ready)
                #expect(try fleet.site("lab-1").registry.storedDigests == Set(list.closure.map(\.digest)))
                // At least everything, and not more than a twentieth twice.
                #expect(count.total >= size)
                #expect(count.total <= size + size / 20, "\(count.total) bytes were served for \(size)")
                // Nothing is left of what was under way.
                let spool = try FileManager.default.contentsOfDirectory(
                    atPath: fleet.directory.file("state-lab-1/spool"))
                #expect(spool.allSatisfy { $0.hasPrefix("journal.") }, "\(spool)")
            }
        }
    }

    /// SIGTERM lets a pass that is under way end, and its manifest with it.
    @Test func terminatedAgentsFinishTheirPass() async throws {
        try await withScriptedRegistry { source in
            source.store(TestImage(seed: 12), in: "web/api", tag: "1")
            try await TestFleet.with(source: source.origin) { fleet in
                try await fleet.resolve("web", "web/api:1")
                try await fleet.stage("web")
                let (reached, mayGoOn) = (Gate(), Gate())
                source.intercept(times: 1, where: { $0.method == "GET" && $0.target.contains("/blobs/") }) {
                    exchange, proceed in
                    reached.open()
                    try exchange.wait(mayGoOn)
                    return try proceed()
                }
                let agent = try Executable.agent.start(
                    ["run", "--config", "lab-1.yaml"], in: fleet.directory, errors: fleet.directory.file("run.log"))
                try await reached.opened()
                agent.signal(SIGTERM)
                #expect(agent.isRunning)
                mayGoOn.open()
                #expect(await agent.ended() == 0)
                let log = String(decoding: try fleet.directory.read("run.log"), as: UTF8.self)
                #expect(
                    log.contains("\"message\":\"pass finished\"") && log.contains("\"message\":\"stopped\""), "\(log)")
                #expect(try await fleet.promote("web").outcome == "promoted")
            }
        }
    }
}

extension ScriptedRegistry {
    /// The most bytes that connections hold back until a segment of 256 KiB is full.
    fileprivate var openSegments: Int64 { Int64(requests.count { $0.outcome == nil }) * (256 << 10) }
}

extension TestFleet {
    /// Waits until the agent has written down what it was sent: sent is not arrived, and a debug build is slow. Where it
    /// goes no further for ten seconds, what it took in vain counts against it.
    fileprivate func settle(_ image: TestImage, at wanted: () -> Int64) async throws {
        var (last, unchanged) = (Int64(-1), 0)
        while unchanged < 200 {
            let bytes = try await spooled(image)
            if bytes >= wanted() { return }
            unchanged = bytes == last ? unchanged + 1 : 0
            last = bytes
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// The bytes of an image's layers that a crash of the agent of lab-1 does not lose: in its journal, or delivered.
    fileprivate func spooled(_ image: TestImage) async throws -> Int64 {
        let query = """
            import sqlite3, sys
            for row in sqlite3.connect(sys.argv[1]).execute("SELECT digest, sum(end - start) FROM extent GROUP BY digest"):
                print(*row)
            """
        let result = try await runCommand(
            ["python3", "-c", query, directory.file("state-lab-1/spool/journal.sqlite")])
        guard result.status == 0 else { throw TestSupportError("the journal: \(result.errorText)") }
        var bytes: [String: Int64] = [:]
        for line in result.text.split(separator: "\n") {
            let words = line.split(separator: " ")
            bytes[String(words[0])] = Int64(words[1])
        }
        let delivered = try site("lab-1").registry.storedDigests
        return image.blobs.map(\.descriptor).reduce(0) { sum, blob in
            sum + (bytes["\(blob.digest)"] ?? (delivered.contains("\(blob.digest)") ? blob.size : 0))
        }
    }
}

/// Counts the bytes of blobs that a scripted registry serves, and holds its answers back at a bound.
private final class ServedBytes: Sendable {
    private struct State {
        var total: Int64 = 0
        var bound = Int64.max
        var reached = Gate()
        var mayGoOn = Gate()
    }

    private let state = Mutex(State())

    init(_ registry: ScriptedRegistry) {
        registry.intercept(where: { $0.method == "GET" && $0.target.contains("/blobs/") }) { _, proceed in
            var response = try proceed()
            guard case .generated(let content, let range) = response.body else { return response }
            response.body = .written(length: response.body.length) { writer in
                for start in stride(from: range.lowerBound, to: range.upperBound, by: 32 << 10) {
                    if let gate = self.gate() { try writer.wait(gate) }
                    let piece = content.bytes(start..<min(start + (32 << 10), range.upperBound))
                    try writer.write(piece)
                    self.state.withLock { $0.total += Int64(piece.count) }
                }
            }
            return response
        }
    }

    /// The bytes that were sent so far.
    var total: Int64 { state.withLock { $0.total } }

    /// From so many bytes on every answer waits for the second gate; the first opens when one does.
    func stall(after bound: Int64) -> (reached: Gate, mayGoOn: Gate) {
        state.withLock { state in
            (state.bound, state.reached, state.mayGoOn) = (bound, Gate(), Gate())
            return (state.reached, state.mayGoOn)
        }
    }

    func stallNoMore() { state.withLock { $0.bound = .max } }

    /// What to wait for before more is sent.
    private func gate() -> Gate? {
        state.withLock { state in
            guard state.total >= state.bound else { return nil }
            state.reached.open()
            return state.mayGoOn
        }
    }
}
