import HTTP
import ImageLayout
import OCI
import TestSupport
import Testing

/// The distribution-spec v1.1.1, clause by clause, as its conformance suite asks for it.
@Suite(.timeLimit(.minutes(5)))
enum ConformanceTests {}

// MARK: Pull

extension ConformanceTests {
    @Suite(.timeLimit(.minutes(5)))
    struct Pull {
        @Test("Determining Support (end-1)") func determiningSupport() async throws {
            try await withEmbeddedRegistry { registry in
                let answer = try await registry.send(.get, "/v2/")
                #expect(answer.status == 200)
                #expect(answer.headers["Docker-Distribution-API-Version"] == "registry/2.0")
                #expect(answer.headers["Warning"] == nil)
                #expect(try await registry.send(.get, "/v2").status == 200)
                #expect(try await registry.send(.get, "/").status == 404)
            }
        }

        @Test("Pulling manifests by tag and by digest (end-3)", arguments: [false, true])
        func pullingManifests(isDocker: Bool) async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1, isDocker: isDocker)
                try await registry.push(image, to: "a/b", tag: "1.0")
                for reference in ["1.0", "\(image.descriptor.digest)"] {
                    let got = try await registry.send(.get, "/v2/a/b/manifests/\(reference)")
                    #expect(got.status == 200)
                    #expect(got.body == image.manifest)
                    #expect(got.headers["Content-Type"] == image.descriptor.mediaType.name)
                    #expect(got.headers["Docker-Content-Digest"] == "\(image.descriptor.digest)")
                    let head = try await registry.send(.head, "/v2/a/b/manifests/\(reference)")
                    #expect(head.status == 200)
                    #expect(head.head.contentLength == Int64(image.manifest.count))
                    #expect(head.headers["Content-Type"] == image.descriptor.mediaType.name)
                    #expect(head.headers["Docker-Content-Digest"] == "\(image.descriptor.digest)")
                    #expect(head.body == [])
                }
                // A colon that a client has escaped is a colon.
                let escaped = "\(image.descriptor.digest)".replacing(":", with: "%3A")
                #expect(try await registry.send(.get, "/v2/a/b/manifests/\(escaped)").status == 200)
            }
        }

        @Test("Pulling manifests: 404 for what is not there (end-3)") func pullingManifestsThatAreNotThere()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                let nothing = Digest(of: [1])
                for target in ["/v2/a/manifests/1", "/v2/a/manifests/\(nothing)"] {
                    #expect(try await registry.send(.head, target).status == 404)
                    let got = try await registry.send(.get, target)
                    #expect(got.status == 404)
                    #expect(got.errorCodes == ["MANIFEST_UNKNOWN"])
                    #expect(got.headers["Content-Type"] == "application/json")
                }
                // A blob is no manifest.
                let blob = try await registry.push([1, 2, 3], to: "a")
                #expect(try await registry.send(.get, "/v2/a/manifests/\(blob)").status == 404)
            }
        }

        @Test("Pulling blobs; Checking if content exists (end-2)") func pullingBlobs() async throws {
            try await withEmbeddedRegistry { registry in
                let bytes = GeneratedBytes(count: 3_000_000, seed: 7).all
                let digest = try await registry.push(bytes, to: "a")
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)")
                #expect(got.status == 200)
                #expect(got.body == bytes)
                #expect(got.head.contentLength == 3_000_000)
                #expect(got.headers["Docker-Content-Digest"] == "\(digest)")
                let head = try await registry.send(.head, "/v2/a/blobs/\(digest)")
                #expect(head.status == 200)
                #expect(head.head.contentLength == 3_000_000)
                #expect(head.headers["Accept-Ranges"] == "bytes")
                #expect(head.body == [])
            }
        }

        @Test("Pulling blobs: 404 for what is not there (end-2)") func pullingBlobsThatAreNotThere() async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push([1], to: "a")
                for target in ["/v2/a/blobs/\(Digest(of: [2]))", "/v2/b/blobs/\(digest)"] {
                    #expect(try await registry.send(.head, target).status == 404)
                    let got = try await registry.send(.get, target)
                    #expect(got.status == 404)
                    #expect(got.errorCodes == ["BLOB_UNKNOWN"])
                }
            }
        }

        @Test(
            "Pulling blobs: Range requests, RFC 9110 (end-2)",
            arguments: [
                ("bytes=0-0", 0..<1), ("bytes=10-19", 10..<20), ("bytes=999-", 999..<1000), ("bytes=0-", 0..<1000),
                ("bytes=990-5000", 990..<1000), ("bytes=-10", 990..<1000), ("bytes=-5000", 0..<1000),
                ("Bytes=3-4", 3..<5),
            ])
        func pullingRangesOfBlobs(range: String, expected: Range<Int>) async throws {
            try await withEmbeddedRegistry { registry in
                let bytes = GeneratedBytes(count: 1000, seed: 7).all
                let digest = try await registry.push(bytes, to: "a")
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)", ["Range": range])
                #expect(got.status == 206)
                #expect(got.body == Array(bytes[expected]))
                #expect(
                    got.headers["Content-Range"] == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/1000")
            }
        }

        @Test(
            "Pulling blobs: 416 for a range that is not there (end-2)",
            arguments: ["bytes=1000-", "bytes=1000-2000", "bytes=99999999999999999999-", "bytes=-0"])
        func pullingRangesThatAreNotThere(range: String) async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push(GeneratedBytes(count: 1000, seed: 7).all, to: "a")
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)", ["Range": range])
                #expect(got.status == 416)
                #expect(got.headers["Content-Range"] == "bytes */1000")
            }
        }

        @Test(
            "Pulling blobs: 200 for ranges that may be ignored (end-2)",
            arguments: ["bytes=0-1,5-6", "bytes=5-4", "bytes=a-b", "lines=0-1", "bytes", "bytes=-", "bytes=1--2"])
        func pullingWholeBlobsForOtherRanges(range: String) async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push(GeneratedBytes(count: 1000, seed: 7).all, to: "a")
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)", ["Range": range])
                #expect(got.status == 200)
                #expect(got.body.count == 1000)
            }
        }

        @Test("Pulling blobs: If-Range (end-2)") func pullingARangeOfAnotherVersion() async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push(GeneratedBytes(count: 1000, seed: 7).all, to: "a")
                let target = "/v2/a/blobs/\(digest)"
                let tag = try #require(try await registry.send(.head, target).headers["ETag"])
                let same = try await registry.send(.get, target, ["Range": "bytes=0-1", "If-Range": tag])
                #expect(same.status == 206)
                let other = try await registry.send(.get, target, ["Range": "bytes=0-1", "If-Range": "\"x\""])
                #expect(other.status == 200)
            }
        }

        @Test("Pulling blobs: the empty one (end-2)") func pullingTheEmptyBlob() async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push([], to: "a")
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)")
                #expect(got.status == 200)
                #expect(got.head.contentLength == 0)
                #expect(try await registry.send(.get, "/v2/a/blobs/\(digest)", ["Range": "bytes=0-"]).status == 416)
            }
        }

        @Test("Pulling blobs and manifests by sha512 (end-2, end-3)") func pullingContentOfSHA512() async throws {
            try await withEmbeddedRegistry { registry in
                let digest = try await registry.push([1, 2, 3], to: "a", algorithm: .sha512)
                #expect(digest.algorithm == .sha512)
                let got = try await registry.send(.get, "/v2/a/blobs/\(digest)")
                #expect(got.body == [1, 2, 3])
            }
        }
    }
}

