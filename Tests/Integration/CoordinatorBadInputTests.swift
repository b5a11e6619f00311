import FoundationEssentials
import OCI
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct CoordinatorBadInputTests {
    private static let resolve = ["list", "resolve", "images.yaml", "-o", "new.json"]
    private static let stage = ["stage", "list.json", "-e", "lab"]
    private static let check = ["check", "web", "-e", "lab"]

    static let files = [
        BadInput("no images file", resolve, 64, ["images.yaml: ", "No such file"]) {
            try $0.directory.remove("images.yaml")
        },
        BadInput("images file is no YAML", resolve, 64, ["images.yaml:2:1: malformed YAML: "]) {
            try $0.directory.write("images.yaml", "name: [")
        },
        BadInput("unknown key", resolve, 64, ["images.yaml:2:1: unknown key 'sorce'", "did you mean 'source'?"]) {
            try $0.edit("images.yaml", "source", "sorce")
        },
        BadInput("bad repository", resolve, 64, ["images.yaml:4:17: ", "'Web/Api'"]) {
            try $0.edit("images.yaml", "web/api", "Web/Api")
        },
        BadInput("bad digest", resolve, 64, ["images.yaml:5:13: ", "'sha256:12'"]) {
            try $0.edit("images.yaml", "tag: \"1\"", "digest: sha256:12")
        },
        BadInput(
            "output in no directory", ["list", "resolve", "images.yaml", "-o", "none/new.json"], 1, ["none/new.json: "]
        ) { _ in },
        BadInput("no list", stage, 64, ["list.json: ", "No such file"]) { try $0.directory.remove("list.json") },
        BadInput("list is no JSON", stage, 64, ["list.json: ", "line 1"]) {
            try $0.directory.write("list.json", "{\"name\": web}")
        },
        BadInput("list is cut off", stage, 64, ["list.json: ", "line"]) {
            let bytes = try $0.directory.read("list.json")
            try $0.directory.write("list.json", Array(bytes.prefix(bytes.count / 2)))
        },
        BadInput("list was edited", stage, 64, ["list.json: ", "resolve the list again"]) {
            try $0.edit("list.json", "\"web\"", "\"wab\"")
        },
        BadInput("list of a newer schema", stage, 64, ["list.json: ", "schema"]) {
            try $0.edit("list.json", "\"schema\": \"", "\"schema\": \"new-")
        },
        BadInput("show of no list", ["list", "show", "fleet.yaml"], 64, ["fleet.yaml: ", "line 1"]) { _ in },
        BadInput("no fleet file", check, 64, ["fleet.yaml: ", "--fleet", "ROLLCALL_FLEET"]) {
            try $0.directory.remove("fleet.yaml")
        },
        BadInput("fleet file is no YAML", check, 64, ["fleet.yaml:2:"]) {
            try $0.directory.write("fleet.yaml", "a:\n\tb")
        },
        BadInput("fleet file of unknown keys", check, 64, ["fleet.yaml:6:9: unknown key 'nmae'", "'name'"]) {
            try $0.edit("fleet.yaml", "      - name: lab-1", "      - nmae: lab-1")
        },
        BadInput("unknown environment", ["check", "web", "-e", "prod"], 64, ["'prod'", "lab"]) { _ in },
        BadInput("bad list name", ["check", "we b", "-e", "lab"], 64, ["'we b'"]) { _ in },
        BadInput("bad environment name", ["check", "web", "-e", "l b"], 64, ["'l b'"]) { _ in },
        BadInput("no environment", ["check", "web"], 64, ["--environment"]) { _ in },
        BadInput("unknown command", ["chekc"], 64, ["chekc", "--help"]) { _ in },
        BadInput("bad time", check + ["--wait", "--timeout", "soon"], 64, ["--timeout", "90s"]) { _ in },
        BadInput("bad output form", check + ["--output", "xml"], 64, ["xml", "json"]) { _ in },
        BadInput("plain HTTP for a URL", resolve + ["--plain-http", "http://a"], 64, ["'http://a'", "HOST:PORT"]) { _ in
        },
        BadInput("no object store", check, 1, ["STORE: "]) { try $0.directory.remove("store") },
        BadInput("no object store to stage to", stage, 1, ["STORE: "]) { try $0.directory.remove("store") },
        BadInput("the record is no JSON", check, 1, ["environments/lab/record.json", "line 1"]) {
            try $0.directory.write("store/environments/lab/record.json", "nonsense")
        },
        BadInput("the record is another's", check, 1, ["environments/lab/record.json", "'qa'"]) {
            try $0.edit("store/environments/lab/record.json", "\"lab\"", "\"qa\"")
        },
        BadInput(
            "the record is damaged, to promote", ["promote", "web", "-e", "lab"], 1, ["environments/lab/record.json"]
        ) {
            try $0.directory.write("store/environments/lab/record.json", "{}")
        },
        BadInput(
            "refused by the ladder", ["stage", "list.json", "-e", "qa"], 3,
            ["'qa'", "rollcall promote web --environment lab"]
        ) { _ in },
        BadInput("credentials are no JSON", resolve, 1, ["run/containers/auth.json"]) {
            try $0.directory.write("run/containers/auth.json", "{\"auths\": \(BadInputFixture.password)")
            $0.source.behaviour.authorization = .basic(user: "user", password: "other")
        },
        BadInput("no credentials file", resolve + ["--auth-file", "none.json"], 1, ["none.json"]) {
            $0.source.behaviour.authorization = .basic(user: "user", password: "other")
        },
    ]

    @Test(arguments: files)
    func file(_ input: BadInput) async throws {
        try await BadInputFixture.with { fixture in
            try await fixture.check(input, of: .rollcall)
            #expect(!FileManager.default.fileExists(atPath: fixture.directory.file("new.json")))
        }
    }

    private static func answer(_ response: ScriptedServer.Response) -> @Sendable (BadInputFixture) -> Void {
        { $0.source.answer(response, where: { $0.target.contains("/manifests/") }) }
    }

    static let registry = [
        BadInput("nothing listens", resolve, 1, ["images.yaml:4: ", "web/api", "http://127.0.0.1:1/v2/", "check"]) {
            try $0.edit("images.yaml", $0.source.origin, "http://127.0.0.1:1")
        },
        BadInput("no such host", resolve, 1, ["images.yaml:4: ", "http://host.invalid/v2/", "check"]) {
            try $0.edit("images.yaml", $0.source.origin, "http://host.invalid")
        },
        BadInput("plain HTTP where TLS is asked for", resolve, 1, ["images.yaml:4: ", "https://", "--plain-http"]) {
            try $0.edit("images.yaml", "http://", "https://")
        },
        BadInput("401", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "401", "log in"]) {
            $0.source.behaviour.authorization = .basic(user: "user", password: "other")
        },
        BadInput("401 of a token server", resolve, 1, ["images.yaml:4: ", "SOURCE/token", "401", "log in"]) {
            $0.source.behaviour.authorization = .bearer(user: "user", password: "other")
        },
        BadInput(
            "403", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "403", "credentials"],
            answer(.init(403))),
        BadInput("404", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/none", "404"]) {
            try $0.edit("images.yaml", "\"1\"", "none")
        },
        BadInput("404 of a child", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/sha256:", "404"]) {
            fixture in
            let child = TestImage(seed: 32)
            fixture.source.store(TestImage(index: [fixture.image, child]), in: "web/api", tag: "1")
            fixture.source.remove(child.descriptor.digest, from: "web/api")
        },
        BadInput(
            "429", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "429", "3600 s"],
            answer(.init(429, ["Retry-After": "3600"]))),
        BadInput("500", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "500"], answer(.init(500))),
        BadInput(
            "503 with a page", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "503", "Maintenance"],
            answer(.init(503, ["Content-Type": "text/html"], text: "<html><title>Maintenance</title></html>"))),
        BadInput("other bytes", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/MANIFEST", "corrupt"]) {
            fixture in
            fixture.source.storeManifest(Array("{}".utf8), in: "web/api", as: fixture.image.descriptor.digest)
            try fixture.edit("images.yaml", "tag: \"1\"", "digest: \(fixture.image.descriptor.digest)")
        },
        BadInput("no manifest", resolve, 1, ["images.yaml:4: ", "web/api"]) {
            $0.source.storeManifest(Array("<html></html>".utf8), in: "web/api", tag: "1")
        },
        BadInput("truncated manifest", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "ended"]) {
            $0.source.answer($0.truncatedManifest, where: { $0.target.contains("/manifests/") })
        },
        BadInput("schema 1", resolve, 1, ["images.yaml:4: ", "web/api", "schema 1"]) {
            $0.source.storeManifest(BadInput.schema1, type: BadInput.schema1Type, in: "web/api", tag: "1")
        },
        BadInput(
            "a redirect to nowhere", resolve, 1, ["images.yaml:4: ", "SOURCE/v2/web/api/manifests/1", "redirect"],
            answer(.redirect(to: "/v2/web/api/manifests/1"))),
    ]

    @Test(arguments: registry)
    func source(_ input: BadInput) async throws {
        try await BadInputFixture.with { fixture in
            try await fixture.check(input, of: .rollcall)
            #expect(!FileManager.default.fileExists(atPath: fixture.directory.file("new.json")))
        }
    }
}
