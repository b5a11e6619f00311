import ArgumentParser
import Console
import FoundationEssentials
import HTTP
import OCI
import Registry
import Transfer

/// One image from one registry to another.
struct CopyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Copy one image, with all that it needs, from one registry to another.",
        discussion: """
            References are written HOST[:PORT]/REPOSITORY:TAG or HOST[:PORT]/REPOSITORY@DIGEST. A destination by \
            digest gets no tag. An interrupted copy continues when it is started again. Credentials come from the usual \
            files, certificates from /etc/containers/certs.d/HOST[:PORT] and its like.
            """)

    @Argument(help: "What to copy.")
    var source: String

    @Argument(help: "Where to.")
    var destination: String

    @Option(help: ArgumentHelp("The credentials file; the usual places otherwise.", valueName: "file"))
    var authFile: String?

    @OptionGroup var plainHTTP: PlainHTTPOptions
    @OptionGroup var display: ProgressOptions

    func run() async throws {
        let source: ImageReference
        let destination: ImageReference
        do {
            source = try ImageReference(self.source)
            destination = try ImageReference(self.destination)
        } catch {
            throw AgentError(.usage, "\(error)")
        }
        let http = HTTPClient()
        defer { http.shutdown() }
        let limits = TransferLimits()
        let access = RegistryAccess(
            http: http, authFile: authFile, connections: limits.connections, plainHTTP: plainHTTP)
        let from = try access.client(ofHost: source.host)
        let to = try access.client(ofHost: destination.host)
        // Where an interrupted copy of the same image to the same place left off.
        let state = try StateDirectory(path: Self.statePath("\(source) \(destination)"))
        let engine = try TransferEngine(
            sources: [TransferSource(name: source.host, client: from)], destination: to,
            mapping: RepositoryMapping([
                try .init(source: source.repository.name, destination: destination.repository.name)
            ]), spool: "\(state.path)/spool", limits: limits)
        let summary = try await display.showing(engine.progress) {
            try await cancelledBySignals {
                try await Self.copy(source, to: destination, through: engine, walk: ClosureWalk(source: from))
            }
        } ending: {
            (.complete, $0)
        }
        state.remove()
        if !display.isForPrograms { print(summary) }
    }

    private static func copy(
        _ source: ImageReference, to destination: ImageReference, through engine: TransferEngine, walk: ClosureWalk
    ) async throws -> String {
        guard let image = try await walk.images(source.repository, source.reference).first else {
            throw AgentError(.incomplete, "\(source): there is no such image")
        }
        if case .digest(let wanted) = destination.reference, wanted != image.root.digest {
            throw AgentError(
                .usage,
                "\(destination): the image at the source has the digest \(image.root.digest): write a tag, or this"
                    + " digest")
        }
        var tags: [TagAssignment] = []
        if case .tag(let tag) = destination.reference {
            tags = [TagAssignment(repository: source.repository, tag: tag, digest: image.root.digest, moves: true)]
        }
        var report = await engine.bring(Inventory(unasked: image.entries), tags: tags)
        if !report.inventory.broken.isEmpty {
            // What it says that it has and does not serve, it may serve after another upload.
            report = await engine.bring(report.inventory.distrusting([]), tags: tags)
        }
        try Task.checkCancellation()
        if let error = report.unanswered { throw error }
        let failures = report.causes + report.tagFailures.map { "\($0.0.repository):\($0.0.tag): \($0.1)" }
        guard failures.isEmpty else {
            PassReport.bounded(failures, of: "failures").dropLast().forEach(Terminal.complain)
            throw AgentError(.incomplete, PassReport.bounded(failures, of: "failures").last ?? "")
        }
        let brought = Closure(report.brought)
        let all = Closure(image.entries)
        return "\(destination.host)/\(destination.repository)@\(image.root.digest): \(all.entries.count) entries,"
            + " \(Quantity.bytes(all.uniqueBytes)), of which \(brought.entries.count)"
            + " (\(Quantity.bytes(brought.uniqueBytes))) were brought"
    }

    /// A directory of its own for each pair of references, below the user's cache directory.
    private static func statePath(_ name: String) throws -> String {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"].flatMap { $0.hasPrefix("/") ? $0 : nil }
        let home = environment["HOME"].flatMap { $0.hasPrefix("/") ? "\($0)/.cache" : nil }
        let base = cache ?? home ?? FileManager.default.temporaryDirectory.path
        return "\(base)/rollcall/copy/\(Digest(of: Array(name.utf8)).hex.prefix(32))"
    }
}
