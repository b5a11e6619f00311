import ArgumentParser
import Console
import FoundationEssentials
import GateServer
import HTTP
import Logging
import Readiness
import ServiceLifecycle
import Serving
import UnixSignals

/// The gate over HTTP.
struct ServeCommand: AsyncParsableCommand {
    /// How long requests under way have after SIGTERM: below the 30 s after which Kubernetes kills.
    static let grace = Duration.seconds(20)

    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Answer pipelines over HTTP whether a list is ready.",
        discussion: """
            GET /v1/gate/ENV/LIST answers 200 ready, 409 blocked, with the reasons as JSON, or 503 where nothing is known: \
            about what is staged, with ?of=promoted about what is promoted, with ?generation=sha256:… about that one. \
            Every answer is decided on a read of the object store that began after the request. Also /v1/status, \
            /metrics (Prometheus) and /healthz. Logs to standard error; SIGTERM and SIGINT end it. Tokens and certificate are \
            read again when they change, and at SIGHUP. Without TLS or without tokens it serves only when told so.
            """)

    @OptionGroup var fleet: FleetOptions

    @Option(
        help: ArgumentHelp(
            "Where to listen (127.0.0.1:8480 unless said); port 0 takes a free one.", valueName: "host:port"))
    var listen = ListenAddress(host: "127.0.0.1", port: 8480)

    @Option(
        help: ArgumentHelp(
            "Bearer tokens that may ask, one a line; read again when the file changes.", valueName: "file"),
        completion: .file())
    var tokens: String?

    @Flag(help: "Answer everybody who can connect.")
    var withoutTokens = false

    @Option(
        help: ArgumentHelp(
            "The server's certificate chain (PEM); read again when the file changes.", valueName: "file"),
        completion: .file())
    var certificate: String?

    @Option(help: ArgumentHelp("The certificate's private key (PEM).", valueName: "file"), completion: .file())
    var key: String?

    @Flag(
        name: .customLong("without-tls"),
        help: "Speak plain HTTP: tokens and answers can be read and changed on the way.")
    var withoutTLS = false

    @Option(
        help: ArgumentHelp("The most connections at once, each with one request at a time.", valueName: "count"))
    var connections = 256

    @OptionGroup var logging: LogOptions

    func validate() throws {
        guard (tokens != nil) != withoutTokens else {
            throw ValidationError("say who may ask: --tokens FILE, or --without-tokens for everybody")
        }
        guard (certificate == nil) == (key == nil) else {
            throw ValidationError("--certificate and --key belong together: give both")
        }
        guard (certificate != nil) != withoutTLS else {
            throw ValidationError("say how to speak: --certificate FILE --key FILE, or --without-tls for plain HTTP")
        }
        guard (1...10_000).contains(connections) else { throw ValidationError("--connections is from 1 to 10000") }
    }

    func run() async throws {
        // From the first moment on: before that, a SIGHUP would end the process.
        let hangups = await UnixSignalsSequence(trapping: .sighup)
        let handler = LineLogHandler(
            Terminal.isInteractive ? .plain : .json,
            bearsLevels: Journal.takesStandardError(environment: ProcessInfo.processInfo.environment),
            volume: LogVolume(logging.level), now: { "\(Timestamp.current)" }, write: { Terminal.write($0) })
        let logger = Logger(label: "rollcall", factory: { _ in handler })
        var configuration = GateServer.Configuration()
        configuration.host = listen.host
        configuration.port = listen.port
        configuration.maximumConnections = connections
        configuration.tokens = try tokens.map { try TokenFile($0, logger: logger) }
        if let certificate, let key {
            configuration.certificate = try CertificateFiles(certificate: certificate, key: key, logger: logger)
        }
        let relay = Task { [configuration] in
            for await _ in hangups {
                logger.info("SIGHUP: the files are read again")
                configuration.tokens?.readAgain()
                configuration.certificate?.readAgain()
            }
        }
        defer { relay.cancel() }
        let live = try fleet.watch()
        // A file that is wrong from the beginning is the caller's to correct, and no matter of 503s.
        _ = try await live.current()
        let server = GateServer(
            FleetGate(fleet: live), version: Product.version, configuration: configuration, logger: logger)
        var group = ServiceGroupConfiguration(
            services: [
                .init(service: server, successTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: StoreProof(fleet: live, logger: logger), successTerminationBehavior: .ignore),
            ],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = Self.grace
        do {
            try await ServiceGroup(configuration: group).run()
        } catch is CancellationError {
            // Requests that were still under way when the grace time ended are cut off.
        }
        logger.info("stopped")
    }
}
