import Glibc

/// A registry over a directory, in a network of its own or on loopback.
final class RegistryServer {
    /// Whose registry it is.
    enum Program {
        /// Debian's `docker-registry` (distribution 2.8).
        case distribution
        /// `rollcall-agent registry`, the executable at this path.
        case rollcall(String)
    }

    /// `HOST:PORT`.
    let authority: String
    let namespace: Namespace?
    private let directory: String
    private let child: Child

    /// Starts the registry and waits until it accepts connections.
    ///
    /// - Parameters:
    ///   - program: whose registry it is
    ///   - storage: its root directory; a registry that is stopped leaves it as it is
    ///   - address: where it listens
    ///   - namespace: the network it listens in
    ///   - isReadOnly: whether pushes are refused
    ///   - log: a file for a JSON line for each response; it costs the registry some time
    /// - Throws: `BenchError` where it is not installed or does not start
    init(
        _ program: Program = .distribution, storage: String, address: String = "127.0.0.1",
        in namespace: Namespace? = nil, isReadOnly: Bool,
        log: String? = nil
    ) throws {
        directory = try Scratch.directory("registry")
        self.namespace = namespace
        let port = try Self.freePort(address, namespace)
        authority = "\(address):\(port)"
        let command: Command
        switch program {
        case .distribution:
            try Self.writeConfiguration(
                "\(directory)/config.yml", storage, authority, isReadOnly, isLogging: log != nil)
            command = Command(["docker-registry", "serve", "\(directory)/config.yml"])
        case .rollcall(let agent):
            command = Command(
                [agent, "registry", "serve", "--layout", storage, "--listen", authority]
                    + (isReadOnly ? [] : ["--anonymous-push"]))
        }
        child = try Child(
            command, in: namespace, output: "\(directory)/output", errors: log ?? "\(directory)/errors")
        for attempt in 1... {
            let probe = try namespace.map { try $0.enter { try Socket(SOCK_STREAM) } } ?? Socket(SOCK_STREAM)
            if (try? probe.connect(address, port: UInt16(port))) != nil { break }
            guard attempt < 1000, child.isRunning(at: 0) else {
                throw BenchError(
                    .command,
                    "\(command.text) does not listen on \(authority): \(Scratch.tail(of: "\(directory)/errors"))"
                )
            }
            pause(milliseconds: 10)
        }
    }

    deinit {
        _ = child.end(SIGKILL)
        Scratch.remove(directory)
    }

    /// CPU seconds it has used so far.
    var cpu: Double { child.cpu }

    /// The largest resident memory that it has had so far, in bytes.
    var peakMemory: Int { child.peakMemory }

    private static func writeConfiguration(
        _ path: String, _ storage: String, _ authority: String, _ isReadOnly: Bool, isLogging: Bool
    ) throws {
        try Scratch.write(
            """
            version: 0.1
            log: {level: \(isLogging ? "info" : "error"), formatter: json, accesslog: {disabled: true}}
            storage:
              filesystem: {rootdirectory: '\(storage)'}
              cache: {blobdescriptor: inmemory}
              maintenance:
                uploadpurging: {enabled: false}
                readonly: {enabled: \(isReadOnly)}
            http:
              addr: \(authority)
              secret: for-benchmarks-only

            """, to: path)
    }

    private static func freePort(_ address: String, _ namespace: Namespace?) throws -> Int {
        func find() throws -> Int { try Socket(SOCK_STREAM, bound: address).port }
        return try namespace.map { try $0.enter(find) } ?? find()
    }
}
