import Glibc

/// Where a registry answers.
struct Endpoint {
    /// `HOST:PORT`.
    let authority: String
    /// The network it is in; the benchmark's own unless said.
    var namespace: Namespace?
}

/// A registry over a directory, in a network of its own or on loopback.
final class RegistryServer {
    /// Whose registry it is.
    enum Program {
        /// Debian's `docker-registry` (distribution 2.8).
        case distribution
        /// `rollcall-agent registry`, the executable at this path.
        case rollcall(String)
    }

    let endpoint: Endpoint
    let port: Int
    private let directory: String
    private let child: Child
    /// `HOST:PORT` of its metrics; `nil` where it does not count.
    private let metrics: String?

    /// `HOST:PORT`.
    var authority: String { endpoint.authority }
    var namespace: Namespace? { endpoint.namespace }

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
        // Bound until the server listens there, so that nobody else is given these ports meanwhile: it may have them all
        // the same, since both sides say SO_REUSEADDR and these never listen.
        let sockets = try Self.enter(namespace) {
            (try Socket(SOCK_STREAM, bound: address), try Socket(SOCK_STREAM, bound: address))
        }
        port = sockets.0.port
        let authority = "\(address):\(port)"
        endpoint = Endpoint(authority: authority, namespace: namespace)
        let command: Command
        switch program {
        case .distribution:
            metrics = isCounting ? "\(address):\(sockets.1.port)" : nil
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
        try withExtendedLifetime(sockets) { try awaitListening(command, on: address) }
    }

    private func awaitListening(_ command: Command, on address: String) throws {
        for attempt in 1... {
            let probe = try Self.enter(namespace) { try Socket(SOCK_STREAM) }
            let isOpen = (try? probe.connect(address, port: UInt16(clamping: port))) != nil
            guard attempt < 12_000, !child.hasEnded else {
                throw BenchError(
                    .command,
                    "\(command.text) does not listen on \(authority): \(Scratch.tail(of: "\(directory)/errors"))"
                )
            }
            if isOpen { return }
            pause(milliseconds: 10)
        }
    }

    /// Ends it; what it has stored stays.
    func stop() { _ = child.end(SIGKILL) }

    deinit {
        stop()
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

    /// Runs `body` in a namespace, or where the benchmark is.
    private static func enter<Result>(_ namespace: Namespace?, _ body: () throws -> Result) throws -> Result {
        guard let namespace else { return try body() }
        return try namespace.enter(body)
    }
}
