import EmbeddedRegistry
import HTTP
import ImageLayout
import OCI
import TestSupport
import Testing

extension ConformanceTests {
    @Suite(.timeLimit(.minutes(5)))
    struct Push {
        private let bytes = GeneratedBytes(count: 300_000, seed: 3).all
        private var digest: Digest { Digest(of: bytes) }

        private func start(_ registry: EmbeddedFixture, _ query: String = "") async throws -> String {
            let answer = try await registry.send(.post, "/v2/a/blobs/uploads/\(query)")
            #expect(answer.status == 202)
            #expect(answer.headers["Range"] == "0-0")
            return try #require(answer.headers["Location"])
        }

        private func pull(_ registry: EmbeddedFixture) async throws -> [UInt8] {
            try await registry.send(.get, "/v2/a/blobs/\(digest)").body
        }

        @Test("Pushing a blob monolithically: POST then PUT (end-4a, end-6)")
        func pushingABlobMonolithicallyPOSTThenPUT() async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                let answer = try await registry.send(
                    .put, "\(location)?digest=\(digest)", ["Content-Type": "application/octet-stream"], .bytes(bytes))
                #expect(answer.status == 201)
                let blob = try #require(answer.headers["Location"])
                #expect(try await registry.send(.get, blob).body == bytes)
                #expect(try await registry.send(.get, location).errorCodes == ["BLOB_UPLOAD_UNKNOWN"])
            }
        }

        @Test("Pushing a blob monolithically: Single POST (end-4b)") func pushingABlobMonolithicallySinglePOST()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                let pushed = try await registry.push(bytes, to: "a")
                #expect(pushed == digest)
                #expect(try await pull(registry) == bytes)
                // Again: it is there already.
                #expect(try await registry.push(bytes, to: "a") == digest)
            }
        }

        @Test("Pushing a blob in chunks, with status and resumption (end-4a, end-5, end-13, end-6)")
        func pushingABlobInChunks() async throws {
            try await withEmbeddedRegistry { registry in
                var location = try await start(registry)
                var offset = 0
                for size in [100_000, 1, 150_000] {
                    let answer = try await registry.send(
                        .patch, location, ["Content-Range": "\(offset)-\(offset + size - 1)"],
                        .bytes(Array(bytes[offset..<offset + size])))
                    #expect(answer.status == 202)
                    offset += size
                    #expect(answer.headers["Range"] == "0-\(offset - 1)")
                    location = try #require(answer.headers["Location"])
                    let status = try await registry.send(.get, location)
                    #expect(status.status == 204)
                    #expect(status.headers["Range"] == "0-\(offset - 1)")
                    #expect(status.headers["Location"] == location)
                }
                // The last of them comes with the end.
                let answer = try await registry.send(
                    .put, "\(location)?digest=\(digest)", ["Content-Range": "\(offset)-\(bytes.count - 1)"],
                    .bytes(Array(bytes[offset...])))
                #expect(answer.status == 201)
                #expect(try await pull(registry) == bytes)
            }
        }

        @Test("Pushing a blob in chunks: the final PUT may be empty (end-6)")
        func pushingABlobInChunksEndedByAnEmptyPUT() async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                #expect(try await registry.send(.patch, location, [:], .bytes(bytes)).status == 202)
                #expect(try await registry.send(.put, "\(location)?digest=\(digest)").status == 201)
                #expect(try await pull(registry) == bytes)
            }
        }

        @Test(
            "Pushing a blob in chunks: 416 for a chunk out of order (end-5)",
            arguments: ["5-9", "1-10", "200000-200009"])
        func pushingAChunkOutOfOrder(range: String) async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                #expect(
                    try await registry.send(
                        .patch, location, ["Content-Range": "0-99999"], .bytes(Array(bytes[..<100_000]))
                    )
                    .status == 202)
                let count = range == "5-9" ? 5 : 10
                let answer = try await registry.send(
                    .patch, location, ["Content-Range": range], .bytes(Array(bytes[..<count])))
                #expect(answer.status == 416)
                #expect(answer.headers["Range"] == "0-99999")
                #expect(answer.headers["Location"] == location)
                // The session stands where it stood.
                let rest = try await registry.send(
                    .put, "\(location)?digest=\(digest)", ["Content-Range": "100000-299999"],
                    .bytes(Array(bytes[100_000...])))
                #expect(rest.status == 201)
            }
        }

        @Test(
            "Pushing a blob in chunks: Content-Range and Content-Length (end-5)",
            arguments: ["x", "5", "5-4-3", "0-99", "9-5"])
        func pushingAChunkWithAWrongRange(range: String) async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                let answer = try await registry.send(.patch, location, ["Content-Range": range], .bytes([1, 2, 3]))
                #expect(answer.status == 400)
                #expect(answer.errorCodes == ["BLOB_UPLOAD_INVALID"])
            }
        }

        @Test("Pushing blobs: DIGEST_INVALID (end-6, end-4b)") func pushingABlobWithAWrongDigest() async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                let wrong = Digest(of: [1])
                let answer = try await registry.send(.put, "\(location)?digest=\(wrong)", [:], .bytes(bytes))
                #expect(answer.status == 400)
                #expect(answer.errorCodes == ["DIGEST_INVALID"])
                #expect(try await registry.send(.get, "/v2/a/blobs/\(wrong)").status == 404)
                #expect(try await registry.send(.get, location).status == 404)
                let single = try await registry.send(
                    .post, "/v2/a/blobs/uploads/?digest=\(wrong)", [:], .bytes(bytes))
                #expect(single.errorCodes == ["DIGEST_INVALID"])
                #expect(try registry.layout.uploadCount() == 0)
            }
        }

        @Test("Pushing blobs: the final PUT has a digest (end-6)") func endingAnUploadWithoutADigest() async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                for query in ["", "?digest=", "?digest=sha256:abc"] {
                    #expect(try await registry.send(.put, location + query, [:], .bytes(bytes)).status == 400)
                }
            }
        }

        @Test("Pushing blobs of sha512 (end-4a, end-6)") func pushingABlobOfSHA512() async throws {
            try await withEmbeddedRegistry { registry in
                let digest = Digest(of: bytes, algorithm: .sha512)
                // With the algorithm said at the start, and without.
                for query in ["?digest-algorithm=sha512", ""] {
                    let location = try await start(registry, query)
                    #expect(
                        try await registry.send(.put, "\(location)?digest=\(digest)", [:], .bytes(bytes)).status == 201)
                }
                #expect(try await registry.send(.get, "/v2/a/blobs/\(digest)").body == bytes)
            }
        }

        @Test("Pushing blobs: cancelling an upload (distribution has it, the spec has no clause)")
        func cancellingAnUpload() async throws {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry)
                #expect(try await registry.send(.delete, location).status == 204)
                #expect(try await registry.send(.get, location).status == 404)
                #expect(try await registry.send(.delete, location).errorCodes == ["BLOB_UPLOAD_UNKNOWN"])
                #expect(try await registry.send(.patch, location, [:], .bytes([1])).status == 404)
            }
        }

        @Test(
            "Pushing blobs: BLOB_UPLOAD_UNKNOWN (end-5, end-6, end-13)",
            arguments: ["x", "00000000000000000000000000000000", "..%2F..%2Fx", "0000000000000000000000000000000g"])
        func uploadsThatAreNotThere(name: String) async throws {
            try await withEmbeddedRegistry { registry in
                for method in [HTTPMethod.get, .patch, .delete] {
                    let answer = try await registry.send(
                        method, "/v2/a/blobs/uploads/\(name)", [:], method == .patch ? .bytes([1]) : .none)
                    #expect(answer.status == 404)
                    #expect(answer.errorCodes == ["BLOB_UPLOAD_UNKNOWN"])
                }
            }
        }

        @Test("Pushing blobs: BLOB_UPLOAD_UNKNOWN in another repository (end-5)") func uploadsOfAnotherRepository()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                let location = try await start(registry).replacing("/v2/a/", with: "/v2/b/")
                #expect(try await registry.send(.get, location).status == 404)
                #expect(try await registry.send(.patch, location, [:], .bytes([1])).status == 404)
                #expect(try await registry.send(.put, "\(location)?digest=\(digest)", [:], .bytes(bytes)).status == 404)
            }
        }

        @Test("Mounting a blob from another repository: 201 (end-11)") func mountingABlobFromAnotherRepository()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                try await registry.push(bytes, to: "a")
                let mounted = try await registry.send(.post, "/v2/b/blobs/uploads/?mount=\(digest)&from=a")
                #expect(mounted.status == 201)
                #expect(mounted.headers["Location"] == "/v2/b/blobs/\(digest)")
                #expect(try await registry.send(.get, "/v2/b/blobs/\(digest)").body == bytes)
                // One file for both.
                #expect(try registry.layout.check().blobs == 1)
            }
        }

        @Test("Mounting a blob from another repository: 202 where it is not there (end-11)")
        func mountingABlobThatIsNotThere() async throws {
            try await withEmbeddedRegistry { registry in
                try await registry.push(bytes, to: "a")
                for (name, query) in [("b", "?mount=\(Digest(of: [1]))&from=a"), ("c", "?mount=\(digest)&from=d")] {
                    let answer = try await registry.send(.post, "/v2/\(name)/blobs/uploads/\(query)")
                    #expect(answer.status == 202)
                    let location = try #require(answer.headers["Location"])
                    #expect(
                        try await registry.send(.put, "\(location)?digest=\(digest)", [:], .bytes(bytes)).status == 201)
                }
            }
        }

        @Test("Mounting a blob: automatic content discovery, without from (end-11)") func mountingABlobFromAnywhere()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                try await registry.push(bytes, to: "a")
                #expect(try await registry.send(.post, "/v2/b/blobs/uploads/?mount=\(digest)").status == 201)
            }
        }

        @Test("Pushing Manifests by tag and by digest (end-7)") func pushingManifests() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                let byTag = try await registry.push(image, to: "a", tag: "1")
                #expect(byTag.status == 201)
                #expect(byTag.headers["Location"] == "/v2/a/manifests/\(image.descriptor.digest)")
                #expect(byTag.headers["Docker-Content-Digest"] == "\(image.descriptor.digest)")
                let byDigest = try await registry.put(image, to: "a", as: "\(image.descriptor.digest)")
                #expect(byDigest.status == 201)
                let list = TestImage(index: [image, TestImage(seed: 2, platform: "linux/arm64")])
                #expect(try await registry.push(list, to: "a", tag: "list").status == 201)
                #expect(try await registry.send(.get, "/v2/a/manifests/list").body == list.manifest)
            }
        }

        @Test("Pushing Manifests: a tag moves (end-7)") func movingATag() async throws {
            try await withEmbeddedRegistry { registry in
                let first = TestImage(seed: 1)
                let second = TestImage(seed: 2)
                try await registry.push(first, to: "a", tag: "1")
                try await registry.push(second, to: "a", tag: "1")
                #expect(try await registry.send(.get, "/v2/a/manifests/1").body == second.manifest)
                // What lost the tag is still there by its digest.
                #expect(try await registry.send(.get, "/v2/a/manifests/\(first.descriptor.digest)").status == 200)
            }
        }

        @Test("Pushing Manifests: MANIFEST_BLOB_UNKNOWN (end-7)") func pushingAManifestBeforeItsContent() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                let answer = try await registry.put(image, to: "a", as: "1")
                #expect(answer.status == 400)
                #expect(answer.errorCodes == ["MANIFEST_BLOB_UNKNOWN"])
                #expect(answer.text.contains("\(image.blobs[0].descriptor.digest)"))
                let index = TestImage(index: [image])
                #expect(try await registry.put(index, to: "a", as: "2").errorCodes == ["MANIFEST_BLOB_UNKNOWN"])
                #expect(try await registry.send(.get, "/v2/a/manifests/1").status == 404)
                // In another repository, it is not here.
                try await registry.push(image, to: "b", tag: "1")
                #expect(try await registry.put(image, to: "a", as: "1").status == 400)
            }
        }

        @Test("Pushing Manifests: DIGEST_INVALID (end-7)") func pushingAManifestUnderAnotherDigest() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                let answer = try await registry.put(image, to: "a", as: "\(Digest(of: [1]))")
                #expect(answer.errorCodes == ["DIGEST_INVALID"])
            }
        }

        @Test("Pushing Manifests: MANIFEST_INVALID (end-7)") func pushingWhatIsNoManifest() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                let type = image.descriptor.mediaType.name
                for (body, type) in [
                    ("", type), ("{", type), ("{}", type), ("[]", type), (#"{"schemaVersion":1}"#, type),
                ] {
                    let answer = try await registry.send(
                        .put, "/v2/a/manifests/2", ["Content-Type": type], .bytes(Array(body.utf8)))
                    #expect(answer.errorCodes == ["MANIFEST_INVALID"])
                }
                // Said to be something else than it says itself.
                let other = try await registry.send(
                    .put, "/v2/a/manifests/2", ["Content-Type": MediaType.dockerManifest.name], .bytes(image.manifest))
                #expect(other.errorCodes == ["MANIFEST_INVALID"])
            }
        }

        @Test("Pushing Manifests: 413 above the limit, which is 4 MiB at least (end-7)")
        func pushingAManifestThatIsTooLarge() async throws {
            try await withEmbeddedRegistry { registry in
                let padding = [UInt8](repeating: UInt8(ascii: " "), count: 4 << 20)
                let answer = try await registry.send(
                    .put, "/v2/a/manifests/1", ["Content-Type": MediaType.ociManifest.name],
                    .bytes(TestImage(seed: 1).manifest + padding))
                #expect(answer.status == 413)
            }
        }

        @Test("Pushing Manifests: SIZE_INVALID (end-7)") func pushingAManifestThatMistakesASize() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1, layers: [1000])
                for blob in image.blobs { try await registry.push(blob.content.all, to: "a") }
                let text = String(decoding: image.manifest, as: UTF8.self).replacing(
                    "\"size\":1000", with: "\"size\":1001")
                let answer = try await registry.send(
                    .put, "/v2/a/manifests/1", ["Content-Type": image.descriptor.mediaType.name],
                    .bytes(Array(text.utf8)))
                #expect(answer.errorCodes == ["SIZE_INVALID"])
            }
        }
    }
}

