import OCI
import Registry
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ListingTests {
    private let repository: Repository

    init() throws { repository = try Repository("team/app") }

    @Test func tagsOfEveryPage() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.behaviour.tagPage = 3
            for number in 10..<20 { registry.store(image, in: "team/app", tag: "t\(number)") }
            try await withClient(registry.origin) { client async throws in
                #expect(try await client.tags(repository).map(\.name) == (10..<20).map { "t\($0)" })
                #expect(registry.requests.filter { $0.path.contains("tags") }.count == 4)
                let error = try await registryError { _ = try await client.tags(try Repository("none")) }
                #expect(error?.code == .notFound)
            }
        }
    }

    @Test(
        arguments: [
            ("{\"tags\":null}", nil, RegistryError.Code?.none),
            ("<html>", nil, .protocolViolation),
            ("{\"tags\":[\"a\"]}", "</v2/team/app/tags/list?n=1000>; rel=\"next\"", .protocolViolation),
            ("{\"tags\":[\"a\"]}", "<http://other.example/v2/team/app/tags/list>; rel=\"next\"", .protocolViolation),
        ] as [(String, String?, RegistryError.Code?)])
    func oddLists(body: String, link: String?, code: RegistryError.Code?) async throws {
        try await withScriptedRegistry { registry in
            var response = ScriptedServer.Response(200, [:], text: body)
            response.setHeader("Link", link)
            registry.answer(response) { $0.path.contains("/tags/") }
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError {
                    let tags = try await client.tags(repository)
                    #expect(tags.isEmpty)
                }
                #expect(error?.code == code)
            }
        }
    }

    @Test func referrersByTheAPI() async throws {
        let image = TestImage(seed: 1)
        let attached = TestImage(seed: 2, subject: image.descriptor, artifactType: "application/x")
        try await withScriptedRegistry { registry in
            registry.store(image, in: "team/app")
            registry.store(attached, in: "team/app")
            try await withClient(registry.origin) { client async throws in
                let referrers = try await client.referrers(repository, of: image.descriptor.digest)
                #expect(referrers.descriptors.map(\.digest) == [attached.descriptor.digest])
                #expect(referrers.fallbackTag == nil)
                #expect(try await client.referrers(repository, of: attached.descriptor.digest).descriptors.isEmpty)
                let receipt = try await client.putManifest(
                    repository, .digest(attached.descriptor.digest), bytes: attached.manifest, mediaType: .ociManifest)
                #expect(receipt.acknowledgesSubject)
            }
        }
    }

    @Test func referrersByTheFallbackTag() async throws {
        let image = TestImage(seed: 1)
        let attached = TestImage(seed: 2, subject: image.descriptor)
        let list = TestImage(index: [attached])
        let tag = "sha256-\(image.descriptor.digest.hex)"
        try await withScriptedRegistry { registry in
            registry.behaviour.hasReferrers = false
            try await withClient(registry.origin) { client async throws in
                #expect(try await client.referrers(repository, of: image.descriptor.digest).descriptors.isEmpty)
                registry.store(list, in: "team/app", tag: tag)
                let referrers = try await client.referrers(repository, of: image.descriptor.digest)
                #expect(referrers.descriptors.map(\.digest) == [attached.descriptor.digest])
                #expect(referrers.fallbackTag?.name == tag)
                // Something else under that tag is no empty list.
                registry.store(attached, in: "team/app", tag: tag)
                let error = try await registryError {
                    _ = try await client.referrers(repository, of: image.descriptor.digest)
                }
                #expect(error?.code == .protocolViolation)
            }
        }
    }

    @Test func aFailureIsNoEmptyList() async throws {
        try await withScriptedRegistry { registry in
            registry.answer(.init(403)) { $0.path.contains("/referrers/") }
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError {
                    _ = try await client.referrers(repository, of: Digest(of: [1]))
                }
                #expect(error?.code == .denied)
            }
        }
    }
}
