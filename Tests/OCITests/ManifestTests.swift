import OCI
import Testing

struct ManifestTests {
    static let digests = ["a", "b", "c"].map { "sha256:\(String(repeating: $0, count: 64))" }

    static func descriptor(_ index: Int, type: String = "application/x", size: String = "5", more: String = "")
        -> String
    {
        "{\"mediaType\":\"\(type)\",\"digest\":\"\(digests[index])\",\"size\":\(size)\(more)}"
    }

    static func parse(_ text: String, _ contentType: MediaType? = nil) throws -> Manifest {
        try Manifest(parsing: Array(text.utf8), contentType: contentType)
    }

    @Test(arguments: [
        (MediaType.ociManifest, true, nil), (.dockerManifest, true, nil), (.ociManifest, false, nil),
        (.dockerManifest, false, MediaType.dockerManifest), (.ociManifest, true, MediaType.dockerList),
        (.ociManifest, false, MediaType("application/octet-stream")),
    ])
    func readsImage(type: MediaType, isSaid: Bool, contentType: MediaType?) throws {
        let manifest = try Self.parse(
            """
            {"schemaVersion": 2, \(isSaid ? "\"mediaType\": \"\(type)\"," : "") "annotations": {"a": "b"},
             "config": \(Self.descriptor(0)), "layers": [\(Self.descriptor(1)), \(Self.descriptor(2, size: "0"))],
             "subject": \(Self.descriptor(2)), "unknown": [[{}]]}
            """, contentType)
        #expect(manifest.mediaType == type)
        #expect(manifest.manifests.isEmpty)
        #expect(manifest.blobs.map(\.digest.description) == Self.digests)
        #expect(manifest.blobs.map(\.size) == [5, 5, 0])
        #expect(manifest.subject?.digest.description == Self.digests[2])
    }

    @Test(arguments: [MediaType.ociIndex, .dockerList], [true, false])
    func readsIndex(type: MediaType, isSaid: Bool) throws {
        let manifest = try Self.parse(
            """
            {"schemaVersion": 2, \(isSaid ? "\"mediaType\": \"\(type)\"," : "") "manifests": [
              \(Self.descriptor(0, more: ",\"platform\":{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"}")),
              \(Self.descriptor(1, more: ",\"platform\":{}")), \(Self.descriptor(2, more: ",\"platform\":null"))]}
            """, isSaid ? nil : type)
        #expect(manifest.mediaType == type)
        #expect(manifest.blobs.isEmpty)
        #expect(manifest.manifests.map(\.digest.description) == Self.digests)
        #expect(manifest.manifests.map(\.platform) == [Platform("linux/arm64/v8"), nil, nil])
    }

    @Test func infersIndexWhereNothingSaysTheType() throws {
        #expect(try Self.parse("{\"schemaVersion\":2,\"manifests\":[]}").mediaType == .ociIndex)
    }

    @Test func readsArtifact() throws {
        let manifest = try Self.parse(
            """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","artifactType":"application/x.sbom",
             "config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"\(Self.digests[0])","size":2,
             "data":"e30="},"layers":[]}
            """)
        #expect(manifest.blobs.count == 1)
    }

    @Test func keepsURLsOfForeignLayers() throws {
        let layer = Self.descriptor(
            1, type: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", more: ",\"urls\":[\"https://a/b\"]")
        let manifest = try Self.parse(
            "{\"schemaVersion\":2,\"config\":\(Self.descriptor(0)),\"layers\":[\(layer)]}", .dockerManifest)
        #expect(manifest.blobs[1].urls == ["https://a/b"])
        #expect(manifest.blobs[1].mediaType.isNondistributable)
    }

    static let config = descriptor(0)
    static let huge = String(repeating: "\(descriptor(1)),", count: Manifest.maximumChildren)

