import FoundationEssentials
import OCI
import TestSupport
import Testing

/// READY is a lease: what a registry loses, or keeps wrongly, closes the gate, and is brought again.
@Suite(.timeLimit(.minutes(5))) struct LeaseTests {
    private let image = TestImage(seed: 1, layers: [1000, 100_000])

    /// One site whose registry keeps descriptors of blobs in memory, as Debian's default configuration has it.
    private func withFleet(_ body: (TestFleet, ScriptedRegistry, TestFleet.Site) async throws -> Void) async throws {
        var configuration = RealRegistry.Configuration()
        configuration.cachesDescriptors = true
        try await withScriptedRegistry { source in
            source.store(image, in: "web/api", tag: "1")
            try await TestFleet.with(source: source.origin, registries: configuration) { fleet in
                try await fleet.resolve("web", "web/api:1")
                try await fleet.stage("web")
                try await body(fleet, source, try fleet.site("lab-1"))
            }
        }
    }

    /// A line of the agent's log.
    private struct LogLine: Decodable {
        let message: String
        let pass: Int?
        let missing: Int?
    }

    private func passes(_ fleet: TestFleet, _ message: String) throws -> [LogLine] {
        String(decoding: try fleet.directory.read("run.log"), as: UTF8.self).split(separator: "\n")
            .compactMap { try? JSONDecoder().decode(LogLine.self, from: Data($0.utf8)) }
            .filter { $0.message == message }
    }

    /// The file is removed from behind a registry that still claims to have it: the first pass that begins after that finds
    /// it, and the gate is closed when that pass has ended. As soon as a source has it, it is brought again.
    @Test(arguments: ["layer", "manifest"]) func aRemovedFileClosesTheGate(_ lost: String) async throws {
        let digest = lost == "layer" ? try #require(image.blobs.last).descriptor.digest : image.descriptor.digest
        try await withFleet { fleet, source, site in
            try fleet.writeAgentFile(of: site, settings: "interval: 1s\nverifyInterval: 1s")
            let daemon = try Executable.agent.start(
                ["run", "--config", site.config], in: fleet.directory, errors: fleet.directory.file("run.log"))
            try await fleet.untilReady("web")

            source.remove(digest, from: "web/api")
            try site.registry.removeContent(digest)
            // The pass that is under way may have looked before. The next one is within one interval, and begins after.
            let begun = try #require(try passes(fleet, "pass started").compactMap(\.pass).max())
            var next: LogLine?
            while next == nil {
                try await Task.sleep(for: .milliseconds(50))
                next = try passes(fleet, "pass finished").first { $0.pass == begun + 1 }
            }
            #expect(next?.missing == 1)
            let verdict = try await fleet.check("web")
            #expect(!verdict.ready)
            #expect(verdict.site("lab-1")?.codes == ["incomplete"])
            #expect(verdict.site("lab-1")?.missing.map(\.digest) == [digest.description])

            source.store(image, in: "web/api", tag: "1")
            try await fleet.untilReady("web")
            #expect(FileManager.default.fileExists(atPath: site.registry.contentPath(digest)))
            daemon.signal(15)
            #expect(await daemon.ended() == 0)
        }
    }

    /// Right length, wrong bytes: only reading finds it; this registry keeps them whatever is uploaded; and once somebody
    /// has removed the file, the next pass brings it.
    @Test func rottenContentClosesTheGate() async throws {
        try await withFleet { fleet, source, site in
            try await fleet.sync("lab-1")
            let layer = try #require(image.blobs.last).descriptor
            try site.registry.replaceContent(
                layer.digest, with: [UInt8](repeating: 0, count: Int(layer.size)))
            #expect(try await fleet.agent("verify", "lab-1").status == 0)
            #expect(try await fleet.check("web").ready)
            let verify = try await fleet.agent("verify", "lab-1", "--content")
            #expect(verify.status == 3)
            #expect(verify.errorText.contains("damaged: web/api@\(layer.digest)"), "\(verify.errorText)")
            #expect(try await fleet.check("web").site("lab-1")?.missing.map(\.digest) == [layer.digest.description])
            // Brought once, to no avail; and not again.
            func fetches() -> Int {
                source.requests.count { $0.method == "GET" && $0.target.contains("/blobs/\(layer.digest)") }
            }
            let before = fetches()
            for _ in 0..<2 {
                let sync = try await fleet.agent("sync", "lab-1")
                #expect(sync.status == 1)
                #expect(sync.errorText.contains("an upload does not replace it"), "\(sync.errorText)")
                #expect(try await !fleet.check("web").ready)
                #expect(fetches() == before + 1)
            }
            try site.registry.removeContent(layer.digest)
            try await fleet.sync("lab-1")
            #expect(fetches() == before + 2)
            #expect(try await fleet.agent("verify", "lab-1", "--content").status == 0)
            #expect(try await fleet.check("web").ready)
        }
    }

    @Test func aGateAsksForContent() async throws {
        try await withFleet { fleet, _, _ in
            let text = String(decoding: try fleet.directory.read("fleet.yaml"), as: UTF8.self)
            try fleet.directory.write(
                "fleet.yaml", text.replacing("  - name: lab\n", with: "  - name: lab\n    depth: content\n"))
            try await fleet.sync("lab-1")
            #expect(try await fleet.check("web").site("lab-1")?.codes == ["content-unread"])
            #expect(try await fleet.agent("verify", "lab-1", "--content").status == 0)
            #expect(try await fleet.check("web").ready)
            // What was read stays read.
            try await fleet.sync("lab-1")
            #expect(try await fleet.promote("web").outcome == "promoted")
        }
    }
}

extension TestFleet {
    /// Asks the gate until it is open; the suite's time limit ends it.
    func untilReady(_ list: String) async throws {
        while try await !check(list).ready { try await Task.sleep(for: .milliseconds(100)) }
    }
}
