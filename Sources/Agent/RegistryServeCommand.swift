import ArgumentParser
import ConfigurationFiles
import Console
import EmbeddedRegistry
import HTTP
import ImageLayout
import Logging
import Readiness
import ServiceLifecycle
import UnixSignals

/// Serves a layout, without an agent's passes.
struct RegistryServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a directory as an OCI registry.",
        discussion: """
            The directory is made where only its parent exists. Anyone may pull, unless there are users; nobody may push \
            unless said. With --config, everything is as that file says. Logs to standard error; SIGTERM and SIGINT end \
            it, and requests under way have 20 seconds. Certificate and users are read again when they change, and at SIGHUP.
            """)

    @OptionGroup var options: LayoutOptions
    @OptionGroup var serving: ServingOptions
    @OptionGroup var logging: LogOptions

    func run() async throws {
        // From the first moment on: before that, a SIGHUP would end the process.
        let hangups = await UnixSignalsSequence(trapping: .sighup)
        let settings = try options.settings()
        let handler = LineLogHandler(
            Terminal.isInteractive ? .plain : .json, volume: LogVolume(logging.level),
            now: { "\(Timestamp(.system))" }, write: { Terminal.write($0) })
        let logger = Logger(label: "rollcall-agent", factory: { _ in handler })
        let server = try RegistryServer(
            ImageLayout(path: options.path()),
            configuration: settings.map(RegistryConfiguration.init) ?? serving.configuration(), logger: logger)
        let relay = Task {
            for await _ in hangups {
                logger.info("SIGHUP: the files are read again")
                server.readFilesAgain()
            }
        }
        defer { relay.cancel() }
        var group = ServiceGroupConfiguration(
            services: [.init(service: server, successTerminationBehavior: .gracefullyShutdownGroup)],
            gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
        group.maximumGracefulShutdownDuration = RunCommand.grace
        do {
            try await ServiceGroup(configuration: group).run()
        } catch is CancellationError {
            // Requests that were still under way when the grace time ended are cut off.
        }
        logger.info("stopped")
    }

    func validate() throws {
        guard options.config == nil || serving.isUntouched else {
            throw ValidationError("with --config, the file says how to serve: change it there")
        }
    }
}

/// How a layout is served where no agent's file says so.
struct ServingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Where to listen (127.0.0.1:5000 unless said); port 0 takes a free one.", valueName: "host:port"))
    var listen: ListenAddress?

    @Option(
        help: ArgumentHelp("The certificate chain (PEM); read again when the file changes.", valueName: "file"),
        completion: .file())
    var certificate: String?

    @Option(help: ArgumentHelp("The certificate's private key (PEM).", valueName: "file"), completion: .file())
    var key: String?

    @Option(
        help: ArgumentHelp(
            "Users and hashes of passwords, as 'htpasswd -B' writes them; read again when the file changes.",
            valueName: "file"),
        completion: .file())
    var users: String?

    @Flag(help: "Let anyone pull, although there are users.")
    var anonymousPull = false

    @Option(help: ArgumentHelp("A user who may push; may be repeated.", valueName: "user"))
    var writer: [String] = []

    @Flag(help: "Let anyone push who can connect.")
    var anonymousPush = false

    @Flag(help: "Let those who may push delete.")
    var allowDelete = false

    /// Whether none of them was given.
    var isUntouched: Bool {
        listen == nil && certificate == nil && key == nil && users == nil && writer.isEmpty && !anonymousPull
            && !anonymousPush && !allowDelete
    }

    func validate() throws {
        guard (certificate == nil) == (key == nil) else {
            throw ValidationError("--certificate and --key belong together: give both")
        }
        guard writer.isEmpty || users != nil else { throw ValidationError("--writer needs --users FILE") }
        guard writer.isEmpty || !anonymousPush else {
            throw ValidationError("--writer and --anonymous-push contradict each other: give one")
        }
    }

    func configuration() -> RegistryConfiguration {
        var configuration = RegistryConfiguration(host: listen?.host ?? "127.0.0.1", port: listen?.port ?? 5000)
        if let certificate, let key { configuration.tls = .init(certificateFile: certificate, keyFile: key) }
        configuration.usersFile = users
        configuration.allowsAnonymousPull = anonymousPull
        configuration.pushers = anonymousPush ? .anyone : writer.isEmpty ? .nobody : .users(Set(writer))
        configuration.allowsDelete = allowDelete
        return configuration
    }
}

extension RegistryConfiguration {
    /// What an agent's file says.
    init(_ settings: RegistrySettings.Embedded) {
        self.init(host: settings.listen.host, port: settings.listen.port)
        tls = settings.tls.map { .init(certificateFile: $0.certificate, keyFile: $0.key) }
        usersFile = settings.users
        allowsAnonymousPull = settings.anonymousPull
        pushers = settings.anonymousPush ? .anyone : settings.writers.isEmpty ? .nobody : .users(Set(settings.writers))
        allowsDelete = settings.allowDelete
    }
}
