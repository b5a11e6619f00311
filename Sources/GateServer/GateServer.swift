import Glibc
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
public import ServiceLifecycle
public import Serving

/// Answers pipelines over HTTP, whether a list is ready in an environment, and shows people the board.
///
/// | path | answer |
/// |---|---|
/// | `GET /v1/gate/ENV/LIST` | 200 ready, 409 blocked, 503 not known; `?of=promoted`, `?generation=sha256:…` |
/// | `GET /v1/status` | every environment and list |
/// | `GET /`, `/environments/…`, `/audit`, `/waivers` | the board: HTML for people |
/// | `GET /metrics` | Prometheus text |
/// | `GET /healthz` | 200 while the process serves; says nothing of any gate |
///
/// No answer is kept. Each is decided on a read of the object store that began after the request had arrived; requests
/// that wait for the same question share one.
public struct GateServer: Service {
    /// What the server is started with. Every bound holds for the whole process.
    public struct Configuration: Sendable {
        /// The address to listen at.
        public var host = "127.0.0.1"
        /// The port to listen at; 0 takes a free one.
        public var port = 8480
        /// Where bearer tokens are read; `nil` answers everybody.
        public var tokens: TokenFile?
        /// Certificate and key; `nil` speaks plain HTTP.
        public var certificate: CertificateFiles?
        /// The most connections at once, each with one request at a time; others wait in the kernel's queue.
        public var maximumConnections = 256
        /// How long a request waits for its read before the answer is that nothing is known.
        public var patience = Duration.seconds(30)
        /// How long `/metrics` waits for it before it says that the object store is out of reach: less than the 10 seconds
        /// after which Prometheus gives up unless told otherwise, and would learn nothing.
        public var scrapePatience = Duration.seconds(5)
        /// How long a connection may be idle.
        public var idleTimeout = Duration.seconds(60)

        /// Plain HTTP on the loopback interface, for everybody there.
        public init() {}
    }

    private let configuration: Configuration
    private let logger: Logger
    private let routes: GateRoutes

    /// - Parameters:
    ///   - gate: who decides
    ///   - version: the product's version, for the metrics
    ///   - configuration: what the server is started with
    ///   - logger: where its log goes
    public init(_ gate: any ReadinessGate, version: String, configuration: Configuration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
        routes = GateRoutes(
            gate: gate, tokens: configuration.tokens, patience: configuration.patience,
            scrapePatience: min(configuration.patience, configuration.scrapePatience), version: version, logger: logger)
    }

    /// Serves until a graceful shutdown.
    public func run() async throws { try await run(onListening: { _ in }) }

    /// Serves until a graceful shutdown; requests that are under way then are answered.
    ///
    /// - Parameter onListening: called once with the port that it listens at
    /// - Throws: `GateServerError.cannotListen`
    public func run(onListening: @escaping @Sendable (Int) -> Void = { _ in }) async throws {
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                idleTimeout: .nanoseconds(Int64(configuration.idleTimeout / .nanoseconds(1))),
                // A name, a digest and a token fit many times over.
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 8 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
        let logger = logger
        let application = Application(
            router: routes.router(),
            server: try configuration.certificate.map { try .tls(http, tlsConfiguration: $0.tlsConfiguration()) }
                ?? http,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: .maximum(configuration.maximumConnections, logger: Self.silent)),
            onServerRunning: { channel in
                let address = channel.localAddress
                logger.info("listening", metadata: ["address": "\(address?.authority ?? "unknown")"])
                onListening(address?.port ?? 0)
            },
            // Its own lines are about its parts; what concerns operators is said here.
            logger: Self.silent)
        do {
            try await application.run()
        } catch let error as IOError {
            throw GateServerError(
                .cannotListen,
                "cannot listen at \(configuration.host):\(configuration.port):"
                    + " \(String(cString: strerror(error.errnoCode))): choose another address or port"
                    + " with --listen")
        }
    }

    private static var silent: Logger { Logger(label: "rollcall.serve", factory: { _ in SwiftLogNoOpLogHandler() }) }
}

/// What keeps the server from starting.
public struct GateServerError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind { case tokens, listen }
        private let kind: Kind

        /// The file of bearer tokens cannot be read, or has none.
        public static let unusableTokens = Code(kind: .tokens)
        /// The address cannot be listened at.
        public static let cannotListen = Code(kind: .listen)
    }

    /// What happened.
    public let code: Code
    /// What happened in words, where, and what to do.
    public let message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}