// MARK: Content management

extension ConformanceTests {
    @Suite(.timeLimit(.minutes(5)))
    struct ContentManagement {
        @Test("Deleting tags (end-9)") func deletingTags() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                #expect(try await registry.send(.delete, "/v2/a/manifests/1").status == 202)
                #expect(try await registry.send(.get, "/v2/a/manifests/1").status == 404)
                #expect(try await registry.send(.get, "/v2/a/tags/list").text == #"{"name":"a","tags":[]}"#)
                #expect(try await registry.send(.get, "/v2/a/manifests/\(image.descriptor.digest)").status == 200)
                #expect(try await registry.send(.delete, "/v2/a/manifests/1").errorCodes == ["MANIFEST_UNKNOWN"])
            }
        }

        @Test("Deleting Manifests (end-9)") func deletingManifests() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                _ = try await registry.put(image, to: "a", as: "2")
                let target = "/v2/a/manifests/\(image.descriptor.digest)"
                #expect(try await registry.send(.delete, target).status == 202)
                #expect(try await registry.send(.get, target).status == 404)
                #expect(try await registry.send(.get, "/v2/a/tags/list").text == #"{"name":"a","tags":[]}"#)
                #expect(try await registry.send(.delete, target).status == 404)
            }
        }

        @Test("Deleting Manifests: not what an index names (end-9)") func deletingAManifestThatAnIndexNames()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                let child = TestImage(seed: 1)
                let index = TestImage(index: [child])
                try await registry.push(index, to: "a", tag: "1")
                let answer = try await registry.send(.delete, "/v2/a/manifests/\(child.descriptor.digest)")
                #expect(answer.status == 409)
                #expect(answer.errorCodes == ["DENIED"])
                #expect(try await registry.send(.delete, "/v2/a/manifests/\(index.descriptor.digest)").status == 202)
                #expect(try await registry.send(.delete, "/v2/a/manifests/\(child.descriptor.digest)").status == 202)
            }
        }

        @Test("Deleting Blobs (end-10)") func deletingBlobs() async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                let layer = "/v2/a/blobs/\(image.blobs[1].descriptor.digest)"
                // A manifest needs it.
                #expect(try await registry.send(.delete, layer).status == 409)
                #expect(try await registry.send(.delete, "/v2/a/manifests/\(image.descriptor.digest)").status == 202)
                #expect(try await registry.send(.delete, layer).status == 202)
                #expect(try await registry.send(.get, layer).status == 404)
                #expect(try await registry.send(.delete, layer).errorCodes == ["BLOB_UNKNOWN"])
            }
        }

        @Test("Content management disabled: 405, UNSUPPORTED (end-9, end-10)") func deletingIsOffUnlessSaid()
            async throws
        {
            try await withEmbeddedRegistry(configure: { configuration, _ in configuration.allowsDelete = false }) {
                registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                for target in ["manifests/1", "manifests/\(image.descriptor.digest)", "blobs/\(Digest(of: [1]))"] {
                    let answer = try await registry.send(.delete, "/v2/a/\(target)")
                    #expect(answer.status == 405)
                    #expect(answer.errorCodes == ["UNSUPPORTED"])
                }
                // Ending one's own upload is no deletion.
                let upload = try await registry.send(.post, "/v2/a/blobs/uploads/")
                #expect(try await registry.send(.delete, upload.headers["Location"] ?? "").status == 204)
            }
        }
    }
}
