import OCI
import Registry
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5)))
struct ManifestTests {
    private let repository: Repository
    private let tag: OCI.Tag

    init() throws {
        repository = try Repository("team/app")
        tag = try OCI.Tag("1.0")
    }

    @Test(arguments: [false, true])
    func fetchesByTagAndDigestByteForByte(isDocker: Bool) async throws {
        let child = TestImage(seed: 1, isDocker: isDocker)
        let index = TestImage(index: [child], isDocker: isDocker)
        try await withScriptedRegistry { registry in
            registry.store(index, in: "team/app", tag: "1.0")
            try await withClient(registry.origin) { client async throws in
                let fetched = try await client.manifest(repository, .tag(tag))
                #expect(fetched.bytes == index.manifest)
                #expect(fetched.digest == index.descriptor.digest)
                #expect(fetched.manifest.mediaType == index.descriptor.mediaType)
                let second = try await client.manifest(repository, .digest(child.descriptor.digest))
                #expect(second.bytes == child.manifest)
                let head = try await client.manifestHead(repository, .tag(tag))
                #expect(head?.digest == index.descriptor.digest)
                #expect(head?.size == index.descriptor.size)
                #expect(head?.mediaType == index.descriptor.mediaType)
                // All four types in one header: distribution answers 404, or another manifest, to fewer.
                let accept = registry.requests.last?.values("Accept")
                #expect(accept?.count == 1)
                #expect(accept?.first?.split(separator: ",").count == 4)
            }
        }
    }

