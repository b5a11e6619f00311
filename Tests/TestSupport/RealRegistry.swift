import FoundationEssentials
import Glibc
public import OCI

/// Debian's `docker-registry` (distribution) on a free port of 127.0.0.1, with filesystem storage and deletion enabled.
public final class RealRegistry: Sendable {
    /// What the registry is started with.
    public struct Configuration: Sendable {
        /// A user and a password for basic authentication.
        public var user: (name: String, password: String)?
        /// A certificate and key for TLS; plain HTTP without.
        public var certificates: Certificates?
        /// Whether a client must show a certificate of the same authority.
        public var demandsClientCertificate = false
        /// Whether pushes are refused (405).
        public var isReadOnly = false
        /// The URL of a registry that it is a pull-through cache of.
        public var remote: String?
        /// Whether it keeps descriptors of blobs in memory, as Debian's default configuration has it: it then goes on to say
        /// that it has what was removed behind its back.
        public var cachesDescriptors = false

        /// Anonymous, plain HTTP, writable.
        public init() {}
    }

    /// The port it listens on; the same after `restart`.
    public let port: Int
    /// `http://127.0.0.1:PORT` or `https://127.0.0.1:PORT`.
    public let origin: String
    /// `127.0.0.1:PORT`.
    public var authority: String { "127.0.0.1:\(port)" }
    /// The storage's root directory.
    public let storagePath: String

    private let directory: TemporaryDirectory
    private let process: Monitor<ChildProcess>

    /// Starts the registry and waits until it listens, two minutes at most: a machine may be busy.
    ///
    /// - Throws: `TestSupportError` where `docker-registry` is missing or does not start
    public init(_ configuration: Configuration = Configuration()) async throws {
        directory = try TemporaryDirectory("registry")
        storagePath = directory.file("storage")
        do {
            try await Self.writeConfiguration(configuration, to: directory)
            // One that nobody else takes while it restarts.
            let free = try Socket.freePorts(1)
            let (process, port) = try await Self.launch(directory, port: free[0])
            self.port = port
            self.process = Monitor(process)
            origin = "\(configuration.certificates == nil ? "http" : "https")://127.0.0.1:\(port)"
        } catch {
            directory.remove()
            throw error
        }
    }

    /// Stops the process and starts it again on the same port and storage.
    ///
    /// - Parameters:
    ///   - crashing: whether it is killed; it may end in order unless said
    ///   - whileDown: what happens while nothing listens
    public func restart(crashing: Bool = false, whileDown: () async throws -> Void = {}) async throws {
        await end(crashing ? SIGKILL : SIGTERM)
        try await whileDown()
        let (restarted, _) = try await Self.launch(directory, port: port)
        process.update { $0 = restarted }
    }

    /// Stops the process and removes its files. Idempotent.
    public func stop() async {
        await end(SIGKILL)
        directory.remove()
    }

    /// What the registry has logged.
    public var log: String {
        String(decoding: (try? beginning(of: directory.file("log"))) ?? [], as: UTF8.self)
    }

    /// The file that holds a blob's or a manifest's bytes.
    public func contentPath(_ digest: Digest) -> String {
        "\(storagePath)/docker/registry/v2/blobs/\(digest.algorithm.rawValue)/\(digest.hex.prefix(2))/\(digest.hex)/data"
    }

    /// The file that links a blob into a repository.
    public func linkPath(_ digest: Digest, in repository: Repository) -> String {
        "\(storagePath)/docker/registry/v2/repositories/\(repository)/_layers/\(digest.algorithm.rawValue)/"
            + "\(digest.hex)/link"
    }

    /// Removes a content's bytes behind the registry's back.
    public func removeContent(_ digest: Digest) throws {
        try FileManager.default.removeItem(atPath: contentPath(digest))
    }

    /// Replaces a content's bytes behind the registry's back.
    public func replaceContent(_ digest: Digest, with bytes: [UInt8]) throws {
        try Data(bytes).write(to: URL(filePath: contentPath(digest)))
    }

