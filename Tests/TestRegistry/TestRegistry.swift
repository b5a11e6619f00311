public import EmbeddedRegistry
public import ImageLayout
public import Logging
public import OCI
public import TestSupport

/// An embedded registry in this process, as agents serve it, with a layer of faults before it.
public struct TestRegistry: Sendable {
    /// What it serves.
    public let layout: ImageLayout
    /// `http://127.0.0.1:PORT`, or `https` where it has a certificate.
    public let origin: String
    /// Where its files are.
    public let directory: TemporaryDirectory
    /// What goes wrong with its requests: nothing, until a rule is added.
    public let faults: FaultLayer

    /// `127.0.0.1:PORT`.
    public var authority: String { String(origin.drop { $0 != "/" }.dropFirst(2)) }
}

/// Runs `body` with an embedded registry that anyone may push to and delete from, unless `configure` says otherwise.
///
/// - Parameters:
///   - path: the layout's directory; a fresh one unless said
///   - configure: changes how it is served; the directory is for its files
///   - adjust: changes what only tests do
///   - logger: what it logs to; nothing unless said
public func withTestRegistry<Result: Sendable>(
    layout path: String? = nil,
    configure: (inout RegistryConfiguration, TemporaryDirectory) async throws -> Void = { _, _ in },
    adjust: (inout RegistryServer) -> Void = { _ in },
    logger: Logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
    _ body: (TestRegistry) async throws -> Result
) async throws -> Result {
    try await withTemporaryDirectory("embedded") { directory in
        var configuration = RegistryConfiguration(host: "127.0.0.1", port: 0)
        configuration.pushers = .anyone
        configuration.allowsDelete = true
        try await configure(&configuration, directory)
        let layout = try ImageLayout(path: path ?? directory.file("layout"))
        let faults = FaultLayer()
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        var server = try RegistryServer(layout, configuration: configuration, logger: logger) {
            listening.yield($0)
        }
        server.connectionHandlers = { [FaultHandler(faults)] }
        adjust(&server)
        let running = Task { [server] in
            defer { listening.finish() }
            try await server.run()
        }
        guard let port = await ports.first(where: { _ in true }) else {
            try await running.value
            throw TestSupportError("the server ended at once")
        }
        let scheme = configuration.tls == nil ? "http" : "https"
        let outcome: Swift.Result<Result, any Error>
        do {
            outcome = .success(
                try await body(
                    TestRegistry(
                        layout: layout, origin: "\(scheme)://127.0.0.1:\(port)", directory: directory, faults: faults)))
        } catch {
            outcome = .failure(error)
        }
        running.cancel()
        _ = try? await running.value
        return try outcome.get()
    }
}

extension ImageLayout {
    /// Stores an image with everything it needs.
    public func put(_ image: TestImage, in repository: Repository, as tag: String? = nil) throws {
        for blob in image.blobs { try putBlob(blob.content.all, as: blob.descriptor.digest, in: repository) }
        for child in image.children { try put(child, in: repository) }
        let reference = try tag.map { ManifestReference.tag(try Tag($0)) } ?? .digest(image.descriptor.digest)
        try putManifest(image.manifest, type: image.descriptor.mediaType, as: reference, in: repository)
    }
}
