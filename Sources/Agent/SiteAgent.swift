import ConfigurationFiles
import Console
import FoundationEssentials
import HTTP
import ImageLayout
import Logging
import OCI
import ObjectStore
import Readiness
import Registry
import Transfer
import Trust

/// One site's agent, wired as its file says: what `sync`, `verify` and `run` have in common.
struct SiteAgent: Sendable {
    /// What the file says.
    let file: AgentFile
    /// The pass that the site's agent makes.
    let pass: SitePass
    /// How fast content is read back.
    let budget: ReadBudget
    /// The figures of the passes.
    let progress: ProgressBoard
    /// The site's own registry, where it has one.
    let layout: ImageLayout?
    /// What brings content.
    let engine: TransferEngine
    private let http: HTTPClient
    private let store: any ObjectStore

    /// Takes the state directory, and opens what the file names. Nothing is sent yet.
    ///
    /// - Parameters:
    ///   - file: what the file says
    ///   - options: what the command line says
    ///   - ledger: where it is written down what hosts answer
    ///   - before: the agent of this process whose place this one takes: its state directory and its registry are taken
    ///     over
    ///   - state: the state directory, where it has been taken already
    init(
        _ file: AgentFile, _ options: SiteOptions, ledger: HostLedger? = nil, replacing before: SiteAgent? = nil,
        state taken: StateDirectory? = nil
    ) throws {
        self.file = file
        var configuration = HTTPClient.Configuration()
        configuration.ledger = ledger
        http = HTTPClient(configuration: configuration)
        let registries = RegistryAccess(
            http: http, authFile: file.authFile, connections: file.limits.connections,
            plainHTTP: options.plainHTTP, hosts: { file.host(of: $0) })
        let shard = try file.shardOfThisHost
        var limits = TransferLimits(file)
        limits.shard = shard
        let sources = try file.sources.enumerated().map { [limits] index, source in
            // Two entries may have one host and different names of repositories there.
            let isRepeated = file.sources[..<index].contains { $0.url.authority == source.url.authority }
            let connections = file.host(of: source.url)?.connections
            // The site's own registry is not for the cap to slow.
            let receiveBuffer = limits.receiveBuffer(connections: connections ?? limits.connections)
            return TransferSource(
                name: isRepeated ? "\(source.url.authority) (source \(index + 1))" : source.url.authority,
                client: try registries.client(of: source.url, receiveBuffer: receiveBuffer),
                mapping: source.repositories, priority: source.priority, weight: source.weight,
                connections: connections)
        }
        let signingKey = try file.signingKey.map { try PrivateKey(path: $0) }
        let state = try before?.pass.state ?? taken ?? StateDirectory(path: file.state)
        let traffic = "\(state.path)/ledger.sqlite"
        switch file.registry {
        case .url(let url):
            let client = try registries.client(of: url)
            layout = nil
            engine = try TransferEngine(
                sources: sources, destination: client, mapping: file.repositories, spool: "\(state.path)/spool",
                ledger: traffic, limits: limits)
        case .embedded(let settings):
            let layout = try before?.layout ?? ImageLayout(path: settings.layout)
            self.layout = layout
            engine = try TransferEngine(
                sources: sources, layout: layout, mapping: file.repositories, ledger: traffic,
                limits: limits, replacing: before?.engine)
        }
        progress = engine.progress
        store = try Self.store(of: file, options, ledger)
        budget = try ReadBudget(
            rate: file.audit.rate, perDay: file.audit.quotaPerDay, ledger: "\(state.path)/audit.sqlite",
            timeZone: file.windows.timeZone)
        let regional = RegionalRegistry(engine: engine, mapping: file.repositories, budget: budget)
        pass = SitePass(
            site: file.site, environment: file.environment, validity: file.validity, version: Product.version,
            owner: Product.processOwner, central: CentralStore(store, signingKey: signingKey), registry: regional,
            state: state,
            journal: try ProofJournal(path: "\(state.path)/proofs.sqlite"),
            signingKey: signingKey,
            now: { Timestamp(.system) },
            reporting: ProgressReporting(board: engine.progress, interval: file.interval), shard: shard,
            statement: CacheManifest.Registry(url: file.registry.statedURL, mapping: file.repositories))
    }

