import HTTP
import OCI
import Registry
import TestSupport
import Transfer

/// Two scripted registries with an engine between them.
struct EngineFixture {
    let source: ScriptedRegistry
    let destination: ScriptedRegistry
    let directory: TemporaryDirectory
    let http: HTTPClient

    func client(_ registry: ScriptedRegistry) throws -> RegistryClient {
        RegistryClient(
            try RegistryEndpoint(registry.origin), http: http,
            configuration: RegistryClient.Configuration(
                gates: HostGates(),
                retry: RetryPolicy(attempts: 3, firstWait: .milliseconds(1), longestWait: .milliseconds(5)),
                certificates: CertificateDirectory(paths: [])))
    }

    func engine(
        sources: [ScriptedRegistry]? = nil, limits: TransferLimits = TransferLimits(),
        mapping: RepositoryMapping = RepositoryMapping()
    ) throws -> TransferEngine {
        try TransferEngine(
            sources: (sources ?? [source]).map { TransferSource(name: $0.authority, client: try client($0)) },
            destination: try client(destination), mapping: mapping, spool: directory.file("spool"), limits: limits)
    }

    func entries(_ images: [(Repository, TestImage)]) async throws -> [ClosureEntry] {
        let walk = ClosureWalk(source: try client(source))
        var entries: [ClosureEntry] = []
        for (repository, image) in images {
            for walked in try await walk.images(repository, .digest(image.descriptor.digest)) {
                entries += walked.entries
            }
        }
        return Closure(entries).entries
    }
}

func withFixture(
    source: ScriptedRegistry.Behaviour = .init(), destination: ScriptedRegistry.Behaviour = .init(),
    _ body: (EngineFixture) async throws -> Void
) async throws {
    try await withScriptedRegistry(source) { source in
        try await withScriptedRegistry(destination) { destination in
            try await withTemporaryDirectory("transfer") { directory in
                let http = HTTPClient()
                defer { http.shutdown() }
                try await body(
                    EngineFixture(source: source, destination: destination, directory: directory, http: http))
            }
        }
    }
}
