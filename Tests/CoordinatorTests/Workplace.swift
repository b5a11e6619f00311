import FoundationEssentials
import Glibc
import OCI
import ObjectStore
import Readiness
import Synchronization
import TestSupport
@testable import Trust

/// A directory with a fleet file and an object store, in which `rollcall` runs as a process, as its users run it.
struct Workplace: Sendable {
    /// The executable beside the tests' own.
    static let executable: String = {
        let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return own.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/rollcall"
    }()

    let directory: TemporaryDirectory
    let central: CentralStore
    let lab: EnvironmentName

    static func with(_ body: (Workplace) async throws -> Void) async throws {
        try await withTemporaryDirectory("coordinator") { directory in
            try directory.write("store/.keep", "")
            try directory.write(
                "fleet.yaml",
                """
                objectStore:
                  url: file://\(directory.file("store"))
                environments:
                  - name: lab
                    sites:
                      - name: lab-1
                        registry: https://registry.lab-1.example
                        publicKey: "\(key(of: "lab-1").publicKey)"
                      - name: lab-2
                        registry: https://registry.lab-2.example
                        publicKey: "\(key(of: "lab-2").publicKey)"
                  - name: production
                    sites:
                      - name: prod-1
                        registry: https://registry.prod-1.example
                        publicKey: "\(key(of: "prod-1").publicKey)"

                """)
            let location = try ObjectStoreLocation("file://\(directory.file("store"))")
            try await body(
                Workplace(directory: directory, central: CentralStore(try location.open()), lab: EnvironmentName("lab"))
            )
        }
    }

    /// Runs `rollcall` to its end, with nothing of the machine's own settings.
    func run(_ arguments: String...) async throws -> CommandResult { try await run(arguments) }

    /// Runs `rollcall` to its end, with nothing of the machine's own settings.
    func run(_ arguments: [String], environment: [String: String] = [:]) async throws -> CommandResult {
        try await runCommand(
            [Self.executable] + arguments,
            environment: [
                "HOME": directory.path, "XDG_RUNTIME_DIR": directory.path, "XDG_CONFIG_HOME": directory.file("config"),
                "DOCKER_CONFIG": directory.file("docker"), "REGISTRY_AUTH_FILE": "", "ROLLCALL_FLEET": "",
                "http_proxy": "", "https_proxy": "", "no_proxy": "*",
            ].merging(environment) { $1 }, directory: directory.path)
    }

    /// Writes a list of one image to a file.
    @discardableResult
    func write(_ list: ImageList, to file: String = "list.json") throws -> ImageList {
        try directory.write(file, list.documentBytes)
        return list
    }

    /// The key of a site of this name.
    static func key(of site: String) throws -> PrivateKey {
        try PrivateKey(secret: Array(Digest(of: Array(site.utf8)).hex.utf8.prefix(32)))
    }

    /// What counts up over all manifests that tests publish.
    private static let sequence = Atomic<Int64>(0)

    /// What the site's agent would publish now.
    func prove(_ list: ImageList, missing: [ClosureEntry] = [], at site: String) async throws {
        try await prove([list], missing: missing, at: site)
    }

    /// What the site's agent would publish now, of several lists or generations.
    func prove(
        _ lists: [ImageList], missing: [ClosureEntry] = [], at site: String, in central: CentralStore? = nil
    ) async throws {
        let now = Timestamp(seconds: Int64(time(nil)))
        try await (central ?? self.central).publish(
            CacheManifest(
                environment: lab, site: SiteName(site),
                sequence: Self.sequence.add(1, ordering: .relaxed).newValue, issuedAt: now,
                expiresAt: now.advanced(by: .seconds(3600)), agentVersion: "test",
                holdings: lists.map {
                    CacheManifest.Holding(of: $0, missing: missing, verifiedAt: now, depth: .presence)
                }), signedBy: Self.key(of: site))
    }

    static func list(_ name: String = "platform", tag: String = "1", layers: Int = 1) throws -> ImageList {
        let repository = try Repository("platform/api")
        let manifest = ClosureEntry(
            repository: repository, digest: Digest(of: Array("manifest \(tag)".utf8)), size: 500, kind: .manifest,
            mediaType: .ociManifest)
        let blobs = (0..<layers).map {
            ClosureEntry(
                repository: repository, digest: Digest(of: Array("layer \($0)".utf8)), size: 2048, kind: .blob,
                mediaType: MediaType("application/vnd.oci.image.layer.v1.tar+gzip"))
        }
        return try ImageList(
            name: ListName(name), source: "https://registry.central.example",
            images: [
                .init(
                    repository: repository, tag: Tag(tag), digest: manifest.digest, mediaType: manifest.mediaType,
                    size: manifest.size)
            ], closure: Closure([manifest] + blobs))
    }
}