    /// The object store. Of an S3 store, what was read is kept in the state directory: lists never change, and may be large.
    ///
    /// - Parameter ledger: where it is written down what the store's server answers
    static func store(
        of file: AgentFile, _ options: SiteOptions, _ ledger: HostLedger? = nil
    ) throws(ObjectStoreError) -> any ObjectStore {
        var access = access(to: file, options)
        access.ledger = ledger
        let store = try file.objectStore.open(access)
        guard case .s3 = file.objectStore else { return store }
        let name = Digest(of: Array(file.objectStore.description.utf8)).hex.prefix(16)
        return CachedStore(store, memoryLimit: 4 << 20, directory: "\(file.state)/objects-\(name)")
    }

    /// An S3 store's server is spoken to as the file says for its host.
    static func access(to file: AgentFile, _ options: SiteOptions) -> ObjectStoreAccess {
        var access = ObjectStoreAccess(
            environment: ProcessInfo.processInfo.environment, singleWriter: options.store.singleWriter)
        access.notes = "\(file.state)/notes"
        if case .s3(let location) = file.objectStore, let host = location.endpoint.flatMap(file.host(of:)) {
            access.tls = host.tls
            access.proxy = host.proxy
        }
        return access
    }

    /// Looks at the object store before settings that name it are taken up.
    ///
    /// - Throws: `ObjectStoreError` where its conditional writes cannot be relied on. That it is out of reach now is no
    ///   reason to refuse it.
    func requireStore() async throws {
        do throws(ObjectStoreError) {
            try await store.prepare()
        } catch {
            if error.code == .unsupportedStore { throw error }
        }
    }

    /// Makes the journal this registry's. What it knows of another one is forgotten, so this comes after all that could make
    /// somebody go back to the settings before.
    ///
    /// - Throws: `AgentError.stateUnusable`
    func takeJournal() throws(AgentError) { try pass.journal.take(registry: file.registry.name) }

    /// One pass over what is staged and promoted now.
    func passOnce(_ mode: SitePass.Mode) async throws -> PassReport {
        try takeJournal()
        return try await pass.run(mode, record: try await pass.central.record(of: file.environment).record)
    }

    /// The reader of content, beside the passes.
    func audit(logger: Logger) -> ContentAudit {
        ContentAudit(
            registry: pass.registry, journal: pass.journal, budget: budget, settings: file.audit, timing: .system,
            logger: logger, shard: pass.shard)
    }

    /// What is looked at before it hurts: the disks that are written to, and the clocks of the hosts in the ledger.
    func surroundings(_ ledger: HostLedger) -> Surroundings {
        let directories: [(path: String, most: Int64)] =
            switch file.registry {
            case .url: [(file.state, file.limits.spool)]
            case .embedded(let settings): [(file.state, 0), (settings.layout, .max)]
            }
        return Surroundings(ledger: ledger, directories: directories) { [engine] in
            .init(delivered: engine.progress.snapshot.deliveredBytes, allocated: engine.spooledBytes)
        }
    }

    /// Ends the connections. Idempotent.
    func shutdown() { http.shutdown() }
}

extension TransferLimits {
    /// The bounds that the file sets; the rest as the engine has them.
    init(_ file: AgentFile) {
        self.init()
        blobs = file.limits.blobs
        connections = file.limits.connections
        siteConnections = file.limits.siteConnections
        memory = file.limits.memory
        spool = file.limits.spool
        rate = file.limits.rate
        windows = file.windows
        quotaPerDay = file.limits.quotaPerDay
        quotaPerMonth = file.limits.quotaPerMonth
    }
}

extension Timestamp {
    /// The present, to the second.
    init(_ timing: Timing) {
        self.init(seconds: Int64(exactly: timing.unixTime().rounded(.down)) ?? 0)
    }
}

extension RegistrySettings {
    /// The URL that manifests name: without a user's name and password, which the file refuses anyway.
    fileprivate var statedURL: String? {
        guard case .url(let url) = self else { return nil }
        return "\(url.scheme)://\(url.authority)"
    }
}
