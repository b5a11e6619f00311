import FoundationEssentials
import OCI
import TestSupport
import Testing

/// What is copied: every kind of manifest, byte for byte; and how the executables explain themselves.
@Suite(.timeLimit(.minutes(5))) struct ContentTests {
    @Test func everyKindOfContent() async throws {
        try await withScriptedRegistry { source in
            let image = TestImage(seed: 41, layers: [0, 100_000])
            let contents: [(String, TestImage)] = [
                ("oci/image", image),
                ("docker/image", TestImage(seed: 42, isDocker: true)),
                ("oci/index", TestImage(index: [image, TestImage(seed: 43, platform: "linux/arm64/v8")])),
                (
                    "docker/list",
                    TestImage(
                        index: [
                            TestImage(seed: 44, isDocker: true),
                            TestImage(seed: 45, platform: "linux/arm/v7", isDocker: true),
                        ], isDocker: true)
                ),
                ("an/artifact", TestImage(seed: 46, layers: [500], artifactType: "application/vnd.example.chart")),
            ]
            for (repository, content) in contents { source.store(content, in: repository, tag: "1") }
            try await TestFleet.with(source: source.origin) { fleet in
                let list = try await fleet.resolve(
                    "all", "oci/image:1", "docker/image:1", "oci/index:1", "docker/list:1", "an/artifact:1")
                for (repository, content) in contents {
                    let listed = list.closure.filter { $0.repository == repository }.map(\.digest)
                    #expect(Set(listed) == Set(content.allDigests.map(\.description)), "\(repository)")
                }
                try await fleet.stage("all")
                try await fleet.sync("lab-1")
                #expect(try await fleet.promote("all").outcome == "promoted")
                let registry = try fleet.site("lab-1").registry
                for (repository, content) in contents {
                    for reference in [":1", "@\(content.descriptor.digest)"] {
                        let raw = try await runCommand([
                            "skopeo", "inspect", "--tls-verify=false", "--raw",
                            "docker://\(registry.authority)/\(repository)\(reference)",
                        ])
                        #expect(raw.output == content.manifest, "\(repository)\(reference): \(raw.errorText)")
                    }
                }
                // A layer that two repositories share was fetched once.
                let shared = try #require(image.blobs.last).descriptor.digest
                let fetched = source.requests.filter { $0.method == "GET" && $0.target.hasSuffix("/blobs/\(shared)") }
                #expect(fetched.count == 1)
            }
        }
    }

    /// `--fleet`, then `ROLLCALL_FLEET`, then `fleet.yaml` where one stands.
    @Test func whereTheFleetFileIs() async throws {
        try await TestFleet.with(source: "http://127.0.0.1:1") { fleet in
            func status(_ arguments: [String], variable: String = "") async throws -> CommandResult {
                try await runCommand(
                    ["env", "ROLLCALL_FLEET=\(variable)", Executable.rollcall.path, "status"] + arguments,
                    environment: Executable.environment(home: fleet.directory.path), directory: fleet.directory.path)
            }
            let text = String(decoding: try fleet.directory.read("fleet.yaml"), as: UTF8.self)
            for name in ["option", "variable"] {
                try fleet.directory.write("\(name).yaml", text.replacing("name: lab\n", with: "name: \(name)\n"))
            }
            #expect(try await status([]).text.contains("lab "))
            #expect(try await status([], variable: "variable.yaml").text.contains("variable "))
            let both = try await status(["--fleet", "option.yaml"], variable: "variable.yaml")
            #expect(both.text.contains("option ") && !both.text.contains("variable "))
            #expect(try await status([], variable: "none.yaml").status == 64)
        }
    }

    @Test(arguments: [Executable.rollcall, .agent])
    func helpVersionsAndCompletions(_ executable: Executable) async throws {
        try await withTemporaryDirectory { directory in
            let help = try await executable.run(["--help"], in: directory)
            #expect(help.status == 0 && help.text.contains("USAGE: \(executable.rawValue)") && help.errorText.isEmpty)
            let version = try await executable.run(["--version"], in: directory)
            #expect(version.status == 0 && version.text.split(separator: ".").count == 3)
            for shell in ["bash", "zsh", "fish"] {
                let script = try await executable.run(["--generate-completion-script", shell], in: directory)
                #expect(script.status == 0 && script.text.contains(executable.rawValue))
            }
        }
    }
}
