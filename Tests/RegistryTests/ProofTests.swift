import HTTP
import OCI
import TestSupport
import Testing

@testable import Registry

/// What a registry shows of content, on one that is scripted and on Debian's docker-registry.
@Suite(.timeLimit(.minutes(5))) struct ProofTests {
    private let repository: Repository
    private let content: [UInt8]
    private let digest: Digest

    init() throws {
        repository = try Repository("library/app")
        content = (0..<5000).map { UInt8($0 % 251) }
        digest = Digest(of: content)
    }

    @Test func theLastByteIsProofOfPresence() async throws {
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client in
                #expect(try await client.proof(ofBlob: digest, in: repository, size: 5000) == .absent)
                registry.store(.bytes(content), in: repository.name)
                #expect(try await client.proof(ofBlob: digest, in: repository, size: 5000) == .shown)
                let request = try #require(registry.requests.last)
                #expect(request.method == "GET")
                #expect(request.header("Range") == "bytes=4999-4999")
                // Other lengths than the descriptor's.
                for size: Int64 in [4999, 5001] {
                    guard case .broken = try await client.proof(ofBlob: digest, in: repository, size: size) else {
                        Issue.record("\(size)")
                        continue
                    }
                }
            }
        }
    }

    /// The first byte of the whole is all that such a registry shows, and no more than that is taken.
    @Test func withoutRangesTheFirstByteHasToDo() async throws {
        var behaviour = ScriptedRegistry.Behaviour()
        behaviour.honoursRange = false
        try await withScriptedRegistry(behaviour) { registry in
            try await withClient(registry.origin) { client in
                let large = ScriptedRegistry.Content.generated(GeneratedBytes(count: 64 << 20, seed: 1))
                let descriptor = registry.store(large, in: repository.name)
                #expect(
                    try await client.proof(ofBlob: descriptor.digest, in: repository, size: descriptor.size) == .shown)
                guard case .broken = try await client.proof(ofBlob: descriptor.digest, in: repository, size: 1) else {
                    Issue.record("another length was taken")
                    return
                }
            }
        }
    }

    /// What is said in a head is no proof.
    @Test(arguments: [200, 206]) func aHeadWithoutABodyIsBroken(status: Int) async throws {
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client in
                registry.intercept(where: { $0.path.contains("/blobs/") }) { _, _ in
                    var answer = ScriptedServer.Response(status, ["Content-Type": "application/octet-stream"])
                    answer.setHeader("Content-Range", "bytes 4999-4999/5000")
                    answer.body = .bytes(Array(repeating: 0, count: status == 200 ? 5000 : 1))
                    return answer.failing(.close, .answerBody(0))
                }
                let proof = try await client.proof(ofBlob: digest, in: repository, size: 5000)
                guard case .broken(let reason) = proof else {
                    Issue.record("\(proof)")
                    return
                }
                #expect(reason.contains("serves no byte of it"))
                // Asked twice, since a connection may break for a reason of its own.
                #expect(registry.requests.count { $0.path.contains("/blobs/") } == 2)
            }
        }
    }

    @Test func aConnectionThatBreaksOnceIsNoDamage() async throws {
        try await withScriptedRegistry { registry in
            registry.store(.bytes(content), in: repository.name)
            try await withClient(registry.origin) { client in
                registry.intercept(times: 1, where: { $0.path.contains("/blobs/") }) { _, answer in
                    try answer().failing(.close, .answerBody(0))
                }
                let proof = try await client.proof(ofBlob: digest, in: repository, size: 5000)
                #expect(proof == .shown)
            }
        }
    }

    @Test func nothingKnownIsAnError() async throws {
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client in
                registry.answer(.init(403), where: { _ in true })
                await #expect(throws: RegistryError.self) {
                    try await client.proof(ofBlob: digest, in: repository, size: 5000)
                }
                await #expect(throws: RegistryError.self) {
                    try await client.proof(ofManifest: digest, in: repository)
                }
            }
        }
    }

    @Test func manifestsAreReadWhole() async throws {
        try await withScriptedRegistry { registry in
            try await withClient(registry.origin) { client in
                let image = TestImage(seed: 1, layers: [10])
                #expect(try await client.proof(ofManifest: image.descriptor.digest, in: repository) == .absent)
                registry.store(image, in: repository.name)
                #expect(try await client.proof(ofManifest: image.descriptor.digest, in: repository) == .shown)
                registry.storeManifest([1, 2, 3], in: repository.name, as: image.descriptor.digest)
                guard case .broken = try await client.proof(ofManifest: image.descriptor.digest, in: repository) else {
                    Issue.record("other bytes were taken")
                    return
                }
            }
        }
    }

    /// Debian's docker-registry with its cache of descriptors, as it is configured by default: HEAD goes on to say that a
    /// blob is there, with its length, after its file is gone, cut short or empty.
    @Test(arguments: ["removed", "cut", "empty"]) func distributionAnswersHeadsFromMemory(damage: String) async throws {
        var configuration = RealRegistry.Configuration()
        configuration.cachesDescriptors = true
        try await withRealRegistry(configuration) { registry in
            let http = HTTPClient()
            defer { http.shutdown() }
            let client = RegistryClient(try RegistryEndpoint(registry.origin), http: http)
            try await client.uploadAsBlob(content, digest: digest, to: repository)
            #expect(try await client.proof(ofBlob: digest, in: repository, size: 5000) == .shown)
            if damage == "removed" {
                try registry.removeContent(digest)
            } else {
                try registry.replaceContent(digest, with: damage == "cut" ? Array(content.prefix(2500)) : [])
            }
            #expect(try await client.blobSize(repository, digest) == 5000)
            guard case .broken = try await client.proof(ofBlob: digest, in: repository, size: 5000) else {
                Issue.record("the registry was believed")
                return
            }
            // An upload writes what is not there, and keeps what is, whatever it is.
            try await client.uploadAsBlob(content, digest: digest, to: repository)
            let proof = try await client.proof(ofBlob: digest, in: repository, size: 5000)
            #expect((proof == .shown) == (damage == "removed"))
        }
    }

    /// A manifest whose file is gone is not written again by a push: 201, and nothing happens. An upload of its bytes as a
    /// blob does it.
    @Test func distributionForgetsManifestsForGood() async throws {
        var configuration = RealRegistry.Configuration()
        configuration.cachesDescriptors = true
        try await withRealRegistry(configuration) { registry in
            let http = HTTPClient()
            defer { http.shutdown() }
            let client = RegistryClient(try RegistryEndpoint(registry.origin), http: http)
            let image = TestImage(seed: 1, layers: [10])
            for blob in image.blobs {
                let bytes =
                    switch blob.content {
                    case .bytes(let bytes): bytes
                    case .generated(let generated): generated.all
                    }
                try await client.uploadAsBlob(bytes, digest: blob.descriptor.digest, to: repository)
            }
            let digest = image.descriptor.digest
            func push() async throws {
                _ = try await client.putManifest(
                    repository, .digest(digest), bytes: image.manifest, mediaType: image.descriptor.mediaType)
            }
            try await push()
            #expect(try await client.proof(ofManifest: digest, in: repository) == .shown)
            try registry.removeContent(digest)
            #expect(try await client.proof(ofManifest: digest, in: repository) == .absent)
            try await push()
            #expect(try await client.proof(ofManifest: digest, in: repository) == .absent)
            try await client.uploadAsBlob(image.manifest, digest: digest, to: repository)
            try await push()
            #expect(try await client.proof(ofManifest: digest, in: repository) == .shown)
        }
    }
}
