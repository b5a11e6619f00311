import FoundationEssentials
import Glibc
import OCI
import TestSupport
import Testing

/// Clients that are not ours, against our registry, with real images.
@Suite(.timeLimit(.minutes(5))) struct EmbeddedClientTests {
    /// The images of scripts/build-images.
    private static func images() throws -> String {
        guard let images = ProcessInfo.processInfo.environment[RealImages.variable], !images.isEmpty else {
            throw TestSupportError("\(RealImages.variable) names no directory of images: run scripts/test")
        }
        return images
    }

    @discardableResult
    private func run(
        _ command: String..., in server: EmbeddedServer, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> CommandResult {
        let result = try await runCommand(
            command, environment: Executable.environment(home: server.directory.path),
            directory: server.directory.path)
        let line = Comment(rawValue: "\(command.joined(separator: " ")): \(result.errorText)")
        #expect(result.status == 0, line, sourceLocation: sourceLocation)
        return result
    }

    private struct Index: Decodable {
        struct Entry: Decodable { let digest: Digest }
        let manifests: [Entry]
    }

    /// The digest of an image's root manifest in its layout.
    private func digest(of image: String) throws -> Digest {
        let data = try Data(contentsOf: URL(filePath: "\(try Self.images())/\(image)/index.json"))
        return try #require(JSONDecoder().decode(Index.self, from: data).manifests.first).digest
    }

    private func push(_ image: String, to reference: String, _ server: EmbeddedServer) async throws {
        try await run(
            "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
            "oci:\(try Self.images())/\(image)", "docker://\(server.authority)/\(reference)", in: server)
    }

    /// OCI types, Docker's types, and an index: pushed, inspected, pulled, and read from the directory.
    @Test(arguments: ["nginx", "redis", "multi"])
    func skopeo(image: String) async throws {
        try await withEmbeddedServer { server in
            try await push(image, to: "team/\(image):1", server)
            let reference = "docker://\(server.authority)/team/\(image)"
            let raw = try await run("skopeo", "inspect", "--raw", "--tls-verify=false", "\(reference):1", in: server)
            #expect(try Digest(of: raw.output) == digest(of: image))
            let byDigest = try await run(
                "skopeo", "inspect", "--raw", "--tls-verify=false", "\(reference)@\(try digest(of: image))",
                in: server)
            #expect(byDigest.output == raw.output)
            let tags = try await run("skopeo", "list-tags", "--tls-verify=false", reference, in: server)
            #expect(tags.text.contains("\"1\""))
            // Pushed again under another name: nothing moves twice.
            try await push(image, to: "other/\(image):2", server)
            try await run(
                "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
                "docker://\(server.authority)/other/\(image):2", "oci:pulled:x", in: server)
            if image != "redis" {
                // skopeo takes OCI's types from a layout.
                let read = try await run(
                    "skopeo", "inspect", "--raw", "oci:\(server.layout)/team/\(image):1", in: server)
                #expect(read.output == raw.output)
            }
            try await run("skopeo", "delete", "--tls-verify=false", "\(reference):1", in: server)
        }
    }

    /// A whole repository to another registry and back.
    @Test func skopeoSync() async throws {
        try await withEmbeddedServer { server in
            try await push("busybox", to: "team/busybox:1", server)
            try await push("nginx", to: "team/busybox:2", server)
            try await run(
                "skopeo", "--insecure-policy", "sync", "--src", "docker", "--dest", "docker", "--src-tls-verify=false",
                "--dest-tls-verify=false", "\(server.authority)/team/busybox", "\(server.authority)/copies",
                in: server)
            let tags = try await run(
                "skopeo", "list-tags", "--tls-verify=false", "docker://\(server.authority)/copies/busybox", in: server)
            #expect(tags.text.contains("\"1\"") && tags.text.contains("\"2\""))
            try await run(
                "skopeo", "--insecure-policy", "sync", "--src", "docker", "--dest", "dir", "--src-tls-verify=false",
                "\(server.authority)/team/busybox", "synced", in: server)
        }
    }

    /// podman unpacks images, which takes root, or ids that belong to the user (/etc/subuid).
    @Test(.enabled(if: geteuid() == 0, "podman unpacks images as root only, where users have no ids of their own"))
    func podman() async throws {
        try await withEmbeddedServer { server in
            try await push("redis", to: "team/redis:1", server)
            // Without it, podman 4.3 does nothing where DOCKER_CONFIG is set.
            try server.directory.write(".docker/config.json", "{}")
            let own = [
                "--root", server.directory.file("podman"), "--runroot", server.directory.file("podman-run"),
                "--storage-driver", "vfs",
            ]
            var environment = Executable.environment(home: server.directory.path)
            // podman 4.3 inspects manifests of registries without TLS only where a file says so.
            environment["CONTAINERS_REGISTRIES_CONF"] = try server.directory.write(
                "registries.conf", "[[registry]]\nlocation = \"\(server.authority)\"\ninsecure = true\n")
            @discardableResult
            func podman(_ arguments: String...) async throws -> CommandResult {
                let result = try await runCommand(
                    ["podman"] + own + arguments, environment: environment, directory: server.directory.path)
                #expect(result.status == 0, "podman \(arguments.joined(separator: " ")): \(result.errorText)")
                return result
            }
            func raw(_ reference: String) async throws -> [UInt8] {
                try await run(
                    "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://\(server.authority)/\(reference)",
                    in: server
                ).output
            }
            try await podman("pull", "--tls-verify=false", "\(server.authority)/team/redis:1")
            try await podman("tag", "\(server.authority)/team/redis:1", "\(server.authority)/podman/redis:2")
            try await podman("push", "--tls-verify=false", "\(server.authority)/podman/redis:2")
            try await podman("rmi", "--all", "--force")
            try await podman("pull", "--tls-verify=false", "\(server.authority)/podman/redis:2")
            let inspected = try await podman(
                "inspect", "--type", "image", "--format", "{{.Digest}}", "\(server.authority)/podman/redis:2")
            let pushed = Digest(of: try await raw("podman/redis:2"))
            #expect(inspected.text == "\(pushed)\n")
            // An index, at the registry and not here.
            try await push("multi", to: "team/multi:1", server)
            let manifest = try await podman("manifest", "inspect", "\(server.authority)/team/multi:1")
            let index = try JSONDecoder().decode(Index.self, from: Data(try await raw("team/multi:1")))
            #expect(index.manifests.count == 2)
            for child in index.manifests { #expect(manifest.text.contains("\(child.digest)")) }
        }
    }

    /// Debian's docker-registry as a cache in front of ours.
    @Test func aPullThroughCache() async throws {
        try await withEmbeddedServer { server in
            try await push("multi", to: "team/multi:1", server)
            var configuration = RealRegistry.Configuration()
            configuration.remote = server.origin
            try await withRealRegistry(configuration) { cache in
                for round in 1...2 {
                    let pulled = "pulled-\(round)"
                    try await run(
                        "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false",
                        "docker://\(cache.authority)/team/multi:1", "oci:\(pulled):1", in: server)
                    let raw = try await run("skopeo", "inspect", "--raw", "oci:\(pulled):1", in: server)
                    #expect(try Digest(of: raw.output) == digest(of: "multi"))
                }
            }
        }
    }

    // MARK: Users and TLS

    /// A registry with a certificate and two users, of whom one may push; anyone may pull where `isOpen` says so.
    private func withUsers(isOpen: Bool, _ body: (EmbeddedServer) async throws -> Void) async throws {
        try await withEmbeddedServer(
            arguments: { directory in
                let certificates = try await Certificates(in: directory)
                try directory.write("trust/ca.crt", try directory.read("ca.crt"))
                var users = ""
                for name in ["ci", "reader"] {
                    let line = try await runCommand(["htpasswd", "-nbB", name, "\(name)-password"])
                    try #require(line.status == 0, "\(line.errorText)")
                    users += line.text.split(separator: "\n").first.map { "\($0)\n" } ?? ""
                }
                return [
                    "--certificate", certificates.serverCertificateFile, "--key", certificates.serverKeyFile,
                    "--users", try directory.write("users", users), "--writer", "ci",
                ] + (isOpen ? ["--anonymous-pull"] : [])
            }, body)
    }

    /// Logs in, pushes and pulls over TLS. Where anyone may pull, who can log in must find out without being refused.
    @Test(arguments: [false, true]) func skopeoWithUsersOverTLS(isOpen: Bool) async throws {
        try await withUsers(isOpen: isOpen) { server in
            let trust = server.directory.file("trust")
            let image = "docker://\(server.authority)/team/nginx:1"
            func skopeo(_ arguments: String...) async throws -> CommandResult {
                try await runCommand(
                    ["skopeo", "--insecure-policy"] + arguments,
                    environment: Executable.environment(home: server.directory.path), directory: server.directory.path)
            }
            let source = "oci:\(try Self.images())/nginx"
            func push(_ options: String...) async throws -> CommandResult {
                try await runCommand(
                    ["skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests"] + options + [source, image],
                    environment: Executable.environment(home: server.directory.path), directory: server.directory.path)
            }
            // An authority that nobody trusts; nobody; a wrong password; one who may not push.
            #expect(try await push("--dest-creds", "ci:ci-password").errorText.contains("x509"))
            #expect(try await push("--dest-cert-dir", trust).status != 0)
            #expect(try await push("--dest-cert-dir", trust, "--dest-creds", "ci:wrong").status != 0)
            let denied = try await push("--dest-cert-dir", trust, "--dest-creds", "reader:reader-password")
            #expect(denied.status != 0 && denied.errorText.contains("denied"), "\(denied.errorText)")
            let pushed = try await push("--dest-cert-dir", trust, "--dest-creds", "ci:ci-password")
            #expect(pushed.status == 0, "\(pushed.errorText)")
            let read = try await skopeo(
                "inspect", "--raw", "--cert-dir", trust, "--creds", "reader:reader-password", image)
            #expect(try Digest(of: read.output) == digest(of: "nginx"))
            let open = try await skopeo("inspect", "--raw", "--cert-dir", trust, "--no-creds", image)
            #expect((open.status == 0) == isOpen, "\(open.errorText)")
            // Of logging in, as people do it: a wrong password is told at once.
            let auth = server.directory.file("auth.json")
            for (password, isRight) in [("wrong", false), ("ci-password", true)] {
                let login = try await skopeo(
                    "login", "--authfile", auth, "--cert-dir", trust, "--username", "ci", "--password", password,
                    server.authority)
                #expect((login.status == 0) == isRight, "\(login.errorText)")
            }
            let loggedIn = try await push("--dest-cert-dir", trust, "--dest-authfile", auth)
            #expect(loggedIn.status == 0, "\(loggedIn.errorText)")
        }
    }

    @Test(
        .enabled(if: geteuid() == 0, "podman unpacks images as root only, where users have no ids of their own"),
        arguments: [false, true])
    func podmanWithUsersOverTLS(isOpen: Bool) async throws {
        try await withUsers(isOpen: isOpen) { server in
            try server.directory.write(".docker/config.json", "{}")
            let own = [
                "--root", server.directory.file("podman"), "--runroot", server.directory.file("podman-run"),
                "--storage-driver", "vfs",
            ]
            let trust = server.directory.file("trust")
            let auth = server.directory.file("podman-auth.json")
            func podman(_ isRight: Bool = true, _ arguments: String...) async throws {
                let result = try await runCommand(
                    ["podman"] + own + arguments, environment: Executable.environment(home: server.directory.path),
                    directory: server.directory.path)
                #expect(
                    (result.status == 0) == isRight, "podman \(arguments.joined(separator: " ")): \(result.errorText)")
            }
            let seeded = "\(server.authority)/seed/redis:1"
            let image = "\(server.authority)/team/redis:1"
            try await run(
                "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-cert-dir", trust, "--dest-creds",
                "ci:ci-password", "oci:\(try Self.images())/redis", "docker://\(seeded)", in: server)
            for (password, isRight) in [("wrong", false), ("ci-password", true)] {
                try await podman(
                    isRight, "login", "--authfile", auth, "--cert-dir", trust, "--username", "ci", "--password",
                    password, server.authority)
            }
            try await podman(true, "pull", "--authfile", auth, "--cert-dir", trust, seeded)
            try await podman(true, "tag", seeded, image)
            try await podman(false, "push", "--cert-dir", trust, image)
            try await podman(true, "push", "--authfile", auth, "--cert-dir", trust, image)
            try await podman(true, "rmi", "--all", "--force")
            try await podman(isOpen, "pull", "--cert-dir", trust, image)
            try await podman(true, "pull", "--authfile", auth, "--cert-dir", trust, image)
        }
    }
}
