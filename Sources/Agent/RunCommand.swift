import ArgumentParser
import Console
import ConfigurationFiles
import EmbeddedRegistry
import HTTP
import Logging
import Readiness
import ServiceLifecycle
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
            own is served for as long.
            """)

    @OptionGroup var options: SiteOptions

    func run() async throws {
        let agent = try SiteAgent(options)
        defer { agent.shutdown() }
        try await agent.requireStore()
        let handler = LineLogHandler(
            Terminal.isInteractive ? .plain : .json, now: { "\(Timestamp(.system))" }, write: { Terminal.write($0) })
        var logger = Logger(label: "rollcall-agent", factory: { _ in handler })
        logger[metadataKey: "site"] = "\(agent.file.site)"
        logger[metadataKey: "environment"] = "\(agent.file.environment)"
        logger.info("started", metadata: ["version": "\(Product.version)"])
        if agent.file.signingKey == nil {
            logger.warning(
                "no 'signingKey': cache manifests are not signed, and block every gate that does not accept that")
        }
        let audit = agent.audit(logger: logger)
        let service = AgentService(
            pass: agent.pass, audit: audit, interval: agent.file.interval, verifyInterval: agent.file.verifyInterval,
            timing: .system, logger: logger)
        var services: [ServiceGroupConfiguration.ServiceConfiguration] = [
            .init(service: audit, successTerminationBehavior: .ignore),
            .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup),
        ]
        if let layout = agent.layout, case .embedded(let settings) = agent.file.registry {
            let server = try RegistryServer(layout, configuration: RegistryConfiguration(settings), logger: logger)
            // First, so that it stops last: a pass under way does not need it, but nodes may.
            services.insert(.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup), at: 0)
        }
        var configuration = ServiceGroupConfiguration(
            services: services,
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        configuration.maximumGracefulShutdownDuration = Self.grace
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch is CancellationError {
            // The pass was abandoned when the grace time ended: that is how a stop may end.
        }
    }
}