// MARK: Names

extension ConformanceTests {
    @Suite(.timeLimit(.minutes(5)))
    struct Names {
        @Test(
            "Endpoints: NAME_INVALID for a <name> outside the grammar",
            arguments: [
                // libcurl resolves dot segments before it sends them: see RawRequestTests.
                "/v2/A/tags/list", "/v2/a//b/tags/list", "/v2/_blobs/tags/list",
                "/v2/.hidden/tags/list", "/v2/a%2Fb/tags/list", "/v2/%2e%2e/tags/list", "/v2/a/_uploads/tags/list",
                "/v2/\(String(repeating: "a", count: 256))/tags/list",
            ])
        func repositoriesOutsideTheGrammar(target: String) async throws {
            try await withEmbeddedRegistry { registry in
                let answer = try await registry.send(.get, target)
                #expect(answer.status == 400)
                #expect(answer.errorCodes == ["NAME_INVALID"])
            }
        }

        @Test(
            "Endpoints: DIGEST_INVALID for a <digest> outside the grammar",
            arguments: [
                "sha256:abc", "sha256:\(String(repeating: "A", count: 64))", "md5:\(String(repeating: "0", count: 32))",
                "sha256:..%2F..%2F..%2Fetc%2Fpasswd", "x",
            ])
        func digestsOutsideTheGrammar(digest: String) async throws {
            try await withEmbeddedRegistry { registry in
                for target in ["/v2/a/blobs/\(digest)", "/v2/a/referrers/\(digest)"] {
                    let answer = try await registry.send(.get, target)
                    #expect(answer.status == 400)
                    #expect(answer.errorCodes == ["DIGEST_INVALID"])
                }
            }
        }

