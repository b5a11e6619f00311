import Dispatch
import FoundationEssentials
import Glibc
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Transfer

/// Agents that are ended in the middle of their work.
@Suite(.timeLimit(.minutes(5))) struct InterruptionTests {
    /// After `kill -9`, twice, what has arrived is not fetched again: at most one range per connection is.
    @Test func killedAgentsGoOn() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(seed: 11, layers: [32 << 20, 24 << 20, 16 << 20, 8 << 20])
            source.store(image, in: "big/data", tag: "1")
            let served = ServedBytes(source)
            try await TestFleet.with(source: source.origin) { fleet in
                let site = try fleet.site("lab-1")
                try fleet.writeAgentFile(of: site, settings: "limits: {connections: 4}")
                let list = try await fleet.resolve("data", "big/data:1")
                let size = list.closure.filter { $0.kind == "blob" }.reduce(0) { $0 + $1.size }
                try await fleet.stage("data")
                for part in [size / 3, size * 2 / 3] {
                    let agent = try fleet.startSync()
                    try await served.follow(fleet, image) { served.total >= part || !agent.isRunning }
                    agent.signal(SIGKILL)
                    #expect(await agent.ended() == 128 + Int(SIGKILL))
                    try await served.end(source)
                    // What is missing is said, and nothing is there that depends on it.
                    #expect(try await fleet.check("data").site("lab-1")?.codes == ["incomplete"])
                    let manifest = try await runCommand([
                        "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                        "\(site.registry.origin)/v2/big/data/manifests/\(image.descriptor.digest)",
                    ])
                    #expect(manifest.text == "404")
                }
                let agent = try fleet.startSync()
                try await served.follow(fleet, image) { !agent.isRunning }
                #expect(await agent.ended() == 0)
                #expect(try await fleet.check("data").ready)
                #expect(try site.registry.storedDigests == Set(list.closure.map(\.digest)))
                // At least everything, and not more than a twentieth twice.
                #expect(served.total >= size)
                #expect(served.total <= size + size / 20, "\(served.total) bytes were served for \(size)")
                // Nothing is left of what was under way.
                let spool = try FileManager.default.contentsOfDirectory(
                    atPath: fleet.directory.file("state-lab-1/spool"))
                #expect(spool.allSatisfy { $0.hasPrefix("journal.") }, "\(spool)")
            }
        }
    }

    /// A source that is gone is asked now and then, not by every blob in turn.
    @Test func aSourceThatIsGoneIsGivenUp() async throws {
        try await withScriptedRegistry { source in
            source.store(TestImage(seed: 13, layers: (0..<40).map { 1000 + $0 }), in: "web/api", tag: "1")
            try await TestFleet.with(source: source.origin) { fleet in
                try await fleet.resolve("web", "web/api:1")
                try await fleet.stage("web")
                source.server.welcome { _ in .reset }
                let before = source.server.connectionCount
                let result = try await fleet.agent("sync", "lab-1")
                #expect(result.status == 1)
                // One for each way in which libcurl finds a connection reset, and not one for each entry.
                #expect((1...3).contains(result.complaints(of: .agent).count), "\(result.errorText)")
                // Each of the few times, up to six attempts and as many again where libcurl finds its connection dead.
                let attempts = source.server.connectionCount - before
                #expect(attempts <= 80, "\(attempts) connections were made")
                #expect(try await fleet.check("web").site("lab-1")?.missingEntries == 42)
            }
        }
    }

    /// Every answer is cut off once: nobody has to do anything about it.
    @Test func bodiesThatEndEarlyAreContinued() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(seed: 14, layers: [1000, 3_000_000])
            source.store(image, in: "web/api", tag: "1")
            try await TestFleet.with(source: source.origin) { fleet in
                let list = try await fleet.resolve("web", "web/api:1")
                try await fleet.stage("web")
                for entry in list.closure {
                    let digest = entry.digest
                    source.intercept(times: 1, where: { $0.method == "GET" && $0.target.hasSuffix(digest) }) {
                        _, proceed in
                        let response = try proceed()
                        return response.failing(.close, .answerBody(response.body.length / 2))
                    }
                }
                let result = try await fleet.agent("sync", "lab-1")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(result.complaints(of: .agent).isEmpty, "\(result.errorText)")
                #expect(try await fleet.promote("web").outcome == "promoted")
                #expect(try fleet.site("lab-1").registry.storedDigests == Set(list.closure.map(\.digest)))
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

extension TestFleet {
    func startSync() throws -> ChildProcess {
        try Executable.agent.start(
            ["sync", "--config", "lab-1.yaml"], in: directory, errors: directory.file("sync.log"))
    }

    /// The bytes of an image's layers that a crash of the agent of lab-1 does not lose: in its journal, or delivered.
    fileprivate func safeBytes(of image: TestImage, _ journal: ResumeJournal) throws -> Int64 {
        let delivered = try site("lab-1").registry.storedDigests
        return image.blobs.map(\.descriptor).reduce(0) { sum, blob in
            let extents = journal.extents(of: blob.digest).reduce(0) { $0 + Int64($1.range.count) }
            return sum + (extents == 0 && delivered.contains("\(blob.digest)") ? blob.size : extents)
        }
    }
}

/// Counts the bytes of blobs that a scripted registry serves, and serves no more than a bound.
///
/// Sent is not arrived: what waits in the kernel for an agent that is slow, as a debug build is, was not fetched. So the
/// bound follows what the agent has written down, and little is on the way when it is killed.
private final class ServedBytes: Sendable {
    private struct State {
        var total: Int64 = 0
        var bound: Int64 = 0
        var mayGoOn = Gate()
        var isCounting = true
    }

    /// The most that is on the way: a segment of 256 KiB for each of four connections.
    static let window: Int64 = 1 << 20

    private let state = Mutex(State())

    init(_ registry: ScriptedRegistry) {
        registry.intercept(where: { $0.method == "GET" && $0.target.contains("/blobs/") }) { _, proceed in
            var response = try proceed()
            guard case .generated(let content, let range) = response.body else { return response }
            response.body = .written(length: response.body.length) { writer in
                for start in stride(from: range.lowerBound, to: range.upperBound, by: 32 << 10) {
                    let piece = content.bytes(start..<min(start + (32 << 10), range.upperBound))
                    while let gate = self.take(piece.count) { try writer.wait(gate) }
                    try writer.write(piece)
                }
            }
            return response
        }
    }

    /// The bytes that were served so far.
    var total: Int64 { state.withLock { $0.total } }

    /// Serves what the agent of lab-1 keeps up with, until `isDone`.
    ///
    /// On a thread of its own: while a task waited for its turn among those of other tests, nothing would be served, and the
    /// agent would ask for the same bytes again on another connection.
    func follow(_ fleet: TestFleet, _ image: TestImage, until isDone: @escaping @Sendable () -> Bool) async throws {
        let isCancelled = Flag()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                DispatchQueue(label: "served bytes").async {
                    continuation.resume(
                        with: Result {
                            try self.followHere(fleet, image) { isDone() || isCancelled.isSet }
                        })
                }
            }
        } onCancel: {
            isCancelled.set()
        }
        try Task.checkCancellation()
    }

    /// Something that is said once.
    private final class Flag: Sendable {
        private let value = Atomic(false)
        var isSet: Bool { value.load(ordering: .relaxed) }
        func set() { value.store(true, ordering: .relaxed) }
    }

    private func followHere(_ fleet: TestFleet, _ image: TestImage, until isDone: () -> Bool) throws {
        let path = fleet.directory.file("state-lab-1/spool/journal.sqlite")
        // A first agent makes its journal before it asks for the first blob, but not long before.
        func open() -> ResumeJournal? { access(path, F_OK) == 0 ? try? ResumeJournal(path: path) : nil }
        var journal = open()
        // What earlier ones were sent in vain does not come any more.
        var lost = try journal.map { total - (try fleet.safeBytes(of: image, $0)) } ?? 0
        var (safe, unchanged) = (Int64(0), 0)
        while !isDone() {
            if journal == nil, total > 0 { journal = open() }
            let now = try journal.map { try fleet.safeBytes(of: image, $0) } ?? 0
            unchanged = now == safe ? unchanged + 1 : 0
            safe = now
            // Nor does what another connection took over, from one that seemed to stand.
            if unchanged == 400 {
                lost += Self.window / 4
                unchanged = 0
            }
            serve(upTo: safe + lost + Self.window)
            usleep(5000)
        }
    }

    /// Lets answers to a client that is gone run out, uncounted.
    func end(_ registry: ScriptedRegistry) async throws {
        state.withLock { $0.isCounting = false }
        serve(upTo: .max)
        try await registry.server.untilOpenConnections(0)
        state.withLock { state in
            state.isCounting = true
            state.bound = 0
        }
    }

    private func serve(upTo bound: Int64) {
        state.withLock { state in
            guard bound > state.bound else { return }
            state.bound = bound
            state.mayGoOn.open()
            state.mayGoOn = Gate()
        }
    }

    /// Counts bytes that are about to be sent.
    ///
    /// - Returns: what to wait for first, where they are not to be sent yet
    private func take(_ count: Int) -> Gate? {
        state.withLock { state in
            guard state.total < state.bound else { return state.mayGoOn }
            if state.isCounting { state.total += Int64(count) }
            return nil
        }
    }
}
