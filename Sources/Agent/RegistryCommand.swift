import ArgumentParser
import Console
import EmbeddedRegistry
import HTTP
import ImageLayout
import Logging
import Readiness
import ServiceLifecycle
import UnixSignals

/// What concerns an embedded registry and its layout.
struct RegistryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "registry",
        abstract: "Serve, check and tidy up a registry of images in a directory.",
        subcommands: [RegistryServeCommand.self, RegistryCheckCommand.self, RegistryCollectCommand.self])
}

/// The layout that a command works on.
struct LayoutOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The registry's directory.", valueName: "dir"), completion: .directory)
    var layout: String
}

/// Serves a layout, without an agent's passes.
struct RegistryServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve",
        abstract: "Serve a directory as an OCI registry.",
        discussion: """
            The directory is made where only its parent exists. Anyone may pull, unless there are users; nobody may push \
            unless said. Logs to standard error; SIGTERM and SIGINT end it, and requests under way have 20 seconds.
            """)

    @OptionGroup var options: LayoutOptions

    @Option(
        help: ArgumentHelp("Where to listen; port 0 takes a free one.", valueName: "host:port"),
        transform: RegistryConfiguration.Address.init(argument:))
    var listen = RegistryConfiguration.Address(host: "127.0.0.1", port: 5000)

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

    func validate() throws {
        guard (certificate == nil) == (key == nil) else {
            throw ValidationError("--certificate and --key belong together: give both")
        }
        guard writer.isEmpty || users != nil else { throw ValidationError("--writer needs --users FILE") }
        guard writer.isEmpty || !anonymousPush else {
            throw ValidationError("--writer and --anonymous-push contradict each other: give one")
        }
    }

    func run() async throws {
        var configuration = RegistryConfiguration(address: listen)
        if let certificate, let key { configuration.tls = .init(certificateFile: certificate, keyFile: key) }
        configuration.usersFile = users
        configuration.allowsAnonymousPull = anonymousPull
        configuration.pushers = anonymousPush ? .anyone : writer.isEmpty ? .nobody : .users(Set(writer))
        configuration.allowsDelete = allowDelete
        let handler = LineLogHandler(
            Terminal.isInteractive ? .plain : .json, now: { "\(Timestamp(.system))" }, write: { Terminal.write($0) })
        let logger = Logger(label: "rollcall-agent", factory: { _ in handler })
        let layout = try ImageLayout(path: options.layout)
        let server = try RegistryServer(layout, configuration: configuration, logger: logger) { address in
            logger.info("registry listens", metadata: ["address": "\(address)", "layout": "\(layout.path)"])
        }
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
}

extension RegistryConfiguration.Address {
    init(argument: String) throws {
        guard let address = Self(argument) else {
            throw ValidationError("'\(argument)' is not an address to listen on: write HOST:PORT")
        }
        self = address
    }
}

/// Looks at every file of a layout.
struct RegistryCheckCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Read everything that a registry's directory holds, and compare it with its digests.",
        discussion: """
            Ends with 0 when everything is as it must be, and with 3 otherwise, after one line for each fault. Beside a \
            running registry it may be run at any time.
            """)

    @OptionGroup var options: LayoutOptions

    @Flag(help: "Look at names and sizes only, and read manifests but no blobs.")
    var quick = false

    @Flag(help: "Take away files whose bytes are wrong, so that the next sync brings them again.")
    var removeDamaged = false

    func validate() throws {
        guard !quick || !removeDamaged else {
            throw ValidationError("--remove-damaged reads every file, and --quick none: give one")
        }
    }

    func run() async throws {
        let report = try ImageLayout(existing: options.layout).check(
            readsContents: !quick, removesDamaged: removeDamaged)
        report.problems.forEach(Terminal.complain)
        let read = quick ? "" : ", \(report.blobs) files of \(Quantity.bytes(report.bytes)) read"
        let removed = report.removed > 0 ? ", \(report.removed) damaged files removed" : ""
        print(
            "\(options.layout): \(report.repositories) repositories, \(report.manifests) manifests\(read):"
                + " \(report.problems.count) faults\(removed)")
        if !report.problems.isEmpty || report.removed > 0 { throw ExitCode.blocked }
    }
}

/// Removes what nothing names.
struct RegistryCollectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc",
        abstract: "Remove blobs that no manifest names, and uploads that nobody continues.",
        discussion: """
            What was pushed, mounted or asked for by a writer within the last day stays. It may be run at any time beside a \
            running registry and beside transfers.
            """)

    @OptionGroup var options: LayoutOptions

    @Option(help: ArgumentHelp("How old garbage must be, in hours.", valueName: "hours"))
    var olderThan = Int(ImageLayout.gracePeriod / 3600)

    @Flag(help: "Say what would be removed, and remove nothing.")
    var dryRun = false

    func validate() throws {
        guard (0...8760).contains(olderThan) else { throw ValidationError("--older-than is from 0 to 8760 hours") }
    }

    func run() async throws {
        let report = try ImageLayout(existing: options.layout).collectGarbage(
            olderThan: Int64(olderThan) * 3600, isDry: dryRun)
        report.skipped.forEach(Terminal.complain)
        print(
            "\(options.layout): \(dryRun ? "would remove" : "removed") \(report.names) names, \(report.blobs) blobs and"
                + " \(report.uploads) uploads: \(Quantity.bytes(report.bytes))")
        if !report.skipped.isEmpty { throw ExitCode.failure }
    }
}
