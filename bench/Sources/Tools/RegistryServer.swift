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
    let port: Int
    let namespace: Namespace?
    private let directory: String
    private let child: Child
    /// `HOST:PORT` of its metrics; `nil` where it does not count.
    private let metrics: String?

    /// Starts the registry and waits until it accepts connections.
    ///
    /// - Parameters:
    ///   - program: whose registry it is
    ///   - storage: its root directory; a registry that is stopped leaves it as it is
    ///   - address: where it listens
    ///   - namespace: the network it listens in
    ///   - isReadOnly: whether pushes are refused
    ///   - isCounting: whether it counts requests (distribution only)
    ///   - log: a file for a JSON line for each response; it costs the registry some time
    /// - Throws: `BenchError` where it is not installed or does not start
    init(
        _ program: Program = .distribution, storage: String, address: String = "127.0.0.1",
        in namespace: Namespace? = nil, isReadOnly: Bool,
        isCounting: Bool = false, log: String? = nil
    ) throws {
        directory = try Scratch.directory("registry")
        self.namespace = namespace
        let ports = try Self.freePorts(address, namespace)
        port = ports.0
        authority = "\(address):\(ports.0)"
        let command: Command
        switch program {
        case .distribution:
            metrics = isCounting ? "\(address):\(ports.1)" : nil
            try Self.writeConfiguration(
                "\(directory)/config.yml", storage, authority, isReadOnly, metrics, isLogging: log != nil)
            command = Command(["docker-registry", "serve", "\(directory)/config.yml"])
        case .rollcall(let agent):
            metrics = nil
            command = Command(
                [agent, "registry", "serve", "--layout", storage, "--listen", authority]
                    + (isReadOnly ? [] : ["--anonymous-push"]))
        }
        child = try Child(
            command, in: namespace, output: "\(directory)/output", errors: log ?? "\(directory)/errors")
        for attempt in 1... {
            let probe = try namespace.map { try $0.enter { try Socket(SOCK_STREAM) } } ?? Socket(SOCK_STREAM)
            if (try? probe.connect(address, port: UInt16(ports.0))) != nil { break }
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

    /// What it has answered so far; nothing where it does not count.
    var counters: RegistryCounters {
        guard let metrics else { return RegistryCounters() }
        let page = try? Command(["curl", "--disable", "-fsS", "http://\(metrics)/metrics"]).run(in: namespace)
        return RegistryCounters(String(decoding: page ?? [], as: UTF8.self))
    }

    /// CPU seconds it has used so far.
    var cpu: Double { child.cpu }

    /// The largest resident memory that it has had so far, in bytes.
    var peakMemory: Int { child.peakMemory }

    private static func writeConfiguration(
        _ path: String, _ storage: String, _ authority: String, _ isReadOnly: Bool, _ metrics: String?,
        isLogging: Bool
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
            \(metrics.map { "  debug: {addr: '\($0)', prometheus: {enabled: true, path: /metrics}}" } ?? "")

            """, to: path)
    }

    /// Two ports that are free now, both held until both are known.
    private static func freePorts(_ address: String, _ namespace: Namespace?) throws -> (Int, Int) {
        func find() throws -> (Int, Int) {
            let sockets = (try Socket(SOCK_STREAM, bound: address), try Socket(SOCK_STREAM, bound: address))
            return (sockets.0.port, sockets.1.port)
        }
        return try namespace.map { try $0.enter(find) } ?? find()
    }
}
