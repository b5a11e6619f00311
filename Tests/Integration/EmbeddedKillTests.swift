import FoundationEssentials
import Glibc
import HTTP
import OCI
import Synchronization
import TestSupport
import Testing

/// The registry's process and the agent's are killed at any moment: what they leave is sound, and goes on.
@Suite(.timeLimit(.minutes(5))) struct EmbeddedKillTests {
    /// Pushes images for ever, in chunks, and begins each again where a server that came back says that it stands.
    private struct Pusher {
        let http: HTTPClient
        let origin: @Sendable () -> String

        private func send(
            _ method: HTTPMethod, _ target: String, _ headers: HTTPHeaders = [:], _ body: [UInt8]? = nil
        ) async throws -> HTTPResponse {
            var request = HTTPRequest(
                method, try HTTPURL(origin() + target), headers: headers, body: body.map { .bytes($0) } ?? .none)
            request.proxy = ""
            return try await http.send(request)
        }

        func push(_ image: TestImage, as tag: String) async throws {
            for blob in image.blobs { try await push(blob.content, blob.descriptor.digest) }
            let answer = try await send(
                .put, "/v2/a/manifests/\(tag)", ["Content-Type": image.descriptor.mediaType.name], image.manifest)
            guard answer.status == 201 else { throw TestSupportError("manifest: \(answer.status)") }
        }

        /// Pushes an image with one request for each blob, passes it on to another repository, and deletes it where it was.
        /// A refusal is no failure: somebody may have collected what is not named yet.
        ///
        /// - Parameter answered: called after each request
        func passOn(_ image: TestImage, _ answered: () -> Void) async throws {
            let digest = image.descriptor.digest
            let type: HTTPHeaders = ["Content-Type": image.descriptor.mediaType.name]
            for blob in image.blobs {
                _ = try await send(
                    .post, "/v2/a/blobs/uploads/?digest=\(blob.descriptor.digest)",
                    ["Content-Type": "application/octet-stream"], blob.content.all)
                answered()
            }
            _ = try await send(.put, "/v2/a/manifests/\(digest)", type, image.manifest)
            answered()
            for blob in image.blobs {
                _ = try await send(.post, "/v2/b/blobs/uploads/?mount=\(blob.descriptor.digest)&from=a")
                answered()
            }
            _ = try await send(.put, "/v2/b/manifests/\(digest)", type, image.manifest)
            answered()
            _ = try await send(.delete, "/v2/a/manifests/\(digest)")
            answered()
            for blob in image.blobs {
                _ = try await send(.delete, "/v2/a/blobs/\(blob.descriptor.digest)")
                answered()
            }
        }

        private func push(_ content: ScriptedRegistry.Content, _ digest: Digest) async throws {
            let bytes = content.all
            let started = try await send(.post, "/v2/a/blobs/uploads/")
            guard let location = started.headers["Location"] else { throw TestSupportError("\(started.status)") }
            for start in stride(from: 0, to: bytes.count, by: 100_000) {
                let end = min(start + 100_000, bytes.count)
                let answer = try await send(
                    .patch, location, ["Content-Range": "\(start)-\(end - 1)"], Array(bytes[start..<end]))
                guard answer.status == 202 else { throw TestSupportError("chunk: \(answer.status)") }
            }
            let answer = try await send(.put, "\(location)?digest=\(digest)")
            guard answer.status == 201 else { throw TestSupportError("blob: \(answer.status)") }
        }
    }

    /// Killed again and again while four clients push and garbage is collected.
    @Test func aKilledServerLeavesASoundLayout() async throws {
        try await withTemporaryDirectory("killed") { directory in
            let http = HTTPClient()
            defer { http.shutdown() }
            var random = SeededGenerator(seed: 3)
            var accepted: [String: TestImage] = [:]
            for round in 0..<8 {
                let server = try await EmbeddedServer(in: directory)
                let origin = server.origin
                let bound = Int.random(in: 1...25, using: &random)
                // The server is killed when so many requests were made, in the middle of those that are under way.
                let pushed = await withTaskGroup(of: [(String, TestImage)].self) { group in
                    for worker in 0..<4 {
                        group.addTask {
                            var done: [(String, TestImage)] = []
                            let pusher = Pusher(http: http, origin: { origin })
                            for number in 0..<100 {
                                let image = TestImage(
                                    seed: UInt64(round * 1000 + worker * 100 + number), layers: [1000, 350_000])
                                do {
                                    try await pusher.push(image, as: "w\(worker)")
                                    done.append(("w\(worker)", image))
                                } catch {
                                    break
                                }
                            }
                            return done
                        }
                    }
                    group.addTask {
                        let before = contents(of: directory)
                        while contents(of: directory) < before + bound { await pauseALittle() }
                        await server.kill()
                        return []
                    }
                    return await group.reduce(into: []) { $0 += $1 }
                }
                for (tag, image) in pushed { accepted[tag] = image }
                try await server.expectSound()
                let collected = try await Executable.agent.run(
                    ["registry", "gc", "--layout", server.layout], in: directory)
                #expect(collected.status == 0)
            }
            // What was accepted is served by the next process: the tag names that image, or a later one that was
            // accepted without its answer having arrived.
            let server = try await EmbeddedServer(in: directory)
            for (_, image) in accepted {
                var request = HTTPRequest(
                    .get, try HTTPURL("\(server.origin)/v2/a/manifests/\(image.descriptor.digest)"))
                request.proxy = ""
                #expect(try await http.send(request).body == image.manifest)
            }
            #expect(!accepted.isEmpty)
            // Another program reads what is there.
            let inspected = try await runCommand(["skopeo", "inspect", "--raw", "oci:\(server.layout)/a:w0"])
            #expect(inspected.status == 0, "\(inspected.errorText)")
            await server.kill()
        }
    }

    private final class Count: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func increment() { count.withLock { $0 += 1 } }
    }

    /// Collects garbage again and again, each time in a process of its own, without sparing what is young.
    private final class Collector: Sendable {
        private struct State {
            var process: ChildProcess?
            var isOver = false
        }
        private let state = Mutex(State())

        func run(_ layout: String, in directory: TemporaryDirectory) async throws {
            while !state.withLock({ $0.isOver }) {
                let process = try Executable.agent.start(
                    ["registry", "gc", "--layout", layout, "--older-than", "0"], in: directory,
                    errors: directory.file("gc.log"))
                let isOver = state.withLock { state in
                    state.process = process
                    return state.isOver
                }
                if isOver { process.signal(SIGKILL) }
                _ = await process.ended()
            }
        }

        /// Kills the process at this very moment, and starts no other.
        func kill() {
            state.withLock { state in
                state.isOver = true
                state.process?.signal(SIGKILL)
            }
        }
    }

    /// The server and a collection of garbage are killed in the middle of pushes in one request, mounts and deletions.
    @Test func aKilledCollectionLeavesASoundLayout() async throws {
        try await withTemporaryDirectory("killed") { directory in
            let http = HTTPClient()
            defer { http.shutdown() }
            var random = SeededGenerator(seed: 5)
            for round in 0..<6 {
                let server = try await EmbeddedServer(in: directory)
                let origin = server.origin
                let bound = Int.random(in: 1...100, using: &random)
                let answers = Count()
                let collector = Collector()
                await withTaskGroup(of: Void.self) { group in
                    for worker in 0..<4 {
                        group.addTask {
                            let pusher = Pusher(http: http, origin: { origin })
                            for number in 0..<200 {
                                let image = TestImage(
                                    seed: UInt64(round * 10_000 + worker * 1000 + number), layers: [1000, 100_000])
                                // Once the server is gone, nobody answers.
                                guard (try? await pusher.passOn(image, answers.increment)) != nil else { return }
                            }
                        }
                    }
                    group.addTask { _ = try? await collector.run(server.layout, in: directory) }
                    group.addTask {
                        while answers.value < bound { await pauseALittle() }
                        collector.kill()
                        await server.kill()
                    }
                }
                try await server.expectSound()
            }
            // What was cut off is no obstacle to the next collection either.
            let layout = directory.file("registry")
            let collected = try await Executable.agent.run(
                ["registry", "gc", "--layout", layout, "--older-than", "0"], in: directory)
            #expect(collected.status == 0, "\(collected.errorText)")
            let checked = try await Executable.agent.run(["registry", "check", "--layout", layout], in: directory)
            #expect(checked.status == 0, "\(checked.errorText)")
        }
    }

    /// How many blobs the layout holds: a measure of how far the clients are.
    private func contents(of directory: TemporaryDirectory) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: directory.file("registry/_blobs/sha256")))?.count ?? 0
    }

    /// An agent that is killed while it brings a large image into its own layout, and started again.
    @Test func aKilledAgentGoesOn() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(seed: 11, layers: [24 << 20, 12 << 20, 8 << 20, 300_000])
            source.store(image, in: "big/data", tag: "1")
            try await TestFleet.with(source: source.origin) { fleet in
                let site = try fleet.site("lab-1")
                try fleet.writeAgentFile(of: site)
                let layout = fleet.directory.file("layout")
                let file = String(decoding: try fleet.directory.read(site.config), as: UTF8.self)
                try fleet.directory.write(
                    site.config,
                    file.replacing(
                        "url: \(site.registry.origin)", with: "embedded: {layout: \(layout), listen: '127.0.0.1:0'}"))
                try await fleet.resolve("data", "big/data:1")
                try await fleet.stage("data")
                func expectSound() async throws {
                    let result = try await Executable.agent.run(
                        ["registry", "check", "--layout", layout], in: fleet.directory)
                    #expect(result.status == 0, "\(result.errorText)")
                }
                for part in [1, 4, 8, 12] {
                    let agent = try fleet.startSync()
                    let before = source.requests.count
                    while source.requests.count < before + part * 6, agent.isRunning { await pauseALittle() }
                    agent.signal(SIGKILL)
                    _ = await agent.ended()
                    try await expectSound()
                }
                let agent = try fleet.startSync()
                #expect(await agent.ended() == 0)
                #expect(try await fleet.check("data").ready)
                try await expectSound()
                let inspected = try await runCommand(["skopeo", "inspect", "--raw", "oci:\(layout)/big/data:1"])
                #expect(inspected.output == image.manifest, "\(inspected.errorText)")
                let spool = try FileManager.default.contentsOfDirectory(atPath: "\(layout)/_spool")
                #expect(spool.allSatisfy { $0.hasPrefix("journal.") }, "\(spool)")
            }
        }
    }
}