    private func end(_ signal: Int32) async {
        let process = process.current
        process.signal(signal)
        _ = await process.ended()
    }

    private static func writeConfiguration(_ configuration: Configuration, to directory: TemporaryDirectory)
        async throws
    {
        var lines = [
            "version: 0.1",
            "log: {level: info, accesslog: {disabled: true}}",
            "storage:",
            "  filesystem: {rootdirectory: '\(directory.file("storage"))'}",
            "  delete: {enabled: true}",
            configuration.cachesDescriptors ? "  cache: {blobdescriptor: inmemory}" : "",
            "  maintenance:",
            "    uploadpurging: {enabled: false}",
            "    readonly: {enabled: \(configuration.isReadOnly)}",
            "http:",
            "  addr: 127.0.0.1:PORT",
            // Fixed, so that upload sessions outlive a restart.
            "  secret: for-tests-only",
        ]
        if let certificates = configuration.certificates {
            lines += [
                "  tls:", "    certificate: \(certificates.serverCertificateFile)",
                "    key: \(certificates.serverKeyFile)",
            ]
            if configuration.demandsClientCertificate { lines += ["    clientcas: ['\(certificates.caFile)']"] }
        }
        if let user = configuration.user {
            // The password goes through standard input, not through the process's arguments.
            let result = try await runCommand(
                ["htpasswd", "-Bni", user.name], input: Array("\(user.password)\n".utf8))
            guard result.status == 0 else { throw TestSupportError("htpasswd: \(result.errorText)") }
            try directory.write("htpasswd", result.output)
            lines += ["auth:", "  htpasswd: {realm: registry, path: '\(directory.file("htpasswd"))'}"]
        }
        if let remote = configuration.remote { lines += ["proxy:", "  remoteurl: \(remote)"] }
        try directory.write("config.template", lines.joined(separator: "\n") + "\n")
    }

    private static func launch(_ directory: TemporaryDirectory, port: Int) async throws -> (ChildProcess, Int) {
        guard access("/usr/bin/docker-registry", X_OK) == 0 else {
            throw TestSupportError(
                "/usr/bin/docker-registry is missing: run scripts/test, which installs it, or install docker-registry")
        }
        let template = String(decoding: try directory.read("config.template"), as: UTF8.self)
        try directory.write("config.yml", template.replacing("127.0.0.1:PORT", with: "127.0.0.1:\(port)"))
        let log = directory.file("log")
        unlink(log)
        let process = try ChildProcess(
            ["/usr/bin/docker-registry", "serve", directory.file("config.yml")],
            // The exporter's and the mirror's variables of the surroundings must not change the configuration.
            environment: ["OTEL_TRACES_EXPORTER": "none"], output: log, errors: log)
        for _ in 0..<12_000 {
            let text = String(decoding: (try? beginning(of: log)) ?? [], as: UTF8.self)
            // It tells the port once the socket listens, so connections made from here on are accepted.
            if let range = text.firstRange(of: "listening on 127.0.0.1:"),
                let port = Int(text[range.upperBound...].prefix { $0.isNumber })
            {
                return (process, port)
            }
            guard process.isRunning else { throw TestSupportError("docker-registry ended at once:\n\(text)") }
            try await Task.sleep(for: .milliseconds(10))
        }
        process.signal(SIGKILL)
        throw TestSupportError("docker-registry does not listen after two minutes: see \(log)")
    }
}

/// Runs a registry process for as long as `body` runs.
public func withRealRegistry<Result>(
    _ configuration: RealRegistry.Configuration = .init(), _ body: (RealRegistry) async throws -> Result
) async throws -> Result {
    let registry = try await RealRegistry(configuration)
    do {
        let result = try await body(registry)
        await registry.stop()
        return result
    } catch {
        await registry.stop()
        throw error
    }
}
