import FoundationEssentials
import OCI
import TestSupport
import Testing
import Trust

/// What is wrong, and what becomes of it: one message that says what, where and what to do, the exit code, no secret, and
/// nothing half-published.
struct BadInput: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The command line after the executable.
    let arguments: [String]
    let status: Int
    /// What the message names. `SOURCE`, `SITE` and `STORE` stand for the registries' origins and the store's directory,
    /// `LAYER` and `MANIFEST` for digests of the image `web/api:1`.
    let words: [String]
    /// Makes it wrong, after everything was made right.
    let spoil: @Sendable (BadInputFixture) throws -> Void

    init(
        _ name: String, _ arguments: [String], _ status: Int, _ words: [String],
        _ spoil: @escaping @Sendable (BadInputFixture) throws -> Void
    ) {
        (testDescription, self.arguments, self.status, self.words, self.spoil) = (name, arguments, status, words, spoil)
    }
}

extension BadInput {
    /// A manifest of Docker's first schema.
    static let schema1 = Array(#"{"schemaVersion": 1, "name": "web/api", "tag": "1", "fsLayers": []}"#.utf8)
    static let schema1Type = MediaType("application/vnd.docker.distribution.manifest.v1+prettyjws")
}

/// Two scripted registries, an object store with a staged list, and every file in order.
struct BadInputFixture: Sendable {
    let directory: TemporaryDirectory
    let source: ScriptedRegistry
    let site: ScriptedRegistry
    let image: TestImage

    static let password = "hunter2-hunter2"

    /// Runs `body` with everything in order and the list `web` staged.
    static func with(_ body: (BadInputFixture) async throws -> Void) async throws {
        try await Turnstile.badInput.withTurn {
            try await withScriptedRegistry { source in
                try await withScriptedRegistry { site in
                    try await withTemporaryDirectory("bad-input") { directory in
                        let image = TestImage(seed: 31, layers: [1000, 700_000])
                        let fixture = BadInputFixture(
                            directory: directory, source: source, site: site, image: image)
                        try fixture.write()
                        for command in [
                            ["list", "resolve", "images.yaml", "-o", "list.json"], ["stage", "list.json", "-e", "lab"],
                        ] {
                            let result = try await Executable.rollcall.run(command, in: directory)
                            guard result.status == 0 else { throw TestSupportError(result.errorText) }
                        }
                        try await body(fixture)
                    }
                }
            }
        }
    }

    private func write() throws {
        source.store(image, in: "web/api", tag: "1")
        try FileManager.default.createDirectory(atPath: directory.file("store"), withIntermediateDirectories: false)
        try directory.write(
            "images.yaml", "name: web\nsource: \(source.origin)\nimages:\n  - repository: web/api\n    tag: \"1\"\n")
        let key = try PrivateKey.generate()
        try key.write(to: directory.file("site.key"))
        try directory.write(
            "fleet.yaml",
            """
            objectStore:
              url: file://\(directory.file("store"))
            environments:
              - name: lab
                sites:
                  - name: lab-1
                    registry: \(site.origin)
                    publicKey: "\(key.publicKey)"
              - name: qa
                sites:
                  - name: qa-1
                    registry: \(site.origin)

            """)
        try directory.write(
            "agent.yaml",
            """
            site: lab-1
            environment: lab
            sources:
              - url: \(source.origin)
            registry:
              url: \(site.origin)
            objectStore:
              url: file://\(directory.file("store"))
            state: \(directory.file("state"))
            signingKey: site.key

            """)
        try directory.write(
            "run/containers/auth.json",
            """
            {"auths": {"\(source.authority)": {"auth": "\(Data("user:\(Self.password)".utf8).base64EncodedString())"},
                       "\(site.authority)": {"auth": "\(Data("user:\(Self.password)".utf8).base64EncodedString())"}}}

            """)
    }

    /// The layer that is large enough to go through the spool.
    var layer: Descriptor { image.blobs.last?.descriptor ?? image.descriptor }

    /// The image's manifest, of which the connection's end cuts off most.
    var truncatedManifest: ScriptedServer.Response {
        var response = ScriptedServer.Response(200, ["Content-Type": "\(image.descriptor.mediaType)"])
        response.body = .bytes(Array(image.manifest.prefix(100)))
        response.framing = .falseContentLength(image.descriptor.size)
        return response
    }

    func edit(_ file: String, _ old: String, _ new: String) throws {
        let old = replacingNames(old)
        let text = String(decoding: try directory.read(file), as: UTF8.self)
        guard text.contains(old) else { throw TestSupportError("\(file) has no '\(old)'") }
        try directory.write(file, text.replacing(old, with: new))
    }

    func replacingNames(_ text: String) -> String {
        text.replacing("SOURCEHOST", with: source.authority).replacing("SITEHOST", with: site.authority)
            .replacing("SOURCE", with: source.origin).replacing("SITE", with: site.origin)
            .replacing("STORE", with: directory.file("store")).replacing("DIRECTORY", with: directory.path)
            .replacing("LAYER", with: "\(layer.digest)").replacing("MANIFEST", with: "\(image.descriptor.digest)")
    }

    /// Every file of the object store but its lock and what was recorded of refusals, with its content; empty where there is
    /// no store.
    var storedObjects: [String: [UInt8]] {
        var objects: [String: [UInt8]] = [:]
        for name in (try? FileManager.default.subpathsOfDirectory(atPath: directory.file("store"))) ?? []
        where name != "~lock" && !name.hasPrefix("audit/") {
            if let bytes = try? directory.read("store/\(name)") { objects[name] = bytes }
        }
        return objects
    }

    /// Runs the command on what was spoiled, and expects what is promised of every failure.
    ///
    /// - Parameters:
    ///   - input: what to spoil, and what to expect
    ///   - executable: which one
    ///   - prefix: a command that runs it
    func check(_ input: BadInput, of executable: Executable, prefix: [String] = []) async throws {
        try input.spoil(self)
        let before = storedObjects
        let result = try await executable.run(
            input.arguments.map(replacingNames), in: directory, prefix: prefix.map(replacingNames))
        result.expectFailure(of: executable, input.status, naming: input.words.map(replacingNames))
        let said = result.text + result.errorText
        for secret in [Self.password, Data("user:\(Self.password)".utf8).base64EncodedString()] {
            #expect(!said.contains(secret))
        }
        #expect(storedObjects == before)
        // Blobs that are whole may be there; no manifest, and so no image, is.
        #expect(site.manifests(in: "web/api").isEmpty)
        #expect(site.tag("1", in: "web/api") == nil)
    }
}