    @Test(arguments: [
        ("", OCIError.Code.invalidManifest), ("null", .invalidManifest), ("[]", .invalidManifest),
        ("{}", .invalidManifest), ("\"\"", .invalidManifest), ("<html>", .invalidManifest),
        ("{\"schemaVersion\":2", .invalidManifest), ("{\"schemaVersion\":2}", .invalidManifest),
        ("{\"schemaVersion\":\"2\",\"config\":\(config)}", .invalidManifest),
        ("{\"schemaVersion\":3,\"config\":\(config)}", .invalidManifest), ("{\"config\":\(config)}", .invalidManifest),
        ("{\"schemaVersion\":2,\"layers\":[]}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(config),\"layers\":{}}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(config),\"layers\":[null]}", .invalidManifest),
        // Schema 1, with and without its types.
        ("{\"schemaVersion\":1,\"name\":\"a\",\"fsLayers\":[],\"history\":[]}", .unsupportedMediaType),
        (
            "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.docker.distribution.manifest.v1+prettyjws\"}",
            .unsupportedMediaType
        ),
        ("{\"schemaVersion\":2,\"mediaType\":\"text/html\",\"config\":\(config)}", .unsupportedMediaType),
        (
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociArtifact)\",\"blobs\":[]}", .unsupportedMediaType
        ),
        // What reads as an image and as an index (CVE-2021-41190), whichever type is said.
        ("{\"schemaVersion\":2,\"manifests\":[],\"config\":\(config),\"layers\":[]}", .invalidManifest),
        ("{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", .invalidManifest),
        (
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"manifests\":[],\"config\":\(config)}",
            .invalidManifest
        ),
        (
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociManifest)\",\"manifests\":[],\"config\":\(config)}",
            .invalidManifest
        ),
        // The type says one thing, the fields another.
        (
            "{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociIndex)\",\"config\":\(config),\"layers\":[]}",
            .invalidManifest
        ),
        ("{\"schemaVersion\":2,\"mediaType\":\"\(MediaType.ociManifest)\",\"manifests\":[]}", .invalidManifest),
        // Descriptors.
        ("{\"schemaVersion\":2,\"config\":{\"digest\":\"\(digests[0])\",\"size\":1}}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"size\":1}}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"\(digests[0])\"}}", .invalidManifest),
        (
            "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"md5:\(digests[0])\",\"size\":1}}",
            .invalidManifest
        ),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "-1"))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "1.5"))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "\"1\""))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "4398046511105"))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "9223372036854775807"))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "99999999999999999999"))}", .invalidManifest),
        ("{\"schemaVersion\":2,\"config\":\(descriptor(0, size: "1e400"))}", .invalidManifest),
        // More descriptors than anyone needs: the config makes it one too many.
        ("{\"schemaVersion\":2,\"config\":\(config),\"layers\":[\(huge.dropLast())]}", .invalidManifest),
        // Depth for the parser's stack.
        (String(repeating: "[", count: 1 << 20), .invalidManifest),
        (String(repeating: "{\"a\":", count: 1 << 18), .invalidManifest),
    ])
    func refuses(text: String, code: OCIError.Code) {
        let error = #expect(throws: OCIError.self) { try Self.parse(text) }
        #expect(error?.code == code)
        #expect((error?.message.utf8.count ?? 0) < 2000)
    }

    @Test func schema1ByContentTypeIsRefused() {
        let error = #expect(throws: OCIError.self) {
            try Self.parse(
                "{\"schemaVersion\":2,\"config\":\(Self.config)}",
                MediaType("application/vnd.docker.distribution.manifest.v1+json"))
        }
        #expect(error?.code == .unsupportedMediaType)
    }

    @Test func nameOfAnUnknownAlgorithmIsSaid() {
        let error = #expect(throws: OCIError.self) {
            try Self.parse(
                "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"a/b\",\"digest\":\"blake3:1\",\"size\":1}}")
        }
        #expect(error?.message.contains("blake3") == true)
    }

    @Test func invalidUTF8IsRefused() {
        var bytes = Array("{\"schemaVersion\":2,\"config\":\(Self.config)}".utf8)
        bytes.insert(0xff, at: 2)
        #expect(throws: OCIError.self) { try Manifest(parsing: bytes) }
    }

    @Test func manyLayersAreRead() throws {
        let layers = Array(repeating: Self.descriptor(1), count: Manifest.maximumChildren - 1).joined(separator: ",")
        let manifest = try Self.parse("{\"schemaVersion\":2,\"config\":\(Self.config),\"layers\":[\(layers)]}")
        #expect(manifest.blobs.count == Manifest.maximumChildren)
    }
}
