import Glibc
import HTTPTypes
import HummingbirdCore
import HummingbirdTLS
public import ImageLayout
public import Logging
package import NIOCore
import NIOPosix
public import ServiceLifecycle
public import Serving
import Synchronization

/// An OCI registry (distribution-spec v1.1.1) over an image layout, on Hummingbird's server.
///
/// Memory does not grow with content: each download and each upload holds a few pieces.
public struct RegistryServer: Service {
    private let configuration: RegistryConfiguration
    private let layout: ImageLayout
    private let logger: Logger
    private let certificate: CertificateFiles?
    private let passwords: PasswordCheck?
    private let onListening: @Sendable (Int) async -> Void
    /// What stands between each connection and the registry: in tests, faults.
    package var connectionHandlers: @Sendable () -> [any RemovableChannelHandler] = { [] }
    /// How long a client may take for one piece of what it asked for (`PieceBudget`), before its connection is closed.
    package var writePatience = Duration.seconds(120)
    /// When garbage is collected first, and how often then.
    package var collection = (first: Duration.seconds(3600), then: Duration.seconds(86_400))

    /// Reads the files that the configuration names. Nothing listens yet.
    ///
    /// - Parameters:
    ///   - layout: what is served
    ///   - configuration: how
    ///   - logger: what changes the registry is logged, and what fails
    ///   - onListening: told the port, once it listens
    /// - Throws: `FileFault`
    public init(
        _ layout: ImageLayout, configuration: RegistryConfiguration, logger: Logger,
        onListening: @escaping @Sendable (Int) async -> Void = { _ in }
    ) throws(FileFault) {
        self.layout = layout
        self.configuration = configuration
        self.logger = logger
        self.onListening = onListening
        certificate = try configuration.tls.map { files throws(FileFault) in
            try CertificateFiles(certificate: files.certificateFile, key: files.keyFile, logger: logger)
        }
        passwords = try configuration.usersFile.map { path throws(FileFault) in
            try PasswordCheck(path, logger: logger)
        }
    }

    /// Reads the files that the configuration names now, and not only when they are found to have changed.
    public func readFilesAgain() {
        certificate?.readAgain()
        passwords?.readAgain()
    }

    /// Serves until a graceful shutdown, which lets requests under way end, or cancellation.
    ///
    /// - Throws: `RegistryServerError.cannotListen`
    public func run() async throws {
        let files = OpenFiles.raiseLimit()
        let connections = configuration.connectionLimit(ofFiles: files)
        if connections < configuration.connections {
            logger.warning(
                "the registry takes few connections",
                metadata: [
                    "connections": .stringConvertible(connections),
                    "reason":
                        "the process may have \(files) files open at once: raise that (LimitNOFILE of a unit, 'ulimit -n')",
                ])
        }
        let disk = DiskThreads()
        let patient = DiskThreads()
        let service = RegistryService(
            layout: layout, access: AccessControl(configuration: configuration, passwords: passwords),
            sessions: UploadSessions(), disk: disk, patient: patient, logger: logger)
        let responder = RegistryResponder(service: service, disk: disk, logger: logger)
        let handlers = connectionHandlers
        let base = RegistryChannel(
            HTTP1Channel(
                responder: { request, writer, channel in
                    try await responder.respond(to: request, writer, channel)
                },
                configuration: .init(additionalChannelHandlers: handlers(), idleTimeout: .seconds(120))),
            patience: TimeAmount(writePatience))
        let serverConfiguration = ServerConfiguration(
            address: .hostname(configuration.host, port: configuration.port),
            availableConnectionsDelegate: .maximum(connections, logger: Self.silent))
        let onRunning: @Sendable (any Channel) async -> Void = { [onListening, logger, layout, configuration] channel in
            let port = channel.localAddress?.port ?? configuration.port
            let host = channel.localAddress?.ipAddress ?? configuration.host
            logger.info(
                "registry listens",
                metadata: [
                    "address": "\(host.contains(":") ? "[\(host)]" : host):\(port)", "layout": "\(layout.path)",
                    "tls": .stringConvertible(configuration.tls != nil),
                    "connections": .stringConvertible(connections), "files": .stringConvertible(files),
                ])
            await onListening(port)
        }
        let server: any Service
        if let certificate {
            server = try TLSChannel(base, tlsConfiguration: certificate.tlsConfiguration()).server(
                configuration: serverConfiguration, onServerRunning: onRunning,
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: Self.silent)
        } else {
            server = base.server(
                configuration: serverConfiguration, onServerRunning: onRunning,
                eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: Self.silent)
        }
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.run() }
                group.addTask { await collectGarbage(patient) }
                // The server ends first; the others only with it.
                try await group.next()
                group.cancelAll()
            }
        } catch let error as IOError {
            await end(disk, patient)
            throw RegistryServerError(
                .cannotListen,
                "cannot listen on \(configuration.host), port \(configuration.port) (\(String(cString: strerror(error.errnoCode)))): name an address of this machine, and a port that is free"
            )
        } catch {
            await end(disk, patient)
            throw error
        }
        await end(disk, patient)
    }

    /// Hummingbird's own lines are about its parts; what concerns operators is said here.
    private static var silent: Logger { Logger(label: "rollcall.registry", factory: { _ in SwiftLogNoOpLogHandler() }) }

    private func end(_ disk: DiskThreads, _ patient: DiskThreads) async {
        await disk.shutdown()
        await patient.shutdown()
        await passwords?.shutdown()
    }

    /// Tells a collection under way, which no task's end reaches, that nobody waits for it any more.
    private final class Stop: Sendable {
        private let told = Atomic(false)
        var isTold: Bool { told.load(ordering: .relaxed) }
        func tell() { told.store(true, ordering: .relaxed) }
    }

    private func collectGarbage(_ threads: DiskThreads) async {
        var wait = collection.first
        while (try? await Task.sleep(for: wait)) != nil {
            wait = collection.then
            let stop = Stop()
            do {
                let report = try await withTaskCancellationHandler {
                    try await threads.run { [layout] () throws(LayoutError) in
                        try layout.collectGarbage(isCancelled: { stop.isTold })
                    }
                } onCancel: {
                    stop.tell()
                }
                for reason in report.skipped { logger.error("\(reason)") }
                logger.info(
                    "garbage collected",
                    metadata: [
                        "blobs": .stringConvertible(report.blobs), "bytes": .stringConvertible(report.bytes),
                        "uploads": .stringConvertible(report.uploads),
                    ])
            } catch {
                guard !Task.isCancelled else { return }
                logger.error("garbage not collected", metadata: ["reason": "\(error)"])
            }
        }
    }
}