    @Test func aHeadWithoutDigestIsAskedAgainWithGet() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.behaviour.sendsContentDigest = false
            registry.store(image, in: "team/app", tag: "1.0")
            try await withClient(registry.origin) { client async throws in
                let head = try await client.manifestHead(repository, .tag(tag))
                #expect(head?.digest == image.descriptor.digest)
                #expect(head?.size == image.descriptor.size)
                #expect(registry.requests.map(\.method) == ["GET", "HEAD", "GET"])
            }
        }
    }

    @Test func aRegistryWithoutHeadIsAskedWithGet() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.store(image, in: "team/app", tag: "1.0")
            registry.answer(.init(405)) { $0.method == "HEAD" }
            try await withClient(registry.origin) { client async throws in
                #expect(try await client.manifestHead(repository, .tag(tag))?.digest == image.descriptor.digest)
                #expect(try await client.manifestHead(repository, .tag(try OCI.Tag("none"))) == nil)
            }
        }
    }

    @Test func absentManifests() async throws {
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                #expect(try await client.manifestHead(repository, .tag(tag)) == nil)
                let error = try await registryError { _ = try await client.manifest(repository, .tag(tag)) }
                #expect(error?.code == .notFound)
                #expect(error?.url == "\(registry.origin)/v2/team/app/manifests/1.0")
                #expect(error?.details.first?.code == "MANIFEST_UNKNOWN")
            }
        }
    }

    @Test func otherBytesThanTheDigestAreRefused() async throws {
        let image = TestImage(seed: 1)
        let wanted = Digest(of: [1, 2, 3])
        try await withScriptedRegistry { registry in
            registry.storeManifest(image.manifest, in: "team/app", tag: "1.0", as: wanted)
            try await withClient(registry.origin) { client async throws in
                for reference in [ManifestReference.digest(wanted), .tag(tag)] {
                    let error = try await registryError { _ = try await client.manifest(repository, reference) }
                    #expect(error?.code == .digestMismatch)
                    let words = error?.message ?? ""
                    #expect(words.contains(registry.authority))
                    #expect(words.contains("\(wanted)") && words.contains("\(image.descriptor.digest)"))
                }
            }
        }
    }

    /// distribution answers clients that do not accept the index's type with the amd64 child (handlers/manifests.go).
    @Test func anotherManifestThanAskedForIsRefusedAtTheHead() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.store(image, in: "team/app", tag: "1.0")
            registry.intercept(where: { $0.method == "HEAD" }) { _, answer in
                var response = try answer()
                response.setHeader("Docker-Content-Digest", "\(Digest(of: [9]))")
                return response
            }
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError {
                    _ = try await client.manifestHead(repository, .digest(image.descriptor.digest))
                }
                #expect(error?.code == .digestMismatch)
            }
        }
    }

    @Test(arguments: [
        (
            "{\"schemaVersion\":1,\"name\":\"a\"}", "application/vnd.docker.distribution.manifest.v1+prettyjws",
            RegistryError.Code.unsupported
        ),
        ("{\"schemaVersion\":1,\"name\":\"a\"}", "application/json", .unsupported),
        ("{\"schemaVersion\":2,\"mediaType\":\"text/x\"}", "application/json", .unsupported),
        ("<html>sign in</html>", "text/html", .protocolViolation),
    ])
    func whatIsNoManifestIsRefused(body: String, type: String, code: RegistryError.Code) async throws {
        try await withScriptedRegistry { registry in
            registry.storeManifest(Array(body.utf8), type: MediaType(type), in: "team/app", tag: "1.0")
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError { _ = try await client.manifest(repository, .tag(tag)) }
                #expect(error?.code == code)
            }
        }
    }

    @Test func aManifestWithoutEndIsRefused() async throws {
        try await withScriptedRegistry { registry in
            let content = GeneratedBytes(count: Int64(Manifest.maximumSize) + 1, seed: 1)
            registry.intercept(where: { $0.path.contains("/manifests/") }) { _, _ in
                var response = ScriptedServer.Response(200, headers: [], body: .generated(content, 0..<content.count))
                response.framing = .chunked
                return response
            }
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError { _ = try await client.manifest(repository, .tag(tag)) }
                #expect(error?.code == .tooLarge)
            }
        }
    }

    @Test func pushesByteForByte() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.store(image, in: "other")
            for blob in image.blobs { registry.store(blob.content, as: blob.descriptor.digest, in: "team/app") }
            try await withClient(registry.origin) { client async throws in
                let type = image.descriptor.mediaType
                let receipt = try await client.putManifest(
                    repository, .digest(image.descriptor.digest), bytes: image.manifest, mediaType: type)
                #expect(receipt.digest == image.descriptor.digest)
                #expect(!receipt.acknowledgesSubject)
                #expect(registry.manifest(receipt.digest, in: "team/app") == image.manifest)
                _ = try await client.putManifest(repository, .tag(tag), bytes: image.manifest, mediaType: type)
                #expect(registry.tag("1.0", in: "team/app") == receipt.digest)
                #expect(registry.requests.last?.header("Content-Type") == type.name)
            }
        }
    }

    @Test func pushOfOtherBytesThanTheDigestSendsNothing() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError {
                    _ = try await client.putManifest(
                        repository, .digest(Digest(of: [1])), bytes: image.manifest, mediaType: .ociManifest)
                }
                #expect(error?.code == .digestMismatch)
                #expect(registry.requests.isEmpty)
            }
        }
    }

    @Test func aRegistryThatStoresSomethingElseIsFound() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.answer(.init(201, ["Docker-Content-Digest": "\(Digest(of: [1]))"])) { $0.method == "PUT" }
            try await withClient(registry.origin) { client async throws in
                let error = try await registryError {
                    _ = try await client.putManifest(
                        repository, .tag(tag), bytes: image.manifest, mediaType: .ociManifest)
                }
                #expect(error?.code == .digestMismatch)
            }
        }
    }

    @Test func pushRefusals() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client async throws in
                let push = {
                    try await registryError {
                        _ = try await client.putManifest(
                            repository, .tag(tag), bytes: image.manifest, mediaType: .ociManifest)
                    }
                }
                #expect(try await push()?.code == .blobUnknown)
                registry.answer(.init(413)) { $0.method == "PUT" }
                // Final: never sent again.
                let before = registry.requests.count
                #expect(try await push()?.code == .tooLarge)
                #expect(registry.requests.count == before + 1)
            }
        }
    }

    @Test func deletes() async throws {
        let image = TestImage(seed: 1)
        try await withScriptedRegistry { registry in
            registry.store(image, in: "team/app", tag: "1.0")
            try await withClient(registry.origin) { client async throws in
                try await client.deleteManifest(repository, .digest(image.descriptor.digest))
                #expect(registry.manifests(in: "team/app").isEmpty)
                let error = try await registryError {
                    try await client.deleteManifest(repository, .digest(image.descriptor.digest))
                }
                #expect(error?.code == .notFound)
                registry.answer(.init(405)) { $0.method == "DELETE" }
                let refusal = try await registryError {
                    try await client.deleteManifest(repository, .digest(image.descriptor.digest))
                }
                #expect(refusal?.code == .unsupported)
            }
        }
    }
}
