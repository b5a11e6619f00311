import OCI
import Registry
import TestSupport
import Testing

@testable import Transfer

@Suite(.timeLimit(.minutes(5))) struct ClosureWalkTests {
    private let repository = EngineFixture.repository

    private func walk(
        _ fixture: EngineFixture, _ reference: ManifestReference, platforms: [String] = []
    ) async throws -> [WalkedImage] {
        try await ClosureWalk(source: try fixture.client(fixture.source)).images(
            try Repository(repository), reference, platforms: platforms.compactMap { Platform($0) })
    }

    @Test func findsAllThatAnImageNeeds() async throws {
        try await withFixture { fixture in
            let image = TestImage(index: [
                TestImage(seed: 1, layers: [10, 20]), TestImage(seed: 2, layers: [10], platform: "linux/arm64"),
            ])
            fixture.store(image)
            let walked = try await walk(fixture, .tag(try Tag("1")))
            #expect(walked.map(\.root.digest) == [image.descriptor.digest])
            #expect(Set(walked.flatMap(\.entries).map(\.digest)) == image.allDigests)
            #expect(walked[0].entries == Closure(walked[0].entries).entries)
        }
    }

    @Test func takesTheWantedPlatformsOnly() async throws {
        try await withFixture { fixture in
            let children = ["linux/amd64", "linux/arm64", "linux/s390x"].enumerated().map {
                TestImage(seed: UInt64($0), layers: [10], platform: $1)
            }
            fixture.store(TestImage(index: children))
            let walked = try await walk(fixture, .tag(try Tag("1")), platforms: ["linux/s390x", "linux/amd64"])
            #expect(walked.map(\.root.digest) == [children[2], children[0]].map(\.descriptor.digest))
            let error = await #expect(throws: OCIError.self) {
                try await walk(fixture, .tag(try Tag("1")), platforms: ["windows/amd64"])
            }
            #expect(error?.message.contains("linux/arm64") == true)
        }
    }

    private func entry(_ child: Descriptor) -> String {
        "{\"mediaType\":\"\(child.mediaType)\",\"digest\":\"\(child.digest)\",\"size\":\(child.size)}"
    }

    private func index(of entries: [String]) -> [UInt8] {
        Array(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociIndex)","manifests":[\(entries.joined(separator: ","))]}
            """.utf8)
    }

    /// Manifests may be many, and they may be large; not both.
    @Test func refusesManifestsThatAreTooLargeTogether() async throws {
        try await withFixture { fixture in
            let size = Manifest.maximumSize
            let children = (0...ClosureWalk.byteLimit / size).map { number in
                let manifest = TestImage(seed: UInt64(number), layers: [10]).manifest
                let bytes = manifest + [UInt8](repeating: UInt8(ascii: " "), count: size - manifest.count)
                return entry(fixture.source.storeManifest(bytes, in: repository))
            }
            fixture.source.storeManifest(index(of: children), type: .ociIndex, in: repository, tag: "1")
            let error = await #expect(throws: OCIError.self) { try await walk(fixture, .tag(try Tag("1"))) }
            #expect(error?.message.contains("64 MiB together") == true)
        }
    }

    /// An index that names more than anyone needs is refused before any of it is asked for.
    @Test func refusesTooManyManifestsUnseen() async throws {
        try await withFixture { fixture in
            let children = (0...ClosureWalk.manifestLimit).map { number in
                entry(Descriptor(mediaType: .ociManifest, digest: Digest(of: Array("\(number)".utf8)), size: 10))
            }
            fixture.source.storeManifest(index(of: children), type: .ociIndex, in: repository, tag: "1")
            let error = await #expect(throws: OCIError.self) { try await walk(fixture, .tag(try Tag("1"))) }
            #expect(error?.message.contains("\(ClosureWalk.manifestLimit)") == true)
            #expect(fixture.source.requests.filter { $0.path.contains("/manifests/") }.count == 1)
        }
    }

    @Test(arguments: [ClosureWalk.depthLimit, ClosureWalk.depthLimit + 1])
    func refusesIndexesThatAreNestedTooDeep(depth: Int) async throws {
        try await withFixture { fixture in
            var image = TestImage(seed: 1, layers: [10])
            for _ in 1..<depth { image = TestImage(index: [image]) }
            fixture.store(image)
            if depth <= ClosureWalk.depthLimit {
                let tag = try Tag("1")
                #expect(try await walk(fixture, .tag(tag)).count == 1)
            } else {
                await #expect(throws: OCIError.self) { try await walk(fixture, .tag(try Tag("1"))) }
            }
        }
    }

    /// Of several questions at once, the one that failed says why; those that it stopped do not.
    @Test func saysWhatStoppedIt() async throws {
        try await withFixture { fixture in
            let children = (0..<4).map { TestImage(seed: UInt64($0), layers: [10]) }
            fixture.store(TestImage(index: children))
            let never = Gate()
            let asked = Gate()
            fixture.source.intercept(where: { $0.path.contains(children[0].descriptor.digest.hex) }) {
                exchange, answer in
                asked.open()
                try exchange.wait(never)
                return try answer()
            }
            fixture.source.intercept(where: { $0.path.contains(children[3].descriptor.digest.hex) }) { exchange, _ in
                try exchange.wait(asked)
                return ScriptedServer.Response(403, [:])
            }
            let error = await #expect(throws: RegistryError.self) { try await walk(fixture, .tag(try Tag("1"))) }
            #expect(error?.code == .denied)
        }
    }

    @Test func wrongBytesOfAManifestAreRefused() async throws {
        try await withFixture { fixture in
            let image = TestImage(seed: 1, layers: [10])
            fixture.source.storeManifest(
                TestImage(seed: 2, layers: [10]).manifest, in: repository, tag: "1", as: image.descriptor.digest)
            let error = await #expect(throws: RegistryError.self) {
                try await walk(fixture, .digest(image.descriptor.digest))
            }
            #expect(error?.code == .digestMismatch)
        }
    }
}
