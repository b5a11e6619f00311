import FoundationEssentials
import OCI
import Testing

/// Names as the distribution-spec's grammar has them, and what a hostile list or command line may hold instead.
struct NameTests {
    @Test(arguments: [
        "a", "0", "platform/api", "a/b/c/d/e/f", "a.b", "a_b", "a__b", "a-b", "a----b", "1.2.3/x",
        String(repeating: "a", count: 255), "blobs/uploads/manifests", "v2",
    ])
    func acceptsRepository(name: String) throws {
        let repository = try Repository(name)
        #expect(repository.name == name)
        let decoded = try JSONDecoder().decode(Repository.self, from: JSONEncoder().encode(repository))
        #expect(decoded == repository)
    }

    @Test(arguments: [
        "", "/", "a/", "/a", "a//b", "A", "platform/API", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".a", "a.",
        "_a",
        "a_", "-a", "a-", "a..b", "a___b", "a._b", "a_-b", "a-_b", "a:b", "a@b", "a b", " a", "a\n", "a\u{0}", "é",
        "a/é", "a%2fb", "a\\b", "a?b", "a#b", String(repeating: "a", count: 256), "а", "a/\u{301}b",
    ])
    func refusesRepository(name: String) {
        let error = #expect(throws: OCIError.self) { try Repository(name) }
        #expect(error?.code == .invalidRepository)
        #expect(throws: (any Error).self) {
            try JSONDecoder().decode([Repository].self, from: JSONEncoder().encode([name]))
        }
    }

    @Test(arguments: ["a", "A", "_", "4.17.3", "v1_2-x.", "latest", String(repeating: "9", count: 128)])
    func acceptsTag(name: String) throws {
        #expect(try Tag(name).name == name)
    }

    @Test(arguments: [
        "", ".", "..", ".a", "-a", "a/b", "a:b", "a@b", "a b", "a\n", "é", "a+b", String(repeating: "9", count: 129),
        "sha256:\(String(repeating: "a", count: 64))", "a\u{0}", "a?n=1", "a%2e",
    ])
    func refusesTag(name: String) {
        let error = #expect(throws: OCIError.self) { try Tag(name) }
        #expect(error?.code == .invalidTag)
    }

    static let digest = "sha256:\(String(repeating: "0123456789abcdef", count: 4))"

    @Test(arguments: [
        ("registry.example.com/a:1", "registry.example.com", "a", "1"),
        ("registry.example.com:5000/a/b:1.2", "registry.example.com:5000", "a/b", "1.2"),
        ("localhost/a:1", "localhost", "a", "1"),
        ("localhost:5000/a@\(digest)", "localhost:5000", "a", digest),
        ("127.0.0.1:5000/a:b", "127.0.0.1:5000", "a", "b"),
        ("[::1]:5000/a:b", "[::1]:5000", "a", "b"),
        ("[2001:db8::1]/a:b", "[2001:db8::1]", "a", "b"),
        ("host:1/a:tag@\(digest)", "host:1", "a", digest),
        ("xn--bcher-kva.example/a:b", "xn--bcher-kva.example", "a", "b"),
    ])
    func readsReference(text: String, host: String, repository: String, reference: String) throws {
        let image = try ImageReference(text)
        #expect(image.host == host)
        #expect(image.repository.name == repository)
        #expect(image.reference.description == reference)
        #expect(try ImageReference(image.description) == image)
    }

    @Test(arguments: [
        ("", OCIError.Code.invalidReference), ("a", .invalidReference), ("a:1", .invalidReference),
        ("platform/api:1", .invalidReference), ("/a:1", .invalidReference), ("host.com/", .invalidReference),
        ("host.com/a", .invalidReference), ("host.com/a:", .invalidTag), ("host.com/:1", .invalidRepository),
        ("host.com/a@", .invalidDigest), ("host.com/a@sha256:1", .invalidDigest),
        ("host.com/a@\(digest)@\(digest)", .invalidDigest), ("host.com/a:-b@\(digest)", .invalidTag),
        ("https://host.com/a:1", .invalidReference), ("docker://host.com/a:1", .invalidReference),
        ("host.com/A:1", .invalidRepository), ("host.com/a:1:2", .invalidRepository),
        ("host.com/../a:1", .invalidRepository), ("host.com//a:1", .invalidRepository),
        ("user:password@host.com/a:1", .invalidReference), ("user@host.com/a:1", .invalidReference),
        ("ho st.com/a:1", .invalidReference), ("host.com\n/a:1", .invalidReference),
        ("hést.com/a:1", .invalidReference),
        ("host.com?x/a:1", .invalidReference), ("host.com#x/a:1", .invalidReference),
        ("../a:1", .invalidReference), ("./a:1", .invalidReference), ("../../etc/passwd:1", .invalidReference),
        (":5000/a:1", .invalidReference), ("host.com:/a:1", .invalidReference), ("host.com:x/a:1", .invalidReference),
        ("host.com:99999/a:1", .invalidReference), ("host.com:0/a:1", .invalidReference),
        ("my_host.local/a:1", .invalidReference), ("host.com:1:2/a:1", .invalidReference),
        ("host..com/a:1", .invalidReference),
        (".host.com/a:1", .invalidReference), ("-host.com/a:1", .invalidReference), ("[::1/a:1", .invalidReference),
        ("[]/a:1", .invalidReference), ("[::1]x/a:1", .invalidReference), ("[x.y]/a:1", .invalidReference),
        ("::1/a:1", .invalidReference),
    ])
    func refusesReference(text: String, code: OCIError.Code) {
        let error = #expect(throws: OCIError.self) { try ImageReference(text) }
        #expect(error?.code == code)
    }

    /// Where a URL is written instead, what stands before its host may be a password.
    @Test(arguments: [
        "user:secret@host.com/a:1", "https://user:secret@host.com/a:1", "user:x/secret@host.com/a:1",
        "user:12/secret@host.com/a:1", "user:12/x@secret@host.com/a:1", "secret@host.com", "user:secret@host.com/a@b",
        "user:secret@host.com/a@\(digest)", "user:12/secret:x@host.com/A:1",
    ])
    func noPasswordIsShown(text: String) {
        let error = #expect(throws: OCIError.self) { try ImageReference(text) }
        #expect(error?.message.contains("secret") == false, "\(error?.message ?? "")")
    }

    @Test func digestsAreShown() {
        let error = #expect(throws: OCIError.self) { try ImageReference("https://host.com/a@\(Self.digest)") }
        #expect(error?.message.contains("'https://host.com/a@\(Self.digest)'") == true)
    }

    @Test func sortsByName() throws {
        let names = ["b", "a/b", "a", "a-b", "a.b"]
        let repositories = try names.map { try Repository($0) }
        #expect(repositories.sorted().map(\.name) == ["a", "a-b", "a.b", "a/b", "b"])
        let tags = try ["b", "B", "_"].map { try Tag($0) }
        #expect(tags.sorted().map(\.name) == ["B", "_", "b"])
    }

    @Test(arguments: [
        ("linux/amd64", "linux/amd64", true),
        ("linux/arm64/v8", "linux/arm64", true),
        ("linux/arm64/v8", "linux/arm64/v8", true),
        ("linux/arm/v7", "linux/arm/v6", false),
        ("linux/arm64", "linux/arm64/v8", false),
        ("linux/amd64", "linux/arm64", false),
        ("windows/amd64", "linux/amd64", false),
    ])
    func matchesPlatform(platform: String, wanted: String, matches: Bool) throws {
        let platform = try #require(Platform(platform))
        let wanted = try #require(Platform(wanted))
        #expect(platform.matches(wanted) == matches)
        #expect(Platform(platform.description) == platform)
    }

    @Test(arguments: ["", "linux", "linux/", "/amd64", "linux//v8", "linux/arm/v7/x", "/"])
    func refusesPlatform(text: String) {
        #expect(Platform(text) == nil)
    }

    @Test func readsMediaTypes() {
        #expect(MediaType("Application/VND.oci.image.index.v1+json; charset=utf-8") == .ociIndex)
        #expect(MediaType(" application/vnd.oci.image.manifest.v1+json ") == .ociManifest)
        #expect(Set(MediaType.manifests).count == 4)
        #expect(MediaType.manifests.allSatisfy { $0.isManifest })
        #expect(MediaType.manifests.filter(\.isIndex) == [.ociIndex, .dockerList])
        #expect(!MediaType.ociArtifact.isManifest)
        for type in ["v1+json", "v1+prettyjws"] {
            #expect(MediaType("application/vnd.docker.distribution.manifest.\(type)").isSchema1)
        }
        #expect(MediaType("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip").isNondistributable)
        #expect(MediaType("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip").isNondistributable)
        #expect(!MediaType("application/vnd.oci.image.layer.v1.tar+gzip").isNondistributable)
        #expect(MediaType("application/x.unknown").name == "application/x.unknown")
    }
}