        @Test(
            "Pulling manifests: the grammar of <reference> as a tag (end-3)",
            arguments: [".a", "-a", "a%2Fb", "..%2F..%2Fx", "a%00", String(repeating: "a", count: 129), "%ff", "%zz"])
        func tagsOutsideTheGrammar(tag: String) async throws {
            try await withEmbeddedRegistry { registry in
                let answer = try await registry.send(.get, "/v2/a/manifests/\(tag)")
                #expect(answer.status == 404)
                let image = TestImage(seed: 1)
                for blob in image.blobs { try await registry.push(blob.content.all, to: "a") }
                #expect(try await registry.put(image, to: "a", as: tag).status == 404)
            }
        }

        /// Names that are also names within a layout, and names of end points.
        @Test(
            "Pulling manifests: the grammar of <name> (end-3)",
            arguments: ["blobs", "a/blobs", "index.json", "a/oci-layout", "tags/list", "manifests", "a/uploads", "a"])
        func repositoriesWithOddNames(name: String) async throws {
            try await withEmbeddedRegistry { registry in
                let image = TestImage(seed: 1)
                try await registry.push(image, to: "a", tag: "1")
                let pushed = try await registry.push(image, to: name, tag: "1")
                #expect(pushed.status == 201)
                #expect(try await registry.send(.get, "/v2/\(name)/manifests/1").body == image.manifest)
                let list = try await registry.send(.get, "/v2/_catalog").text
                #expect(list.contains("\"\(name)\""))
                #expect(try registry.layout.check().problems == [])
            }
        }

        @Test("Endpoints: methods that they do not have") func methodsThatAreNotAllowed() async throws {
            try await withEmbeddedRegistry { registry in
                for (method, target) in [
                    (HTTPMethod.post, "/v2/a/manifests/1"), (.put, "/v2/a/tags/list"), (.get, "/v2/a/blobs/uploads/"),
                ] {
                    let answer = try await registry.send(method, target)
                    #expect(answer.status == 405)
                    #expect(answer.errorCodes == ["UNSUPPORTED"])
                }
            }
        }
    }
}

// MARK: Content discovery

extension ConformanceTests {
    @Suite(.timeLimit(.minutes(5)))
    struct ContentDiscovery {
        private func tags(_ names: [String], in repository: String, _ registry: EmbeddedFixture) async throws {
            let image = TestImage(seed: 1)
            for blob in image.blobs { try await registry.push(blob.content.all, to: repository) }
            for name in names {
                let answer = try await registry.put(image, to: repository, as: name)
                #expect(answer.status == 201)
            }
        }

        @Test("Listing Tags, in lexical order (end-8a)") func listingTags() async throws {
            try await withEmbeddedRegistry { registry in
                try await tags(["b", "a", "C", "1.10", "1.9"], in: "r", registry)
                let answer = try await registry.send(.get, "/v2/r/tags/list")
                #expect(answer.status == 200)
                #expect(answer.text == #"{"name":"r","tags":["1.10","1.9","C","a","b"]}"#)
                #expect(answer.headers["Link"] == nil)
            }
        }

