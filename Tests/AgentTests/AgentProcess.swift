import FoundationEssentials
import Glibc
import OCI
import ObjectStore
import Readiness
import TestSupport
import Trust

/// `rollcall-agent` as a process, as its users run it.
enum AgentProcess {
    /// The executable beside the tests' own.
    static let path: String = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return own.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/rollcall-agent"
    }()

    /// Runs a command to its end, with a home directory of its own.
    static func run(_ arguments: String..., in directory: TemporaryDirectory) async throws -> CommandResult {
        try await runCommand([path] + arguments, environment: environment(directory), directory: directory.path)
    }

    /// Nothing of the machine's own settings: no credentials, no proxies, no caches.
    static func environment(_ directory: TemporaryDirectory) -> [String: String] {
        [
            "HOME": directory.path, "XDG_RUNTIME_DIR": directory.path, "XDG_CACHE_HOME": directory.file("cache"),
            "XDG_CONFIG_HOME": directory.file("config"), "DOCKER_CONFIG": directory.file("docker"),
            "REGISTRY_AUTH_FILE": "", "http_proxy": "", "https_proxy": "", "no_proxy": "*",
        ]
    }
}

/// A site with a scripted central registry, a real regional one, an object store and an agent's file.
struct RealSite: Sendable {
    let directory: TemporaryDirectory
    let source: ScriptedRegistry
    let destination: RealRegistry
    let image = TestImage(seed: 7, layers: [1000, 3_000_000])
    let list: ImageList
    let site: SiteFixture
    /// The agent's file.
    let config = "agent.yaml"

    /// Stages one image to a site that has nothing.
    static func with(_ body: (RealSite) async throws -> Void) async throws {
        try await withScriptedRegistry { source in
            try await withRealRegistry { destination in
                let site = try await RealSite(source, destination)
                defer { site.directory.remove() }
                try await body(site)
            }
        }
    }

    private init(_ source: ScriptedRegistry, _ destination: RealRegistry) async throws {
        self.source = source
        self.destination = destination
        source.store(image, in: "platform/api", tag: "1")
        let repository = try Repository("platform/api")
        let root = ClosureEntry(
            repository: repository, digest: image.descriptor.digest, size: image.descriptor.size, kind: .manifest,
            mediaType: image.descriptor.mediaType)
        let blobs = image.blobs.map { blob in
            ClosureEntry(
                repository: repository, digest: blob.descriptor.digest, size: blob.descriptor.size, kind: .blob,
                mediaType: blob.descriptor.mediaType)
        }
        list = try ImageList(
            name: ListName("web"), source: source.origin,
            images: [
                .init(
                    repository: repository, tag: Tag("1"), digest: root.digest, mediaType: root.mediaType,
                    size: root.size)
            ], closure: Closure([root] + blobs))
        site = try SiteFixture(registry: destination.origin)
        directory = site.directory
        try await site.stage(list)
        try site.key.write(to: directory.file("site.key"))
        try directory.write(
            config,
            """
            site: lab-1
            environment: lab
            sources:
              - url: \(source.origin)
            registry:
              url: \(destination.origin)
            objectStore:
              url: \(site.fleet.objectStore)
            state: state
            signingKey: site.key
            interval: 1s

            """)
    }

    func verdict() async throws -> Verdict {
        // The agent's process has the real time.
        try await site.central.check(
            list.name, in: site.environment, of: site.fleet,
            act: Act(by: "test@host", at: Timestamp(seconds: Int64(time(nil)))))
    }

    func run(_ command: String, _ arguments: String...) async throws -> CommandResult {
        try await runCommand(
            [AgentProcess.path, command, "--config", config] + arguments,
            environment: AgentProcess.environment(directory), directory: directory.path)
    }
}
