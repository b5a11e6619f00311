import AgentServer
import ArgumentParser
import Console
import ConfigurationFiles
import EmbeddedRegistry
import FoundationEssentials
import HTTP
import Logging
import Readiness
import ServiceLifecycle
import Serving
import UnixSignals

/// Passes for as long as the process lives.
struct RunCommand: AsyncParsableCommand {
    /// How long a pass may go on after SIGTERM before it is cancelled: below the 30 s after which Kubernetes kills.
    static let grace = Duration.seconds(20)

    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Sync continuously: whenever what is staged or promoted changes, and to verify from time to time.",
        discussion: """
            Logs to standard error: JSON lines, or plain text on a terminal. SIGTERM and SIGINT end it: a pass under way \
            has 20 seconds to finish, then it is abandoned, and the next start goes on from there. A registry of the agent's \
            own is served for as long. The file, and the files that it names, are read again when they change, and at SIGHUP; \
            where they are wrong, the settings before stay in use. 'sync' and 'verify' have it make a pass at once. Under systemd, it tells when it is ready, and that it is alive.
            """)

    @OptionGroup var options: SiteOptions

    func run() async throws {
        // From the first moment on: before that, a SIGHUP would end the process.
        let hangups = Bell()
        let signals = await UnixSignalsSequence(trapping: .sighup)
        let relay = Task { for await _ in signals { hangups.ring() } }
        defer { relay.cancel() }

        let settings = try ReadSettings.all(options.config)
        let file = settings.file
        let ledger = HostLedger()
        // The store is looked at by the first pass: probes, and whoever pulls from a registry of the agent's own, are
        // answered whatever becomes of it.
        let agent = try SiteAgent(file, options, ledger: ledger)
        try agent.takeJournal()
        let volume = LogVolume(Logger.Level(file.log.level))
        let handler = LineLogHandler(
            file.log.form,
            bearsLevels: Journal.takesStandardError(environment: ProcessInfo.processInfo.environment),
            volume: volume, now: { "\(Timestamp(.system))" }, write: { Terminal.write($0) })
        var logger = Logger(label: "rollcall-agent", factory: { _ in handler })
        logger[metadataKey: "site"] = "\(file.site)"
        logger[metadataKey: "environment"] = "\(file.environment)"
        logger.info("started", metadata: ["version": "\(Product.version)"])
        if file.signingKey == nil {
            logger.warning(
                "no 'signingKey': cache manifests are not signed, and block every gate that does not accept that")
        }
        let status = AgentStatus()
        let heartbeat = Heartbeat()
        let parts = ContinuousAgent.Parts(
            status: status, heartbeat: heartbeat, ledger: ledger,
            teller: AgentTeller(status: status, heartbeat: heartbeat, ledger: ledger, version: Product.version),
            manager: ServiceManager(environment: ProcessInfo.processInfo.environment), volume: volume)
        var configuration = ServiceGroupConfiguration(
            services: try services(agent, settings, parts, hangups, logger),
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        configuration.maximumGracefulShutdownDuration = Self.grace
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is CancellationError {
            // The pass was abandoned when the grace time ended: that is how a stop may end.
        }
    }

    /// What runs, in the order of its start; it is stopped in the reverse order.
    private func services(
        _ agent: SiteAgent, _ settings: ReadSettings, _ parts: ContinuousAgent.Parts, _ hangups: Bell, _ logger: Logger
    ) throws -> [ServiceGroupConfiguration.ServiceConfiguration] {
        let file = agent.file
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = []
        let start = StartSignal(count: (agent.layout == nil ? 0 : 1) + (file.http == nil ? 0 : 1))
        if let http = file.http {
            let certificate = try http.tls.map {
                try CertificateFiles(certificate: $0.certificate, key: $0.key, logger: logger)
            }
            let server = AgentServer(
                parts.teller,
                configuration: .init(host: http.listen.host, port: http.listen.port, certificate: certificate),
                logger: logger, onListening: { _ in start.signal() })
            services.append(.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup))
        }
        if let layout = agent.layout, case .embedded(let settings) = file.registry {
            let server = try RegistryServer(
                layout, configuration: RegistryConfiguration(settings), logger: logger,
                onListening: { _ in start.signal() })
            // Before the passes, so that it stops after them: a pass under way does not need it, but nodes may.
            services.append(.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup))
        }
        let passes = ContinuousAgent(
            agent, options: options, settings: settings, parts: parts, hangups: hangups, timing: .system,
            logger: logger)
        let told = ManagerService(
            manager: parts.manager, heartbeat: parts.heartbeat, status: parts.status, start: start, timing: .system,
            logger: logger)
        return services + [
            .init(service: passes, successTerminationBehavior: .gracefullyShutdownGroup),
            .init(service: told, successTerminationBehavior: .ignore),
        ]
    }
}

extension AgentFile.Log {
    /// How a line is written.
    var form: LineLogHandler.Form {
        switch format {
        case .json: .json
        case .text: .plain
        case nil: Terminal.isInteractive ? .plain : .json
        }
    }
}
