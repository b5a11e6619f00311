import FoundationEssentials
import OCI
import TestSupport
import Testing

/// `rollcall-agent prune` as its users run it, beside an agent that runs.
@Suite(.timeLimit(.minutes(5))) struct PruneTests {
    @Test func whatNoListNeedsGoes() async throws {
        let images = (1...4).map { TestImage(seed: UInt64($0), layers: [1000]) }
        try await withScriptedRegistry { source in
            for (index, image) in images.enumerated() { source.store(image, in: "web/api", tag: "\(index)") }
            try await TestFleet.with(source: source.origin) { fleet in
                for index in images.indices {
                    try await fleet.resolve("web", "web/api:\(index)")
                    try await fleet.stage("web")
                    try await fleet.sync("lab-1")
                    #expect(try await fleet.promote("web").outcome == "promoted")
                }
                let site = try fleet.site("lab-1")
                try fleet.writeAgentFile(of: site, settings: "interval: 1s\nverifyInterval: 1s")
                let daemon = try Executable.agent.start(
                    ["run", "--config", site.config], in: fleet.directory, errors: fleet.directory.file("run.log"))

                func manifests() async throws -> [String] {
                    var codes: [String] = []
                    for image in images {
                        let answer = try await runCommand([
                            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                            "Accept: application/vnd.oci.image.manifest.v1+json",
                            "\(site.registry.origin)/v2/web/api/manifests/\(image.descriptor.digest)",
                        ])
                        codes.append(answer.text)
                    }
                    return codes
                }
                // A pass may be under way just now.
                func prune(_ arguments: String...) async throws -> CommandResult {
                    while true {
                        let result = try await Executable.agent.run(
                            ["prune", "--config", site.config] + arguments, in: fleet.directory)
                        guard result.errorText.contains("is under way") else { return result }
                    }
                }
                let shown = try await prune()
                #expect(shown.status == 0, "\(shown.errorText)")
                for image in images.prefix(2) {
                    #expect(shown.text.contains("remove web/api@\(image.descriptor.digest)"), "\(shown.text)")
                }
                #expect(shown.text.contains("4 manifests brought: 2 needed, 0 used by others, 2 to remove\n"))
                #expect(shown.text.hasSuffix("nothing was removed: give --yes to remove it\n"))
                #expect(try await manifests() == ["200", "200", "200", "200"])

                let pruned = try await prune("--yes")
                #expect(pruned.status == 0, "\(pruned.errorText)")
                #expect(pruned.text.contains("removed 2 of 2"))
                #expect(try await manifests() == ["404", "404", "200", "200"])
                #expect(
                    try await prune("--yes").text == "2 manifests brought: 2 needed, 0 used by others, 0 to remove\n")
                #expect(try await fleet.check("web").ready)
                let audit = try await fleet.rollcall("audit", "log")
                #expect(
                    audit.text.contains("prune-started") && audit.text.contains("site-pruned"),
                    "\(audit.text)\(audit.errorText)")
                daemon.signal(15)
                #expect(await daemon.ended() == 0)
            }
        }
    }
}
