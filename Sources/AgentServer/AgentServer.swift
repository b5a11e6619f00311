import Glibc
import HTTPTypes
import Hummingbird
import HummingbirdCore
import HummingbirdTLS
public import Logging
import NIOCore
public import ServiceLifecycle
public import Serving
import Telemetry

/// Tells over HTTP how the agent is.
///
/// | path | answer |
/// |---|---|
/// | `GET /healthz` | 200 while the loop lives, 503 with the reason otherwise |
/// | `GET /readyz` | 200 while the agent does its work, 503 with the reasons otherwise |
/// | `GET /status` | what it knows, as JSON |
/// | `GET /metrics` | Prometheus text |
///
/// Nothing can be changed here, and nothing that is answered is secret.
public struct AgentServer: Service {
    /// What the server is started with.
    public struct Configuration: Sendable {
        /// The address to listen at.
        public var host: String
        /// The port to listen at; 0 takes a free one.
        public var port: Int
        /// Certificate and key; `nil` speaks plain HTTP.
        public var certificate: CertificateFiles?
        /// The most connections at once; others wait in the kernel's queue.
        public var maximumConnections = 64
        /// How long a connection may be idle.
        public var idleTimeout = Duration.seconds(60)

        /// - Parameters:
        ///   - host: the address to listen at
        ///   - port: the port to listen at
        ///   - certificate: certificate and key
        public init(host: String, port: Int, certificate: CertificateFiles? = nil) {
            self.host = host
            self.port = port
            self.certificate = certificate
        }
    }

    private let answers: any AgentAnswers
    private let configuration: Configuration
    private let logger: Logger
    private let onListening: @Sendable (Int) -> Void

    /// - Parameters:
    ///   - answers: who knows how the agent is
    ///   - configuration: what the server is started with
    ///   - logger: where it says that it listens
    ///   - onListening: called once with the port that it listens at
    public init(
        _ answers: any AgentAnswers, configuration: Configuration, logger: Logger,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.answers = answers
        self.configuration = configuration
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until a graceful shutdown.
    ///
    /// - Throws: `AgentServerError.cannotListen`
    public func run() async throws {
        let http = HTTPServerBuilder.http1(
            configuration: .init(
                idleTimeout: .nanoseconds(Int64(configuration.idleTimeout / .nanoseconds(1))),
                httpDecoderConfiguration: .init(
                    maxHeaderFieldSize: 8 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)))
        let application = Application(
            router: router(),
            server: try configuration.certificate.map { try .tls(http, tlsConfiguration: $0.tlsConfiguration()) }
                ?? http,
            configuration: ApplicationConfiguration(
                address: .hostname(configuration.host, port: configuration.port),
                availableConnectionsDelegate: .maximum(configuration.maximumConnections, logger: Self.silent)),
            onServerRunning: { [logger, onListening] channel in
                let address = channel.localAddress
                logger.info(
                    "status and metrics are served", metadata: ["address": "\(address?.authority ?? "unknown")"])
                onListening(address?.port ?? 0)
            },
            // Its own lines are about its parts; what concerns operators is said here.
            logger: Self.silent)
        do {
            try await application.run()
        } catch let error as IOError {
            throw AgentServerError(
                .cannotListen,
                "cannot listen at \(configuration.host):\(configuration.port):"
                    + " \(String(cString: strerror(error.errnoCode))): choose another address or port"
                    + " as 'http.listen'")
        }
    }

    private func router() -> Router<BasicRequestContext> {
        // Probes and load balancers ask with HEAD.
        let router = Router(options: .autoGenerateHeadEndpoints)
        let answers = answers
        router.get("healthz") { _, _ in Self.response(answers.health) }
        router.get("readyz") { _, _ in Self.response(answers.readiness) }
        router.get("status") { _, _ in Self.response(200, answers.status, as: "application/json") }
        router.get("metrics") { _, _ in Self.response(200, answers.metrics, as: ExpositionPage.mediaType) }
        return router
    }

    private static func response(_ answer: ProbeAnswer) -> Response {
        response(answer.code, answer.text, as: "text/plain; charset=utf-8")
    }

    private static func response(_ status: Int, _ text: String, as type: String) -> Response {
        Response(
            status: HTTPResponse.Status(code: status), headers: [.contentType: type, .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
    }

    private static var silent: Logger { Logger(label: "rollcall.status", factory: { _ in SwiftLogNoOpLogHandler() }) }
}

/// What keeps the server from starting.
public struct AgentServerError: Error, Sendable, CustomStringConvertible {
    /// What happened.
    public struct Code: Hashable, Sendable {
        private enum Kind { case listen }
        private let kind: Kind

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
