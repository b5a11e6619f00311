import FoundationEssentials
import Glibc
import OCI
import Readiness
import TestSupport
import Testing

@testable import Agent

/// A site whose registry is the agent's own, as its users run it.
@Suite(.timeLimit(.minutes(5))) struct EmbeddedRegistryTests {
    /// The same site, with a registry of the agent's own in the place of the real one.
    private func withSite(_ more: String = "", _ body: (RealSite) async throws -> Void) async throws {
        try await RealSite.with { site in
            let text = String(decoding: try site.directory.read(site.config), as: UTF8.self)
            try site.directory.write(
                site.config,
                text.replacing(
                    "url: \(site.destination.origin)",
                    with: "embedded: {layout: registry, listen: '127.0.0.1:0'\(more)}"))
            try await body(site)
        }
    }

    private func registry(_ site: RealSite, _ arguments: String...) async throws -> CommandResult {
        try await runCommand(
            [AgentProcess.path, "registry"] + arguments, environment: AgentProcess.environment(site.directory),
            directory: site.directory.path)
    }

    @Test func syncAndVerifyWorkOnTheDirectory() async throws {
        try await withSite { site in
            var result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(result.text == "lab-1: 1 list, 4 entries, 2.9 MiB: brought 4 (2.9 MiB): complete\n")
            #expect(try await site.verdict().isReady)
            let check = try await registry(site, "check", "--config", site.config)
            #expect(check.status == 0, "\(check.errorText)")
            #expect(check.text.hasPrefix("registry: 1 repositories, 1 manifests, 4 files of 2.9 MiB read: 0 faults"))

            let layer = try #require(site.image.blobs.last).descriptor.digest
            unlink(site.directory.file("registry/platform/api/blobs/sha256/\(layer.hex)"))
            result = try await site.run("verify")
            #expect(result.status == 3)
            #expect(result.errorText == "rollcall-agent: missing: platform/api@\(layer) (blob, 2.9 MiB)\n")
            #expect(try await !site.verdict().isReady)
            #expect(try await registry(site, "check", "--layout", "registry").status == 3)

            result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try await site.verdict().isReady)
            #expect(try await registry(site, "check", "--layout", "registry").status == 0)
        }
    }

    /// SIGHUP is how daemons are told to read their files again; it ends who does not expect it.
    @Test func aHangupHasTheFilesReadAgain() async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("users", "ann:$5$saltsaltsalt$hash\n")
            let log = directory.file("serve.log")
            let process = try ChildProcess(
                [
                    AgentProcess.path, "registry", "serve", "--layout", "layout", "--listen", "127.0.0.1:0", "--users",
                    "users", "--log-level", "debug",
                ], environment: AgentProcess.environment(directory), directory: directory.path, output: "/dev/null",
                errors: log)
            defer { process.signal(SIGKILL) }
            func logs(_ text: String) async throws {
                while !String(decoding: (try? directory.read("serve.log")) ?? [], as: UTF8.self).contains(text) {
                    try #require(process.isRunning)
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            try await logs("registry listens")
            process.signal(SIGHUP)
            try await logs("read the users again")
            process.signal(SIGTERM)
            #expect(await process.ended() == 0)
        }
    }

    /// Damage on the disk: found by check, taken away, fetched again.
    @Test func damageIsMended() async throws {
        try await withSite { site in
            #expect(try await site.run("sync").status == 0)
            let layer = try #require(site.image.blobs.last).descriptor.digest
            let file = "registry/platform/api/blobs/sha256/\(layer.hex)"
            chmod(site.directory.file(file), 0o644)
            var bytes = try site.directory.read(file)
            bytes[1000] ^= 1
            try Data(bytes).write(to: URL(filePath: site.directory.file(file)), options: [])
            let check = try await registry(site, "check", "--layout", "registry", "--remove-damaged")
            #expect(check.status == 3)
            #expect(check.text.contains("1 damaged files removed"))
            let result = try await site.run("sync")
            #expect(result.status == 0, "\(result.errorText)")
            #expect(try await registry(site, "check", "--layout", "registry").status == 0)
        }
    }

    /// New settings are taken up by the process that holds the registry, and what the sources have then is brought under
    /// them.
    @Test func settingsAreReadAgain() async throws {
        try await withSite { site in
            try await Daemon.with(site) { daemon in
                try await daemon.logs("\"pass finished\"")
                try daemon.write(daemon.settings + "limits: {blobs: 3}\n")
                daemon.process.signal(SIGHUP)
                try await daemon.waits("new settings or a refusal") {
                    daemon.log.contains("new settings are in use")
                        || daemon.log.contains("the settings before are still in use")
                }
                #expect(!daemon.log.contains("the settings before are still in use"), "\(daemon.log)")
                try await daemon.logs("\"pass finished\"", times: 2)
                #expect(try await site.verdict().isReady)
                daemon.process.signal(SIGTERM)
                #expect(await daemon.process.ended() == 0)
            }
        }
    }

    @Test func runServesWhatItBrings() async throws {
        try await withSite { site in
            let errors = site.directory.file("run.log")
            let process = try ChildProcess(
                [AgentProcess.path, "run", "--config", site.config],
                environment: AgentProcess.environment(site.directory), directory: site.directory.path,
                output: "/dev/null", errors: errors)
            func log() -> String {
                (try? Data(contentsOf: URL(filePath: errors))).map { String(decoding: $0, as: UTF8.self) } ?? ""
            }
            // Beside each other: nothing says which of them is first.
            let address = "\"address\":\"127.0.0.1:"
            while !log().contains("\"pass finished\"") || !log().contains(address), process.isRunning {
                try await Task.sleep(for: .milliseconds(20))
            }
            let listening = try #require(log().firstRange(of: address))
            let port = log()[listening.upperBound...].prefix { $0.isNumber }
            #expect(try await site.verdict().isReady)
            let pulled = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false",
                "docker://127.0.0.1:\(port)/platform/api@\(site.image.descriptor.digest)",
                "dir:\(site.directory.file("pulled"))",
            ])
            #expect(pulled.status == 0, "\(pulled.errorText)")
            #expect(try site.directory.read("pulled/manifest.json") == site.image.manifest)
            // Nobody pushes but the agent.
            let pushed = try await runCommand([
                "skopeo", "--insecure-policy", "copy", "--dest-tls-verify=false",
                "dir:\(site.directory.file("pulled"))",
                "docker://127.0.0.1:\(port)/platform/api:2",
            ])
            #expect(pushed.status != 0)
            process.signal(SIGTERM)
            #expect(await process.ended() == 0)
            #expect(log().split(separator: "\n").allSatisfy { $0.hasPrefix("{\"time\":\"") && $0.hasSuffix("}") })
        }
    }

    @Test func aRegistryOverTheNetworkHasNoDirectory() async throws {
        try await RealSite.with { site in
            let result = try await registry(site, "check", "--config", site.config)
            #expect(result.status == 64)
            #expect(result.errorText.contains("names no embedded registry"))
        }
    }

    @Test func argumentsThatContradictEachOther() async throws {
        try await withTemporaryDirectory { directory in
            for arguments in [
                ["check"], ["check", "--layout", "a", "--config", "b"], ["serve", "--config", "a", "--listen", "b:1"],
                ["serve", "--layout", "a", "--listen", "5000"], ["serve", "--layout", "a", "--certificate", "c"],
                ["serve", "--layout", "a", "--writer", "w"], ["gc", "--layout", "a", "--older-than", "-1"],
                ["check", "--layout", "a", "--quick", "--remove-damaged"],
            ] {
                let result = try await runCommand(
                    [AgentProcess.path, "registry"] + arguments, environment: AgentProcess.environment(directory),
                    directory: directory.path)
                #expect(result.status == 64, "\(arguments): \(result.errorText)")
            }
        }
    }

    @Test func directoriesThatAreNoRegistries() async throws {
        try await withTemporaryDirectory { directory in
            try directory.write("full/file", "x")
            for command in ["check", "gc", "serve"] {
                let result = try await runCommand(
                    [AgentProcess.path, "registry", command, "--layout", "full"],
                    environment: AgentProcess.environment(directory), directory: directory.path)
                #expect(result.status == 1, "\(command)")
                #expect(result.errorText.contains("full"), "\(result.errorText)")
            }
        }
    }
}