        @Test("Listing Tags: n, last and Link (end-8b)") func listingTagsInPages() async throws {
            try await withEmbeddedRegistry { registry in
                try await tags((0..<7).map { "t\($0)" }, in: "r", registry)
                let first = try await registry.send(.get, "/v2/r/tags/list?n=3")
                #expect(first.text == #"{"name":"r","tags":["t0","t1","t2"]}"#)
                #expect(first.headers["Link"] == "</v2/r/tags/list?n=3&last=t2>; rel=\"next\"")
                let last = try await registry.send(.get, "/v2/r/tags/list?n=3&last=t5")
                #expect(last.text == #"{"name":"r","tags":["t6"]}"#)
                #expect(last.headers["Link"] == nil)
                let exact = try await registry.send(.get, "/v2/r/tags/list?n=7")
                #expect(exact.headers["Link"] == nil)
                #expect(try await registry.send(.get, "/v2/r/tags/list?n=0").text == #"{"name":"r","tags":[]}"#)
                // A tag that is not there is a place all the same.
                #expect(
                    try await registry.send(.get, "/v2/r/tags/list?last=t44").text
                        == #"{"name":"r","tags":["t5","t6"]}"#)
            }
        }

        @Test("Listing Tags: 404 for a repository that is not there (end-8a)") func listingTagsOfAnUnknownRepository()
            async throws
        {
            try await withEmbeddedRegistry { registry in
                let answer = try await registry.send(.get, "/v2/r/tags/list")
                #expect(answer.status == 404)
                #expect(answer.errorCodes == ["NAME_UNKNOWN"])
            }
        }

        @Test("Listing Referrers, and filtered by artifactType (end-12a, end-12b)") func listingReferrers() async throws
        {
            try await withEmbeddedRegistry { registry in
                let subject = TestImage(seed: 1)
                // Attached before what it is attached to is there.
                let signature = TestImage(
                    seed: 2, layers: [10], subject: subject.descriptor, artifactType: "application/vnd.example.sig")
                let plain = TestImage(seed: 3, layers: [10], subject: subject.descriptor)
                let pushed = try await registry.push(signature, to: "r")
                #expect(pushed.status == 201)
                #expect(pushed.headers["OCI-Subject"] == "\(subject.descriptor.digest)")
                try await registry.push(subject, to: "r", tag: "1")
                try await registry.push(plain, to: "r")

                let all = try await registry.send(.get, "/v2/r/referrers/\(subject.descriptor.digest)")
                #expect(all.status == 200)
                #expect(all.headers["Content-Type"] == "application/vnd.oci.image.index.v1+json")
                #expect(all.headers["OCI-Filters-Applied"] == nil)
                let index = try Manifest(parsing: all.body)
                #expect(
                    Set(index.manifests.map(\.digest)) == [signature.descriptor.digest, plain.descriptor.digest])
                // Without an artifact type, the config's type stands for it.
                #expect(all.text.contains(#""artifactType":"application/vnd.oci.image.config.v1+json""#))

                let filtered = try await registry.send(
                    .get,
                    "/v2/r/referrers/\(subject.descriptor.digest)?artifactType=application%2Fvnd.example.sig")
                #expect(filtered.headers["OCI-Filters-Applied"] == "artifactType")
                #expect(try Manifest(parsing: filtered.body).manifests.map(\.digest) == [signature.descriptor.digest])

                // Deleted, it is attached no more.
                let deleted = try await registry.send(.delete, "/v2/r/manifests/\(plain.descriptor.digest)")
                #expect(deleted.status == 202)
                let rest = try await registry.send(.get, "/v2/r/referrers/\(subject.descriptor.digest)")
                #expect(try Manifest(parsing: rest.body).manifests.map(\.digest) == [signature.descriptor.digest])
            }
        }

        @Test("Listing Referrers: an empty index and no 404 (end-12a)") func listingReferrersOfNothing() async throws {
            try await withEmbeddedRegistry { registry in
                let answer = try await registry.send(.get, "/v2/r/referrers/\(Digest(of: [1]))")
                #expect(answer.status == 200)
                #expect(try Manifest(parsing: answer.body).manifests == [])
            }
        }
    }
}
