import Glibc

/// Debian's `docker-registry` (distribution 2.8) over a directory, in a network of its own or on loopback.
final class RegistryServer {
    /// `HOST:PORT`.
    let authority: String
    let namespace: Namespace?
    private let directory: String
    private let child: Child

    /// Starts the registry and waits until it accepts connections.
    ///
    /// - Parameters:
    ///   - storage: its root directory; a registry that is stopped leaves it as it is
    ///   - address: where it listens
    ///   - namespace: the network it listens in
    ///   - isReadOnly: whether pushes are refused
    ///   - log: a file for a JSON line for each response; it costs the registry some time
    /// - Throws: `BenchError` where it is not installed or does not start
    init(
        storage: String, address: String = "127.0.0.1", in namespace: Namespace? = nil, isReadOnly: Bool,
        log: String? = nil
    ) throws {
        directory = try Scratch.directory("registry")
        self.namespace = namespace
        let port = try Self.freePort(address, namespace)
        authority = "\(address):\(port)"
        try Scratch.write(
            """
            version: 0.1
            log: {level: \(log == nil ? "error" : "info"), formatter: json, accesslog: {disabled: true}}
            storage:
              filesystem: {rootdirectory: '\(storage)'}
              cache: {blobdescriptor: inmemory}
              maintenance:
                uploadpurging: {enabled: false}
                readonly: {enabled: \(isReadOnly)}
            http:
              addr: \(authority)
              secret: for-benchmarks-only

            """, to: "\(directory)/config.yml")
        child = try Child(
            Command(["docker-registry", "serve", "\(directory)/config.yml"]), in: namespace,
            output: "\(directory)/output", errors: log ?? "\(directory)/errors")
        for attempt in 1... {
            let probe = try namespace.map { try $0.enter { try Socket(SOCK_STREAM) } } ?? Socket(SOCK_STREAM)
            if (try? probe.connect(address, port: UInt16(port))) != nil { break }
            guard attempt < 1000, child.isRunning(at: 0) else {
                throw BenchError(
                    .command, "docker-registry does not listen on \(authority): \(Scratch.tail(of: "\(directory)/log"))"
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

    private static func freePort(_ address: String, _ namespace: Namespace?) throws -> Int {
        func find() throws -> Int { try Socket(SOCK_STREAM, bound: address).port }
        return try namespace.map { try $0.enter(find) } ?? find()
    }
}
