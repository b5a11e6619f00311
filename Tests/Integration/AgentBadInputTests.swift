import FoundationEssentials
import OCI
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct AgentBadInputTests {
    private static let sync = ["sync", "--config", "agent.yaml"]
    private static let verify = ["verify", "--config", "agent.yaml"]
    private static let run = ["run", "--config", "agent.yaml"]
    private static func copy(_ from: String, _ to: String) -> [String] { ["copy", from, to] }

    /// To the same name, both registries being named as plain.
    private static func copyPlainly(_ image: String) -> [String] {
        copy("SOURCEHOST/\(image)", "SITEHOST/\(image)") + ["--plain-http", "SOURCEHOST", "--plain-http", "SITEHOST"]
    }

    static let files = [
        BadInput("no agent's file", sync, 64, ["agent.yaml: ", "No such file"]) {
            try $0.directory.remove("agent.yaml")
        },
        BadInput("a directory for a file", ["run", "--config", "store"], 64, ["store: ", "directory"]) { _ in },
        BadInput("no YAML", run, 64, ["agent.yaml:1:", "malformed YAML"]) {
            try $0.directory.write("agent.yaml", "\"site")
        },
        BadInput("unknown key", sync, 64, ["agent.yaml:1:1: unknown key 'sites'", "did you mean 'site'?"]) {
            try $0.edit("agent.yaml", "site: ", "sites: ")
        },
        BadInput("no state", verify, 64, ["agent.yaml:", "'state'"]) {
            try $0.edit("agent.yaml", "state: DIRECTORY/state\n", "")
        },
        BadInput("a password in a URL", sync, 64, ["agent.yaml:4:10: ", "credentials file"]) {
            try $0.edit(
                "agent.yaml", "url: http://\($0.source.authority)",
                "url: http://user:\(BadInputFixture.password)@\($0.source.authority)")
        },
        BadInput("no CA file", sync, 64, ["none.pem: ", "No such file"]) {
            try $0.edit("agent.yaml", "url: \($0.site.origin)", "url: https://\($0.site.authority)")
            try $0.edit("agent.yaml", "state: ", "hosts: {'\($0.site.authority)': {ca: none.pem}}\nstate: ")
        },
        BadInput("no object store", sync, 1, ["STORE: "]) { try $0.directory.remove("store") },
        BadInput("the record is no JSON", sync, 1, ["environments/lab/record.json", "line 1"]) {
            try $0.directory.write("store/environments/lab/record.json", "nonsense")
        },
        BadInput("state is a file", sync, 1, ["DIRECTORY/state/lock: ", "Not a directory"]) {
            try $0.directory.write("state", "")
        },
        BadInput("the sequence is no number", verify, 1, ["DIRECTORY/state/sequence: ", "delete"]) {
            try $0.directory.write("state/sequence", "eleven")
        },
        BadInput(
            "no tag and no digest", copy("a.example/api", "b.example/api:1"), 64, ["a.example/api", "tag", "digest"]
        ) { _ in },
        BadInput("a bad digest", copy("a.example/api@sha256:12", "b.example/api:1"), 64, ["sha256:12"]) { _ in },
        BadInput("no registry", copy("api:1", "b.example/api:1"), 64, ["'api:1'", "registry"]) { _ in },
        BadInput("no such image", copyPlainly("web/none:1"), 1, ["SOURCE/v2/web/none/manifests/1", "404"]) { _ in },
        BadInput("copy: 401", copyPlainly("web/api:1"), 1, ["SOURCE/v2/web/api/manifests/1", "401", "log in"]) {
            $0.source.behaviour.authorization = .basic(user: "user", password: "other")
        },
        BadInput("copy: 403 at the destination", copyPlainly("web/api:1"), 1, ["SITE/v2/web/api/", "403"]) {
            $0.site.answer(.init(403), where: { $0.method != "GET" && $0.method != "HEAD" })
        },
        BadInput("copy: schema 1", copyPlainly("web/api:1"), 1, ["SOURCE/v2/web/api/manifests/1", "schema 1"]) {
            $0.source.storeManifest(BadInput.schema1, type: BadInput.schema1Type, in: "web/api", tag: "1")
        },
        BadInput("copy: other bytes", copyPlainly("web/api:1"), 1, ["SOURCEHOST", "LAYER", "nothing was published"]) {
            $0.source.store(
                .generated(GeneratedBytes(count: $0.layer.size, seed: 98)), as: $0.layer.digest, in: "web/api")
        },
        BadInput("copy: truncated manifest", copyPlainly("web/api:1"), 1, ["SOURCE/v2/web/api/manifests/1", "ended"]) {
            $0.source.answer($0.truncatedManifest, where: { $0.target.contains("/manifests/") })
        },
        BadInput(
            "plain HTTP where nobody said so", copy("SOURCEHOST/web/api:1", "SITEHOST/web/api:1"), 1,
            ["https://", "--plain-http"]
        ) { _ in },
    ]

    @Test(arguments: files)
    func file(_ input: BadInput) async throws {
        try await BadInputFixture.with { try await $0.check(input, of: .agent) }
    }

    /// The site's registry refuses, or cannot be reached: nothing can be said about the site, and no manifest is written.
    static let site = [
        BadInput("nothing listens", sync, 1, ["http://127.0.0.1:1/v2/", "check"]) {
            try $0.edit("agent.yaml", $0.site.origin, "http://127.0.0.1:1")
        },
        BadInput("401", verify, 1, ["SITE/v2/web/api/", "401", "log in"]) {
            $0.site.behaviour.authorization = .basic(user: "user", password: "other")
        },
        BadInput("401 of a token server", sync, 1, ["SITE/token", "401", "log in"]) {
            $0.site.behaviour.authorization = .bearer(user: "user", password: "other")
        },
        BadInput("403", sync, 1, ["SITE/v2/web/api/", "403"]) {
            $0.site.answer(.init(403), where: { $0.path != "/v2/" })
        },
        BadInput("429", sync, 1, ["SITE/v2/", "429", "3600 s"]) {
            $0.site.answer(.init(429, ["Retry-After": "3600"]), where: { _ in true })
        },
        BadInput("500", verify, 1, ["SITE/v2/web/api/", "500"]) {
            $0.site.answer(.init(500), where: { $0.path != "/v2/" })
        },
        BadInput("connections break", verify, 1, ["SITE/v2/"]) { $0.site.server.welcome { _ in .reset } },
    ]

    @Test(arguments: site)
    func regionalRegistry(_ input: BadInput) async throws {
        try await BadInputFixture.with { try await $0.check(input, of: .agent) }
    }

    /// What a source does not deliver is missing at the site: the agent says so, once for each cause, and its manifest
    /// names what is missing. All that is whole arrives.
    static let source = [
        BadInput("nothing listens", sync, 1, ["http://127.0.0.1:1/v2/", "check"]) {
            try $0.edit("agent.yaml", $0.source.origin, "http://127.0.0.1:1")
        },
        BadInput("401", sync, 1, ["SOURCE/v2/web/api/", "401", "log in"]) {
            $0.source.behaviour.authorization = .basic(user: "user", password: "other")
        },
        BadInput("403", sync, 1, ["web/api", "SOURCE/v2/web/api/blobs/LAYER", "403"]) { fixture in
            let layer = "\(fixture.layer.digest)"
            fixture.source.answer(.init(403), where: { $0.target.hasSuffix(layer) })
        },
        BadInput("404 of a layer", sync, 1, ["web/api", "SOURCE/v2/web/api/blobs/LAYER", "404"]) {
            $0.source.remove($0.layer.digest, from: "web/api")
        },
        BadInput("404 of the manifest", sync, 1, ["SOURCE/v2/web/api/manifests/MANIFEST", "404"]) {
            $0.source.remove($0.image.descriptor.digest, from: "web/api")
        },
        BadInput("429", sync, 1, ["SOURCE/v2/", "429", "too many requests"]) {
            $0.source.answer(.init(429), where: { _ in true })
        },
        BadInput("503", sync, 1, ["SOURCE/v2/", "503", "see its log"]) {
            $0.source.answer(.init(503), where: { _ in true })
        },
        BadInput("no TLS", sync, 1, ["https://SOURCEHOST/v2/", "plain HTTP"]) {
            try $0.edit("agent.yaml", $0.source.origin, "https://\($0.source.authority)")
        },
        BadInput("other bytes for a layer", sync, 1, ["SOURCEHOST", "LAYER", "nothing was published"]) {
            $0.source.store(
                .generated(GeneratedBytes(count: $0.layer.size, seed: 99)), as: $0.layer.digest, in: "web/api")
        },
        BadInput("other bytes for the manifest", sync, 1, ["SOURCE/v2/web/api/manifests/MANIFEST", "corrupt"]) {
            $0.source.storeManifest(Array("{}".utf8), in: "web/api", as: $0.image.descriptor.digest)
        },
        BadInput("a read-only registry", sync, 1, ["SITE/v2/web/api/", "405"]) {
            $0.site.answer(.init(405), where: { $0.method != "GET" && $0.method != "HEAD" })
        },
    ]

    @Test(arguments: source)
    func sources(_ input: BadInput) async throws {
        try await BadInputFixture.with { fixture in
            try input.spoil(fixture)
            let result = try await Executable.agent.run(input.arguments, in: fixture.directory)
            #expect(result.status == input.status)
            let complaints = result.complaints(of: .agent)
            #expect(complaints.count == 1, "\(result.errorText)")
            for word in input.words.map(fixture.replacingNames) {
                #expect(complaints.first?.contains(word) == true, "\(word)\n\(result.errorText)")
            }
            #expect(!(result.text + result.errorText).contains(BadInputFixture.password))
            #expect(result.text.contains("missing"))
            // Nothing half-published: no manifest, no tag, no bytes that are not the digest's.
            #expect(fixture.site.manifests(in: "web/api").isEmpty)
            for digest in fixture.site.blobs(in: "web/api") {
                let blob = try #require(fixture.image.blobs.first { $0.descriptor.digest == digest })
                #expect(fixture.site.blob(digest, in: "web/api")?.count == blob.content.count)
            }
            let check = try await Executable.rollcall.run(
                ["check", "web", "-e", "lab", "--output", "json"], in: fixture.directory)
            let site = try #require(try check.decoded(VerdictDocument.self).site("lab-1"))
            #expect(site.codes == ["incomplete"])
            #expect(site.missing.contains { $0.digest == "\(fixture.image.descriptor.digest)" })
        }
    }
}
