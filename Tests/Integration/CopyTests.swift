import FoundationEssentials
import OCI
import TestSupport
import Testing

/// `rollcall-agent copy` between real registries, of real images.
extension WholePathTests {
    @Test func copies() async throws {
        let central = try #require(RealImages.current).registry
        let digests = try #require(RealImages.current).digests
        try await withRealRegistry { registry in
            try await withTemporaryDirectory("copy") { directory in
                func copy(_ source: String, _ destination: String) async throws -> CommandResult {
                    try await Executable.agent.run(
                        [
                            "copy", "\(central.authority)/\(source)", "\(registry.authority)/\(destination)",
                            "--plain-http", central.authority, "--plain-http", registry.authority,
                        ], in: directory)
                }
                func inspect(_ image: String) async throws -> String {
                    let raw = try await runCommand(
                        ["skopeo", "inspect", "--tls-verify=false", "--raw", "docker://\(registry.authority)/\(image)"])
                    return raw.status == 0 ? "\(Digest(of: raw.output))" : raw.errorText
                }
                let index = try #require(digests["platform/multi:1"])
                let docker = try #require(digests["platform/redis:1"])

                // By tag: an index, with all its platforms, under another name.
                var result = try await copy("platform/multi:1", "mirror/multi:latest")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(result.text.hasPrefix("\(registry.authority)/mirror/multi@\(index): "))
                #expect(try await inspect("mirror/multi:latest") == index)
                // Again: nothing is left to bring.
                result = try await copy("platform/multi:1", "mirror/multi:latest")
                #expect(result.text.hasSuffix("of which 0 (0 B) were brought\n"), "\(result.text)")

                // By digest: Docker's media types, no tag.
                result = try await copy("platform/redis@\(docker)", "mirror/redis@\(docker)")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(try await inspect("mirror/redis@\(docker)") == docker)
                let tags = try await runCommand(["curl", "-s", "\(registry.origin)/v2/mirror/redis/tags/list"])
                #expect(!tags.text.contains("\"1\""))
                // By digest to a tag.
                result = try await copy("platform/redis@\(docker)", "mirror/redis:stable")
                #expect(result.status == 0, "\(result.errorText)")
                #expect(try await inspect("mirror/redis:stable") == docker)

                // What cannot be: a digest that is not the image's, an image that is not there.
                let other = try await copy("platform/redis:1", "mirror/redis@\(index)")
                other.expectFailure(of: .agent, 64, naming: ["mirror/redis@\(index)", docker])
                let none = try await copy("platform/none:1", "mirror/none:1")
                none.expectFailure(of: .agent, 1, naming: ["\(central.origin)/v2/platform/none/manifests/1", "404"])
            }
        }
    }
}
